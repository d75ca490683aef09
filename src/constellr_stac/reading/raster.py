"""Decoding of GeoTIFFs; the common code of both engines, so that their arrays are equal.

A file's header is compared with what its item and the documents state whenever the file is read
(:mod:`constellr_stac.layers.settle`). What is invalid by fill value, mask or alpha band is invalid
before anything is resampled.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.header import Header
from constellr_stac.layers.settle import Contradiction, ContradictionError, class_table, settle

from .blocks import claim_window, layout_of, window_of
from .directories import check_masks
from .file_grid import key_of
from .geotiff import check_blocks, check_window, open_overview, open_regions
from .resample import pixel_ratio, resampled

if TYPE_CHECKING:
    from collections.abc import Iterator

    import rasterio
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from odc.loader import RasterLoadParams

    from constellr_stac.layers.band import Band

    from .asset_file import AssetFile
    from .blocks import Claim, Layout, Window

__all__ = [
    "MASK_FILL",
    "Pixels",
    "fill_of",
    "header_of",
    "output_dtype",
    "read_pixels",
]

MASK_FILL = 255
"""The fill value of masks where there is no scene; not 0, which is a class (clear)."""


class Pixels(NamedTuple):
    """A window of a grid, and its values."""

    roi: tuple[slice, slice]
    """Rows and columns of the grid."""
    values: NDArray[Any]
    """Dims (y, x)."""
    grid: GeoBox | None = None
    """The file's grid; ``None`` if no file was read."""
    contradictions: tuple[Contradiction, ...] = ()
    """What the file's header and the item or documents state differently."""


def output_dtype(band: Band, *, raw: bool = False) -> str:
    """Return the dtype of a band's variable: float32 for values, the stored dtype for classes."""
    if band.is_mask:
        return band.dtype or "uint8"
    return (band.dtype or "float32") if raw else "float32"


def fill_of(band: Band, *, raw: bool = False) -> float:
    """Return the fill value of a band's variable: NaN, or for masks a value that is no class."""
    if band.is_mask:
        return MASK_FILL
    if raw and not np.issubdtype(output_dtype(band, raw=True), np.floating):
        return 0 if band.nodata is None else band.nodata
    return np.nan


def read_pixels(
    file: AssetFile,
    band: Band,
    geobox: GeoBox,
    params: RasterLoadParams,
    *,
    target: Band | None = None,
    stated: GeoBox | None = None,
    raw: bool = False,
    shared: bool = False,
) -> Pixels:
    """Read the part of a file that lies on a grid, in physical values.

    Args:
        file: The GeoTIFF.
        band: The band as item and documents state it.
        geobox: The grid.
        params: The dtype and fill of the result, and the resampling; an integer dtype for a
            band of values returns stored values.

    Keyword Args:
        target: The cube's variable, whose unit and classes the result has; default the band's.
        stated: The grid that the item states, used for a file without a CRS.
        raw: Whether to return stored values, whatever their dtype.
        shared: Whether other bands of the file are read too.

    Raises:
        AssetReadError: A part of a long file cannot be read, the file lacks the band or a CRS, or
            what its values mean is unclear.
        RasterioError: The bytes are not a readable GeoTIFF, or not one to be opened.
    """
    dtype = np.dtype(params.dtype or "float32")
    method = _method(band, params)
    with _opened(file, band.index, geobox, method, stated, shared=shared) as opened:
        dataset, layout, own, window = opened
        try:
            settled = settle(band, layout.band, target)
            classes = class_table(band, target) if band.is_mask and target is not None else None
        except ContradictionError as error:
            raise _unreadable(file, str(error)) from error
        if window is None:
            return Pixels(np.s_[0:0, 0:0], np.empty((0, 0), dtype), own, settled.contradictions)
        stored, valid, shape = _stored(dataset, settled.band, window, file)
    is_stored = raw or (dtype.kind != "f" and not band.is_mask)
    if band.is_mask:
        values = _classes(stored, _without_fill(stored, valid, settled.band.nodata), classes)
    elif is_stored:
        valid = _without_fill(stored, valid, settled.band.nodata)
        values = stored
        if not window.exact:
            values = stored.astype(np.result_type(stored, np.float32))
            if valid is not None:
                values[~valid] = np.nan
    else:
        values = settled.band.decode(stored).astype("float32", copy=False)
        if valid is not None:
            values[~valid] = np.nan
    if not window.exact:
        grid = own if window.level is None else own.zoom_to(shape)
        values = resampled(
            values,
            grid[window.rows, window.columns],
            geobox[window.roi],
            method=method or "nearest",
            fill=MASK_FILL if band.is_mask else np.nan,
            ratio=pixel_ratio(grid, geobox),
        )
    if is_stored and not band.is_mask:
        values = _refilled(values, valid if window.exact else None, params.fill_value, dtype)
    return Pixels(window.roi, values.astype(dtype, copy=False), own, settled.contradictions)


def reserve_window(
    file: AssetFile,
    band: Band,
    geobox: GeoBox,
    params: RasterLoadParams,
    stated: GeoBox | None,
    *,
    shared: bool = False,
) -> None:
    """Start to fetch the blocks that :func:`read_pixels` needs, which then waits for them."""
    method = _method(band, params)
    claim = claim_window(file, band.index, geobox, method, stated, shared=shared)
    file.windows[band.index, key_of(geobox), method] = claim


