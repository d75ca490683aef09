"""One door for geometries: the same forms for searches, cubes, orders and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import odc.geo.geom
import pytest
import rasterio.features
import shapely

import constellr_stac
import constellr_stac.accessor
from area_files import KINDS
from constellr_stac.errors import InvalidAreaError
from constellr_stac.geometry.any_geometry import geometry_from, table_from
from constellr_stac.orders import polygon_from
from layer_files import EPSG, ORIGIN, written_item

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = shapely.box(8.6, 49.8, 8.7, 49.9)
TRIANGLE = shapely.Polygon([ORIGIN, (ORIGIN[0] + 337, ORIGIN[1]), (ORIGIN[0], ORIGIN[1] - 341)])
"""Half of the scene, in its CRS."""
SERIES = gpd.GeoSeries([SQUARE], crs=4326)
FEATURE = {"type": "Feature", "properties": {}, "geometry": SQUARE.__geo_interface__}
FORMS: dict[str, Any] = {
    "shapely": SQUARE,
    "wkt": SQUARE.wkt,
    "geojson": SQUARE.__geo_interface__,
    "feature": FEATURE,
    "collection": {"type": "FeatureCollection", "features": [FEATURE]},
    "odc.geo": odc.geo.geom.Geometry(SQUARE, "EPSG:4326"),
    "series": SERIES,
    "frame in metres": gpd.GeoDataFrame(geometry=SERIES.to_crs(32632)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_the_same_geometry(form: Any) -> None:
    """For searches and cubes, for orders, and for statistics."""
    for read in (geometry_from, polygon_from, only_area):
        assert read(form).symmetric_difference(SQUARE).area < 1e-9


@pytest.mark.parametrize("name", KINDS)
def test_every_file_is_the_same_geometry(name: str, tmp_path: Path) -> None:
    """In any CRS and format."""
    KINDS[name](tmp_path / name)
    for read in (geometry_from, polygon_from, only_area):
        assert read(tmp_path / name).symmetric_difference(SQUARE).area < 1e-9


@pytest.mark.parametrize("name", ["EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84"])
def test_a_stated_crs_is_not_replaced(name: str) -> None:
    """``crs=`` is for a geometry that states none, also where it states the default."""
    stated = {**SQUARE.__geo_interface__, "crs": {"type": "name", "properties": {"name": name}}}
    assert geometry_from(stated, crs="EPSG:32632").equals(SQUARE)


def only_area(form: Any) -> shapely.Geometry:
    """The only row of a table, in degrees."""
    (shape,) = table_from(form).geometry.to_crs(4326)
    return shape


def test_rows_keep_their_columns(tmp_path: Path) -> None:
    """The features of GeoJSON, the rows of files and of all their layers."""
    features = [
        {**FEATURE, "properties": {"name": "field"}},
        {"type": "Feature", "properties": {"name": "none"}, "geometry": None},
    ]
    table = table_from({"type": "FeatureCollection", "features": features})
    assert table["name"].tolist() == ["field", "none"]
    assert table.geometry.isna().tolist() == [False, True]
    path = tmp_path / "two.gpkg"
    table.to_file(path, layer="a")
    table.to_crs(32632).to_file(path, layer="b")
    assert table_from(path)["name"].tolist() == ["field", "none"] * 2


def test_geometry_in_its_own_crs_is_exact() -> None:
    """Not by way of degrees, where it would move."""
    series = gpd.GeoSeries([TRIANGLE], crs=EPSG)
    assert geometry_from(series, to=EPSG) == TRIANGLE
    assert geometry_from(TRIANGLE, crs=EPSG, to=EPSG) == TRIANGLE
    assert geometry_from(f"SRID={EPSG};{TRIANGLE.wkt}", to=EPSG) == TRIANGLE
    assert geometry_from(odc.geo.geom.Geometry(TRIANGLE, EPSG), to=EPSG) == TRIANGLE


def test_several_parts_are_united() -> None:
    """Points and lines are geometries too."""
    other = shapely.box(8.7, 49.8, 8.8, 49.9)
    whole = geometry_from(gpd.GeoSeries([SQUARE, other], crs=4326))
    assert whole.equals(shapely.box(8.6, 49.8, 8.8, 49.9))
    assert geometry_from("POINT (8.6 49.8)") == shapely.Point(8.6, 49.8)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (3, "A int is not an area"),
        (gpd.GeoSeries([SQUARE]), "has no CRS"),
        ("POLYGON ((8 49, 9", "WKT cannot be read"),
        (shapely.box(49.8, 100, 49.9, 101), "Longitude and latitude look swapped"),
        (shapely.box(500000, 5500000, 500100, 5500100), "reproject metres"),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "not valid"),
        (shapely.Polygon(), "empty"),
        ({"type": "Polygon", "coordinates": 3}, "."),
    ],
)
def test_wrong_geometry_has_the_same_message_everywhere(
    form: Any, message: str, tmp_path: Path
) -> None:
    """It is an InvalidAreaError that names the cause."""
    item = written_item(tmp_path, ["lst"])
    cube = constellr_stac.load(item, ["lst"])
    for read in (
        polygon_from,
        lambda area: constellr_stac.load(item, ["lst"], geopolygon=area),
        cube.constellr.timeseries,
        cube.constellr.zonal,
    ):
        if read == cube.constellr.zonal and message == "empty":
            continue  # a row without a geometry has no values
        with pytest.raises(InvalidAreaError, match=message):
            read(form)


def test_clip_leaves_out_what_is_outside(tmp_path: Path) -> None:
    """Pixels whose centre is outside have no data, in values and masks; rasterio agrees."""
    item = written_item(tmp_path, ["lst", "scl_mask_30m"])
    area = gpd.GeoSeries([TRIANGLE], crs=EPSG)
    grid = constellr_stac.load(item, ["lst"]).odc.geobox
    item.geometry, item.bbox = grid.geographic_extent.json, [-180, -90, 180, 90]
    bands = ["lst", "cloud_mask"]
    whole = constellr_stac.load(item, bands, geobox=grid).compute()
    arguments: dict[str, Any] = {"geopolygon": area, "resolution": 30, "crs": f"EPSG:{EPSG}"}
    cube = constellr_stac.load(item, bands, clip=True, **arguments).compute()
    own = cube.odc.geobox
    outside = rasterio.features.geometry_mask([TRIANGLE], own.shape, own.affine)
    assert np.isnan(cube.lst.values[0][outside]).all()
    assert (cube.cloud_mask.values[0][outside] == 255).all()
    assert cube.cloud_mask.dtype == "uint8"
    same = whole.reindex_like(cube, method="nearest").lst.values[0]
    np.testing.assert_array_equal(cube.lst.values[0][~outside], same[~outside])
    assert np.isfinite(same[~outside]).sum() > 40
    assert cube.lst.attrs["units"] == "K"
    assert cube.odc.crs == own.crs
    with pytest.raises(ValueError, match="clip=True needs geopolygon="):
        constellr_stac.load(item, ["lst"], clip=True)
