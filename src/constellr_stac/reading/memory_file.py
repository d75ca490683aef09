"""Files in GDAL's memory, of which only some parts are there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rasterio.io import MemoryFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["sparse_file"]

_PAGE = 4096


@contextmanager
def sparse_file(regions: Sequence[tuple[int, bytes]], size: int) -> Iterator[str]:
    """Yield the GDAL name of a file that holds some regions, and zeros elsewhere.

    Memory follows the regions, not the size (GDAL's /vsisparse).

    Args:
        regions: Offsets and their bytes.
        size: The size of the whole file.
    """
    if len(regions) == 1 and len(regions[0][1]) == size:
        with MemoryFile(regions[0][1], ext=".tif") as memory:
            yield memory.name
        return
    parts = list(_without_overlap(regions))
    with MemoryFile(b"".join(part for _, part in parts), ext=".bin") as content:
        described, source = [], 0
        for offset, part in parts:
            described.append(
                f"<SubfileRegion><Filename>{content.name}</Filename>"
                f"<DestinationOffset>{offset}</DestinationOffset>"
                f"<SourceOffset>{source}</SourceOffset>"
                f"<RegionLength>{len(part)}</RegionLength></SubfileRegion>"
            )
            source += len(part)
        text = f"<VSISparseFile><Length>{size}</Length>{''.join(described)}</VSISparseFile>"
        with MemoryFile(text.encode(), ext=".xml") as description:
            yield f"/vsisparse/{description.name}"


def _without_overlap(regions: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield the regions in order, each from the beginning of a page.

    GDAL reads a page of a table at a time, and a read that begins between two regions returns
    zeros only.
    """
    end = 0
    for offset, part in sorted(regions):
        start = max(end, offset - offset % _PAGE)
        if offset + len(part) > start:
            yield start, b"\0" * (offset - start) + part[max(0, start - offset) :]
            end = offset + len(part)
