"""Bytes become pixels: one way for both engines, so that their arrays are equal.

Decoding, overviews and resampling are rasterio's through odc-loader's own reader; which blocks
of a long file are needed, and what the stored numbers mean, is decided here.
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
"""What stands in a mask where there is no scene: a class of its own, not class 0 (clear)."""

_NO_CONTEXT: Any = None  # odc-loader plans one, and has no use for it yet
_MARGIN = 16  # pixels of the cube around a window, for resampling kernels
_LEADER = 4  # a COG block is preceded by its length and followed by its last bytes


class Pixels(NamedTuple):
    """A part of a grid, and its values."""

    roi: tuple[slice, slice]
    """Rows and columns of the grid."""
    values: NDArray[Any]
    """Dims (y, x)."""
    grid: GeoBox | None = None
    """The file's own grid; ``None`` where no file was read."""


def name_of(grid: GeoBox) -> str:
    """Return what to call a grid: ``EPSG:32611 at 30 x 30``."""
    crs = grid.crs
    name = "no CRS" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else str(crs)
    return f"{name} at {abs(grid.resolution.x):g} x {abs(grid.resolution.y):g}"


def output_dtype(band: Band, *, raw: bool = False) -> str:
    """Return the dtype of a band's variable: float32 for values, the stored one for classes."""
    if band.is_mask:
        return band.dtype or "uint8"
    return (band.dtype or "float32") if raw else "float32"


def fill_of(band: Band, *, raw: bool = False) -> float:
    """Return what stands where there are no data: NaN, or a number no class has."""
    if band.is_mask:
        return MASK_FILL
    if raw and not np.issubdtype(output_dtype(band, raw=True), np.floating):
        return 0 if band.nodata is None else band.nodata
    return np.nan


def read_pixels(file: AssetFile, band: Band, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
    """Read what a file has of a grid, in physical values.

    Args:
        file: The GeoTIFF.
        band: Which band, and what its numbers mean; what the file itself says goes before what
            the documents say.
        geobox: The grid.
        params: The dtype and fill of the result, and the resampling; an integer dtype for a
            band of values asks for stored numbers.

    Raises:
        AssetReadError: A part of a long file cannot be had; or the file lacks the band, or does
            not say where its pixels are.
        RasterioIOError: The bytes are not a readable GeoTIFF.
    """
    dtype = np.dtype(params.dtype or "float32")
    with _opened(file, band, geobox, params) as (name, dataset):
        if lack := _lack(dataset, band.index):
            raise AssetReadError(
                f"{file.reference.label} cannot be read: it has {lack}. Download it and look, or "
                "leave the scene out.",
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
                src_nodata_override=_sanctioned(band, params),
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
    """Read values that need no resampling, the usual case, in one go; else return nothing."""
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
    """Return what a file's header says: its grid, and how its bands are stored.

    Raises:
        AssetReadError: It is not a GeoTIFF with a place, or its rest cannot be had (where the
            header is not at its beginning).
    """
    try:
        try:
            return _header(file.head)
        except (RasterioIOError, ValueError):  # cut off, perhaps: a long table comes before the CRS
            if file.whole:
                raise
            return _header(file.patched([(0, file.size)]))
    except (RasterioIOError, ValueError) as error:
        raise AssetReadError(
            f"{file.reference.label} cannot be read: it is not a readable GeoTIFF ({error}). "
            "Give the grid (geobox=, or crs= and resolution=), or leave the scene out."
        ) from error


def _header(data: bytes) -> Header:
    with (
        _gdal(),
        MemoryFile(data, ext=".tif") as memory,
        rasterio.open(memory.name, sharing=False) as dataset,
    ):
        return Header.of(dataset)


def _lack(dataset: rasterio.DatasetReader, index: int) -> str | None:
    """Say what a file lacks for a band of it to be read onto a grid, if anything."""
    if index > dataset.count:
        return f"no band {index}, only {dataset.count}"
    return "no coordinate reference system" if dataset.crs is None else None


@functools.lru_cache(maxsize=512)
def _overlap(own: GeoBox, geobox: GeoBox, ttol: float = 0.05) -> ReprojectInfo:
    """Find where a file's grid and another meet; the scenes of one area ask the same each time."""
    return compute_reproject_roi(own, geobox, ttol=ttol)


def _working_dtype(stored: str) -> np.dtype[Any]:
    """Choose floats that hold the stored numbers exactly."""
    return np.result_type(stored, "float32")


def _sanctioned(band: Band, params: RasterLoadParams) -> float | None:
    if params.src_nodata_override is not None:
        return params.src_nodata_override
    return MASK_FILL if band.is_mask else band.nodata


def _gdal() -> rasterio.Env:
    """Set GDAL up to read from memory. Left alone, rasterio makes a boto3 session each time."""
    return rasterio.Env(session=DummySession(), GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


@contextmanager
def _opened(
    file: AssetFile, band: Band, geobox: GeoBox, params: RasterLoadParams
) -> Iterator[tuple[str, rasterio.DatasetReader]]:
    """Give GDAL a file that holds what the window needs, and open it."""
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
    """Find the bytes of the blocks that the window touches, from the file's own table."""
    try:
        with _gdal(), MemoryFile(file.head, ext=".tif") as memory:
            return _block_spans(memory.name, band.index, geobox, params)
    except (RasterioIOError, LookupError):
        return [(0, file.size)]  # its table is not at the beginning: no COG


def _block_spans(
    name: str, index: int, geobox: GeoBox, params: RasterLoadParams
) -> list[tuple[int, int]]:
    with rasterio.open(name, sharing=False) as dataset:
        if lack := _lack(dataset, index):
            raise LookupError(lack)
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
            if start is not None and length is not None:  # else the block is empty
                spans.append((int(start) - _LEADER, int(start) + int(length) + _LEADER))
        return spans


def _blocks(
    overlap: ReprojectInfo,
    shape: tuple[int, int],
    image_shape: tuple[int, int],
    block_shape: tuple[int, int],
) -> Iterator[tuple[int, int]]:
    """Number the blocks of an image (or overview) that a window of the full image touches."""
    exact = overlap.paste_ok and overlap.read_shrink == 1  # then nothing is resampled
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
