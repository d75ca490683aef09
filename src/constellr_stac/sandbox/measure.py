"""Size of an area, as the API measures it.

The envelope's corners are projected to the UTM zone of its centre; width and height are those of
their bounds, and the area is the projected polygon's.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

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
    zone = min(int(((west + east) / 2 + 180) // 6) + 1, 60)
    to_utm = _transformer(zone + (32600 if south + north >= 0 else 32700)).transform
    corners = shapely.multipoints([(west, south), (east, south), (east, north), (west, north)])
    left, bottom, right, top = shapely.transform(corners, to_utm, interleaved=False).bounds
    area = shapely.transform(polygon, to_utm, interleaved=False).area
    return Measures(right - left, top - bottom, float(area))


@cache
def _transformer(epsg: int) -> Transformer:
    from pyproj import Transformer  # slow to import, rarely needed

    return Transformer.from_crs(4326, epsg, always_xy=True)
