"""Each argument of the engines does with our parts what it does without them.

Those that change are in :mod:`test_engine_arguments`; ``docs/engines.md`` has the table.
"""

from __future__ import annotations

import inspect
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pytest
import stackstac
import tqdm
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from rasterio.enums import Resampling
from rasterio.transform import from_origin

import constellr_stac
from layer_files import EPSG, ORIGIN, written_item

if TYPE_CHECKING:
    import pystac

LEFT, TOP = ORIGIN
GRID = GeoBox((14, 14), from_origin(LEFT - 30, TOP + 30, 30, 30), f"EPSG:{EPSG}")
PLACE = box(LEFT + 45, TOP - 200, LEFT + 200, TOP - 45, EPSG)
DEGREES = PLACE.to_crs("EPSG:4326")
WEST, SOUTH, EAST, NORTH = DEGREES.boundingbox

ODC: dict[str, dict[str, Any]] = {
    "bands": {"bands": ["lst", "cloud_mask"]},
    "measurements": {"bands": None, "measurements": ["lst"]},
    "groupby": {"groupby": "solar_day"},
    "groupby=id": {"groupby": "id"},
    "groupby=None": {"groupby": None},
    "groupby=property": {"groupby": "gsd"},
    "groupby=function": {"groupby": lambda _item, parsed, _number: parsed.datetime.month},
    "resampling": {"geobox": GRID.zoom_out(0.7), "resampling": "bilinear"},
    "resampling=dict": {"geobox": GRID.zoom_out(0.7), "resampling": {"*": "average"}},
    "chunks": {"chunks": {"x": 5, "y": 7}},
    "pool": {"pool": 2},
    "crs": {"crs": "EPSG:32610", "resolution": 40},
    "output_crs": {"output_crs": "EPSG:4326", "resolution": 3e-4},
    "resolution": {"crs": f"EPSG:{EPSG}", "resolution": 60},
    "anchor": {"crs": f"EPSG:{EPSG}", "resolution": 30, "anchor": "center"},
    "align": {"crs": f"EPSG:{EPSG}", "resolution": 30, "align": 15},
    "geobox": {"geobox": GRID},
    "bbox": {"bbox": (WEST, SOUTH, EAST, NORTH)},
    "lon, lat": {"lon": (WEST, EAST), "lat": (SOUTH, NORTH)},
    "x, y": {
        "crs": f"EPSG:{EPSG}", "resolution": 30, "x": (LEFT, LEFT + 90), "y": (TOP - 90, TOP)
    },
    "like": {"like": GRID.pad(1)},
    "geopolygon": {"geopolygon": DEGREES},
    "intersects": {"intersects": DEGREES.json},
    "progress": {"progress": tqdm.tqdm},
    "fail_on_error": {"fail_on_error": False},
    "preserve_original_order": {"groupby": "gsd", "preserve_original_order": True},
    "fuse_func": {"groupby": "gsd", "fuse_func": "numpy.copyto"},
    "use_overviews": {"geobox": GRID.zoom_out(3), "use_overviews": False},
}  # fmt: skip
"""The same with our driver."""
ODC_CHANGED = {"dtype", "nodata", "stac_cfg", "with_properties", "patch_url", "driver"}

