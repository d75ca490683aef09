"""GeoTIFF files, read back with rasterio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio import Affine

import constellr_stac.accessor  # noqa: F401 - registers cube.constellr
from scene_cubes import BOX, cube_of

if TYPE_CHECKING:
    from pathlib import Path

TIMES = ["2023-07-03T15:25:51", "2023-07-04T15:20:00"]


def small(geobox: GeoBox = BOX) -> xr.Dataset:
    """Two scenes with a gap and clouds."""
    random = np.random.default_rng(2)
    kelvin = random.uniform(270, 320, (2, *geobox.shape))
    kelvin[0, 1, 2] = np.nan
    return cube_of(kelvin, TIMES, clouds=random.integers(0, 4, kelvin.shape), geobox=geobox)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_folder_has_a_file_for_each_variable_and_step(tmp_path: Path, lazy: bool) -> None:  # noqa: FBT001
    """With values, grid, unit, nodata, time and name."""
    cube = small()
    files = (cube.chunk(time=1) if lazy else cube).constellr.to_geotiff(tmp_path / "maps")
    assert [file.name for file in files] == [
        "lst_20230703T152551Z.tif",
        "cloud_mask_20230703T152551Z.tif",
        "lst_20230704T152000Z.tif",
        "cloud_mask_20230704T152000Z.tif",
    ]
    assert sorted(files) == sorted((tmp_path / "maps").iterdir())
    with rasterio.open(files[0]) as file:
        np.testing.assert_array_equal(file.read(1), cube["lst"][0])
        assert np.isnan(file.nodata)
        assert (file.units, file.descriptions) == (("K",), ("land surface temperature",))
        assert (file.transform, file.crs.to_epsg()) == (BOX.affine, 32611)
        assert file.tags()["TIFFTAG_DATETIME"] == "2023:07:03 15:25:51"
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with rasterio.open(files[1]) as file:
        np.testing.assert_array_equal(file.read(1), cube["cloud_mask"][0])
        assert file.dtypes == ("uint8",)


@pytest.mark.parametrize("units", ["K", "degC"])
def test_scaled_integers(tmp_path: Path, units: str) -> None:
    """Within half a step, also below zero; NaN is nodata."""
    cube = small() if units == "K" else small().constellr.celsius
    [path] = cube.isel(time=0).constellr.to_geotiff(tmp_path / "map.tif", scale=0.01)
    with rasterio.open(path) as file:
        assert file.dtypes == (("uint16",) if units == "K" else ("int16",))
        assert file.scales == (0.01,)
        values = file.read(1, masked=True)
        assert values.mask.sum() == 1
        np.testing.assert_allclose(values.filled(0) * 0.01, cube["lst"][0].fillna(0), atol=0.00501)
    with pytest.raises(ValueError, match=r"lst does not fit 16 bits in steps of 0.001"):
        cube.isel(time=0).constellr.to_geotiff(tmp_path / "other.tif", scale=0.001)
    assert [each.name for each in tmp_path.iterdir()] == ["map.tif"]


def test_overviews_average_values_and_keep_classes(tmp_path: Path) -> None:
    """The most frequent class of a mask."""
    box = GeoBox((1100, 1100), Affine(30, 0, 381060, 0, -30, 3746640), "EPSG:32611")
    cube = small(box)
    clouds = np.zeros((2, 1100, 1100), "uint8")
    clouds[:, ::2, ::2] = 3
    cube["cloud_mask"] = cube["cloud_mask"].copy(data=clouds)
    values, classes = cube.isel(time=1).constellr.to_geotiff(tmp_path)
    with rasterio.open(values, overview_level=0) as file:
        coarse = cube["lst"].values[1].reshape(550, 2, 550, 2).mean((1, 3))
        np.testing.assert_allclose(file.read(1), coarse, rtol=1e-5)
    with rasterio.open(classes, overview_level=0) as file:
        assert not file.read(1).any()


def test_rows_from_the_south(tmp_path: Path) -> None:
    """Are written from the north."""
    cube = small().isel(y=slice(None, None, -1))
    cube.isel(time=0).constellr.to_geotiff(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.transform == BOX.affine
        np.testing.assert_array_equal(file.read(1), small()["lst"][0])


def test_composites_and_repeated_seconds(tmp_path: Path) -> None:
    """A composite of all has no time in its name; scenes of one second get a number."""
    cube = small()
    [path] = cube.constellr.composite("all").constellr.to_geotiff(tmp_path)
    assert path.name == "lst.tif"
    twice = xr.concat([cube.isel(time=[0])] * 2, "time")
    names = [file.name for file in twice.constellr.to_geotiff(tmp_path, "lst")]
    assert names == ["lst_20230703T152551Z.tif", "lst_20230703T152551Z_1.tif"]


def test_unwritable_requests_are_refused(tmp_path: Path) -> None:
    """Several steps in one file, an unknown variable."""
    cube: Any = small().constellr
    with pytest.raises(ValueError, match=r"map.tif holds one map.*2 time steps.*composite"):
        cube.to_geotiff(tmp_path / "map.tif")
    with pytest.raises(ValueError, match="no 'lst_std'"):
        cube.to_geotiff(tmp_path, "lst_std")
    assert not list(tmp_path.iterdir())
