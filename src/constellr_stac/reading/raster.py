"""Decoding of GeoTIFFs; the common code of both engines, so that their arrays are equal.

odc-loader's rasterio reader decompresses, selects overviews and resamples; this module selects the
blocks of a long file to fetch, and applies the band's encoding.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import rasterio
from odc.geo.converters import rio_geobox
from odc.geo.overlap import ReprojectInfo, compute_reproject_roi
from odc.geo.roi import roi_is_empty
from odc.loader import RasterLoadParams, RasterSource, RioReader
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile
from rasterio.session import DummySession

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.header import FileBand, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from odc.loader.types import RasterReader

    from constellr_stac.layers.band import Band

    from .prefetch import AssetFile

__all__ = [
    "MASK_FILL",
    "Pixels",
    "fill_of",
    "header_of",
    "name_of",
    "output_dtype",
    "read_pixels",
]

MASK_FILL = 255
"""The fill value of masks where there is no scene; not 0, which is a class (clear)."""

_NO_CONTEXT: Any = None  # a parameter of odc-loader without use
_MARGIN = 16  # pixels of the cube around a window, for resampling kernels
_LEADER = 4  # a COG block is preceded by its length and followed by a copy of its last bytes


class Pixels(NamedTuple):
    """A window of a grid, and its values."""

    roi: tuple[slice, slice]
    """Rows and columns of the grid."""
    values: NDArray[Any]
    """Dims (y, x)."""
    grid: GeoBox | None = None
    """The file's grid; ``None`` if no file was read."""


def name_of(grid: GeoBox) -> str:
    """Return a name for a grid: ``EPSG:32611 at 30 x 30``."""
    crs = grid.crs
    name = "no CRS" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else str(crs)
    return f"{name} at {abs(grid.resolution.x):g} x {abs(grid.resolution.y):g}"


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


