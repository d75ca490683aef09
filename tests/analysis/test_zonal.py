"""Zonal statistics, against NumPy, exactextract and pyproj."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
import xarray as xr
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio import Affine

import constellr_stac
import constellr_stac.accessor
from constellr_stac.layers.table import LAYERS
from scene_cubes import BOX, cube_of

CRS = "EPSG:32611"
TIMES = ["2023-07-03T15:25:51", "2023-07-04T15:20:00", "2023-07-05T03:00:00"]
LEFT, BOTTOM, RIGHT, TOP = BOX.boundingbox
ROWS, COLUMNS = BOX.shape
RANDOM = np.random.default_rng(3)


def small() -> xr.Dataset:
    """Three scenes of 6 x 8 pixels with gaps, clouds and standard errors."""
    kelvin = RANDOM.uniform(280, 320, (3, 6, 8)).astype("float32")
    kelvin[1, 2, 3:6] = np.nan
    cube = cube_of(kelvin, TIMES, clouds=RANDOM.integers(0, 4, (3, 6, 8)))
    errors = RANDOM.uniform(0.5, 2.0, (3, 6, 8)).astype("float32")
    errors[np.isnan(kelvin)] = np.nan
    cube["lst_std"] = (cube["lst"].dims, errors, LAYERS["lst_std"].bands[0].cf_attributes())
    return cube


def circles(count: int, radius: float) -> gpd.GeoDataFrame:
    """Discs in and around the cube, that overlap."""
    places = shapely.points(
        RANDOM.uniform(LEFT - 30, RIGHT + 30, count), RANDOM.uniform(BOTTOM - 30, TOP + 30, count)
    )
    return gpd.GeoDataFrame(
        {"name": range(count)}, geometry=shapely.buffer(places, radius), crs=CRS
    )


def shares(shape: shapely.Geometry) -> np.ndarray[Any, Any]:
    """Return the share of each pixel inside a geometry, from intersections."""
    result = np.zeros((ROWS, COLUMNS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = LEFT + 30 * column, TOP - 30 * row
            result[row, column] = shape.intersection(shapely.box(x, y - 30, x + 30, y)).area / 900
    return result


def weighted_percentile(values: Any, weights: Any, percent: float) -> float:
    """Integrate the quantile function over a window of one effective pixel, slowly (Akinshin)."""
    known = np.isfinite(values) & (weights > 0)
    values, weights = values[known], weights[known]
    if not values.size:
        return np.nan
    order = np.argsort(values)
    edges = np.concatenate([[0], np.cumsum(weights[order])]) / weights.sum()
    effective = weights.sum() ** 2 / (weights**2).sum()
    start = (effective - 1) * percent / 100 / effective
    overlap = np.minimum(edges[1:], start + 1 / effective) - np.maximum(edges[:-1], start)
    return float((np.clip(overlap, 0, None) * values[order]).sum() * effective)


@pytest.mark.parametrize("chunks", [None, {"time": 2, "y": 4, "x": 3}])
def test_statistics_are_weighted_by_exact_shares(chunks: Any) -> None:
    """Every statistic equals NumPy's on the shares of intersections, lazy or not."""
    cube = small()
    areas = circles(12, 40.0)
    names = ["mean", "median", "p90", "p2.5", "min", "max", "std", "count", "uncertainty"]
    given_cube = cube if chunks is None else cube.chunk(chunks)
    result = given_cube.constellr.zonal(areas, statistics=names)
    assert (result.chunks == {}) == (chunks is None)
    result = result.compute()
    for zone, shape in enumerate(areas.geometry):
        weights = shares(shape)
        for step in range(3):
            values = cube["lst"].to_numpy()[step].astype(float)
            weight = np.where(np.isfinite(values), weights, 0)
            found = {name: float(result[f"lst_{name}"][step, zone]) for name in names}
            assert found["count"] == pytest.approx(weight.sum(), abs=1e-6)
            if weight.sum() < 1e-9:
                assert np.isnan([found[name] for name in names if name != "count"]).all()
                continue
            mean = np.nansum(weight * values) / weight.sum()
            inside = values[weight > 1e-12]
            errors = cube["lst_std"].to_numpy()[step].astype(float)
            expected = {
                "mean": mean,
                "min": inside.min(),
                "max": inside.max(),
                "std": np.sqrt(np.nansum(weight * (values - mean) ** 2) / weight.sum()),
                "uncertainty": np.sqrt(np.nansum((weight * errors) ** 2)) / weight.sum(),
                "median": weighted_percentile(values, weight, 50),
                "p90": weighted_percentile(values, weight, 90),
                "p2.5": weighted_percentile(values, weight, 2.5),
            }
            for name, value in expected.items():
                assert found[name] == pytest.approx(value, abs=2e-3), name


