"""Every method of the accessor on maps, single steps, single pixels, empty cubes and files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr

import constellr_stac
import constellr_stac.accessor
from constellr_stac.layers.table import LAYERS
from scene_cubes import BOX, cube_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AREA = shapely.box(*BOX.boundingbox)
AREAS = gpd.GeoDataFrame({"name": ["all"]}, geometry=[AREA], crs="EPSG:32611")
TIMES = ["2023-07-03T15:25:51", "2023-07-04T15:20:00", "2023-12-04T03:00:00"]
STATISTICS = ["mean", "median", "p90", "std", "count", "area", "uncertainty", "classes"]


@cache
def cube() -> xr.Dataset:
    """Three scenes with clouds and standard errors."""
    random = np.random.default_rng(1)
    cube = cube_of(random.uniform(280, 320, (3, 6, 8)), TIMES, clouds=np.zeros((3, 6, 8)))
    cube["lst_std"] = (cube["lst"].dims, cube["lst"].values / 300, _deviation())
    return cube.assign_coords(daytime=("time", [True, True, False]))


def _deviation() -> dict[str, Any]:
    return LAYERS["lst_std"].bands[0].cf_attributes()


CUBES: dict[str, Callable[[Path], xr.Dataset]] = {
    "median over time": lambda _: cube().median("time"),
    "one step": lambda _: cube().isel(time=0),
    "a cube of one step": lambda _: cube().isel(time=[0]),
    "one pixel": lambda _: cube().isel(y=[2], x=[3]),
    "all NaN": lambda _: cube().assign(lst=cube()["lst"] * np.nan),
    "open_zarr": lambda folder: xr.open_zarr(folder / "cube.zarr"),
    "open_dataset": lambda folder: xr.open_dataset(folder / "cube.nc"),
    "a pixel of open_dataset": lambda folder: xr.open_dataset(folder / "cube.nc").isel(
        y=[1], x=[1]
    ),
    "coordinates in other chunks": lambda _: (
        cube().chunk(time=2).assign_coords(daytime=cube()["daytime"].chunk(time=3))
    ),
    "open_cube": lambda folder: constellr_stac.open_cube(folder / "cube.zarr"),
    "open_cube of NetCDF": lambda folder: constellr_stac.open_cube(folder / "cube.nc"),
}
METHODS: dict[str, Callable[[Any], Any]] = {
    "celsius": lambda each: each.celsius,
    "clear": lambda each: each.clear(mask_buffer=40),
    "solar_hour": lambda each: each.solar_hour,
    "anomaly": lambda each: each.anomaly(),
    "composite": lambda each: each.composite(),
    "mean composite": lambda each: each.composite("season", statistic="mean", min_clear=0.3),
    "clear_fraction": lambda each: each.clear_fraction(),
    "timeseries": lambda each: each.timeseries(AREA, crs=32611),
    "zonal": lambda each: each.zonal(AREAS, statistics=STATISTICS, min_clear=0.1),
    "table": lambda each: each.table(),
    "to_geodataframe": lambda each: each.zonal(AREAS).constellr.to_geodataframe(),
    "quicklook": lambda each: each.quicklook(),
    "repr": repr,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cube is written as NetCDF and Zarr."""
    folder = tmp_path_factory.mktemp("cubes")
    cube().to_netcdf(folder / "cube.nc")
    cube().to_zarr(folder / "cube.zarr", zarr_format=2, consolidated=True)
    return folder


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "lazy"])
@pytest.mark.parametrize("kind", CUBES)
def test_every_method_works(kind: str, lazy: bool, folder: Path) -> None:  # noqa: FBT001
    """And gives the numbers of the same pixels in memory."""
    source = CUBES[kind](folder)
    if lazy:
        source = source.chunk({"y": 4, "x": 5} | ({"time": 1} if "time" in source.dims else {}))
    for name, method in METHODS.items():
        if lazy and name == "quicklook":
            continue  # drawn once
        result = method(source.constellr)
        if hasattr(result, "compute"):
            result.compute()
    zonal = source.constellr.zonal(AREAS, statistics=["mean"])["lst_mean"].values.ravel()
    per_step = source["lst"].values.reshape(zonal.size, -1)
    expected = per_step.mean(axis=1) if np.isfinite(per_step).all() else [np.nan] * zonal.size
    np.testing.assert_allclose(zonal, expected, rtol=1e-6)
    np.testing.assert_allclose(
        source.constellr.table()["median"], np.median(per_step, axis=1), rtol=1e-6
    )
    if lazy:
        assert source.constellr.zonal(AREAS).chunks
        assert source.constellr.composite().chunks
    source.close()


def test_repr_says_what_the_cube_holds() -> None:
    """As text and HTML: content and methods; nothing is computed."""
    lazy = cube().chunk(time=1)
    text, page = repr(lazy.constellr), lazy.constellr._repr_html_()
    for part in (
        "lst (K), lst_std (K)",
        "cloud_mask: clear thick thin shadow",
        "3 steps, 2023-07-03 to 2023-12-04",
        "6 x 8 pixels of 30 metre, EPSG:32611",
        "zonal(areas)",
    ):
        assert part in text
        assert part in page
    hostile = cube().assign(lst=cube()["lst"].assign_attrs(units="<script>"))
    assert "<script>" not in hostile.constellr._repr_html_()


def test_map_without_a_time() -> None:
    """Its time is NaT, its solar hour NaN, and it differs from itself by nothing."""
    composite = cube().median("time").constellr
    assert np.isnan(composite.solar_hour)
    [row] = composite.table().itertuples()
    assert str(row.Index) == "NaT"
    assert row.daytime is None
    assert float(abs(composite.anomaly()["lst"]).max()) == 0
    assert composite.composite("month")["lst"].dims == ("y", "x")
    assert composite.timeseries(AREA, crs=32611)["lst"].ndim == 0


def test_open_cube_is_the_cube_that_was_written(folder: Path, tmp_path: Path) -> None:
    """Lazy, with its grid, whatever the store is called."""
    opened = constellr_stac.open_cube(folder / "cube.zarr")
    assert opened.chunks
    xr.testing.assert_allclose(opened, cube())
    assert opened.odc.geobox == cube().odc.geobox
    cube().to_zarr(tmp_path / "store", zarr_format=2)
    xr.testing.assert_allclose(constellr_stac.open_cube(tmp_path / "store", chunks=None), cube())
    with pytest.raises(FileNotFoundError):
        constellr_stac.open_cube(tmp_path / "nothing.nc")
