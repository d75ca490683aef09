"""Files in GDAL's memory, of which only some parts are there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rasterio.io import MemoryFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["sparse_file"]


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
    with MemoryFile(b"".join(part for _, part in regions), ext=".bin") as content:
        described, source = [], 0
        for offset, part in regions:
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
