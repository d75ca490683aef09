"""Normalize an area to one valid WGS 84 polygon, and measure it as the API does.

Harmless differences (winding, a third coordinate) are corrected; likely mistakes are errors.
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

_TOLERANCE = 1e-8
"""Degrees, about a millimetre: servers write nine decimals or more."""
_MAX_LONGITUDE = 180.0
_MIN_POSITIONS = 4
_WGS84 = ("EPSG", "4326")


def polygon_from(geometry: Any) -> shapely.Polygon:
    """Return ``geometry`` as one valid WGS 84 polygon with the winding of RFC 7946.

    Args:
        geometry: A GeoJSON Polygon, Feature, FeatureCollection of one or MultiPolygon of one;
            an object with ``__geo_interface__``, such as shapely's; a GeoDataFrame or GeoSeries
            of one row in any CRS, which is reprojected.

    Raises:
        InvalidAreaError: It is of another type, empty, not closed, self-intersecting, out of
            bounds, across the antimeridian, or several polygons.

    Example:
        >>> polygon = polygon_from({
        ...     "type": "Polygon",
        ...     "coordinates": [[[8.6, 49.8], [8.7, 49.8], [8.7, 49.9], [8.6, 49.8]]],
        ... })
        >>> polygon.bounds
        (8.6, 49.8, 8.7, 49.9)
    """
    if hasattr(geometry, "to_crs") and hasattr(geometry, "total_bounds"):
        return polygon_from(_only_row(geometry))
    geojson = geometry if isinstance(geometry, Mapping) else _geo_interface(geometry)
    crs = _named_crs(geojson)
    geojson = polygon_of(geojson)
    if not isinstance(geojson, Mapping) or geojson.get("type") != "Polygon":
        raise InvalidAreaError(_problem(geojson))
    rings = [_ring(number, ring) for number, ring in enumerate(_rings(geojson))]
    if crs is not None:
        rings = [_to_wgs84(ring, crs) for ring in rings]
    _check_bounds(rings[0])
    return _build(rings)


def geojson_of(polygon: shapely.Polygon) -> dict[str, Any]:
    """Return a polygon as GeoJSON with lists, as ``json.loads`` would."""
    return {
        "type": "Polygon",
        "coordinates": [
            [list(position) for position in ring.coords]
            for ring in (polygon.exterior, *polygon.interiors)
        ],
    }


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
    import numpy as np
    import pyproj
    import shapely

    polygon = polygon_from(geometry)
    west, south, east, north = polygon.bounds
    to_utm = pyproj.Transformer.from_crs(
        "EPSG:4326", _utm_epsg((west + east) / 2, (south + north) / 2), always_xy=True
    )
    x, y = to_utm.transform([west, east, east, west], [south, south, north, north])
    planar = shapely.transform(
        polygon, lambda xy: np.column_stack(to_utm.transform(xy[:, 0], xy[:, 1]))
    )
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


def _geo_interface(geometry: Any) -> Mapping[str, Any]:
    interface = getattr(geometry, "__geo_interface__", None)
    if not isinstance(interface, Mapping):
        raise InvalidAreaError(
            f"A {type(geometry).__name__} is not an area. Pass GeoJSON, a shapely polygon, a "
            "GeoDataFrame or GeoSeries of one row, or a file."
        )
    return interface


def _only_row(frame: Any) -> Any:
    """Return the geometry of a GeoDataFrame or GeoSeries of one row, in WGS 84."""
    if len(frame) != 1:
        raise InvalidAreaError(
            f"The {type(frame).__name__} has {len(frame)} rows, not one. Select a row, or "
            "merge them with .dissolve()."
        )
    if frame.crs is None:
        raise InvalidAreaError(f"The {type(frame).__name__} has no CRS. Set it with .set_crs(...).")
    return frame.to_crs("EPSG:4326").geometry.iloc[0]


def _named_crs(geojson: Mapping[str, Any]) -> Any:
    """Return the CRS named in pre-RFC 7946 GeoJSON, or ``None`` if it is WGS 84."""
    import pyproj
    from pyproj.exceptions import CRSError

    match geojson:
        case {"crs": {"properties": {"name": str(name)}}}:
            try:
                crs = pyproj.CRS.from_user_input(name)
            except CRSError as error:
                raise InvalidAreaError(f"The CRS of the GeoJSON is unknown: {name}.") from error
            is_wgs84 = name.endswith("CRS84") or crs.to_authority() == _WGS84
            return None if is_wgs84 else crs
        case _:
            return None


def _rings(geojson: Mapping[str, Any]) -> list[list[Any]]:
    coordinates = geojson.get("coordinates")
    try:
        rings = [] if coordinates is None else [list(ring) for ring in coordinates]
    except TypeError as error:
        raise InvalidAreaError("The polygon's coordinates are not a list of rings.") from error
    if not rings or not rings[0]:
        raise InvalidAreaError("The polygon is empty.")
    return rings


def _ring(number: int, ring: Any) -> list[tuple[float, float]]:
    where = "The outer ring" if number == 0 else f"Hole {number}"
    try:
        positions = [(float(position[0]), float(position[1])) for position in ring]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InvalidAreaError(
            f"{where} is not a list of [longitude, latitude] numbers."
        ) from error
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in positions):
        raise InvalidAreaError(f"{where} has a coordinate that is not a finite number.")
    if positions and positions[0] != positions[-1]:
        raise InvalidAreaError(
            f"{where} is not closed: it starts at {positions[0]} and ends at {positions[-1]}. "
            "Append the first position, unless one is missing."
        )
    if len(positions) < _MIN_POSITIONS:
        raise InvalidAreaError(
            f"{where} has {len(positions)} positions; the minimum is {_MIN_POSITIONS}."
        )
    return positions


def _to_wgs84(ring: list[tuple[float, float]], crs: Any) -> list[tuple[float, float]]:
    import pyproj

    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = transformer.transform([x for x, _ in ring], [y for _, y in ring])
    return list(zip(x, y, strict=True))


def _check_bounds(ring: list[tuple[float, float]]) -> None:
    """Raise if a ring is out of bounds, naming the likely cause."""
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    max_x, max_y = max(map(abs, xs)), max(map(abs, ys))
    if max_y > _MAX_LONGITUDE / 2:
        swapped = max_y <= _MAX_LONGITUDE and max_x <= _MAX_LONGITUDE / 2
        raise InvalidAreaError(
            f"A latitude of {max_y:g} is outside [-90, 90]. "
            + (
                "Longitude and latitude look swapped: GeoJSON has [longitude, latitude]."
                if swapped
                else "Coordinates must be WGS 84 degrees; reproject metres first."
            )
        )
    if max_x > _MAX_LONGITUDE:
        raise InvalidAreaError(
            f"A longitude of {max_x:g} is outside [-180, 180]. Split an area at the antimeridian."
        )
    if max(xs) - min(xs) > _MAX_LONGITUDE:
        raise InvalidAreaError(
            "The area spans more than 180 degrees: it crosses the antimeridian. Split it there."
        )


def _build(rings: list[list[tuple[float, float]]]) -> shapely.Polygon:
    import shapely
    from shapely.geometry.polygon import orient

    polygon = shapely.Polygon(rings[0], rings[1:])
    if not polygon.is_valid:
        raise InvalidAreaError(
            f"The polygon is not valid: {shapely.is_valid_reason(polygon)} (longitude latitude). "
            "Correct it; shapely.make_valid shows a possible repair."
        )
    if polygon.area == 0:
        raise InvalidAreaError("The polygon has no area.")
    return orient(polygon)


def _utm_epsg(longitude: float, latitude: float) -> str:
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return f"EPSG:{326 if latitude >= 0 else 327}{zone:02d}"


def _finite_or_inf(value: float) -> float:
    """Return ``value``, or infinity where the projection is undefined (far from its zone)."""
    return float(value) if math.isfinite(value) else math.inf


def _problem(geojson: Any) -> str:
    match geojson:
        case {"type": "FeatureCollection", "features": [*parts]}:
            what = f"The FeatureCollection has {len(parts)} features, not one."
        case {"type": "MultiPolygon", "coordinates": [*parts]}:
            what = f"The MultiPolygon has {len(parts)} polygons, not one. Order them separately."
        case {"type": kind}:
            what = f"A {kind} is not an area; pass a Polygon."
        case None:
            what = "The feature has no geometry."
        case _:
            what = "This is not GeoJSON: it has no type."
    return what
