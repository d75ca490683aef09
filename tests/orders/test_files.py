"""Reading areas from files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from area_files import (
    IN_METRES,
    KINDS,
    KML,
    SQUARE,
    write_geojson,
    write_geopackage,
    write_kmz,
    write_shapefile,
)
from constellr_stac.geometry.files import MAX_UPLOAD, is_path, read_area, upload_of
from constellr_stac.orders import InvalidAreaError, polygon_from, same_area

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("name", KINDS)
def test_every_format_gives_the_polygon(name: str, tmp_path: Path) -> None:
    """GeoJSON, GeoPackage, KML, KMZ and zipped Shapefiles are read, in any CRS."""
    path = tmp_path / name
    KINDS[name](path)
    assert same_area(polygon_from(read_area(path)), SQUARE)
    assert same_area(polygon_from(read_area(str(path))), SQUARE)


def test_file_with_two_areas_is_refused(tmp_path: Path) -> None:
    """Two areas are refused, in one layer or in two."""
    path = tmp_path / "two.gpkg"
    IN_METRES.to_file(path, layer="a")
    IN_METRES.to_file(path, layer="b")
    with pytest.raises(InvalidAreaError, match="2 rows, not one"):
        polygon_from(path)
    shapefiles = tmp_path / "two.zip"
    write_shapefile(shapefiles, names=("one", "other"))
    with pytest.raises(InvalidAreaError, match="2 Shapefiles"):
        read_area(shapefiles)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.geojson", b"{", "not JSON"),
        ("a.geojson", b"\xff\xfe\x00", "not JSON"),
        ("a.geojson", b"[1]", "not GeoJSON"),
        ("a.gpkg", b"no database", "cannot be read"),
        ("a.kml", b"<kml", "cannot be read"),
        ("a.kmz", b"no zip", "not a zip file"),
        ("a.zip", b"no zip", "not a zip file"),
        ("a.shp", b"", r"as one \.zip"),
        ("a", b"", "without a suffix"),
        ('{"type": "Polygon"}', b"", "GeoJSON as a dict"),
    ],
)
def test_broken_file_is_refused_by_name(
    name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    """An unreadable file is an InvalidAreaError that names it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidAreaError, match=reason) as refused:
        read_area(path)
    assert name in str(refused.value)


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "kml", "kmz", "zip"])
def test_missing_file_is_file_not_found(suffix: str, tmp_path: Path) -> None:
    """A missing file is a FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        read_area(tmp_path / f"none.{suffix}")


def test_archive_without_area_is_refused(tmp_path: Path) -> None:
    """A KMZ without KML and a zip without a Shapefile are refused."""
    for name, reason in [("a.kmz", "no KML"), ("a.zip", "0 Shapefiles")]:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme.txt", "nothing")
        with pytest.raises(InvalidAreaError, match=reason):
            read_area(tmp_path / name)


@pytest.mark.parametrize("damage", ["damaged", "encrypted"])
@pytest.mark.parametrize("read", [read_area, upload_of])
def test_damaged_or_encrypted_kmz_is_refused(
    damage: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    """A KMZ whose directory is readable but not its contents is refused."""
    path = tmp_path / "field.kmz"
    write_kmz(path)
    content = bytearray(path.read_bytes())
    if damage == "damaged":
        content[content.index(b"PK\x01\x02") - 9] ^= 0xFF  # in the compressed data
    else:
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
        content[content.rindex(b"PK\x03\x04") + 6] |= 1
    path.write_bytes(content)
    with pytest.raises(InvalidAreaError, match=r"field\.kmz cannot be unpacked"):
        read(path)


def test_is_path(tmp_path: Path) -> None:
    """Strings and paths are files; nothing else is."""
    assert is_path("field.kml")
    assert is_path(tmp_path)
    assert not is_path(SQUARE)
    assert not is_path({"type": "Polygon"})


def test_upload_formats(tmp_path: Path) -> None:
    """A KML and a zipped Shapefile are sent unchanged, a KMZ as its KML."""
    for name in ("field.kml", "field.kmz", "field shape.zip"):
        KINDS[name](tmp_path / name)
    kml = upload_of(tmp_path / "field.kml")
    assert (kml.name, kml.file_format, kml.content) == ("field.kml", "kml", KML.encode())
    kmz = upload_of(tmp_path / "field.kmz")
    assert (kmz.name, kmz.file_format, kmz.content) == ("field.kml", "kml", KML.encode())
    zipped = upload_of(tmp_path / "field shape.zip")
    assert (zipped.name, zipped.file_format) == ("field shape.zip", "shapefile")
    assert zipped.content == (tmp_path / "field shape.zip").read_bytes()
    assert "content" not in repr(zipped)


def test_files_over_ten_megabytes_are_refused(tmp_path: Path) -> None:
    """The converter's limit is checked before reading, compressed or not."""
    large = tmp_path / "large.kml"
    with large.open("wb") as file:
        file.truncate(MAX_UPLOAD + 100_000)
    with pytest.raises(InvalidAreaError, match=r"10\.1 MB"):
        upload_of(large)
    with zipfile.ZipFile(tmp_path / "bomb.kmz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(large, "doc.kml")
    for read in (upload_of, read_area):
        with pytest.raises(InvalidAreaError, match=r"10\.1 MB"):
            read(tmp_path / "bomb.kmz")
    with pytest.raises(InvalidAreaError, match="the API converts"):
        upload_of(tmp_path / "field.gpkg")


WITHOUT_GEO = """
import sys
sys.modules["geopandas"] = sys.modules["pyogrio"] = None  # simulates that they are not installed
from constellr_stac.errors import MissingExtraError
from constellr_stac.orders import aois_to_geodataframe, orders_to_geodataframe, polygon_from
from constellr_stac.geometry.files import read_area
polygon_from(read_area(sys.argv[1]))
for needs_geo in (
    lambda: read_area(sys.argv[2]),
    lambda: aois_to_geodataframe([]),
    lambda: orders_to_geodataframe([], []),
):
    try:
        needs_geo()
    except MissingExtraError as error:
        print(error)
"""


def test_without_geo_extra_only_geojson_is_read(
    tmp_path: Path,
) -> None:
    """GeoJSON needs no extra; a GeoPackage and tables name the extra ``geo``."""
    write_geojson(tmp_path / "field.geojson")
    write_geopackage(tmp_path / "field.gpkg")
    command = [sys.executable, "-c", WITHOUT_GEO]
    paths = [str(tmp_path / "field.geojson"), str(tmp_path / "field.gpkg")]
    done = subprocess.run(command + paths, check=True, capture_output=True, text=True)
    assert done.stdout.count("pip install 'constellr-stac[geo]'") == 3


def test_geojson_coordinates_are_exact(tmp_path: Path) -> None:
    """Coordinates of a GeoJSON file are read bit for bit."""
    path = tmp_path / "a.geojson"
    ring = [[0.1 + 0.2, 1 / 3], [1 / 7, 0.5], [0.1, 0.9], [0.1 + 0.2, 1 / 3]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    polygon = polygon_from(read_area(path))
    assert set(polygon.exterior.coords) == {tuple(position) for position in ring}