def test_statistics_equal_those_of_exactextract() -> None:
    """Mean, extremes, deviation and count."""
    cube, areas = small(), circles(30, 45.0)
    names = {"mean": "mean", "min": "min", "max": "max", "std": "stdev", "count": "count"}
    ours = cube.constellr.zonal(areas, statistics=list(names)).isel(time=1)
    values = np.ma.masked_invalid(cube["lst"].to_numpy()[1].astype(float))
    raster = NumPyRasterSource(values, LEFT, BOTTOM, RIGHT, TOP, srs_wkt=areas.crs.to_wkt())
    theirs = exact_extract(raster, areas, list(names.values()), output="pandas")
    for our_name, name in names.items():
        np.testing.assert_allclose(ours[f"lst_{our_name}"], theirs[name], atol=1e-6)


@settings(max_examples=40)
@given(
    st.lists(st.integers(280, 290) | st.floats(-60, 60, width=32), min_size=1, max_size=30),
    st.floats(0, 100),
    st.sampled_from(["f4", ">f4", "f8", "i2"]),
)
def test_percentiles_of_equal_weights_are_those_of_numpy(
    given_values: list[float], percent: float, dtype: str
) -> None:
    """NumPy's default method, for whole pixels, of any type."""
    values = np.array(given_values).astype(dtype)
    box = GeoBox((1, values.size), Affine(30, 0, LEFT, 0, -30, TOP), CRS)
    cube = cube_of(values[None, None], TIMES[:1], geobox=box)
    cube["lst"] = cube["lst"].copy(data=values[None, None])
    areas = gpd.GeoSeries([shapely.box(*box.boundingbox)], crs=CRS)
    name = f"p{percent:.3f}"
    found = float(cube.constellr.zonal(areas, statistics=[name])[f"lst_{name}"].item())
    assert found == pytest.approx(np.percentile(values.astype(float), float(name[1:])), abs=1e-6)


def test_percentiles_do_not_depend_on_the_order_of_ties() -> None:
    """Equal values with different weights, mirrored."""
    kelvin = np.repeat([290.0, 300.0], 24).reshape(1, 6, 8)
    cube = cube_of(kelvin, TIMES[:1])
    mirrored = cube.isel(x=slice(None, None, -1)).assign_coords(x=cube["x"])
    area = shapely.box(LEFT + 10, BOTTOM + 5, RIGHT - 3, TOP - 20)
    areas = gpd.GeoSeries([area], crs=CRS)
    names = [f"p{percent}" for percent in range(0, 101, 5)]
    first = cube.constellr.zonal(areas, statistics=names)
    second = mirrored.constellr.zonal(areas, statistics=names)
    xr.testing.assert_allclose(first, second, rtol=1e-12)


def test_area_smaller_than_a_pixel_has_its_value() -> None:
    """And ``count`` is the share of the pixel, ``area`` its square metres."""
    cube = small()
    tiny = shapely.box(LEFT + 62, TOP - 25, LEFT + 65, TOP - 20)
    areas = gpd.GeoSeries([tiny], crs=CRS)
    result = cube.constellr.zonal(areas, statistics=["mean", "count", "area", "clear_fraction"])
    np.testing.assert_allclose(result["lst_mean"][:, 0], cube["lst"][:, 0, 2], rtol=1e-6)
    np.testing.assert_allclose(result["lst_count"], 15 / 900, rtol=1e-6)
    np.testing.assert_allclose(result["lst_area"], 15, rtol=2e-3)
    clear = cube["cloud_mask"].to_numpy()[:, 0, 2] == 0
    np.testing.assert_allclose(result["lst_clear_fraction"][:, 0], clear, atol=1e-6)


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326", "EPSG:3857", "EPSG:2225"])
def test_area_is_in_square_metres_on_the_ellipsoid(crs: str) -> None:
    """Whatever the projection and its unit (feet in California's state plane)."""
    box = GeoBox.from_bbox((-118.3, 33.7, -118.2, 33.8), "EPSG:4326", resolution=0.005).to_crs(crs)
    cube = cube_of(np.full((1, *box.shape), 300.0), TIMES[:1], geobox=box)
    area = shapely.Point(-118.25, 33.75).buffer(0.02)
    areas = gpd.GeoSeries([area], crs=4326)
    found = cube.constellr.zonal(areas, statistics=["area"])["lst_area"].item()
    expected = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(area)[0])
    assert found == pytest.approx(expected, rel=1e-3)


