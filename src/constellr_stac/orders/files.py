"""Files that hold an area: GeoJSON, GeoPackage, KML, KMZ, zipped Shapefile.

GeoJSON is read as it is; the others through the extra ``geo``. Without it, :class:`Upload` is
what the API's own converter takes of them. Nothing here talks to the API or checks a polygon.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Upload", "is_path", "read_area", "upload_of"]

MAX_UPLOAD = 10_000_000
"""Bytes that the API's converter takes."""

_GEOJSON = frozenset({".geojson", ".json"})
_READ_BY_GDAL = frozenset({".gpkg", ".kml", ".kmz", ".zip"})


def is_path(area: Any) -> bool:
    """Say whether ``area`` names a file, rather than being a geometry."""
    return isinstance(area, (str, os.PathLike))


def read_area(path: str | os.PathLike[str]) -> Any:
    """Return the area in a file as :func:`.geometry.polygon_from` takes it.

    Args:
        path: A ``.geojson``, ``.json``, ``.gpkg``, ``.kml``, ``.kmz`` or ``.zip`` (a zipped
            Shapefile) that holds one polygon, in any CRS that the file names.

    Raises:
        InvalidAreaError: It cannot be read, or holds none or more than one.
        MissingExtraError: The extra ``geo`` is needed for this kind.
        OSError: There is no such file, or it may not be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _GEOJSON:
        return _geojson(path)
    if suffix not in _READ_BY_GDAL:
        raise InvalidAreaError(
            f"{path.name}: what is in a {suffix or 'file without a suffix'} is unknown. Give "
            ".geojson, .gpkg, .kml, .kmz, or a Shapefile as one .zip. A string is taken for the "
            "name of a file: give a geometry as a dict or a shape, not as text."
        )
    path.stat()
    return _table(path)


@dataclass(frozen=True)
class Upload:
    """A file for ``POST /areas-of-interest/convert``."""

    name: str
    """The file's name, as sent."""
    file_format: str
    """``kml`` or ``shapefile``."""
    content: bytes = field(repr=False)
    """At most 10 MB."""


def upload_of(path: str | os.PathLike[str]) -> Upload:
    """Return what the API's converter takes of a KML, a KMZ or a zipped Shapefile.

    Raises:
        InvalidAreaError: It is none of these, broken, or larger than 10 MB.
        OSError: There is no such file, or it may not be read.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".kml":
            upload = Upload(path.name, "kml", _content(path))
        case ".kmz":
            upload = Upload(path.with_suffix(".kml").name, "kml", _kml_in(path))
        case ".zip":
            upload = Upload(path.name, "shapefile", _content(path))
        case suffix:
            raise InvalidAreaError(
                f"{path.name}: the API converts .kml, .kmz and .zip (a Shapefile), not "
                f"{suffix or 'a file without a suffix'}."
            )
    return upload


def _content(path: Path) -> bytes:
    _refuse_large(path.name, path.stat().st_size)
    return path.read_bytes()


def _geojson(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidAreaError(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidAreaError(f"{path.name} is JSON, but no GeoJSON.")
    return content


def _table(path: Path) -> Any:
    """Return the one geometry of all layers of a file, as a GeoSeries of one row."""
    try:
        import geopandas as gpd
        import pyogrio
        from pyogrio.errors import DataLayerError, DataSourceError
    except ImportError as error:
        raise MissingExtraError(f"Reading {path.suffix} files", "geo") from error
    source = _kml_in(path) if path.suffix.lower() == ".kmz" else _gdal_name(path)
    try:
        layers = [
            gpd.read_file(source, layer=name).geometry.dropna()
            for name, geometry_type in pyogrio.list_layers(source)
            if geometry_type is not None
        ]
    except (DataSourceError, DataLayerError) as error:
        raise InvalidAreaError(f"{path.name} cannot be read: {error}.") from error
    rows = [layer for layer in layers if len(layer)]
    if sum(map(len, rows)) != 1:
        raise InvalidAreaError(
            f"{path.name} holds {sum(map(len, rows))} geometries; an area is one. Read it with "
            "geopandas and choose a row."
        )
    return rows[0]


def _gdal_name(path: Path) -> str:
    """Return how GDAL names what is to be decoded; a Shapefile may stand in a folder of its zip."""
    if path.suffix.lower() != ".zip":
        return str(path)
    shapefiles = [name for name in _members(path) if name.lower().endswith(".shp")]
    if len(shapefiles) != 1:
        raise InvalidAreaError(
            f"{path.name} holds {len(shapefiles)} Shapefiles (.shp); one is needed."
        )
    return f"/vsizip/{{{path.resolve()}}}/{shapefiles[0]}"


def _kml_in(path: Path) -> bytes:
    """Return the KML in a KMZ: its first one, as the KMZ's rules say."""
    documents = [name for name in _members(path) if name.lower().endswith(".kml")]
    if not documents:
        raise InvalidAreaError(f"{path.name} holds no KML.")
    with zipfile.ZipFile(path) as archive:
        _refuse_large(path.name, archive.getinfo(documents[0]).file_size)
        try:
            return archive.read(documents[0])
        # Damaged, cut off, encrypted, packed in a way that is not known.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise InvalidAreaError(f"{path.name} cannot be unpacked: {error}.") from error


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except zipfile.BadZipFile as error:
        raise InvalidAreaError(f"{path.name} is no zip file: {error}.") from error


def _refuse_large(name: str, size: int) -> None:
    if size > MAX_UPLOAD:
        raise InvalidAreaError(
            f"{name} has {size / 1e6:.1f} MB; an area of at most {MAX_UPLOAD / 1e6:.1f} MB is read."
        )
