"""Size of an area, as the API measures it.

The envelope's corners are projected to the UTM zone of its centre; width and height are those of
their bounds, and the area is the projected polygon's.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely

if TYPE_CHECKING:
    from pyproj import Transformer

__all__ = ["Measures", "measure"]


class Measures(NamedTuple):
    """Metres and square metres."""

    width: float
    height: float
    area: float


def measure(polygon: shapely.Polygon) -> Measures:
    """Return the size of a polygon in longitude and latitude."""
    west, south, east, north = polygon.bounds
    project = _to_utm((west + east) / 2, (south + north) / 2)
    corners = shapely.transform(
        shapely.multipoints([(west, south), (east, south), (east, north), (west, north)]), project
    )
    left, bottom, right, top = corners.bounds
    return Measures(right - left, top - bottom, float(shapely.transform(polygon, project).area))


def _to_utm(longitude: float, latitude: float) -> Any:
    zone = min(int((longitude + 180) // 6) + 1, 60)
    transformer = _transformer(zone + (32600 if latitude >= 0 else 32700))

    def project(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))

    return project


@cache
def _transformer(epsg: int) -> Transformer:
    from pyproj import Transformer  # slow to import, rarely needed

    return Transformer.from_crs(4326, epsg, always_xy=True)
