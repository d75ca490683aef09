"""Every accepted form of a geometry, read by one function for searches, cubes and orders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError

from .files import is_path, read_area

if TYPE_CHECKING:
    import shapely

__all__ = ["check_crs", "is_table", "named_crs", "read_form", "to_wgs84"]

_WGS84 = ("EPSG", "4326")
_WKT = re.compile(
    r"\s*(SRID=\d+;)?\s*(MULTI)?(POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE
)


def read_form(geometry: Any) -> Any:
    """Return a geometry as GeoJSON, or as a GeoDataFrame or GeoSeries.

    Args:
        geometry: GeoJSON, an object with ``__geo_interface__``, an ``odc.geo`` Geometry, WKT, a
            GeoDataFrame or GeoSeries, or the path of a file.

    Raises:
        InvalidAreaError: It is something else.
        MissingExtraError: The file's format needs the extra ``geo``.
        OSError: The file is missing or unreadable.
    """
    if isinstance(geometry, str) and _WKT.match(geometry):
        return _from_wkt(geometry).__geo_interface__
    if is_path(geometry):
        return read_area(geometry)
    if isinstance(geometry, Mapping) or is_table(geometry):
        return geometry
    if hasattr(geometry, "to_crs") and getattr(geometry, "crs", None) is not None:
        geometry = geometry.to_crs("EPSG:4326").geom  # odc.geo's
    interface = getattr(geometry, "__geo_interface__", None)
    if not isinstance(interface, Mapping):
        raise InvalidAreaError(
            f"A {type(geometry).__name__} is not an area. Pass GeoJSON, a shapely geometry, WKT, a "
            "GeoDataFrame or GeoSeries, or a file."
        )
    return interface


def is_table(form: Any) -> bool:
    """Return whether a form is a GeoDataFrame or GeoSeries."""
    return hasattr(form, "to_crs") and hasattr(form, "total_bounds")


def check_crs(table: Any) -> None:
    """Raise if a GeoDataFrame or GeoSeries has no CRS.

    Raises:
        InvalidAreaError: It has none.
    """
    if table.crs is None:
        raise InvalidAreaError(f"The {type(table).__name__} has no CRS. Set it with .set_crs(...).")


def named_crs(geojson: Mapping[str, Any]) -> Any:
    """Return the CRS named in pre-RFC 7946 GeoJSON, or ``None`` if it is WGS 84.

    Raises:
        InvalidAreaError: The CRS is unknown.
    """
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


def to_wgs84(ring: list[tuple[float, float]], crs: Any) -> list[tuple[float, float]]:
    """Return positions in longitude and latitude."""
    import pyproj

    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = transformer.transform([x for x, _ in ring], [y for _, y in ring])
    return list(zip(x, y, strict=True))


def _from_wkt(text: str) -> shapely.Geometry:
    import shapely

    try:
        geometry = shapely.from_wkt(text.partition(";")[2] or text)
    except shapely.errors.ShapelyError as error:
        raise InvalidAreaError(f"The WKT cannot be read: {error}.") from error
    if text.lstrip().upper().startswith("SRID=") and "SRID=4326;" not in text.upper():
        raise InvalidAreaError("WKT must be in WGS 84; pass a GeoSeries for another CRS.")
    return geometry
