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
from area_files import write_geopackage
from constellr_stac.errors import InvalidAreaError
from constellr_stac.geometry.any_geometry import geometry_from
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
    """For searches and cubes, and for orders."""
    for read in (geometry_from, polygon_from):
        assert read(form).symmetric_difference(SQUARE).area < 1e-9


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
def test_wrong_geometry_has_the_same_message_for_cubes_and_orders(
    form: Any, message: str, tmp_path: Path
) -> None:
    """It is an InvalidAreaError that names the cause."""
    item = written_item(tmp_path, ["lst"])
    for read in (polygon_from, lambda area: constellr_stac.load(item, ["lst"], geopolygon=area)):
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


def test_file_is_read(tmp_path: Path) -> None:
    """Any vector file in any CRS."""
    path = tmp_path / "area.gpkg"
    write_geopackage(path)
    assert geometry_from(path).geom_type == "Polygon"
