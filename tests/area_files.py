"""Files with one area, in every format that orders accept."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import geopandas as gpd
import shapely

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SQUARE = shapely.box(8.6, 49.8, 8.7, 49.9)
IN_DEGREES = gpd.GeoDataFrame({"name": ["field"]}, geometry=[SQUARE], crs="EPSG:4326")
IN_METRES = IN_DEGREES.to_crs("EPSG:32632")
KML = """<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document>
<Folder><name>empty</name></Folder>
<Folder><name>fields</name><Placemark><name>field</name><Polygon><outerBoundaryIs><LinearRing>
<coordinates>8.6,49.8,12 8.7,49.8,12 8.7,49.9,12 8.6,49.9,12 8.6,49.8,12</coordinates>
</LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>
</Document></kml>
"""


def write_geojson(path: Path) -> None:
    """Write GeoJSON, in degrees."""
    IN_DEGREES.to_file(path, driver="GeoJSON")


def write_geopackage(path: Path) -> None:
    """Write a GeoPackage, in metres."""
    IN_METRES.to_file(path, driver="GPKG")


def write_kml(path: Path) -> None:
    """Write a KML with two folders, one of them empty."""
    path.write_text(KML, "utf-8")


def write_kmz(path: Path) -> None:
    """Write a KML in a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/readme.txt", "nothing")
        archive.writestr("doc.kml", KML)


def write_shapefile(path: Path, *, folder: str = "", names: tuple[str, ...] = ("field",)) -> None:
    """Write Shapefiles in a zip, in metres."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            shapefile = path.parent / f"{name}.shp"
            IN_METRES.to_file(shapefile)
            for part in path.parent.glob(f"{name}.*"):
                if part != path:
                    archive.write(part, f"{folder}{part.name}")
        archive.writestr("__MACOSX/._field.shp", "")


def write_nested_shapefile(path: Path) -> None:
    """Write a Shapefile in a folder of a zip."""
    write_shapefile(path, folder="some folder/")


def write_parquet(path: Path) -> None:
    """Write GeoParquet, in metres."""
    IN_METRES.to_parquet(path)


def write_flatgeobuf(path: Path) -> None:
    """Write FlatGeobuf, in metres."""
    IN_METRES.to_file(path, driver="FlatGeobuf")


KINDS: dict[str, Callable[[Path], None]] = {
    "field.geojson": write_geojson,
    "field.json": write_geojson,
    "field.gpkg": write_geopackage,
    "field.kml": write_kml,
    "FIELD.KML": write_kml,
    "field.kmz": write_kmz,
    "field shape.zip": write_shapefile,
    "a+b {c}.zip": write_nested_shapefile,
    "field.parquet": write_parquet,
    "field.fgb": write_flatgeobuf,
}
