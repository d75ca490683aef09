"""Opening a GeoTIFF that nobody vouches for.

GDAL opens whatever one of its drivers recognises: a file named ``.tiff`` can be a VRT that reads
local files or calls hosts. Here a file is opened if it begins like a TIFF, by the driver GTiff
alone, without sidecar files, and refused if it refers to other files or is implausibly large.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from .memory_file import sparse_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from constellr_stac.limits import Limits

__all__ = [
    "RefusedFileError",
    "begins_like_tiff",
    "check_blocks",
    "check_magic",
    "check_window",
    "open_geotiff",
    "open_overview",
    "open_regions",
]

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, in both byte orders
_EXTERNAL = {"OVERVIEWS", "GEOLOCATION"}  # domains of GDAL's metadata tag that name other files


class RefusedFileError(RasterioError):  # type: ignore[misc] # rasterio is untyped
    """The file is not opened, whatever the rest of it holds."""


def begins_like_tiff(head: bytes) -> bool:
    r"""Return whether a file's first bytes are the magic number of a TIFF or a BigTIFF.

    Example:
        >>> begins_like_tiff(b"II*\0...."), begins_like_tiff(b"<VRTDataset>")
        (True, False)
    """
    return head.startswith(_MAGIC)


def check_magic(head: bytes) -> None:
    """Check that a file's first bytes are those of a TIFF.

    Raises:
        RefusedFileError: They are not.
    """
    if not begins_like_tiff(head):
        raise RefusedFileError("it does not begin like a TIFF")


@contextmanager
def open_geotiff(path: Path, limits: Limits) -> Iterator[DatasetReader]:
    """Open a GeoTIFF.

    Args:
        path: Where it is.
        limits: Bounds on its size in pixels and on the decoded size of its blocks.

    Raises:
        RefusedFileError: It does not begin like a TIFF, refers to another file, or exceeds a limit.
        RasterioIOError: It cannot be read.
    """
    with path.open("rb") as start:
        check_magic(start.read(4))
    with _gdal():
        yield from _opened(str(path), limits)


@contextmanager
def open_regions(
    regions: Sequence[tuple[int, bytes]], size: int, limits: Limits, *, known: bool = False
) -> Iterator[DatasetReader]:
    """Open a GeoTIFF of which only some regions are there; errors as :func:`open_geotiff`.

    Args:
        regions: Offsets and their bytes; the first one is the file's beginning.
        size: The size of the whole file.
        limits: As for :func:`open_geotiff`.

    Keyword Args:
        known: Whether the header, with the values of all its tags, was opened before, so that it
            is not checked again. Nor does GDAL look up the CRS in PROJ's database, which takes
            most of the time of opening.
    """
    check_magic(regions[0][1][:4])
    options = {"GTIFF_SRS_SOURCE": "GEOKEYS"} if known else {}
    with _gdal(**options), sparse_file(regions, size) as name:
        yield from _opened(name, None if known else limits)


@contextmanager
def open_overview(dataset: DatasetReader, level: int | None) -> Iterator[DatasetReader]:
    """Open an overview of a file that :func:`open_geotiff` opened; ``None`` for the file itself.

    Raises:
        RasterioIOError: There is no such overview.
    """
    if level is None:
        yield dataset
        return
    with DatasetReader(dataset.name, driver="GTiff", overview_level=level) as overview:
        yield overview


def check_window(shape: tuple[int, int], dtype: str, limits: Limits, *, bands: int = 1) -> None:
    """Check the decoded size of a window or a block before it is read.

    Raises:
        RefusedFileError: It exceeds the limit.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize * bands
    if size > limits.window_bytes:
        raise RefusedFileError(
            f"a window or block of it has {size:.3g} bytes, more than {limits.window_bytes:.3g} "
            "(limits.window_bytes)"
        )


def check_blocks(dataset: DatasetReader, limits: Limits) -> None:
    """Check the decoded size of a tile or strip of a file, or of its overview.

    Raises:
        RefusedFileError: It exceeds the limit.
    """
    bands = dataset.count if dataset.interleaving is Interleaving.pixel else 1
    for shape, dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        check_window(shape, dtype, limits, bands=bands)


def _gdal(**options: str) -> rasterio.Env:
    """Return GDAL's settings: no sidecar files, and no boto3 session for each open."""
    return rasterio.Env(
        session=DummySession(),
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GDAL_PAM_ENABLED="NO",
        GDAL_GEOREF_SOURCES="INTERNAL",
        **options,
    )


def _opened(name: str, limits: Limits | None) -> Iterator[DatasetReader]:
    # rasterio.open would set up GDAL's settings again.
    with DatasetReader(name, driver="GTiff") as dataset:
        if limits is not None:
            _check(dataset, limits)
        yield dataset


def _check(dataset: DatasetReader, limits: Limits) -> None:
    if external := _EXTERNAL.intersection(map(str.upper, dataset.tag_namespaces())):
        raise RefusedFileError(f"it refers to another file ({', '.join(external)})")
    pixels = dataset.width * dataset.height
    if pixels > limits.file_pixels:
        raise RefusedFileError(
            f"it has {pixels:.3g} pixels, more than {limits.file_pixels:.3g} (limits.file_pixels)"
        )
    check_blocks(dataset, limits)