def header_of(file: AssetFile) -> Header:
    """Read a file's header.

    Raises:
        AssetReadError: Not a georeferenced GeoTIFF, or the rest of the file cannot be read (if
            the header is not in the head).
    """
    try:
        if not file.whole:
            file.directories()
        with open_regions(file.regions(), file.size, file.limits) as dataset:
            return Header.of(dataset)
    except (RasterioError, ValueError) as error:
        raise AssetReadError(
            f"{file.reference.label} cannot be read: it is not a readable GeoTIFF with a CRS "
            f"({error}). Set proj:code, proj:shape and proj:transform on the item's asset, or "
            'leave the scene empty with errors="nan".'
        ) from error


def _method(band: Band, params: RasterLoadParams) -> str | None:
    """Return the resampling of a band; ``None`` for classes."""
    return None if band.is_mask else str(params.resampling)


def _unreadable(file: AssetFile, why: str) -> AssetReadError:
    return AssetReadError(
        f"{file.reference.label} cannot be read: {why}. Download the file to inspect it, or "
        'leave the scene empty with errors="nan".',
        request_url=file.reference.href,
    )


def _stored(
    dataset: rasterio.DatasetReader, band: Band, window: Window, file: AssetFile
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, tuple[int, int]]:
    """Read a window's stored values, which are valid by the file's mask, and its image's shape."""
    index = band.index
    with open_overview(dataset, window.level) as image:
        check_blocks(image, file.limits)
        check_window(window.shape, image.dtypes[index - 1], file.limits)
        stored = image.read(index, window=window.bounds)
        return stored, _valid(image, band, window, file), image.shape


def _without_fill(
    stored: NDArray[Any], valid: NDArray[np.bool_] | None, nodata: float | None
) -> NDArray[np.bool_] | None:
    """Return which stored values are valid and not the fill value; ``None`` for all."""
    if nodata is None:
        return valid
    inside: NDArray[np.bool_] = ~(np.isnan(stored) if np.isnan(nodata) else stored == nodata)
    return inside if valid is None else valid & inside


def _valid(
    dataset: rasterio.DatasetReader, band: Band, window: Window, file: AssetFile
) -> NDArray[np.bool_] | None:
    """Return what an internal mask or an alpha band says is valid; ``None`` without one."""
    flags = dataset.mask_flag_enums[band.index - 1]
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
        check_masks(file.directories(), file.limits)
        return np.asarray(dataset.read_masks(band.index, window=window.bounds)) > 0
    if ColorInterp.alpha not in dataset.colorinterp:
        return None
    # GDAL takes the fourth of four uint8 bands for alpha, also where it holds classes, and heeds
    # an alpha band of 8 or 16 bits only.
    alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
    if alpha <= max(band.siblings, band.index):
        return None
    return np.asarray(dataset.read(alpha, window=window.bounds)) > 0


def _classes(
    stored: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    table: NDArray[np.uint8] | None,
) -> NDArray[Any]:
    """Return the classes of a window; :data:`MASK_FILL` where there is none."""
    if stored.dtype != np.uint8:
        inside = (stored >= 0) & (stored < MASK_FILL)
        stored = np.where(inside, stored, MASK_FILL).astype(np.uint8)
    classes = stored if table is None else table[stored]
    return classes if valid is None else np.where(valid, classes, np.uint8(MASK_FILL))


def _refilled(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, fill: float | None, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return stored values with the variable's fill value where there is no data."""
    invalid = ~valid if valid is not None else None
    if values.dtype.kind == "f":
        nans = np.isnan(values)
        invalid = nans if invalid is None else invalid | nans
    if invalid is None or not invalid.any():
        return values
    if dtype.kind != "f":
        values = np.where(invalid, 0, np.rint(values) if values.dtype.kind == "f" else values)
        fill = 0 if fill is None or np.isnan(fill) else fill
    filled = values.astype(dtype)
    filled[invalid] = np.nan if fill is None else fill
    return filled


@contextmanager
def _opened(
    file: AssetFile,
    index: int,
    geobox: GeoBox,
    method: str | None,
    stated: GeoBox | None,
    *,
    shared: bool,
) -> Iterator[tuple[rasterio.DatasetReader, Layout, GeoBox, Window | None]]:
    """Open a file in memory that holds the blocks of a window; with layout, grid and window."""
    claim: Claim | None = None
    if not file.whole:
        claimed = file.windows.pop((index, key_of(geobox), method), None)
        claim = claimed or claim_window(file, index, geobox, method, stated, shared=shared)
    layout: Layout | None = file.layouts.get(index)
    regions = file.regions(claim.blocks if claim else ())
    with open_regions(regions, file.size, file.limits, known=layout is not None) as dataset:
        layout = layout or layout_of(file, dataset, index)
        if layout is None:
            raise _unreadable(file, f"it has no band {index}, only {dataset.count}")
        own = layout.grid_or(stated)
        if own is None:
            missing = "it has no coordinate reference system, and its item no grid (set "
            missing += "proj:code, proj:shape and proj:transform on the item's asset)"
            raise _unreadable(file, missing)
        window = claim.window if claim else window_of(layout, own, geobox, method)
        yield dataset, layout, own, window
