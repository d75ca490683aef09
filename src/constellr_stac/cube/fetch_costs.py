"""What computing a cube fetches: the same ranges that the reader would ask for.

Sizes and blocks are those of the files' headers, unless items state that files are short.
"""

from __future__ import annotations

import math
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasterio.errors import RasterioError

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.table import layer_of
from constellr_stac.reading.asset_file import ranges_of
from constellr_stac.reading.blocks import spans_of
from constellr_stac.reading.lengths import HEAD_BYTES
from constellr_stac.reading.prefetch import MAX_BYTES, MAX_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from constellr_stac.reading.asset_file import AssetFile
    from constellr_stac.reading.asset_ref import AssetRef
    from constellr_stac.reading.directories import Span
    from constellr_stac.reading.prefetch import Fetcher

    from .graph_reads import ChunkRead

__all__ = ["FetchCosts", "fetch_costs", "peak_bytes"]

_REDUCING = 2.25  # a reduction copies its chunk without NaN, and makes a mask of it
_DECODING = 16  # bytes of a pixel: stored, decoded, and what is made of it on the way
_MOST_HEADERS = 512
"""Files whose header is read; sizes of further ones are estimated from them."""


@dataclass
class FetchCosts:
    """Requests and bytes."""

    requests: int = 0
    bytes: int = 0
    exact: bool = True
    at_once: int = 0
    """The most bytes that one chunk needs."""

    def add(self, spans: Sequence[Span]) -> None:
        """Count a request for each range."""
        self.requests += len(spans)
        self.bytes += sum(stop - start for start, stop in spans)


def fetch_costs(
    chunks: Sequence[ChunkRead], fetcher: Fetcher, stated: Mapping[AssetRef, int]
) -> FetchCosts:
    """Return what chunks fetch in one process.

    Args:
        chunks: The chunks, in the order of computing.
        fetcher: Reads the headers.
        stated: The sizes that items state.

    Raises:
        AssetReadError: A header cannot be read.
    """
    references = list(dict.fromkeys(ref for chunk in chunks for ref in chunk.references))
    sizes = {ref: stated.get(ref, fetcher.lengths.size_of(ref)) for ref in references}
    sought = [ref for ref, size in sizes.items() if size is None or size > HEAD_BYTES]
    asked = _sample(sought)
    with ThreadPoolExecutor(max(1, min(MAX_REQUESTS, len(asked)))) as pool:
        files = dict(zip(asked, pool.map(fetcher.header, asked), strict=True))
    costs = FetchCosts(exact=len(asked) == len(sought))
    longer: dict[AssetRef, AssetFile] = {}
    by_layer: defaultdict[str, list[int]] = defaultdict(list)
    for ref, file in files.items():
        sizes[ref] = file.size
        by_layer[_layer(ref)].append(file.size)
        if file.size > HEAD_BYTES:
            longer[ref] = file
    held: set[tuple[AssetRef, Span]] = set()
    heads: dict[AssetRef, int] = {}
    for ref in references:
        size = sizes[ref]
        if size is None:
            alike = by_layer[_layer(ref)] or [file.size for file in files.values()]
            size = sum(alike) // len(alike)
        heads[ref] = min(size, fetcher.lengths.head_bytes(ref))
        if not fetcher.holds(ref):
            costs.add([(0, heads[ref])])
    for file in longer.values():
        with suppress(AssetReadError, RasterioError):  # reading says why
            file.directories()
        costs.add(list(file.header_ranges))
    for chunk in chunks:
        before = costs.bytes
        for ref, read, geobox in chunk.windows():
            if ref not in longer:
                continue
            method = None if read.band.is_mask else chunk.resampling
            file = longer[ref]
            with suppress(AssetReadError, RasterioError):
                _, spans = spans_of(file, read.band.index, geobox, method, read.stated)
                missing = [span for span in file.outside(spans) if (ref, span) not in held]
                costs.add([(part[0][0], part[-1][1]) for part in ranges_of(missing)])
                kept = [span for span, inside in spans.items() if read.readers > 1 or not inside]
                held |= {(ref, span) for span in file.outside(kept)}
        here = sum(heads[ref] for ref in set(chunk.references))
        costs.at_once = max(costs.at_once, here + costs.bytes - before)
    return costs


def peak_bytes(
    chunks: Sequence[ChunkRead], costs: FetchCosts, result_bytes: int, threads: int
) -> int:
    """Return the memory that computing chunks takes at the peak.

    Each thread holds a chunk, what a reduction makes of it, and a scene while it is decoded. The
    result is held in chunks, and once more when they are put together. The bytes of files are held
    for the chunks under way and for the next one.

    Args:
        chunks: The chunks.
        costs: What they fetch.
        result_bytes: The bytes of all that is computed.
        threads: The number of threads.
    """
    threads = min(threads, len(chunks))
    is_reduced = result_bytes < sum(chunk.nbytes for chunk in chunks)
    chunk_bytes = max(chunk.nbytes for chunk in chunks) * (_REDUCING if is_reduced else 1)
    scene_bytes = max(math.prod(chunk.geobox.shape) for chunk in chunks) * _DECODING
    computing = int(threads * (chunk_bytes + scene_bytes))
    fetched = min(MAX_BYTES, costs.bytes, (threads + 1) * costs.at_once)
    return max(2 * result_bytes, result_bytes + computing) + fetched


def _sample(references: Sequence[AssetRef]) -> list[AssetRef]:
    """Return evenly spread files, so that all layers and times are among them."""
    step = max(1, -(-len(references) // _MOST_HEADERS))
    return list(references[::step])


def _layer(ref: AssetRef) -> str:
    layer = layer_of(ref.asset, ref.href)
    return layer.name if layer else ref.asset
