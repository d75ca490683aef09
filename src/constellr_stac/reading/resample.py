"""Bring an array onto another grid, exactly and independently of the window that is asked for.

GDAL's approximating transformer errs by up to 1/8 pixel, depending on the window, and its kernels
grow with a ratio that it estimates from the window. Here the transformer's tolerance is 1e-5 pixel,
and the ratio depends on the two grids only.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import SUPPORTED_RESAMPLING

from .file_grid import key_of, of_key

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from .file_grid import GridKey

__all__ = ["METHODS", "pixel_ratio", "resampled"]

METHODS = tuple(each.name for each in SUPPORTED_RESAMPLING)
"""The names of the methods."""

_TOLERANCE = 1e-5  # pixels
_SAME = 0.05  # a ratio this close to 1 is 1, as in GDAL, whose kernels are inexact for 0.97


def resampled(
    values: NDArray[Any],
    own: GeoBox,
    grid: GeoBox,
    *,
    method: str,
    fill: float,
    ratio: tuple[float, float],
) -> NDArray[Any]:
    """Return ``values`` on ``grid``.

    Args:
        values: Dims (y, x); ``fill`` (NaN for floats) where there is no data.
        own: Their grid.
        grid: The target grid.
        method: One of :data:`METHODS`.
        fill: The value where there is no data, before and after.
        ratio: From :func:`pixel_ratio`.

    Returns:
        Dims (y, x), of the same dtype.
    """
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": values.dtype,
        "height": values.shape[0],
        "width": values.shape[1],
        "crs": str(own.crs),
        "transform": own.affine,
        "nodata": fill,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as written:
            written.write(values, 1)
        with (
            rasterio.open(memory.name, driver="GTiff") as source,
            WarpedVRT(
                source,
                crs=str(grid.crs),
                transform=grid.affine,
                width=grid.shape[1],
                height=grid.shape[0],
                resampling=Resampling[method],
                src_nodata=fill,
                nodata=fill,
                tolerance=_TOLERANCE,
                XSCALE=str(ratio[1]),
                YSCALE=str(ratio[0]),
            ) as warped,
        ):
            return np.asarray(warped.read(1))


def pixel_ratio(own: GeoBox, grid: GeoBox) -> tuple[float, float]:
    """Return the size of a file's pixel in pixels of another grid, for rows and columns.

    Args:
        own: The file's whole grid.
        grid: The target grid; only its CRS and resolution matter.
    """
    _, _, crs = key_of(grid)
    return _ratio(key_of(own), crs, abs(grid.resolution.y), abs(grid.resolution.x))


@functools.lru_cache(maxsize=512)
def _ratio(key: GridKey, crs: str | None, height: float, width: float) -> tuple[float, float]:
    own = of_key(key)
    centre = own[
        own.shape[0] // 2 : own.shape[0] // 2 + 1, own.shape[1] // 2 : own.shape[1] // 2 + 1
    ]
    box = (centre.extent if crs is None else centre.extent.to_crs(crs)).boundingbox
    ratios = (box.span_y / height, box.span_x / width)
    rows, columns = (1.0 if abs(each - 1) < _SAME else float(each) for each in ratios)
    return rows, columns
