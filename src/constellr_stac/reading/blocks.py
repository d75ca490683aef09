"""Which window of a file is read for a grid, and which bytes of a long file hold it."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from odc.geo.geobox import GeoBox
from odc.geo.overlap import ReprojectInfo, compute_reproject_roi
from odc.geo.roi import roi_is_empty
from rasterio.enums import ColorInterp, MaskFlags

from constellr_stac.layers.header import FileBand

from .directories import check_count
from .file_grid import grid_of, key_of, of_key
from .geotiff import open_regions
from .resample import pixel_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import rasterio

    from .asset_file import AssetFile, Block
    from .directories import Directory, Span
    from .file_grid import GridKey

__all__ = ["Claim", "Layout", "Window", "claim_window", "layout_of", "spans_of", "window_of"]

_KERNEL = 3  # source pixels that the widest kernel (lanczos) reaches
_SPARE = 2  # pixels
_SMOOTH = {"bilinear", "cubic", "cubic_spline", "lanczos"}
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


def window_of(layout: Layout, own: GeoBox, geobox: GeoBox, method: str | None) -> Window | None:
    """Return what to read of a band for a grid, or ``None`` if they do not overlap.

    Args:
        layout: How the file keeps the band.
        own: The file's grid.
        geobox: The grid.
        method: The resampling; ``None`` for classes, which are never read from overviews.
    """
    overlap: Any = _overlap(key_of(own), key_of(geobox))
    if roi_is_empty(overlap.roi_src) or roi_is_empty(overlap.roi_dst):
        return None
    rows, columns = overlap.roi_src
    if overlap.paste_ok and overlap.read_shrink == 1:
        return Window(rows, columns, overlap.roi_dst, None, exact=True)
    ratio = pixel_ratio(own, geobox)
    level, factor = _overview(layout.factors, min(1 / each for each in ratio), method)
    shape = [math.ceil(length / factor) for length in layout.grid.shape]
    source = [
        _padded(window, length, each * factor, factor)
        for window, length, each in zip((rows, columns), shape, ratio, strict=True)
    ]
    roi = tuple(
        slice(max(0, part.start - _SPARE), min(length, part.stop + _SPARE))
        for part, length in zip(overlap.roi_dst, geobox.shape, strict=True)
    )
    return Window(source[0], source[1], (roi[0], roi[1]), level, exact=False)


class Claim(NamedTuple):
    """A window of a long file that is about to be read."""

    window: Window | None
    """``None`` if it does not overlap the grid."""
    blocks: list[Block]
    """Its blocks, which are being fetched."""


def claim_window(
    file: AssetFile,
    index: int,
    geobox: GeoBox,
    method: str | None,
    stated: GeoBox | None,
    *,
    shared: bool = False,
) -> Claim:
    """Start to fetch the blocks of a long file that are read for a grid; returns when they queue.

    Args:
        file: The file.
        index: The band number.
        geobox: The grid.
        method: The resampling; ``None`` for classes.
        stated: The grid that the item states, used for a file without a CRS.

    Keyword Args:
        shared: Whether other bands of the file are read too.

    Raises:
        AssetReadError: The header cannot be fetched.
        RasterioError: It is not a readable GeoTIFF.
    """
    window, spans = spans_of(file, index, geobox, method, stated)
    edge = [span for span, inside in spans.items() if shared or not inside]
    blocks = file.claim(spans)
    if edge:
        file.claim(edge, keep=True)
    return Claim(window, blocks)


def spans_of(
    file: AssetFile, index: int, geobox: GeoBox, method: str | None, stated: GeoBox | None
) -> tuple[Window | None, dict[Span, bool]]:
    """Return the window of a long file that is read for a grid, and the byte ranges of its blocks.

    Each range comes with whether the block ends within the window, so that no neighbouring window
    needs it. Parameters and errors are those of :func:`claim_window`.
    """
    directories = file.directories()
    layout: Layout | None = file.layouts.get(index)
    if layout is None:
        with open_regions(file.regions(), file.size, file.limits) as dataset:
            layout = layout_of(file, dataset, index)
    own = layout and layout.grid_or(stated)
    if layout is None or own is None:
        return None, {}  # reading says why
    window = window_of(layout, own, geobox, method)
    return window, {} if window is None else _spans(directories, layout, window)


class Layout(NamedTuple):
    """How a file keeps a band, by its header."""

    number: int
    """The band's number, from 1."""
    grid: GeoBox
    """The file's grid, perhaps without a CRS."""
    band: FileBand
    """The band's encoding."""
    factors: Sequence[int]
    """The factors of the overviews."""
    masked: bool
    """Whether another image or band states validity."""

    def grid_or(self, stated: GeoBox | None) -> GeoBox | None:
        """Return the file's grid; what it leaves out is the item's word."""
        return grid_of(self.grid, stated)


def layout_of(file: AssetFile, dataset: rasterio.DatasetReader, index: int) -> Layout | None:
    """Return a band's layout, which stays with its file; ``None`` if the file lacks the band."""
    if index > dataset.count:
        return None
    flags = dataset.mask_flag_enums[index - 1]
    masked = MaskFlags.per_dataset in flags or ColorInterp.alpha in dataset.colorinterp
    grid, band = GeoBox.from_rio(dataset), FileBand.of(dataset, index)
    layout = Layout(index, grid, band, dataset.overviews(index), masked)
    file.layouts[index] = layout
    return layout


def _spans(directories: Sequence[Directory], layout: Layout, window: Window) -> dict[Span, bool]:
    image = directories[0]
    if window.level is not None:
        image = [each for each in directories if each.is_overview][window.level]
    masks = [each for each in directories if each.is_mask and each.shape == image.shape]
    planes = [layout.number - 1] if image.planes > 1 else [0]
    if layout.masked and not masks:
        planes = list(range(image.planes))  # one of them is the alpha band
    sought = [(image, plane) for plane in planes] + [(mask, 0) for mask in masks]
    check_count((image for image, _ in sought), window.rows, window.columns)
    rows, columns = (
        part if window.exact else _shrunk(part) for part in (window.rows, window.columns)
    )
    return {
        span: _is_within(block[0], rows) and _is_within(block[1], columns)
        for directory, plane in sought
        for span, block in directory.blocks(window.rows, window.columns, plane)
    }


@functools.lru_cache(maxsize=512)
def _overlap(own: GridKey, grid: GridKey) -> ReprojectInfo:
    """Return the overlap of a file's grid and another; cached, since scenes share grids."""
    return compute_reproject_roi(of_key(own), of_key(grid), ttol=0.05)


def _overview(factors: Sequence[int], shrink: float, method: str | None) -> tuple[int | None, int]:
    """Return the coarsest overview that is as fine as the grid, and its factor."""
    if method not in _SMOOTH:
        return None, 1
    fitting = [factor for factor in factors if factor <= shrink]
    return (len(fitting) - 1, fitting[-1]) if fitting else (None, 1)


def _padded(window: slice, length: int, ratio: float, factor: int) -> slice:
    """Return a window in pixels of an overview, with room for the kernel."""
    margin = math.ceil(_KERNEL * max(1.0, 1 / ratio)) + _SPARE
    start, stop = window.start // factor - margin, math.ceil(window.stop / factor) + margin
    return slice(max(0, start), min(length, stop))


def _shrunk(part: slice) -> slice:
    """Return a window without the margin that it shares with its neighbours."""
    margin = 2 * (_KERNEL + _SPARE)
    return slice(part.start + margin, part.stop - margin)


def _is_within(block: slice, window: slice) -> bool:
    return bool(block.start >= window.start and block.stop <= window.stop)
