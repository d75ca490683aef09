"""The sizes of a grid's pixels in metres, on any projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .footprint import centre_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

__all__ = ["pixel_areas", "pixel_size"]

_METRES_IN_DEGREE = 111_195.0
"""Of latitude, on average."""


def pixel_areas(geobox: GeoBox, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sizes of pixels on the ellipsoid in square metres.

    Args:
        geobox: The cube's grid.
        cells: Rows and columns, (2, pixels).
    """
    import pyproj

    longitude, latitude = centre_of(geobox)
    equal_area = f"+proj=laea +lat_0={latitude} +lon_0={longitude} +ellps=WGS84"
    transformer = pyproj.Transformer.from_crs(str(geobox.crs), equal_area, always_xy=True)
    corners = cells[:, :, None] + np.array([[0, 0, 1, 1], [0, 1, 1, 0]])[:, None, :]
    rows, columns = corners
    grid = geobox.affine
    x, y = transformer.transform(
        grid.a * columns + grid.b * rows + grid.c, grid.d * columns + grid.e * rows + grid.f
    )
    areas: NDArray[np.float64] = (x * (np.roll(y, -1, 1) - np.roll(y, 1, 1))).sum(1) / 2
    return np.abs(areas)


def pixel_size(geobox: GeoBox) -> tuple[float, float]:
    """Return height and width of a pixel in metres, in the middle of the cube.

    Args:
        geobox: The cube's grid.
    """
    affine = geobox.affine
    height, width = float(np.hypot(affine.b, affine.e)), float(np.hypot(affine.a, affine.d))
    rows, columns = geobox.shape
    [area] = pixel_areas(geobox, np.array([[rows // 2], [columns // 2]]))
    if geobox.crs is not None and geobox.crs.geographic:
        metres = _METRES_IN_DEGREE * height  # nearly the same everywhere
        return metres, float(area) / metres
    scale = float(np.sqrt(area / (height * width)))
    return height * scale, width * scale
