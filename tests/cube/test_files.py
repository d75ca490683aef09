"""A cube keeps what it means in NetCDF and Zarr, in the words of the CF conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

import constellr_stac
from constellr_stac.layers.table import LAYERS
from layer_files import written_item
from scene_cubes import cube_of

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

BANDS = ["lst", "cloud_mask"]
FORMATS = pytest.mark.parametrize("suffix", ["nc", "zarr"])
ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])


def scene(folder: Path) -> pystac.Item:
    """A scene with all there is to say of it."""
    item = written_item(folder, ("lst", "scl_mask_30m"))
    item.properties |= {"platform": "SBA01", "order:id": "7", "eo:cloud_cover": 12.5}
    return item


def written(cube: xr.Dataset, path: Path) -> None:
    """Write a cube; a store that other libraries cannot read is a warning, and so an error."""
    if path.suffix == ".nc":
        cube.to_netcdf(path)
    else:
        cube.to_zarr(path, consolidated=False)


def decoded(path: Path, **options: Any) -> xr.Dataset:
    """Open a file as xarray does by itself, and let go of it."""
    zarr: dict[str, Any] = (
        {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {}
    )
    with xr.open_dataset(path, **zarr, **options) as cube:
        return cube.load()


@ENGINES
@FORMATS
def test_a_file_holds_what_the_cube_says(tmp_path: Path, suffix: str, engine: Any) -> None:
    """Values, classes, units, grid, times and where each step is from, read back identical."""
    cube = constellr_stac.load(scene(tmp_path), BANDS, engine=engine, units="degC").compute()
    path = tmp_path / f"cube.{suffix}"
    written(cube, path)
    back = decoded(path, decode_coords="all")
    xr.testing.assert_equal(back, cube)
    assert back.odc.geobox == cube.odc.geobox
    assert back["lst"].attrs["units"] == "degC"
    assert back["cloud_mask"].dtype == np.uint8
    assert list(back["cloud_mask"].attrs["flag_values"]) == [0, 1, 2, 3]
    words = decoded(path, decode_cf=False)
    assert words.attrs["Conventions"] == "CF-1.11"
    assert words["lst"].attrs["grid_mapping"] == "spatial_ref"
    assert words["time"].attrs["units"].endswith("since 2026-06-01 12:30:05")
    if suffix == "nc":
        assert words["cloud_mask"].attrs["flag_values"].dtype == np.uint8
    names = {name: words[name].attrs.get("standard_name") for name in ("x", "y", "time")}
    assert names == {
        "x": "projection_x_coordinate",
        "y": "projection_y_coordinate",
        "time": "time",
    }
    assert words["platform"].attrs["standard_name"] == "platform_name"
    assert words["cloud_cover"].attrs["units"] == "percent"


@FORMATS
def test_a_file_is_worked_with_as_the_cube_is(tmp_path: Path, suffix: str) -> None:
    """Read back, the CRS is a variable among others; masks, anomalies and series pass it by."""
    item = scene(tmp_path)
    cube = constellr_stac.load(item, BANDS).compute()
    path = tmp_path / f"cube.{suffix}"
    written(cube, path)
    back = decoded(path)
    assert "spatial_ref" in back.data_vars
    clear = constellr_stac.load(item, BANDS, mask="clear").compute()
    np.testing.assert_array_equal(back.constellr.clear()["lst"], clear["lst"])
    anomaly = back.constellr.anomaly()
    assert anomaly.odc.geobox == cube.odc.geobox
    xr.testing.assert_identical(anomaly["spatial_ref"], back["spatial_ref"])
    centre = cube.odc.geobox.extent.centroid
    assert set(back.constellr.timeseries(centre).data_vars) == {"lst"}


@ENGINES
@FORMATS
def test_stored_numbers_are_decoded_by_whoever_opens_them(
    tmp_path: Path, suffix: str, engine: Any
) -> None:
    """A fill value is NaN after ``raw=True``, a file and xarray, and after ``decode_cf`` alone."""
    item = scene(tmp_path)
    values = constellr_stac.load(item, BANDS).compute()
    stored = constellr_stac.load(item, BANDS, raw=True, engine=engine).compute()
    assert (stored["lst"] == 65535).any()
    np.testing.assert_allclose(xr.decode_cf(stored)["lst"], values["lst"], rtol=1e-6)
    path = tmp_path / f"cube.{suffix}"
    written(stored, path)
    back = decoded(path)
    np.testing.assert_allclose(back["lst"], values["lst"], rtol=1e-6)
    # Degrees below zero do not fit into what the kelvin were packed in.
    cold = tmp_path / f"cold.{suffix}"
    written(back.constellr.celsius, cold)
    np.testing.assert_allclose(decoded(cold)["lst"], values["lst"] - 273.15, rtol=1e-4)
    for use in (lambda: stored.constellr.celsius, stored.constellr.anomaly, stored.constellr.table):
        with pytest.raises(ValueError, match=r"lst: raw stored values .*decode_cf"):
            use()


def test_what_is_no_pixel_is_not_masked() -> None:
    """A number for each step, and integers without a fill value, beside the temperatures."""
    clouds = np.zeros((1, 6, 8), "uint8")
    clouds[0, 0, 0] = 1
    cube = cube_of(np.full((1, 6, 8), 300.0), ["2026-06-01T12:00:00"], clouds=clouds)
    cube["step"] = ("time", [4])
    cube["zone"] = (("y", "x"), np.ones((6, 8), "int32"))
    clear = cube.constellr.clear()
    xr.testing.assert_identical(clear["step"], cube["step"])
    assert clear["zone"].dims == ("time", "y", "x")
    assert int(clear["zone"].isnull().sum()) == int(clear["lst"].isnull().sum()) == 1


def test_flags_are_of_their_variables_type() -> None:
    """CF: ``flag_values`` have the type of the variable, and a meaning of one word each."""
    for band in (band for layer in LAYERS.values() for band in layer.bands):
        words = band.cf_attributes()
        if band.is_mask:
            assert words["flag_values"].dtype == band.dtype
            assert len(words["flag_meanings"].split()) == len(words["flag_values"])
        else:
            assert words["units"] in ("K", "1")
