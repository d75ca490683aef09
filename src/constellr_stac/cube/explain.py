"""``explain``: the cost of computing a cube, estimated beforehand.

Files to fetch are found in the dask graph, so that a slice of a cube is estimated as such. What is
fetched of them is told by their headers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Unpack

import numpy as np
import xarray as xr
from dask import config
from dask.system import CPU_COUNT
from dask.utils import format_bytes
from rich.table import Table

from constellr_stac._refresh import utc_now
from constellr_stac._text import html_row
from constellr_stac.auth.credentials import ApiKey, Password, Token
from constellr_stac.auth.token import token_of
from constellr_stac.errors import ConstellrError
from constellr_stac.reading.file_grid import name_of
from constellr_stac.signing.s3_url import is_s3

from .fetch_costs import fetch_costs, peak_bytes
from .graph_reads import chunk_reads
from .grid import fits
from .load import cube_of
from .native_grids import with_native_grids
from .plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from constellr_stac.reading.asset_ref import AssetRef
    from constellr_stac.reading.prefetch import Fetcher
    from constellr_stac.stac.items import Items

    from .arguments import LoadArguments
    from .plan import Plan

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """The cost of computing a cube. The text marks estimates with "about"."""

    scenes: int
    """Items whose files are read."""
    files: int
    """Files that are read."""
    bytes_to_fetch: int
    """Bytes of the files; of files over 1 MiB, of the header and the blocks that the cube needs."""
    bytes_are_exact: bool
    """Whether the sizes of all files are known; else some are estimated from others."""
    requests: int
    """GETs to the object store, without retries: one for a file up to 1 MiB; for a longer file, one
    for the header and one for each range of blocks that a chunk reads. On a cluster somewhat more,
    where several workers read parts of the same file."""
    shape: Mapping[str, int]
    """Sizes of the cube's dimensions."""
    chunks: int
    """The number of chunks of all variables."""
    bytes_per_chunk: int
    """Memory of the largest chunk, as read or in the result."""
    bytes_at_peak: int
    """Memory of the result, of the chunks computed in parallel and of prefetched bytes; without the
    temporary arrays of what is done with the cube, other than in a simple reduction."""
    threads: int
    """The number of chunks computed in parallel, as configured in dask."""
    grids: Mapping[str, int] = field(default_factory=dict)
    """Files on each native grid; empty if unknown."""
    resampled: int = 0
    """Files that do not align with the cube's grid."""
    valid_share: float | None = None
    """Mean share of valid pixels (0 to 1), if the items state it."""
    ends: Mapping[str, datetime | None] = field(default_factory=dict)
    """Expiry of token, credentials and signed URLs; ``None`` for never."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield label and text of each line."""
        about = "" if self.bytes_are_exact else "about "
        requests = f"{about}{_count(self.requests, 'request')}"
        yield "scenes", f"{self.scenes} ({_count(self.files, 'file')})"
        yield "to fetch", f"{about}{format_bytes(self.bytes_to_fetch)} in {requests}"
        yield "cube", ", ".join(f"{name} {size}" for name, size in self.shape.items())
        yield "chunks", f"{self.chunks}, at most {format_bytes(self.bytes_per_chunk)} each"
        threads = _count(self.threads, "thread")
        yield "memory", f"about {format_bytes(self.bytes_at_peak)} at peak on {threads}"
        for grid, count in self.grids.items():
            yield "grid", f"{_count(count, 'file')} on {grid}"
        if self.grids:
            yield "resampled", _count(self.resampled, "file") if self.resampled else "nothing"
        if self.valid_share is not None:
            yield "valid pixels", f"{self.valid_share:.0%} on average, as stated by the items"
        for name, end in self.ends.items():
            yield name, "no expiry stated" if end is None else _remaining(end)

    def __str__(self) -> str:
        rows = list(self.rows())
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)

    def _repr_html_(self) -> str:
        rows = "".join(html_row(*row, headings=1) for row in self.rows())
        return f"<table>{rows}</table>"

    def __rich__(self) -> Table:
        table = Table(show_header=False)
        for label, text in self.rows():
            table.add_row(label, text)
        return table


def explain(
    items_or_cube: Items | xr.Dataset | xr.DataArray,
    bands: str | Sequence[str] | None = None,
    **arguments: Unpack[LoadArguments],
) -> Explanation:
    """Estimate the cost of computing a cube.

    Reads no pixels. The header of each file is read, of at most 512 files, unless its item states
    a ``file:size`` of up to 1 MiB.

    Args:
        items_or_cube: Items as for :func:`load`, or a cube from it, or a part of one.
        bands: As for :func:`load`, if items are given.

    Keyword Args:
        arguments: As for :func:`load`, if items are given.

    Raises:
        TypeError: The cube is not from :func:`load`, or not lazy.
        ValueError: As for :func:`load`, or ``group_by_resolution=True``.
        ConstellrError: As for :func:`load`.

    Example:
        >>> print(constellr_stac.explain(cube.sel(time="2026-07")))  # doctest: +SKIP
    """
    if isinstance(items_or_cube, xr.DataArray):
        items_or_cube = items_or_cube.to_dataset(name=items_or_cube.name or "values")
    if isinstance(items_or_cube, xr.Dataset):
        if bands is not None or arguments:
            msg = "bands and load arguments apply to items, not to a loaded cube."
            raise TypeError(msg)
        return _explained(items_or_cube, None)
    if arguments.pop("group_by_resolution", False):  # type: ignore[typeddict-item]
        msg = "group_by_resolution=True gives several cubes: load them, and explain each."
        raise ValueError(msg)
    plan = make_plan(items_or_cube, bands, **arguments)
    return _explained(cube_of(plan), plan)


