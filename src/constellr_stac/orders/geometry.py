"""Measure an area as the API does, and compare areas."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError
from constellr_stac.geometry.polygons import polygon_from

from .payloads import GeometryInfo

if TYPE_CHECKING:
    import shapely

__all__ = ["geojson_of", "measure", "polygon_from", "same_area"]

_TOLERANCE = 1e-8
"""Degrees, about a millimetre: servers write nine decimals or more."""


def geojson_of(polygon: shapely.Polygon) -> dict[str, Any]:
    """Return a polygon as GeoJSON with lists, as ``json.loads`` would."""
    import shapely

    geometry: dict[str, Any] = json.loads(shapely.to_geojson(polygon))
    return geometry


def measure(geometry: Any) -> GeometryInfo:
    """Return the size of an area as the API's ``geometry-info`` does, computed locally.

    The bounding box is in longitude and latitude; its corners are projected to the UTM zone of its
    centre. The area is planar, in that zone. The rules limit these sizes.

    Args:
        geometry: As for :func:`polygon_from`.

    Raises:
        InvalidAreaError: As for :func:`polygon_from`.

    Example:
        >>> size = measure({
        ...     "type": "Feature",
        ...     "geometry": {"type": "Polygon", "coordinates": [[
        ...         [11.053963, 51.690862], [11.976814, 51.690862], [11.976814, 51.059955],
        ...         [10.944099, 51.073763], [11.053963, 51.690862],
        ...     ]]},
        ... })
        >>> round(size.bbox_width, 1), round(size.bbox_height, 1), round(size.area)
        (74218.0, 72561.3, 4728768008)
    """
    import pyproj
    import shapely

    polygon = polygon_from(geometry)
    west, south, east, north = polygon.bounds
    zone = min(int(((west + east) / 2 + 180) // 6) + 1, 60)
    # South of the equator, the zone of the north measures the same.
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", f"EPSG:{32600 + zone}", always_xy=True)
    x, y = to_utm.transform([west, east, east, west], [south, south, north, north])
    planar = shapely.transform(polygon, to_utm.transform, interleaved=False)
    return GeometryInfo(
        bbox_width=_finite_or_inf(max(x) - min(x)),
        bbox_height=_finite_or_inf(max(y) - min(y)),
        area=_finite_or_inf(planar.area),
    )


def same_area(one: Any, other: Any) -> bool:
    """Return whether two geometries cover the same ground, to about a millimetre.

    The start and direction of rings do not matter.
    """
    try:
        a, b = polygon_from(one), polygon_from(other)
    except InvalidAreaError:
        return False
    return bool(a.symmetric_difference(b).area <= _TOLERANCE * max(a.length, b.length))


def _finite_or_inf(value: float) -> float:
    """Return ``value``, or infinity where the projection is undefined (far from its zone)."""
    return float(value) if math.isfinite(value) else math.inf
