"""Stored values: the encoding of the files themselves, which one variable can only have once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.settle import ContradictionError, settle
from constellr_stac.reading.prefetch import MAX_REQUESTS
from constellr_stac.reading.raster import header_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constellr_stac.layers.band import Band
    from constellr_stac.layers.header import Header
    from constellr_stac.reading.asset_ref import AssetRef
    from constellr_stac.reading.prefetch import Fetcher

    from .scene import Scene

__all__ = ["with_file_encodings", "with_fill"]


def with_file_encodings(scenes: Sequence[Scene], fetcher: Fetcher, *, lenient: bool) -> list[Scene]:
    """Return the scenes with the encoding of their files; all headers are read, in parallel.

    Args:
        scenes: The scenes.
        fetcher: Reads the headers.

    Keyword Args:
        lenient: Whether a scene whose header cannot be read keeps what its item states.

    Raises:
        AssetReadError: A header cannot be read, or two files of a variable have different
            encodings, so that their stored values cannot share a variable.
    """
    refs = list(dict.fromkeys(band.ref for scene in scenes for band in scene.bands.values()))

    def read(ref: AssetRef) -> Header | None:
        try:
            return header_of(fetcher.header(ref))
        except AssetReadError:
            if lenient:
                return None
            raise

    with ThreadPoolExecutor(min(MAX_REQUESTS, max(1, len(refs)))) as pool:
        headers = dict(zip(refs, pool.map(read, refs), strict=True))
    first: dict[str, tuple[Scene, Band]] = {}
    settled = []
    for scene in scenes:
        bands = dict(scene.bands)
        for name, own in scene.bands.items():
            header = headers[own.ref]
            if header is None or own.band.is_mask:
                continue
            bands[name] = replace(own, band=_encoding(scene, own.band, header))
            other, band = first.setdefault(name, (scene, bands[name].band))
            _check_alike(name, scene, bands[name].band, other, band)
        settled.append(replace(scene, bands=bands))
    return settled


def with_fill(band: Band, scene: Scene) -> Band:
    """Return a variable's band with a fill value; integers without one get a larger type for it.

    Args:
        band: The encoding of the files.
        scene: One of the scenes, to be named.

    Raises:
        AssetReadError: There is no larger type.
    """
    dtype = np.dtype(band.dtype or "float32")
    if band.is_mask or band.nodata is not None or dtype.kind not in "iu":
        return band
    try:
        larger = {1: "int16", 2: "int32", 4: "int64"}[dtype.itemsize]
    except KeyError:
        raise AssetReadError(
            f"raw=True cannot mark pixels without data in {band.name!r} of scene "
            f"{scene.item.id!r}: any {dtype} can be a value, and no fill value is stated. State "
            "nodata on the item's asset, or load it without raw=."
        ) from None
    return band.with_fields(dtype=larger, nodata=np.iinfo(larger).min)


def _encoding(scene: Scene, band: Band, header: Header) -> Band:
    if band.index > len(header.bands):
        raise AssetReadError(
            f"Scene {scene.item.id!r} cannot be read: its file has no band {band.index}."
        )
    try:
        return settle(band, header.bands[band.index - 1]).band
    except ContradictionError as error:
        raise AssetReadError(f"Scene {scene.item.id!r} cannot be read: {error}.") from error


def _check_alike(name: str, scene: Scene, band: Band, other: Scene, known: Band) -> None:
    fields = ("dtype", "scale", "offset", "nodata", "unit")
    differing = [
        field
        for field in fields
        if getattr(band, field) != getattr(known, field)
        and str(getattr(band, field)) != str(getattr(known, field))  # NaN is not equal to itself
    ]
    if differing:
        raise AssetReadError(
            f"raw=True cannot join the stored values of {name!r}: {', '.join(differing)} of scene "
            f"{scene.item.id!r} and of {other.item.id!r} differ. Load them apart, or without raw=."
        )
