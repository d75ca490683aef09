"""Read areas from vector files: GeoJSON, GeoPackage, KML, KMZ, zipped Shapefile, GeoParquet, ...

GeoJSON needs nothing else, the other formats need the extra ``geo``. :class:`Upload` is the input
of the API's own converter.
"""

from __future__ import annotations

import json
import os
import re
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
"""Maximum size in bytes that the API's converter accepts."""

_GEOJSON_SUFFIXES = frozenset({".geojson", ".json"})
_PARQUET_SUFFIXES = frozenset({".parquet", ".geoparquet"})


def is_path(area: Any) -> bool:
    """Return whether ``area`` is a path rather than a geometry."""
    return isinstance(area, (str, os.PathLike))


def read_area(path: str | os.PathLike[str]) -> Any:
    """Return what a vector file contains: GeoJSON as it is, other formats as a GeoDataFrame.

    Args:
        path: GeoJSON, GeoPackage, KML, KMZ, a Shapefile as ``.zip``, GeoParquet, or another format
            that GDAL reads, in any CRS. The layers of a file are joined.

    Raises:
        InvalidAreaError: It cannot be read, or contains no geometry.
        MissingExtraError: The format needs the extra ``geo``, GeoParquet also ``files``.
        OSError: The file is missing or unreadable.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _GEOJSON_SUFFIXES:
        return _read_geojson(path)
    if not re.fullmatch(r"\.\w+", suffix):
        raise InvalidAreaError(
            f"{path.name}: cannot read a {suffix or 'file without a suffix'}. Pass .geojson, "
            ".gpkg, .kml, .kmz, or a Shapefile as one .zip. A string is WKT or a path: pass "
            "GeoJSON as a dict."
        )
    path.stat()
    frame = _read_parquet(path) if suffix in _PARQUET_SUFFIXES else _read_with_gdal(path)
    if not frame.geometry.notna().any():
        raise InvalidAreaError(f"{path.name} contains no geometries.")
    return frame


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
    """Return a KML, KMZ or zipped Shapefile as input of the API's converter.

    Raises:
        InvalidAreaError: The file is of another kind, broken, or larger than 10 MB.
        OSError: The file is missing or unreadable.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".kml":
            upload = Upload(path.name, "kml", _read_bytes(path))
        case ".kmz":
            upload = Upload(path.with_suffix(".kml").name, "kml", _kml_of(path))
        case ".zip":
            upload = Upload(path.name, "shapefile", _read_bytes(path))
        case suffix:
            raise InvalidAreaError(
                f"{path.name}: the API converts .kml, .kmz and .zip (a Shapefile), not "
                f"{suffix or 'a file without a suffix'}."
            )
    return upload


def _read_bytes(path: Path) -> bytes:
    _check_size(path.name, path.stat().st_size)
    return path.read_bytes()


def _read_geojson(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidAreaError(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidAreaError(f"{path.name} is JSON, but not GeoJSON.")
    return content


def _read_parquet(path: Path) -> Any:
    try:
        import geopandas as gpd
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("Reading GeoParquet", "geo,files") from error
    try:
        return gpd.read_parquet(path)
    except (pa.ArrowException, ValueError) as error:
        raise InvalidAreaError(f"{path.name} cannot be read: {error}.") from error


def _read_with_gdal(path: Path) -> Any:
    """Return the rows in all layers of a file, as a GeoDataFrame."""
    try:
        import geopandas as gpd
        import pandas as pd
        import pyogrio
        from pyogrio.errors import DataLayerError, DataSourceError
    except ImportError as error:
        raise MissingExtraError(f"Reading {path.suffix} files", "geo") from error
    source = _kml_of(path) if path.suffix.lower() == ".kmz" else _gdal_path(path)
    try:
        layers = [
            gpd.read_file(source, layer=name)
            for name, geometry_type in pyogrio.list_layers(source)
            if geometry_type is not None
        ]
    except (DataSourceError, DataLayerError) as error:
        hint = " Pass a Shapefile as one .zip." if path.suffix.lower() == ".shp" else ""
        raise InvalidAreaError(f"{path.name} cannot be read: {error}.{hint}") from error
    layers = [layer for layer in layers if len(layer)] or layers[:1]
    if not layers:
        raise InvalidAreaError(f"{path.name} contains no geometries.")
    crs = layers[0].crs
    if len(layers) > 1 and any((layer.crs is None) != (crs is None) for layer in layers):
        raise InvalidAreaError(f"{path.name}: only some of its layers have a CRS.")
    same = [layer if layer.crs == crs else layer.to_crs(crs) for layer in layers]
    return same[0] if len(same) == 1 else pd.concat(same, ignore_index=True)


def _gdal_path(path: Path) -> str:
    """Return the path for GDAL; the Shapefile may be in a folder of its zip."""
    if path.suffix.lower() != ".zip":
        return str(path)
    shapefiles = [name for name in _file_names(path) if name.lower().endswith(".shp")]
    if len(shapefiles) != 1:
        raise InvalidAreaError(
            f"{path.name} contains {len(shapefiles)} Shapefiles (.shp), not one."
        )
    return f"/vsizip/{{{path.resolve()}}}/{shapefiles[0]}"


def _kml_of(path: Path) -> bytes:
    """Return the first KML in a KMZ, as the KMZ specification says."""
    documents = [name for name in _file_names(path) if name.lower().endswith(".kml")]
    if not documents:
        raise InvalidAreaError(f"{path.name} contains no KML.")
    with zipfile.ZipFile(path) as archive:
        _check_size(path.name, archive.getinfo(documents[0]).file_size)
        try:
            return archive.read(documents[0])
        # Damaged, truncated, encrypted, or an unknown compression.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise InvalidAreaError(f"{path.name} cannot be unpacked: {error}.") from error


def _file_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except zipfile.BadZipFile as error:
        raise InvalidAreaError(f"{path.name} is not a zip file: {error}.") from error


def _check_size(name: str, size: int) -> None:
    if size > MAX_UPLOAD:
        raise InvalidAreaError(
            f"{name} is {size / 1e6:.1f} MB; the maximum is {MAX_UPLOAD / 1e6:.1f} MB."
        )
