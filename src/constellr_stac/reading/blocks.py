"""Which window of a file is read for a grid, and which bytes of a long file hold it."""

from __future__ import annotations

import functools
import math
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from odc.geo.overlap import ReprojectInfo, compute_reproject_roi
from odc.geo.roi import roi_is_empty
from rasterio.enums import ColorInterp, MaskFlags

from .geotiff import open_overview
from .resample import pixel_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    import rasterio
    from odc.geo.geobox import GeoBox

__all__ = ["Window", "block_spans", "has_all_directories", "window_of"]

_LEADER = 4  # a COG block is preceded by its length and followed by a copy of its last bytes
_KERNEL = 3  # source pixels that the widest kernel (lanczos) reaches
_SPARE = 2  # pixels
_MAX_DIRECTORIES = 1000
_SMOOTH = {"bilinear", "cubic", "cubic_spline", "lanczos", "gauss"}
"""The methods that may start from an overview; all others count or pick single pixels."""


class Window(NamedTuple):
    """A window of a file and the part of the grid that is computed from it."""

    rows: slice
    """Rows of the file (of the overview, if there is one)."""
    columns: slice
    roi: tuple[slice, slice]
    """Rows and columns of the grid."""
    level: int | None
    """The overview; ``None`` for full resolution."""
    exact: bool
    """Whether the pixels are those of the grid, so that nothing is resampled."""

    @property
    def bounds(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Start and stop of rows and columns, as rasterio takes them."""
        return (self.rows.start, self.rows.stop), (self.columns.start, self.columns.stop)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def window_of(
    dataset: rasterio.DatasetReader, index: int, own: GeoBox, geobox: GeoBox, method: str | None
) -> Window | None:
    """Return what to read of a band for a grid, or ``None`` if they do not overlap.

    Args:
        dataset: The file.
        index: The band number.
        own: The file's grid.
        geobox: The grid.
        method: The resampling; ``None`` for classes, which are never read from overviews.
    """
    overlap: Any = _overlap(own, geobox)
    if roi_is_empty(overlap.roi_src) or roi_is_empty(overlap.roi_dst):
        return None
    rows, columns = overlap.roi_src
    if overlap.paste_ok and overlap.read_shrink == 1:
        return Window(rows, columns, overlap.roi_dst, None, exact=True)
    ratio = pixel_ratio(own, geobox)
    level, factor = _overview(dataset, index, min(1 / each for each in ratio), method)
    shape = [math.ceil(length / factor) for length in dataset.shape]
    source = [
        _padded(window, length, each * factor, factor)
        for window, length, each in zip((rows, columns), shape, ratio, strict=True)
    ]
    roi = tuple(
        slice(max(0, part.start - _SPARE), min(length, part.stop + _SPARE))
        for part, length in zip(overlap.roi_dst, geobox.shape, strict=True)
    )
    return Window(source[0], source[1], (roi[0], roi[1]), level, exact=False)


def block_spans(
    dataset: rasterio.DatasetReader,
    index: int,
    own: GeoBox,
    geobox: GeoBox,
    method: str | None,
) -> list[tuple[int, int]] | None:
    """Return the byte ranges of the blocks that are read for a grid.

    Args:
        dataset: A file of which the header is there.
        index: The band number.
        own: The file's grid.
        geobox: The grid.
        method: The resampling; ``None`` for classes.

    Returns:
        ``None`` if the blocks of its mask cannot be told, so that the whole file is needed.
    """
    is_masked = MaskFlags.per_dataset in dataset.mask_flag_enums[index - 1]
    if is_masked or ColorInterp.alpha in dataset.colorinterp:  # of any type
        return None
    window = window_of(dataset, index, own, geobox, method)
    if window is None:
        return []
    level = window.level
    tags = {"dm": "TIFF", "bidx": index, **({} if level is None else {"ovr": level})}
    with open_overview(dataset, level) as image:
        height, width = image.block_shapes[index - 1]
    spans = []
    for row, column in _blocks(window, height, width):
        start = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", **tags)
        length = dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", **tags)
        if start is not None and length is not None:  # otherwise the block is empty
            spans.append((int(start) - _LEADER, int(start) + int(length) + _LEADER))
    return spans


def has_all_directories(head: bytes) -> bool:
    """Return whether the first bytes of a TIFF hold all its directories, masks' included.

    GDAL takes a file whose chain of directories leads beyond its end for one without masks and
    overviews. (TIFF 6.0, section 2; BigTIFF has 8-byte offsets.)

    Args:
        head: The first bytes of the file.
    """
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    count, entry, pointer, start = ("Q", 20, "Q", 8) if is_big else ("H", 12, "I", 4)
    try:
        (offset,) = struct.unpack_from(order + pointer, head, start)
        for _ in range(_MAX_DIRECTORIES):
            if offset == 0:
                return True
            (entries,) = struct.unpack_from(order + count, head, offset)
            after = offset + struct.calcsize(count) + entries * entry
            (offset,) = struct.unpack_from(order + pointer, head, after)
    except struct.error:
        return False
    return False


@functools.lru_cache(maxsize=512)
def _overlap(own: GeoBox, geobox: GeoBox) -> ReprojectInfo:
    """Return the overlap of a file's grid and another; cached, since scenes share grids."""
    return compute_reproject_roi(own, geobox, ttol=0.05)


def _overview(
    dataset: rasterio.DatasetReader, index: int, shrink: float, method: str | None
) -> tuple[int | None, int]:
    """Return the coarsest overview that is as fine as the grid, and its factor."""
    if method not in _SMOOTH:
        return None, 1
    fitting = [factor for factor in dataset.overviews(index) if factor <= shrink]
    return (len(fitting) - 1, fitting[-1]) if fitting else (None, 1)


def _padded(window: slice, length: int, ratio: float, factor: int) -> slice:
    """Return a window in pixels of an overview, with room for the kernel."""
    margin = math.ceil(_KERNEL * max(1.0, 1 / ratio)) + _SPARE
    start, stop = window.start // factor - margin, math.ceil(window.stop / factor) + margin
    return slice(max(0, start), min(length, stop))


def _blocks(window: Window, height: int, width: int) -> Iterator[tuple[int, int]]:
    ranges = [
        range(part.start // size, (part.stop - 1) // size + 1)
        for part, size in ((window.rows, height), (window.columns, width))
    ]
    return ((row, column) for row in ranges[0] for column in ranges[1])
