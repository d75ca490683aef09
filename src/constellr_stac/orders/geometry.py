"""An area becomes one polygon that the API takes, and is measured as the API measures it.

Everything is checked before anything is sent. What is harmless is put right (the winding, a
third coordinate); what could be a mistake is refused. Files are read in :mod:`.files`; whether
an area is too large for an order is a rule and stands in :mod:`.rules`. Nothing here talks to
the API.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError

from .payloads import GeometryInfo, polygon_of

if TYPE_CHECKING:
    import shapely

__all__ = ["geojson_of", "measure", "polygon_from", "same_area"]

_SAME_WITHIN = 1e-8
"""Degrees, about a millimetre: servers write coordinates with nine decimals or more."""
_HALF_WORLD = 180.0
_SHORTEST_RING = 4
_WGS84 = ("EPSG", "4326")


def polygon_from(geometry: Any) -> shapely.Polygon:
    """Return the one polygon of ``geometry`` in WGS 84, checked, with the winding of RFC 7946.

    Args:
        geometry: A GeoJSON Polygon, Feature, FeatureCollection of one or MultiPolygon of one;
            anything with a ``__geo_interface__``, so all of shapely; a GeoDataFrame or GeoSeries
            of one row in any CRS, which is reprojected.

    Raises:
        InvalidAreaError: It is none of these, or no area can be made of it: empty, not closed,
            crossing itself, outside the world, across the antimeridian, more than one polygon.

    Example:
        >>> polygon = polygon_from({
        ...     "type": "Polygon",
        ...     "coordinates": [[[8.6, 49.8], [8.7, 49.8], [8.7, 49.9], [8.6, 49.8]]],
        ... })
        >>> polygon.bounds
        (8.6, 49.8, 8.7, 49.9)
    """
    if hasattr(geometry, "to_crs") and hasattr(geometry, "total_bounds"):
        return polygon_from(_row_of(geometry))
    geojson = geometry if isinstance(geometry, Mapping) else _interface_of(geometry)
    crs = _named_crs(geojson)
    geojson = polygon_of(geojson)
    if not isinstance(geojson, Mapping) or geojson.get("type") != "Polygon":
        raise InvalidAreaError(_not_one_polygon(geojson))
    rings = [_ring(number, ring) for number, ring in enumerate(_rings(geojson))]
    if crs is not None:
        rings = [_reprojected(ring, crs) for ring in rings]
    _check_world(rings[0])
    return _checked(rings)


def geojson_of(polygon: shapely.Polygon) -> dict[str, Any]:
    """Return a polygon as GeoJSON with lists, the way JSON gives it back."""
    return {
        "type": "Polygon",
        "coordinates": [
            [list(position) for position in ring.coords]
            for ring in (polygon.exterior, *polygon.interiors)
        ],
    }


def measure(geometry: Any) -> GeometryInfo:
    """Return the size of an area as the API's ``geometry-info`` measures it, without asking it.

    The width and height are those of the polygon's box in longitude and latitude, whose corners
    are projected to the UTM zone of the box's centre; the area is the polygon's own, planar, in
    that zone. The sizes that the rules limit are these.

    Args:
        geometry: What :func:`polygon_from` takes.

    Raises:
        InvalidAreaError: As :func:`polygon_from`.

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
    import numpy as np
    import pyproj
    import shapely

    polygon = polygon_from(geometry)
    west, south, east, north = polygon.bounds
    to_utm = pyproj.Transformer.from_crs(
        "EPSG:4326", _utm_of((west + east) / 2, (south + north) / 2), always_xy=True
    )
    x, y = to_utm.transform([west, east, east, west], [south, south, north, north])
    planar = shapely.transform(
        polygon, lambda xy: np.column_stack(to_utm.transform(xy[:, 0], xy[:, 1]))
    )
    return GeometryInfo(
        bbox_width=_metres(max(x) - min(x)),
        bbox_height=_metres(max(y) - min(y)),
        area=_metres(planar.area),
    )


def same_area(one: Any, other: Any) -> bool:
    """Say whether two geometries cover the same ground, to about a millimetre.

    Where a ring starts and which way round it goes does not matter.
    """
    try:
        a, b = polygon_from(one), polygon_from(other)
    except InvalidAreaError:
        return False
    return bool(a.symmetric_difference(b).area <= _SAME_WITHIN * max(a.length, b.length))


def _interface_of(geometry: Any) -> Mapping[str, Any]:
    interface = getattr(geometry, "__geo_interface__", None)
    if not isinstance(interface, Mapping):
        raise InvalidAreaError(
            f"A {type(geometry).__name__} is no area. Give GeoJSON, a shapely polygon, a "
            "GeoDataFrame or GeoSeries of one row, or a file."
        )
    return interface