def test_min_clear_leaves_out_areas_that_saw_too_little() -> None:
    """Below it, values are NaN; counts and shares stay."""
    cube, areas = small(), circles(10, 60.0)
    names = ["mean", "p90", "count", "clear_fraction"]
    every = cube.constellr.zonal(areas, statistics=names)
    some = cube.constellr.zonal(areas, statistics=names, min_clear=0.25)
    too_little = every["lst_clear_fraction"] < 0.25
    assert 0 < too_little.sum() < too_little.size
    for name in ("lst_mean", "lst_p90"):
        xr.testing.assert_equal(some[name], every[name].where(~too_little))
    for name in ("lst_count", "lst_clear_fraction"):
        xr.testing.assert_equal(some[name], every[name])
    whole = shares(areas.geometry[3])
    clear = (cube["cloud_mask"] == 0).to_numpy() & np.isfinite(cube["lst"].to_numpy())
    expected = [(whole * step).sum() * 900 / areas.geometry[3].area for step in clear]
    np.testing.assert_allclose(every["lst_clear_fraction"][:, 3], expected, atol=1e-6)


def test_statistics_need_what_they_are_made_of() -> None:
    """Standard errors, and a mask."""
    cube: Any = small()[["lst"]].constellr
    with pytest.raises(ValueError, match=r"'uncertainty' needs .* lst_std"):
        cube.zonal(circles(3, 40.0), statistics=["mean", "uncertainty"])
    with pytest.raises(ValueError, match="'classes' needs a mask"):
        cube.zonal(circles(3, 40.0), statistics=["classes"])
    assert set(cube.timeseries(circles(3, 40.0), statistic="mean").data_vars) == {"lst"}


def test_class_shares() -> None:
    """The share of an area in each class of each mask."""
    cube, areas = small(), circles(10, 60.0)
    result = cube.constellr.zonal(areas, statistics=["classes"])
    assert list(result.data_vars) == [
        f"cloud_mask_{name}" for name in ("clear", "thick", "thin", "shadow")
    ]
    for zone, shape in enumerate(areas.geometry):
        weights = shares(shape) * 900 / shape.area
        for number, name in enumerate(result.data_vars):
            expected = [
                (weights * (step == number)).sum() for step in cube["cloud_mask"].to_numpy()
            ]
            np.testing.assert_allclose(result[name][:, zone], expected, atol=1e-6)


def test_uncertainty_with_a_correlation_length() -> None:
    """Errors within squares of 60 m add up linearly, those of different squares in quadrature."""
    cube = small()
    areas = gpd.GeoSeries([shapely.box(LEFT, BOTTOM, RIGHT, TOP)], crs=CRS)
    point = shapely.box(LEFT, BOTTOM, RIGHT, TOP)

    def uncertainty(length: float | None) -> Any:
        zonal = cube.constellr.zonal(areas, statistics=["uncertainty"], correlation_length=length)
        series = cube.constellr.timeseries(
            point, crs=CRS, statistic="uncertainty", correlation_length=length
        )
        assert list(series.data_vars) == ["lst"]
        np.testing.assert_allclose(zonal["lst_uncertainty"][:, 0], series["lst"])
        assert series["lst"].attrs["units"] == "K"
        mean = cube.constellr.timeseries(
            point, crs=CRS, statistic="mean", correlation_length=length
        )
        assert set(mean.data_vars) == {"lst", "lst_std"}
        np.testing.assert_array_equal(mean["lst_std"], series["lst"])
        return series["lst"].to_numpy()

    errors = cube["lst_std"].to_numpy().astype(float)
    count = np.isfinite(errors).sum((1, 2))
    np.testing.assert_allclose(uncertainty(None), np.sqrt(np.nansum(errors**2, (1, 2))) / count)
    np.testing.assert_allclose(uncertainty(1e6), np.nanmean(errors, (1, 2)))
    blocks = np.nansum(errors.reshape(3, 3, 2, 4, 2), axis=(2, 4))
    np.testing.assert_allclose(uncertainty(60), np.sqrt((blocks**2).sum((1, 2))) / count)


