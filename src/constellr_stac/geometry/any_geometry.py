"""Geometries out of any form: one for searches and cubes, or a table for statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError, MissingExtraError

from .forms import WGS84, NotAnAreaError, is_table, read_form, to_crs
from .polygons import check_bounds, check_valid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import shapely

__all__ = ["geometry_from", "table_from"]


def geometry_from(geometry: Any, *, crs: Any = None, to: Any = WGS84) -> shapely.Geometry:
    """Return one geometry; several are united.

    Args:
        geometry: GeoJSON (a geometry, Feature or FeatureCollection), shapely or any other object
            with ``__geo_interface__``, an ``odc.geo`` Geometry, WKT, a GeoDataFrame or GeoSeries
            in any CRS, or the path of a vector file (GeoJSON, GeoPackage, KML, zipped Shapefile,
            GeoParquet, ...).

    Keyword Args:
        crs: The CRS of a geometry that states none; default longitude and latitude.
        to: The CRS of the result.

    Raises:
        InvalidAreaError: It is something else, empty, invalid or out of bounds.
        MissingExtraError: The file's format needs the extra ``geo``.
        OSError: The file is missing or unreadable.

    Example:
        >>> geometry_from("POLYGON ((8.6 49.8, 8.7 49.8, 8.7 49.9, 8.6 49.8))").bounds
        (8.6, 49.8, 8.7, 49.9)
    """
    import numpy as np
    import shapely

    form, own = read_form(geometry)
    source = own or crs or WGS84
    parts = list(form.geometry.dropna()) if is_table(form) else list(_shapes(form))
    parts = [one for part in parts if not part.is_empty for one in shapely.get_parts([part])]
    if not parts:
        raise InvalidAreaError("The area is empty.")
    for part in to_crs(np.array(parts), source):
        check_bounds(part.bounds)
        check_valid(part)
    whole: shapely.Geometry = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    result: shapely.Geometry = to_crs(shapely.force_2d(whole), source, to)
    return result


def table_from(areas: Any) -> Any:
    """Return areas as a GeoDataFrame or GeoSeries, a row for each; a row may have no geometry.

    Args:
        areas: As for :func:`geometry_from`. A table is returned as it is, the rows of a file or
            FeatureCollection keep their columns, and a single geometry is one row.

    Raises:
        InvalidAreaError: As for :func:`geometry_from`; the message names the row.
        MissingExtraError: The extra ``geo`` is not installed.
        OSError: The file is missing or unreadable.
    """
    import shapely

    form, crs = read_form(areas)
    if not is_table(form):
        form = _table(form, crs or WGS84)
    if not len(form):
        raise InvalidAreaError("There are no areas.")
    shapes = form.geometry
    for label, shape in shapes[~shapes.is_valid & shapes.notna()].items():
        try:
            check_valid(shape)
        except InvalidAreaError as error:
            raise InvalidAreaError(f"Area {label}: {error}") from error
    if form.crs.is_geographic:
        for label, bounds in zip(shapes.index, shapely.bounds(shapes.array), strict=True):
            try:
                check_bounds(bounds)
            except InvalidAreaError as error:
                raise InvalidAreaError(f"Area {label}: {error}") from error
    return form


def _table(geojson: Mapping[str, Any], crs: Any) -> Any:
    try:
        import geopandas as gpd
    except ImportError as error:
        raise MissingExtraError("A table of areas", "geo") from error
    features = geojson.get("features") if geojson.get("type") == "FeatureCollection" else [geojson]
    rows = [_row(feature) for feature in features or ()]
    shapes = [shape for shape, _ in rows]
    return gpd.GeoDataFrame([columns for _, columns in rows], geometry=shapes, crs=crs)


def _row(geojson: Mapping[str, Any]) -> tuple[shapely.Geometry | None, Mapping[str, Any]]:
    """Return the geometry of GeoJSON, and its properties if it is a Feature."""
    import shapely

    parts = list(_shapes(geojson))
    columns = geojson.get("properties") if geojson.get("type") == "Feature" else None
    whole = None if not parts else parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return whole, columns or {}


def _shapes(geojson: Any) -> Iterator[shapely.Geometry]:
    import shapely
    from shapely.geometry import shape

    match geojson:
        case {"type": "FeatureCollection", "features": [*features]}:
            for feature in features:
                yield from _shapes(feature)
        case {"type": "Feature", "geometry": None}:
            return
        case {"type": "Feature", "geometry": inner}:
            yield from _shapes(inner)
        case {"type": str(kind)}:
            try:
                yield shape(geojson)
            except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError) as error:
                raise InvalidAreaError(f"The {kind} is not valid GeoJSON: {error}.") from error
        case _:
            raise NotAnAreaError("This is not GeoJSON: it has no type.")