def _row_of(frame: Any) -> Any:
    """Return the geometry of a GeoDataFrame's or GeoSeries' one row, in WGS 84."""
    if len(frame) != 1:
        raise InvalidAreaError(
            f"The {type(frame).__name__} has {len(frame)} rows; an area is one. Choose a row, or "
            "join them with .dissolve()."
        )
    if frame.crs is None:
        raise InvalidAreaError(
            f"The {type(frame).__name__} has no CRS, so where it lies is unknown. Say it with "
            ".set_crs(...)."
        )
    return frame.to_crs("EPSG:4326").geometry.iloc[0]


def _named_crs(geojson: Mapping[str, Any]) -> Any:
    """Return the CRS that older GeoJSON names, where it is not WGS 84 anyway."""
    import pyproj
    from pyproj.exceptions import CRSError

    match geojson:
        case {"crs": {"properties": {"name": str(name)}}}:
            try:
                crs = pyproj.CRS.from_user_input(name)
            except CRSError as error:
                raise InvalidAreaError(
                    f"The GeoJSON names a CRS that is unknown: {name}."
                ) from error
            is_wgs84 = name.endswith("CRS84") or crs.to_authority() == _WGS84
            return None if is_wgs84 else crs
        case _:
            return None


def _rings(geojson: Mapping[str, Any]) -> list[list[Any]]:
    coordinates = geojson.get("coordinates")
    try:
        rings = [] if coordinates is None else [list(ring) for ring in coordinates]
    except TypeError as error:
        raise InvalidAreaError("The polygon's coordinates are no list of rings.") from error
    if not rings or not rings[0]:
        raise InvalidAreaError("The polygon is empty.")
    return rings


def _ring(number: int, ring: Any) -> list[tuple[float, float]]:
    where = "The outer ring" if number == 0 else f"Hole {number}"
    try:
        positions = [(float(position[0]), float(position[1])) for position in ring]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InvalidAreaError(f"{where} is no list of [longitude, latitude] numbers.") from error
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in positions):
        raise InvalidAreaError(f"{where} has a coordinate that is not a finite number.")
    if positions and positions[0] != positions[-1]:
        raise InvalidAreaError(
            f"{where} is not closed: it begins at {positions[0]} and ends at {positions[-1]}. "
            "Repeat the first position at the end, if none is missing."
        )
    if len(positions) < _SHORTEST_RING:
        raise InvalidAreaError(
            f"{where} has {len(positions)} positions; a closed ring has at least {_SHORTEST_RING}."
        )
    return positions


def _reprojected(ring: list[tuple[float, float]], crs: Any) -> list[tuple[float, float]]:
    import pyproj

    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = transformer.transform([x for x, _ in ring], [y for _, y in ring])
    return list(zip(x, y, strict=True))


def _check_world(ring: list[tuple[float, float]]) -> None:
    """Refuse what is not on the map, with the likeliest cause."""
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    furthest_x, furthest_y = max(map(abs, xs)), max(map(abs, ys))
    if furthest_y > _HALF_WORLD / 2:
        swapped = furthest_y <= _HALF_WORLD and furthest_x <= _HALF_WORLD / 2
        raise InvalidAreaError(
            f"A latitude of {furthest_y:g} is outside [-90, 90]. "
            + (
                "Longitude and latitude look swapped: GeoJSON has [longitude, latitude]."
                if swapped
                else "Coordinates have to be WGS 84 degrees; reproject metres first."
            )
        )
    if furthest_x > _HALF_WORLD:
        raise InvalidAreaError(
            f"A longitude of {furthest_x:g} is outside [-180, 180]. An area across the "
            "antimeridian has to be split there into two."
        )
    if max(xs) - min(xs) > _HALF_WORLD:
        raise InvalidAreaError(
            "The area spans more than half the world: it crosses the antimeridian. Split it "
            "there into two."
        )


def _checked(rings: list[list[tuple[float, float]]]) -> shapely.Polygon:
    import shapely
    from shapely.geometry.polygon import orient

    polygon = shapely.Polygon(rings[0], rings[1:])
    if not polygon.is_valid:
        raise InvalidAreaError(
            f"The polygon is not valid: {shapely.is_valid_reason(polygon)} (longitude latitude). "
            "Correct it there; shapely.make_valid shows what it might be."
        )
    if polygon.area == 0:
        raise InvalidAreaError("The polygon has no area.")
    return orient(polygon)


def _utm_of(longitude: float, latitude: float) -> str:
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return f"EPSG:{326 if latitude >= 0 else 327}{zone:02d}"


def _metres(value: float) -> float:
    """Return ``value``; where the projection gives out, far from its zone, it is endless."""
    return float(value) if math.isfinite(value) else math.inf


def _not_one_polygon(geojson: Any) -> str:
    match geojson:
        case {"type": "FeatureCollection", "features": [*parts]}:
            what = f"The FeatureCollection has {len(parts)} features; an area is one."
        case {"type": "MultiPolygon", "coordinates": [*parts]}:
            what = f"The MultiPolygon has {len(parts)} polygons; an area is one. Order them apart."
        case {"type": kind}:
            what = f"A {kind} is no area; a Polygon is needed."
        case None:
            what = "The feature has no geometry."
        case _:
            what = "This is no GeoJSON: it has no type."
    return what
