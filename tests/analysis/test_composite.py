"""Composites, anomalies, clear fractions and buffers, against NumPy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio import Affine

import constellr_stac.accessor  # noqa: F401 - registers cube.constellr
from constellr_stac.layers.table import LAYERS
from scene_cubes import cube_of

TIMES = [
    "2022-12-30T18:00:00",
    "2023-01-15T19:00:00",
    "2023-06-05T18:30:00",
    "2023-06-06T06:00:00",
    "2023-06-20T19:30:00",
    "2023-07-04T18:10:00",
]
RANDOM = np.random.default_rng(8)


def small(times: list[str] = TIMES) -> xr.Dataset:
    """Scenes of 6 x 8 pixels with gaps, clouds and standard errors."""
    shape = (len(times), 6, 8)
    kelvin = RANDOM.uniform(280, 320, shape).astype("float32")
    kelvin[RANDOM.random(shape) < 0.2] = np.nan
    kelvin[:, 0, 0] = np.nan
    cube = cube_of(kelvin, times, clouds=RANDOM.integers(0, 4, shape))
    errors = np.where(np.isnan(kelvin), np.nan, RANDOM.uniform(0.5, 2.0, shape))
    cube["lst_std"] = (cube["lst"].dims, errors, LAYERS["lst_std"].bands[0].cf_attributes())
    return cube


def of_pixels(statistic: str, values: Any) -> Any:
    """Return NumPy's statistic along time, without its warnings of empty pixels."""
    functions: dict[str, Any] = {
        "median": np.nanmedian,
        "mean": np.nanmean,
        "min": np.nanmin,
        "max": np.nanmax,
        "std": np.nanstd,
        "count": lambda values, axis: np.isfinite(values).sum(axis),
        "p90": lambda values, axis: np.nanpercentile(values, 90, axis=axis),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return functions[statistic](values, axis=0)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("statistic", ["median", "mean", "min", "max", "std", "count", "p90"])
def test_composite_is_a_statistic_of_each_pixel(statistic: Any, lazy: bool) -> None:  # noqa: FBT001
    """Of each month, season and year that has a scene, and of all."""
    cube = small()
    groups = {
        "month": {"2022-12-01": [0], "2023-01-01": [1], "2023-06-01": [2, 3, 4], "2023-07-01": [5]},
        "season": {"2022-12-01": [0, 1], "2023-06-01": [2, 3, 4, 5]},
        "year": {"2022-01-01": [0], "2023-01-01": [1, 2, 3, 4, 5]},
    }
    source = cube.chunk(time=1, y=3) if lazy else cube
    for by, expected in groups.items():
        found = source.constellr.composite(by, statistic=statistic)
        assert np.datetime_as_string(found["time"], "D").tolist() == list(expected)
        assert found["scenes"].values.tolist() == [len(steps) for steps in expected.values()]
        assert "cloud_mask" not in found
        for number, steps in enumerate(expected.values()):
            values = cube["lst"].values[steps].astype(float)
            pixels = of_pixels(statistic, values)
            np.testing.assert_allclose(found["lst"][number], pixels, rtol=2e-5, atol=2e-5)
        assert found.odc.geobox == cube.odc.geobox
    whole = source.constellr.composite("all", statistic=statistic)
    assert whole["lst"].dims == ("y", "x")
    assert whole["scenes"] == 6
    values = cube["lst"].values.astype(float)
    np.testing.assert_allclose(whole["lst"], of_pixels(statistic, values), rtol=2e-5)
    if statistic == "median":
        assert whole["lst"].attrs["standard_name"] == "surface_temperature"
        assert whole["lst"].attrs["cell_methods"] == "time: median"
        assert whole.constellr.celsius["lst"].attrs["units"] == "degC"


def test_composite_mean_has_its_standard_error() -> None:
    """The root of the summed variances over n; other statistics have none."""
    cube = small()
    found = cube.constellr.composite("all", statistic="mean")
    errors = cube["lst_std"].values
    count = np.isfinite(errors).sum(0)
    with np.errstate(invalid="ignore"):
        expected = np.sqrt(np.nansum(errors**2, 0)) / count
    np.testing.assert_allclose(found["lst_std"], expected, rtol=1e-6)
    assert found["lst_std"].attrs == cube["lst_std"].attrs
    assert "lst_std" not in cube.constellr.composite("all")


def test_composite_min_clear_and_daytime() -> None:
    """Pixels seen clear too rarely are NaN; day and night scenes can be chosen."""
    cube = small()
    clear = (cube["cloud_mask"] == 0) & cube["lst"].notnull()
    fraction = cube.constellr.clear_fraction()
    np.testing.assert_allclose(fraction, clear.mean("time"))
    assert fraction.dims == ("y", "x")
    enough = cube.constellr.composite("all", min_clear=0.3)["lst"]
    every = cube.constellr.composite("all")["lst"]
    xr.testing.assert_equal(enough, every.where(fraction >= 0.3))
    night = cube.constellr.composite("all", daytime=False)
    assert night["scenes"] == 1
    np.testing.assert_array_equal(night["lst"], cube["lst"][3])
    assert cube.constellr.composite("month", daytime=True)["scenes"].values.tolist() == [1, 1, 2, 1]
    with pytest.raises(ValueError, match="no scene at night"):
        cube.isel(time=[0, 1]).constellr.composite(daytime=False)
    with pytest.raises(ValueError, match="Unknown period 'week'; use one of month, season"):
        cube.constellr.composite("week")
    with pytest.raises(ValueError, match="Not for composites: area"):
        cube.constellr.composite(statistic="area")


def test_anomaly_from_a_baseline_is_by_hour_and_season() -> None:
    """NaN where the baseline has no scene of that hour and season."""
    cube = small(["2024-06-10T18:20:00", "2024-06-11T03:00:00", "2024-01-02T18:30:00"])
    baseline = small()
    found = cube.constellr.anomaly(baseline=baseline, hours=3)
    summer = of_pixels("median", baseline["lst"].values[[2, 4, 5], 1:])
    winter = of_pixels("median", baseline["lst"].values[[0, 1], 1:])
    np.testing.assert_allclose(found["lst"][0, 1:], cube["lst"][0, 1:] - summer, atol=1e-4)
    np.testing.assert_allclose(found["lst"][2, 1:], cube["lst"][2, 1:] - winter, atol=1e-4)
    assert found["lst"][1].isnull().all()
    lazy = cube.chunk(time=1).constellr.anomaly(baseline=baseline.chunk(y=3), hours=3)
    assert lazy.chunks
    xr.testing.assert_allclose(lazy.compute(), found)
    average = baseline.constellr.composite("all")
    np.testing.assert_allclose(
        cube.constellr.anomaly(baseline=average)["lst"], cube["lst"] - average["lst"], atol=1e-4
    )


def test_unusable_baselines_are_refused() -> None:
    """Another grid, another unit, or no such variable."""
    cube = small()
    with pytest.raises(ValueError, match="another grid"):
        cube.constellr.anomaly(baseline=cube.isel(x=slice(4)))
    with pytest.raises(ValueError, match="is in K, and the baseline's in degC"):
        cube.constellr.anomaly(baseline=cube.constellr.celsius)
    with pytest.raises(ValueError, match="none of lst, lst_std"):
        cube.constellr.anomaly(baseline=cube[["cloud_mask"]])


@pytest.mark.parametrize("metres", [0, 20, 30, 45, 61, 100, 1000])
@pytest.mark.parametrize("lazy", [False, True])
def test_mask_buffer_reaches_so_many_metres(metres: float, lazy: bool) -> None:  # noqa: FBT001
    """Pixels whose centres are within the distance of a cloud; unknown pixels have no buffer."""
    box = GeoBox((20, 24), Affine(30, 0, 381060, 0, -30, 3746640), "EPSG:32611")
    clouds = np.zeros((2, 20, 24), "uint8")
    clouds[0, 4, 3], clouds[0, 15, 20], clouds[0, 10, 10], clouds[0, 0, 23] = 1, 3, 255, 2
    cube = cube_of(np.full(clouds.shape, 300.0), TIMES[:2], clouds=clouds, geobox=box)
    source = cube.chunk(time=1, y=7, x=5) if lazy else cube
    masked = source.constellr.clear(mask_buffer=metres)["lst"].isnull().values
    rows, columns = np.indices(box.shape)
    near = clouds[0] == 255
    for row, column in ((4, 3), (15, 20), (0, 23)):
        distance = np.hypot(rows - row, columns - column) * 30
        near |= distance <= metres
    np.testing.assert_array_equal(masked[0], near)
    assert not masked[1].any()


def test_mask_buffer_in_degrees() -> None:
    """A pixel of a geographic grid is less wide than high, away from the equator."""
    box = GeoBox.from_bbox((8.0, 59.9, 8.2, 60.1), "EPSG:4326", resolution=0.01)
    clouds = np.zeros((1, *box.shape), "uint8")
    clouds[0, 10, 10] = 1
    cube = cube_of(np.full(clouds.shape, 300.0), TIMES[:1], clouds=clouds, geobox=box)
    masked = cube.constellr.clear(mask_buffer=1700)["lst"].isnull().values[0]
    assert masked[:, 10].sum() == 3  # 1.11 km a pixel
    assert masked[10].sum() == 7  # 0.56 km
    with pytest.raises(ValueError, match="0 metres or more"):
        cube.constellr.clear(mask_buffer=-1)
