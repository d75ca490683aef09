"""One valid WGS 84 polygon out of any form of geometry.

Harmless differences (winding, a third coordinate) are corrected; likely mistakes are errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError

from .forms import is_table, read_form, to_crs

if TYPE_CHECKING:
    import shapely

__all__ = ["check_bounds", "check_valid", "polygon_from", "polygon_of"]

_MAX_LONGITUDE = 180.0
_MIN_POSITIONS = 4


def polygon_from(geometry: Any) -> shapely.Polygon:
    """Return ``geometry`` as one valid WGS 84 polygon with the winding of RFC 7946.

    Args:
        geometry: As for ``geometry_from``, with one polygon.

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
    form, crs = read_form(geometry)
    geojson = polygon_of(_only_row(form) if is_table(form) else form)
    if not isinstance(geojson, Mapping) or geojson.get("type") != "Polygon":
        raise InvalidAreaError(_problem(geojson))
    rings = [_ring(number, ring) for number, ring in enumerate(_rings(geojson))]
    return _build(rings, crs)


def polygon_of(geojson: Any) -> Any:
    """Return the polygon of a Feature, a FeatureCollection of one, or a MultiPolygon of one.

    Anything else is returned unchanged.
    """
    if not isinstance(geojson, Mapping):
        return geojson
    match geojson:
        case {"type": "FeatureCollection", "features": [feature]}:
            return polygon_of(feature)
        case {"type": "Feature", "geometry": geometry}:
            return polygon_of(geometry)
        case {"type": "MultiPolygon", "coordinates": [rings]}:
            return {"type": "Polygon", "coordinates": rings}
        case _:
            return geojson


def check_bounds(bounds: Sequence[float]) -> None:
    """Raise if a geometry is out of bounds, naming the likely cause.

    Args:
        bounds: Least longitude and latitude, greatest longitude and latitude; NaN if empty.

    Raises:
        InvalidAreaError: They are out of bounds, or span more than 180 degrees.
    """
    west, south, east, north = bounds
    max_x, max_y = max(abs(west), abs(east)), max(abs(south), abs(north))
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
    if east - west > _MAX_LONGITUDE:
        raise InvalidAreaError(
            "The area spans more than 180 degrees: it crosses the antimeridian. Split it there."
        )


def check_valid(geometry: shapely.Geometry) -> None:
    """Raise if a geometry is not valid, such as a polygon that crosses itself.

    Raises:
        InvalidAreaError: It is not valid.
    """
    import shapely

    if not geometry.is_valid:
        raise InvalidAreaError(
            f"The polygon is not valid: {shapely.is_valid_reason(geometry)} (longitude latitude). "
            "Correct it; shapely.make_valid shows a possible repair."
        )


def _only_row(frame: Any) -> Any:
    """Return the geometry of a GeoDataFrame or GeoSeries of one row."""
    shapes = frame.geometry if len(frame) == 1 else frame.geometry.dropna()
    if len(shapes) != 1:
        raise InvalidAreaError(
            f"The {type(frame).__name__} has {len(frame)} rows, not one. Select a row, or "
            "merge them with .dissolve()."
        )
    return read_form(shapes.iloc[0])[0]


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


def _build(rings: list[list[tuple[float, float]]], crs: Any) -> shapely.Polygon:
    import shapely
    from shapely.geometry.polygon import orient

    polygon = shapely.Polygon(rings[0], rings[1:])
    if crs is not None:
        polygon = to_crs(polygon, crs)
    check_bounds(polygon.bounds)
    check_valid(polygon)
    if polygon.area == 0:
        raise InvalidAreaError("The polygon has no area.")
    return orient(polygon)


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