def read_pixels(file: AssetFile, band: Band, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
    """Read the part of a file that lies on a grid, in physical values.

    Args:
        file: The GeoTIFF.
        band: The band and its encoding; the file's header takes precedence over the documents.
        geobox: The grid.
        params: The dtype and fill of the result, and the resampling; an integer dtype for a
            band of values returns stored values.

    Raises:
        AssetReadError: A part of a long file cannot be read, or the file lacks the band or a CRS.
        RasterioIOError: The bytes are not a readable GeoTIFF.
    """
    dtype = np.dtype(params.dtype or "float32")
    with _opened(file, band, geobox, params) as (name, dataset):
        if missing := _missing(dataset, band.index):
            raise AssetReadError(
                f"{file.reference.label} cannot be read: it has {missing}. Download the file to "
                "inspect it, or exclude the scene.",
                request_url=file.reference.href,
            )
        stored_as = FileBand.of(dataset, band.index)
        own: Any = rio_geobox(dataset)
        as_values = not band.is_mask and dtype.kind == "f"
        if not band.is_mask:
            band = stored_as.applied_to(band)
        if as_values and (pixels := _pasted(dataset, band, own, geobox)) is not None:
            return pixels._replace(values=pixels.values.astype(dtype, copy=False))
        working = _working_dtype(stored_as.dtype) if as_values else dtype
        reader: RasterReader = RioReader(RasterSource(name, band.index), _NO_CONTEXT)
        roi, stored = reader.read(
            params.patch(
                dtype=str(working),
                fill_value=np.nan if as_values else params.fill_value,
                src_nodata_override=_source_nodata(band, params),
                resampling="nearest" if band.is_mask else params.resampling,
                fail_on_error=True,
            ),
            geobox,
        )
    values = band.decode(stored) if as_values else stored
    return Pixels(roi, values.astype(dtype, copy=False), own)


def _pasted(
    dataset: rasterio.DatasetReader, band: Band, own: GeoBox, geobox: GeoBox
) -> Pixels | None:
    """Read values that need no resampling (the usual case) directly; else return ``None``."""
    overlap = _overlap(own, geobox)
    nodata = dataset.nodatavals[band.index - 1]
    if not overlap.paste_ok or overlap.read_shrink != 1 or nodata not in (None, band.nodata):
        return None
    rows, columns = overlap.roi_src
    stored = dataset.read(
        band.index, window=((rows.start, rows.stop), (columns.start, columns.stop))
    )
    roi: Any = overlap.roi_dst
    return Pixels(roi, band.decode(stored), own)


def header_of(file: AssetFile) -> Header:
    """Read a file's header.

    Raises:
        AssetReadError: Not a georeferenced GeoTIFF, or the rest of the file cannot be read (if
            the header is not in the head).
    """
    try:
        try:
            return _header(file.head)
        except (RasterioIOError, ValueError):  # may be truncated: long tables precede the CRS
            if file.whole:
                raise
            return _header(file.patched([(0, file.size)]))
    except (RasterioIOError, ValueError) as error:
        raise AssetReadError(
            f"{file.reference.label} cannot be read: it is not a readable GeoTIFF ({error}). "
            "Pass the grid (geobox=, or crs= and resolution=), or exclude the scene."
        ) from error


def _header(data: bytes) -> Header:
    with (
        _gdal(),
        MemoryFile(data, ext=".tif") as memory,
        rasterio.open(memory.name, sharing=False) as dataset,
    ):
        return Header.of(dataset)


def _missing(dataset: rasterio.DatasetReader, index: int) -> str | None:
    """Return what a file lacks to read a band onto a grid: the band or a CRS."""
    if index > dataset.count:
        return f"no band {index}, only {dataset.count}"
    return "no coordinate reference system" if dataset.crs is None else None


@functools.lru_cache(maxsize=512)
def _overlap(own: GeoBox, geobox: GeoBox, ttol: float = 0.05) -> ReprojectInfo:
    """Return the overlap of a file's grid and another; cached, since scenes share grids."""
    return compute_reproject_roi(own, geobox, ttol=ttol)


def _working_dtype(stored: str) -> np.dtype[Any]:
    """Return a float dtype that holds the stored values exactly."""
    return np.result_type(stored, "float32")


def _source_nodata(band: Band, params: RasterLoadParams) -> float | None:
    if params.src_nodata_override is not None:
        return params.src_nodata_override
    return MASK_FILL if band.is_mask else band.nodata


def _gdal() -> rasterio.Env:
    """Return GDAL's settings to read from memory, without a boto3 session each time."""
    return rasterio.Env(session=DummySession(), GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


@contextmanager
def _opened(
    file: AssetFile, band: Band, geobox: GeoBox, params: RasterLoadParams
) -> Iterator[tuple[str, rasterio.DatasetReader]]:
    """Open a file in memory that holds the blocks of the window."""
    data = file.head if file.whole else file.patched(_spans(file, band, geobox, params))
    with (
        _gdal(),
        MemoryFile(data, ext=".tif") as memory,
        rasterio.open(memory.name, sharing=False) as dataset,
    ):
        yield memory.name, dataset


def _spans(
    file: AssetFile, band: Band, geobox: GeoBox, params: RasterLoadParams
) -> list[tuple[int, int]]:
    """Return the byte ranges of the blocks that the window touches."""
    try:
        with _gdal(), MemoryFile(file.head, ext=".tif") as memory:
            return _block_spans(memory.name, band.index, geobox, params)
    except (RasterioIOError, LookupError):
        return [(0, file.size)]  # the block table is not in the head: not a COG


def _block_spans(
    name: str, index: int, geobox: GeoBox, params: RasterLoadParams
) -> list[tuple[int, int]]:
    with rasterio.open(name, sharing=False) as dataset:
        if missing := _missing(dataset, index):
            raise LookupError(missing)
        overlap = _overlap(rio_geobox(dataset), geobox, ttol=0.9 if params.nearest else 0.05)
        if roi_is_empty(overlap.roi_src):
            return []
        level = None
        if params.use_overviews:
            fitting = [n for n in dataset.overviews(index) if n <= overlap.read_shrink]
            level = len(fitting) - 1 if fitting else None
        shape = dataset.shape
        tags = {
            "dm": "TIFF",
            "bidx": index,
            **({} if level is None else {"ovr": level}),
        }
        with rasterio.open(
            name, sharing=False, **({} if level is None else {"overview_level": level})
        ) as image:
            blocks = _blocks(overlap, shape, image.shape, image.block_shapes[index - 1])
        spans = []
        for row, column in blocks:
            start = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", **tags)
            length = dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", **tags)
            if start is not None and length is not None:  # otherwise the block is empty
                spans.append((int(start) - _LEADER, int(start) + int(length) + _LEADER))
        return spans


def _blocks(
    overlap: ReprojectInfo,
    shape: tuple[int, int],
    image_shape: tuple[int, int],
    block_shape: tuple[int, int],
) -> Iterator[tuple[int, int]]:
    """Return row and column of the image (or overview) blocks that a window touches."""
    exact = overlap.paste_ok and overlap.read_shrink == 1  # not resampled
    ranges = []
    for window, scale, full, length, block in zip(
        overlap.roi_src, overlap.scale2.yx, shape, image_shape, block_shape, strict=True
    ):
        ratio = length / full
        margin = 0 if exact else int(np.ceil(_MARGIN * max(1, scale * ratio)))
        first = max(0, int(window.start * ratio) - margin)
        last = min(length, int(np.ceil(window.stop * ratio)) + margin) - 1
        ranges.append(range(first // block, last // block + 1))
    return ((row, column) for row in ranges[0] for column in ranges[1])