STACKSTAC: dict[str, dict[str, Any]] = {
    "epsg": {"epsg": 32610, "resolution": 40},
    "resolution": {"resolution": 60},
    "bounds": {"bounds": (LEFT + 40, TOP - 200, LEFT + 200, TOP - 40)},
    "bounds_latlon": {"bounds_latlon": (WEST, SOUTH, EAST, NORTH)},
    "snap_bounds": {"bounds": (LEFT + 40, TOP - 190, LEFT + 190, TOP - 40), "snap_bounds": False},
    "resampling": {"resolution": 20, "resampling": Resampling.bilinear},
    "chunksize": {"chunksize": (1, 1, 5, 7)},
    "dtype": {"rescale": False, "dtype": np.dtype("uint16"), "fill_value": np.uint16(65535)},
    "fill_value": {"fill_value": -9999.0},
    "rescale": {"rescale": False},
    "sortby_date": {"sortby_date": "desc"},
    "sortby_date=False": {"sortby_date": False},
    "xy_coords": {"xy_coords": "center"},
    "xy_coords=False": {"xy_coords": False},
    "properties": {"properties": ["gsd"]},
    "properties=False": {"properties": False},
    "band_coords": {"band_coords": False},
    "assets": {"assets": ["lst"]},
    "errors_as_nodata": {"errors_as_nodata": ()},
}
"""The same with our reader."""


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[pystac.Item]:
    """Two described scenes of one place, the later one first."""
    found = []
    for number in (1, 0):
        folder = Path(tmp_path_factory.mktemp(f"scene{number}"))
        item = written_item(folder, ["lst", "scl_mask_30m"], seed=number)
        assert item.datetime is not None
        item.id, item.datetime = f"scene {number}", item.datetime + timedelta(days=number)
        item.geometry, item.bbox = (
            GRID.geographic_extent.json,
            list(GRID.geographic_extent.boundingbox),
        )
        found.append(constellr_stac.describe(item).items)
    return found


def test_every_argument_is_watched() -> None:
    """The signatures have no argument that is not in a table here, and on the page."""
    page = Path(__file__).parents[2] / "docs" / "engines.md"
    odc_stac, of_stackstac = page.read_text("utf-8").split("## stackstac.stack with")
    for function, part in ((odc.stac.load, odc_stac), (stackstac.stack, of_stackstac)):
        for name in inspect.signature(function).parameters.keys() - {"kw"}:
            assert f"`{name}`" in part
    names = {name for key, given in ODC.items() for name in (key, *given)}
    assert set(inspect.signature(odc.stac.load).parameters) - {"items", "kw"} <= names | ODC_CHANGED
    taken = {name for key, given in STACKSTAC.items() for name in (key, *given)}
    assert set(inspect.signature(stackstac.stack).parameters) - taken == {
        "items", "gdal_env", "reader"
    }  # fmt: skip


@pytest.mark.parametrize("case", ODC)
def test_odc_stac_loads_the_same(items: list[pystac.Item], case: str) -> None:
    """The same grid, steps, chunks and pixels; stored numbers of plain odc-stac times 0.01."""
    arguments = {"bands": ["lst"], **ODC[case]}
    plain = odc.stac.load(items, **arguments)
    ours = odc.stac.load(items, driver="constellr_stac.OdcDriver", **arguments)
    assert ours.odc.geobox == plain.odc.geobox
    assert ours.chunks == plain.chunks
    assert ours.time.equals(plain.time)
    stored = plain.lst.values
    kelvin = np.where(stored == 65535, np.nan, stored * 0.01)
    if "resampling" in case:  # plain odc-stac interpolates integers
        both = np.isfinite(kelvin) & np.isfinite(ours.lst.values)
        assert both.mean() > 0.9 * np.isfinite(kelvin).mean()
        np.testing.assert_allclose(ours.lst.values[both], kelvin[both], atol=0.011, rtol=1e-6)
    else:
        np.testing.assert_allclose(ours.lst, kelvin, rtol=1e-6)
    if "cloud_mask" in plain:
        np.testing.assert_array_equal(ours.cloud_mask, plain.cloud_mask)


@pytest.mark.parametrize("case", STACKSTAC)
def test_stackstac_stacks_the_same(items: list[pystac.Item], case: str) -> None:
    """The same coordinates, chunks, dtype and pixels."""
    arguments = {"assets": ["lst"], **STACKSTAC[case]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from stackstac, on newer pandas and xarray
        plain = stackstac.stack(items, **arguments)
        ours = stackstac.stack(items, reader=constellr_stac.StackstacReader, **arguments)
    assert ours.coords.equals(plain.coords)
    assert (ours.chunks, ours.dtype) == (plain.chunks, plain.dtype)
    if case == "resampling":  # plain stackstac interpolates integers
        expected, found = plain.values, ours.values
        both = np.isfinite(expected) & np.isfinite(found)
        assert both.mean() > 0.9 * np.isfinite(expected).mean()
        np.testing.assert_allclose(found[both], expected[both], atol=0.011)
    else:
        np.testing.assert_allclose(ours, plain, rtol=1e-6)
