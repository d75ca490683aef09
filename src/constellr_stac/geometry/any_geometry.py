"""One geometry in WGS 84 out of any form: what searches and cubes take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError

from .forms import check_crs, is_table, named_crs, read_form, to_wgs84
from .polygons import check_bounds, check_valid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import shapely

__all__ = ["geometry_from"]


def geometry_from(geometry: Any) -> shapely.Geometry:
    """Return a geometry in longitude and latitude; several are united.

    Args:
        geometry: GeoJSON (a geometry, Feature or FeatureCollection), shapely or any other object
            with ``__geo_interface__``, an ``odc.geo`` Geometry, WKT, a GeoDataFrame or GeoSeries
            in any CRS, or the path of a file (GeoJSON, GeoPackage, KML, KMZ, zipped Shapefile).

    Raises:
        InvalidAreaError: It is something else, empty, invalid or out of bounds.
        MissingExtraError: The file's format needs the extra ``geo``.
        OSError: The file is missing or unreadable.

    Example:
        >>> geometry_from("POLYGON ((8.6 49.8, 8.7 49.8, 8.7 49.9, 8.6 49.8))").bounds
        (8.6, 49.8, 8.7, 49.9)
    """
    import shapely

    form = read_form(geometry)
    if is_table(form):
        check_crs(form)
        parts = list(form.to_crs("EPSG:4326").geometry.dropna())
    else:
        parts = list(_shapes(form))
        crs = named_crs(form)
        if crs is not None:
            parts = [shapely.transform(part, lambda xy: to_wgs84(xy, crs)) for part in parts]
    parts = [one for part in parts if not part.is_empty for one in shapely.get_parts([part])]
    if not parts:
        raise InvalidAreaError("The area is empty.")
    for part in parts:
        check_bounds(shapely.get_coordinates(part).tolist())
        check_valid(part)
    whole: shapely.Geometry = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return shapely.force_2d(whole)


def _shapes(geojson: Mapping[str, Any]) -> Iterator[shapely.Geometry]:
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
            raise InvalidAreaError("This is not GeoJSON: it has no type.")
