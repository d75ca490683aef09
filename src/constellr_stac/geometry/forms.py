"""Every accepted form of a geometry, read by one function for searches, cubes and orders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from constellr_stac.errors import InvalidAreaError

from .files import is_path, read_area

__all__ = ["WGS84", "NotAnAreaError", "is_table", "named_crs", "read_form", "to_crs"]

WGS84 = "EPSG:4326"
"""Longitude and latitude in degrees."""

_IS_WGS84 = ("EPSG", "4326")
_WKT = re.compile(
    r"\s*(SRID=(?P<srid>\d+);)?\s*(MULTI)?(POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b",
    re.IGNORECASE,
)


class NotAnAreaError(InvalidAreaError, TypeError):
    """An object that is no geometry in any form."""


def read_form(geometry: Any) -> tuple[Any, Any]:
    """Return a geometry as GeoJSON or as a GeoDataFrame or GeoSeries, and the CRS it states.

    Args:
        geometry: GeoJSON, an object with ``__geo_interface__``, an ``odc.geo`` Geometry, WKT, a
            GeoDataFrame or GeoSeries, or the path of a file.

    Returns:
        The CRS is ``None`` if the geometry states none; a table states one always.

    Raises:
        InvalidAreaError: It is something else, or a table without a CRS.
        MissingExtraError: The file's format needs the extra ``geo``.
        OSError: The file is missing or unreadable.
    """
    if isinstance(geometry, str) and (match := _WKT.match(geometry)):
        srid = match["srid"]
        return _from_wkt(geometry), None if srid is None else f"EPSG:{srid}"
    if is_path(geometry):
        geometry = read_area(geometry)
    if is_table(geometry):
        if geometry.crs is None:
            raise InvalidAreaError(
                f"The {type(geometry).__name__} has no CRS. Set it with .set_crs(...)."
            )
        return geometry, geometry.crs
    if isinstance(geometry, Mapping):
        return geometry, named_crs(geometry)
    if hasattr(geometry, "to_crs") and hasattr(geometry, "geom"):  # odc.geo's
        crs = geometry.crs
        return geometry.geom.__geo_interface__, None if crs is None else crs.proj
    interface = getattr(geometry, "__geo_interface__", None)
    if not isinstance(interface, Mapping):
        raise NotAnAreaError(
            f"A {type(geometry).__name__} is not an area. Pass GeoJSON, a shapely geometry, WKT, a "
            "GeoDataFrame or GeoSeries, or a file."
        )
    return interface, None


def is_table(form: Any) -> bool:
    """Return whether a form is a GeoDataFrame or GeoSeries."""
    return hasattr(form, "to_crs") and hasattr(form, "total_bounds")


def named_crs(geojson: Mapping[str, Any]) -> Any:
    """Return the CRS named in pre-RFC 7946 GeoJSON; ``None`` if it names none.

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
            is_wgs84 = name.endswith("CRS84") or crs.to_authority() == _IS_WGS84
            return WGS84 if is_wgs84 else crs
        case _:
            return None


def to_crs(geometry: Any, source: Any, target: Any = WGS84) -> Any:
    """Return a geometry, or an array of geometries, in another CRS.

    Raises:
        InvalidAreaError: A CRS is unknown.
    """
    import numpy as np
    import pyproj
    import shapely
    from pyproj.exceptions import CRSError

    try:
        source, target = pyproj.CRS(source), pyproj.CRS(target)
    except CRSError as error:
        raise InvalidAreaError(f"The CRS is unknown: {error}.") from error
    if source == target:
        return geometry
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(geometry, lambda xy: np.column_stack(transformer.transform(*xy.T)))


def _from_wkt(text: str) -> Mapping[str, Any]:
    import shapely

    try:
        geometry = shapely.from_wkt(text.partition(";")[2] or text)
    except shapely.errors.ShapelyError as error:
        raise InvalidAreaError(f"The WKT cannot be read: {error}.") from error
    interface: Mapping[str, Any] = geometry.__geo_interface__
    return interface
