"""Cubes keep their metadata in NetCDF and Zarr, following the CF conventions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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


def full_scene(folder: Path) -> pystac.Item:
    """Write a scene with every property that a cube keeps."""
    item = written_item(folder, ("lst", "scl_mask_30m"))
    item.properties |= {"platform": "SBA01", "order:id": "7", "eo:cloud_cover": 12.5}
    return item


def write_cube(cube: xr.Dataset, path: Path) -> None:
    """Write a cube; a Zarr dtype that other libraries cannot read is an error."""
    if path.suffix == ".nc":
        cube.to_netcdf(path)
    else:
        cube.to_zarr(path, consolidated=False)


def read_cube(path: Path, **options: Any) -> xr.Dataset:
    """Read a file with plain xarray, and close it."""
    zarr: dict[str, Any] = (
        {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {}
    )
    with xr.open_dataset(path, **zarr, **options) as cube:
        return cube.load()


@ENGINES
@FORMATS
def test_file_round_trip(tmp_path: Path, suffix: str, engine: Any) -> None:
    """Values, classes, units, grid, times and sources are identical."""
    cube = constellr_stac.load(full_scene(tmp_path), BANDS, engine=engine, units="degC").compute()
    path = tmp_path / f"cube.{suffix}"
    write_cube(cube, path)
    back = read_cube(path, decode_coords="all")
    xr.testing.assert_equal(back, cube)
    assert back.odc.geobox == cube.odc.geobox
    assert back["lst"].attrs["units"] == "degC"
    assert back["cloud_mask"].dtype == np.uint8
    assert list(back["cloud_mask"].attrs["flag_values"]) == [0, 1, 2, 3]
    words = read_cube(path, decode_cf=False)
    assert words.attrs["Conventions"] == "CF-1.11"
    assert words["lst"].attrs["grid_mapping"] == "spatial_ref"
    assert words["time"].attrs["units"] == "microseconds since 1970-01-01"
    assert "_FillValue" not in words["x"].attrs
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
def test_reopened_file_works_like_the_cube(tmp_path: Path, suffix: str) -> None:
    """Its ``spatial_ref`` variable is ignored by masks, anomalies and time series."""
    item = full_scene(tmp_path)
    cube = constellr_stac.load(item, BANDS).compute()
    path = tmp_path / f"cube.{suffix}"
    write_cube(cube, path)
    back = read_cube(path)
    assert "spatial_ref" in back.variables
    clear = constellr_stac.load(item, BANDS, mask="clear").compute()
    np.testing.assert_array_equal(back.constellr.clear()["lst"], clear["lst"])
    anomaly = back.constellr.anomaly()
    assert anomaly.odc.geobox == cube.odc.geobox
    xr.testing.assert_identical(anomaly["spatial_ref"], back["spatial_ref"])
    centre = cube.odc.geobox.extent.centroid
    assert set(back.constellr.timeseries(centre).data_vars) == {"lst"}


@ENGINES
@FORMATS
def test_raw_values_are_decoded_on_open(tmp_path: Path, suffix: str, engine: Any) -> None:
    """After ``raw=True``, plain xarray and ``decode_cf`` both give NaN for nodata."""
    item = full_scene(tmp_path)
    values = constellr_stac.load(item, BANDS).compute()
    stored = constellr_stac.load(item, BANDS, raw=True, engine=engine).compute()
    assert (stored["lst"] == 65535).any()
    np.testing.assert_allclose(xr.decode_cf(stored)["lst"], values["lst"], rtol=1e-6)
    path = tmp_path / f"cube.{suffix}"
    write_cube(stored, path)
    back = read_cube(path)
    np.testing.assert_allclose(back["lst"], values["lst"], rtol=1e-6)
    # Negative degrees Celsius do not fit into the packed type of kelvin.
    cold = tmp_path / f"cold.{suffix}"
    possible = back.where(back["lst"] > 100)  # colder is refused
    write_cube(possible.constellr.celsius, cold)
    right = values["lst"].where(values["lst"] > 100) - 273.15
    np.testing.assert_allclose(read_cube(cold)["lst"], right, rtol=1e-4)
    for use in (lambda: stored.constellr.celsius, stored.constellr.anomaly, stored.constellr.table):
        with pytest.raises(ValueError, match=r"lst: raw stored values .*decode_cf"):
            use()


def test_only_spatial_variables_are_masked() -> None:
    """Variables per time step, and integers without nodata, are unchanged."""
    clouds = np.zeros((1, 6, 8), "uint8")
    clouds[0, 0, 0] = 1
    cube = cube_of(np.full((1, 6, 8), 300.0), ["2026-06-01T12:00:00"], clouds=clouds)
    cube["step"] = ("time", [4])
    cube["zone"] = (("y", "x"), np.ones((6, 8), "int32"))
    clear = cube.constellr.clear()
    xr.testing.assert_identical(clear["step"], cube["step"])
    assert clear["zone"].dims == ("time", "y", "x")
    assert int(clear["zone"].isnull().sum()) == int(clear["lst"].isnull().sum()) == 1


def test_flag_values_have_the_variable_dtype() -> None:
    """CF: ``flag_values`` have the variable's dtype, and each meaning is one word."""
    for band in (band for layer in LAYERS.values() for band in layer.bands):
        words = band.cf_attributes()
        if band.is_mask:
            assert words["flag_values"].dtype == band.dtype
            assert len(words["flag_meanings"].split()) == len(words["flag_values"])
        else:
            assert words["units"] in ("K", "1")