def test_only_chunks_with_a_pixel_are_read() -> None:
    """And none to build the result."""
    cube = small()
    read: list[tuple[int, ...]] = []

    def note(block: Any, block_info: Any = None) -> Any:
        if block_info:
            read.append(tuple(block_info[0]["chunk-location"]))
        return block

    lazy = cube[["lst"]].chunk(time=3, y=3, x=2)
    lazy["lst"] = lazy["lst"].copy(data=lazy["lst"].data.map_blocks(note, dtype="f4"))
    area = shapely.box(LEFT + 65, TOP - 40, LEFT + 100, TOP - 35)
    result = lazy.constellr.zonal(gpd.GeoSeries([area], crs=CRS))
    assert read == []
    result.compute()
    assert set(read) == {(0, 0, 1)}


def test_graph_keys_are_stable() -> None:
    """Building the same statistics twice gives the same dask keys."""
    lazy, areas = small().chunk(y=3, x=4), circles(5, 40.0)
    first, second = (lazy.constellr.zonal(areas)["lst_mean"] for _ in range(2))
    assert first.data.name == second.data.name


@pytest.mark.parametrize("kind", ["cube", "map"])
def test_geodataframe_has_the_areas_columns(kind: str) -> None:
    """Long or wide, with their index, columns and geometry, also after a selection."""
    cube = small() if kind == "cube" else small().median("time", keep_attrs=True)
    areas = circles(4, 50.0).set_index(pd.Index(list("abcd"), name="district"))
    stats = cube.constellr.zonal(areas, statistics=["mean"])
    wide = stats.constellr.to_geodataframe(shape="wide")
    assert isinstance(wide, gpd.GeoDataFrame)
    assert wide.index.equals(areas.index)
    assert wide.index.name == "district"
    assert wide[["name", "geometry"]].equals(areas)
    assert wide.crs == areas.crs
    long = stats.compute().constellr.to_geodataframe()
    if kind == "map":
        np.testing.assert_array_equal(long["lst_mean"], stats["lst_mean"])
        return
    np.testing.assert_array_equal(wide["lst_mean_2023-07-04T15:20:00"], stats["lst_mean"][1])
    assert len(long) == 12
    assert long.geometry.iloc[5].equals(areas.geometry.iloc[1])
    later = long[long["time"] == pd.Timestamp(TIMES[2])]
    np.testing.assert_array_equal(later["lst_mean"], stats["lst_mean"][2])
    chosen = stats.sel(zone=["d", "a"]).constellr.to_geodataframe(shape="wide")
    assert chosen.index.tolist() == ["d", "a"]
    assert chosen["name"].tolist() == [3, 0]


def test_geodataframe_of_a_file_needs_the_areas(tmp_path: Any) -> None:
    """They are not stored with the statistics."""
    areas = circles(4, 50.0)
    small().constellr.zonal(areas, statistics=["mean"]).to_netcdf(tmp_path / "stats.nc")
    stats = constellr_stac.open_cube(tmp_path / "stats.nc")
    with pytest.raises(ValueError, match=r"to_geodataframe\(areas\)"):
        stats.constellr.to_geodataframe()
    assert len(stats.constellr.to_geodataframe(areas)) == 12
    with pytest.raises(ValueError, match="index differs"):
        stats.constellr.to_geodataframe(areas.iloc[:2])
    with pytest.raises(ValueError, match="columns lst_mean already"):
        stats.constellr.to_geodataframe(areas.assign(lst_mean=1.0))
    with pytest.raises(ValueError, match="result of zonal"):
        small().constellr.to_geodataframe()


def test_areas_with_several_index_levels() -> None:
    """Each zone is a tuple."""
    areas = circles(4, 50.0).set_index(pd.MultiIndex.from_product([["a", "b"], [1, 2]]))
    stats = small().constellr.zonal(areas, statistics=["mean"])
    assert stats["zone"].to_numpy().tolist() == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert stats.constellr.to_geodataframe(shape="wide").index.equals(areas.index)


def test_rows_from_south_to_north_and_lines() -> None:
    """The order of rows changes nothing; a line has the whole pixels it meets."""
    cube, areas = small(), circles(6, 50.0)
    flipped = cube.isel(y=slice(None, None, -1))
    xr.testing.assert_allclose(flipped.constellr.zonal(areas), cube.constellr.zonal(areas))
    line = gpd.GeoSeries(
        [shapely.LineString([(LEFT + 1, TOP - 15), (RIGHT - 1, TOP - 15)])], crs=CRS
    )
    count = cube.constellr.zonal(line, statistics=["count", "clear_fraction"], all_touched=True)
    assert count["lst_count"].to_numpy()[:, 0].tolist() == [8, 8, 8]
    clear = (cube["cloud_mask"].to_numpy()[:, 0] == 0).mean(1)
    np.testing.assert_allclose(count["lst_clear_fraction"][:, 0], clear)