def _explained(cube: xr.Dataset, plan: Plan | None) -> Explanation:
    reads = chunk_reads(cube)
    if not reads:
        msg = "Only a lazy cube from load() can be explained, since its graph lists the files."
        raise TypeError(msg)
    references = dict.fromkeys(ref for chunk in reads for ref in chunk.references)
    fetcher = reads[0].fetcher
    costs = fetch_costs(reads, fetcher, _stated_sizes(plan))
    chunk_bytes, chunk_count = _chunks(cube)
    chunk_bytes = max(chunk_bytes, *(each.nbytes for each in reads))
    threads = config.get("num_workers", None) or CPU_COUNT
    grids = _grids(plan)
    return Explanation(
        scenes=len({(each.collection, each.item or each.href) for each in references}),
        files=len(references),
        bytes_to_fetch=costs.bytes,
        bytes_are_exact=costs.exact,
        requests=costs.requests,
        shape=_shape(cube),
        chunks=chunk_count,
        bytes_per_chunk=chunk_bytes,
        bytes_at_peak=peak_bytes(reads, costs, _lazy_bytes(cube), threads),
        threads=threads,
        grids=Counter({name: count for name, (count, _) in grids.items()}),
        resampled=sum(count for count, fitting in grids.values() if not fitting),
        valid_share=_valid_share(plan),
        ends=_ends(references, fetcher),
    )


def _lazy_bytes(cube: xr.Dataset) -> int:
    """Return the bytes of the variables that are computed."""
    return sum(each.nbytes for each in cube.data_vars.values() if each.chunks is not None)


def _stated_sizes(plan: Plan | None) -> dict[AssetRef, int]:
    """Return the sizes of files, where items state them."""
    sizes: dict[AssetRef, int] = {}
    for scene in plan.scenes if plan else ():
        for band in scene.bands.values():
            size = scene.item.assets[band.asset_key].extra_fields.get("file:size")
            if isinstance(size, int):
                sizes[band.ref] = size
    return sizes


def _shape(cube: xr.Dataset) -> dict[str, int]:
    """Return the sizes of the dimensions, in the order of the variables' dims."""
    names = dict.fromkeys(name for each in cube.data_vars.values() for name in each.dims)
    return {str(name): cube.sizes[name] for name in names}


def _chunks(cube: xr.Dataset) -> tuple[int, int]:
    """Return the bytes of the largest chunk, and the number of chunks."""
    largest, count = 0, 0
    for variable in cube.data_vars.values():
        if variable.chunks is not None:
            largest = max(
                largest,
                int(np.prod([max(sizes) for sizes in variable.chunks])) * variable.dtype.itemsize,
            )
            count += int(np.prod([len(sizes) for sizes in variable.chunks]))
    return largest, count


def _grids(plan: Plan | None) -> dict[str, tuple[int, bool]]:
    """Return the number of files on each native grid, and whether it fits the cube's."""
    if plan is None:
        return {}
    scenes = list(plan.scenes)
    if any(band.grid is None for scene in scenes for band in scene.bands.values()):
        scenes = with_native_grids(scenes, plan.fetcher, lenient=plan.errors == "nan")
    files = {band.ref: band.grid for scene in scenes for band in scene.bands.values()}
    grids: dict[str, tuple[int, bool]] = {}
    for grid in files.values():
        if grid is None:
            continue
        fitting = fits(grid, plan.geobox)
        name = name_of(grid)
        name += "" if fitting else ", which does not fit the cube's"
        grids[name] = (grids.get(name, (0, fitting))[0] + 1, fitting)
    return grids


def _valid_share(plan: Plan | None) -> float | None:
    """Return the mean of the bands' ``statistics.valid_percent``, if stated."""
    shares = [
        band["statistics"]["valid_percent"] / 100
        for scene in (plan.scenes if plan else ())
        for asset in scene.item.assets.values()
        for band in asset.extra_fields.get("bands") or asset.extra_fields.get("raster:bands") or ()
        if "valid_percent" in band.get("statistics", {})
    ]
    return sum(shares) / len(shares) if shares else None


def _ends(references: Collection[AssetRef], fetcher: Fetcher) -> dict[str, datetime | None]:
    """Return the expiry of token, credentials and signed URLs, as far as known locally."""
    resolver = fetcher.resolver
    ends: dict[str, datetime | None] = {}
    if any(is_s3(each.href) for each in references):
        ends["AWS credentials"] = resolver.signer.credentials.get().expires_at
    if any(each.renewable for each in references):
        signed = [resolver.held(each) for each in references if each.renewable]
        known = [end for end in signed if end is not None]
        if known:
            ends["signed URLs (renewed when read)"] = min(known)
        try:
            credential = resolver.auth.credential
        except ConstellrError:
            return ends
        if isinstance(credential, Password):
            token = token_of(resolver.auth.base_url, credential).held
            if token is not None:
                ends["token (renewed with the password)"] = token.expires_at
        elif isinstance(credential, Token):
            ends["token"] = credential.expires_at
        elif isinstance(credential, ApiKey):
            ends["API key"] = None
    return ends


def _remaining(end: datetime) -> str:
    left = end - utc_now()
    if left < timedelta(0):
        return f"expired at {end:%Y-%m-%d %H:%M:%S} UTC"
    return f"expires in {timedelta(seconds=round(left.total_seconds()))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