@pytest.mark.parametrize("kind", ["nc", "zarr-2", "zarr-3"])
def test_cube_appended_to_along_time_is_the_same_cube(tmp_path: Path, kind: str) -> None:
    """Scene by scene, the first one at midnight, the others at odd and sub-second times."""
    item = full_scene(tmp_path)
    midnight = datetime(2026, 6, 1, tzinfo=UTC)
    later = (timedelta(hours=7, seconds=1, microseconds=1), timedelta(days=3, microseconds=999_999))
    items = []
    for number, when in enumerate([midnight, *(midnight + each for each in later)]):
        items.append(item.clone())
        items[-1].id = f"scene {number} of several"
        items[-1].datetime = when
    path = tmp_path / f"cube.{kind.partition('-')[0]}"
    for number, one in enumerate(items):
        cube = constellr_stac.load(one, BANDS)
        if kind == "nc":
            if number:
                joined = xr.concat([read_cube(path), cube.compute()], "time", data_vars="minimal",
                                   coords="minimal", compat="override", join="exact",
                                   combine_attrs="override")  # fmt: skip
                joined.to_netcdf(path)
            else:
                cube.to_netcdf(path, unlimited_dims=["time"])
            continue
        how: dict[str, Any] = {"consolidated": False, "zarr_format": int(kind[-1])}
        cube.to_zarr(path, **(how | {"append_dim": "time"} if number else how))
    whole = constellr_stac.load(items, BANDS).compute()
    back = read_cube(path)
    xr.testing.assert_identical(back.assign_attrs(whole.attrs), whole)
    assert back.odc.geobox == whole.odc.geobox


def test_values_are_linked_to_their_uncertainty_and_masks(tmp_path: Path) -> None:
    """By ``ancillary_variables``, which name variables of the cube only, also in files."""
    item = written_item(tmp_path, ("lst", "lst_std", "scl_mask_30m"))
    cube = constellr_stac.load(item, ["lst", "lst_std", "cloud_mask"])
    links = {name: each.attrs.get("ancillary_variables") for name, each in cube.data_vars.items()}
    assert links == {"lst": "lst_std cloud_mask", "lst_std": None, "cloud_mask": None}
    masked = constellr_stac.load(item, ["lst"], mask="clear")
    assert masked.lst.attrs["ancillary_variables"] == "cloud_mask"
    assert "ancillary_variables" not in constellr_stac.load(item, ["lst"]).lst.attrs
    cube.to_netcdf(tmp_path / "cube.nc")
    assert read_cube(tmp_path / "cube.nc").lst.attrs["ancillary_variables"] == links["lst"]
