"""``cube.constellr``: units, masks, anomalies and statistics, against plain numpy and rasterio."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import odc.geo.geom
import pytest
import shapely
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask

from constellr_stac.accessor import solar_hour
from constellr_stac.layers.table import LAYERS
from scene_cubes import BOX, cube_of, real_cube, real_documents

TIMES = ["2023-07-03T15:25:51", "2023-07-04T15:20:00", "2023-07-04T03:00:00"]
CRS = "EPSG:32611"


@pytest.fixture(scope="module")
def real() -> xr.Dataset:
    """All shipped scenes."""
    return real_cube()


def small() -> xr.Dataset:
    """Three scenes of 6 x 8 pixels: all cloud classes in the first, a gap in the second."""
    random = np.random.default_rng(5)
    kelvin = random.uniform(280, 320, (3, 6, 8)).astype("float32")
    kelvin[1, 2, 3] = np.nan
    clouds = np.zeros((3, 6, 8), "uint8")
    clouds[0, 0] = [0, 1, 2, 3, 255, 0, 0, 0]
    cube = cube_of(kelvin, TIMES, clouds=clouds)
    deviation = LAYERS["lst_std"].bands[0]
    cube["lst_std"] = (cube["lst"].dims, kelvin / 100, deviation.cf_attributes())
    return cube


class CountingArray:
    """An array that counts its reads."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values, self.reads = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return self.values[key]


def counted(cube: xr.Dataset) -> tuple[xr.Dataset, CountingArray]:
    """Make a cube lazy, in chunks of one scene and 3 x 4 pixels, and count its reads."""
    pixels = CountingArray(cube["lst"].values)
    from_array: Any = da.from_array
    chunks = from_array(pixels, chunks=(1, 3, 4), asarray=False, meta=np.empty((0, 0, 0), "f4"))
    lazy = cube.copy()
    lazy["lst"] = (cube["lst"].dims, chunks, cube["lst"].attrs)
    return lazy, pixels


def test_celsius_converts_temperatures_only() -> None:
    """Standard deviations and masks are unchanged."""
    cube = small()
    celsius = cube.constellr.celsius
    np.testing.assert_array_equal(celsius["lst"], cube["lst"] - np.float32(273.15))
    assert celsius["lst"].dtype == np.float32
    assert celsius["lst"].attrs == {**cube["lst"].attrs, "units": "degC"}
    xr.testing.assert_identical(celsius["lst_std"], cube["lst_std"])
    xr.testing.assert_identical(celsius["cloud_mask"], cube["cloud_mask"])
    xr.testing.assert_identical(celsius.constellr.celsius, celsius)
    assert cube["lst"].attrs["units"] == "K"


@pytest.mark.parametrize("make", ["difference", "deviation", "anomaly"])
def test_celsius_never_shifts_a_difference(make: str) -> None:
    """Plain xarray keeps the attributes of temperatures: told by the values, at the compute."""
    cube = counted(small())[0]
    made = {
        "difference": lambda: cube.isel(time=[0]) - cube.isel(time=1),
        "deviation": lambda: cube.std("time"),
        "anomaly": cube.constellr.anomaly,
    }[make]()
    made["lst"].attrs = made["lst"].attrs or cube["lst"].attrs
    celsius = made.constellr.celsius["lst"]
    if make == "anomaly":
        np.testing.assert_array_equal(celsius, made["lst"])
    else:
        with pytest.raises(ValueError, match="is this a difference or a standard deviation"):
            celsius.compute()


def test_clear_masks_clouds() -> None:
    """Clouds, shadows and unknown pixels by default; or the given classes."""
    cube = small()
    cube["cloud_mask"][0, 0, 5] = 7  # an undocumented class
    clear = cube.constellr.clear()
    assert np.isnan(clear["lst"].values[0, 0]).tolist() == [False] + [True] * 5 + [False] * 2
    np.testing.assert_array_equal(clear["lst"].values[1:], cube["lst"].values[1:])
    xr.testing.assert_identical(clear["cloud_mask"], cube["cloud_mask"])
    thick = cube.constellr.clear(["thick"])["lst"].values[0, 0]
    assert np.isnan(thick).tolist() == [False, True, False, False, True, True, False, False]
    with pytest.raises(ValueError, match="Unknown mask class 'fog'"):
        cube.constellr.clear("fog")
    with pytest.raises(ValueError, match="no landwater_mask"):
        cube.constellr.clear("water")


@given(
    time=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - in UTC
    longitude=st.floats(-180, 180),
)
@example(time=datetime(2020, 1, 1), longitude=-1e-45)  # noqa: DTZ001 - just before midnight
def test_solar_hour_is_utc_plus_longitude(time: datetime, longitude: float) -> None:
    """One hour per 15 degrees east, from 0 to 24; UTC at Greenwich."""
    times = xr.DataArray(np.array([time], "datetime64[ns]"), dims="time")
    [at_greenwich], [here] = solar_hour(times, 0.0).values, solar_hour(times, longitude).values
    seconds = (time - datetime.combine(time, datetime.min.time())) / timedelta(seconds=1)
    assert at_greenwich == pytest.approx(seconds / 3600)
    assert 0 <= here < 24
    turn = (here - at_greenwich - longitude / 15) % 24
    assert min(turn, 24 - turn) == pytest.approx(0, abs=1e-6)


def test_solar_hour_of_a_cube() -> None:
    """At its centre: 15:25 UTC in Los Angeles is about 7:30."""
    hours = small().constellr.solar_hour
    assert hours.values == pytest.approx([7.546, 7.448, 19.115], abs=0.01)
    assert hours.dims == ("time",)
    assert hours.attrs["units"] == "h"


def test_anomaly_subtracts_the_median_of_the_same_hours(real: xr.Dataset) -> None:
    """Pixel by pixel; the mask is unchanged."""
    cube = real.isel(y=slice(0, 20), x=slice(0, 30))
    anomaly = cube.constellr.anomaly(hours=3)
    window = (cube.constellr.solar_hour.values // 3).astype(int)
    assert len(set(window)) < cube.sizes["time"]
    for step in range(cube.sizes["time"]):
        usual = np.nanmedian(cube["lst"].values[window == window[step]], axis=0)
        np.testing.assert_allclose(
            anomaly["lst"].values[step], cube["lst"].values[step] - usual, atol=1e-4
        )
    assert anomaly["lst"].dims == cube["lst"].dims
    assert anomaly["lst"].attrs == {
        "long_name": "land surface temperature, anomaly",
        "standard_name": "surface_temperature_anomaly",
        "units": "K",
        "units_metadata": "temperature: difference",
    }
    xr.testing.assert_identical(anomaly.constellr.celsius, anomaly)
    assert anomaly["lst"].odc.geobox == cube.odc.geobox
    xr.testing.assert_identical(anomaly["cloud_mask"], cube["cloud_mask"])
    xr.testing.assert_equal(anomaly["time"], cube["time"])


def test_anomaly_separates_hours() -> None:
    """Two scenes at 7 h are a group; the evening scene is alone."""
    cube = small()
    anomaly = cube.constellr.anomaly()["lst"].values
    pair = cube["lst"].values[:2]
    np.testing.assert_allclose(anomaly[:2], pair - np.nanmedian(pair, axis=0), atol=1e-4)
    np.testing.assert_array_equal(anomaly[2], 0)
    for hours in (0, 5, 25):
        with pytest.raises(ValueError, match="must divide 24"):
            cube.constellr.anomaly(hours=hours)


def to_lonlat(geometry: shapely.Geometry) -> shapely.Geometry:
    """Transform a geometry to longitude and latitude."""
    return odc.geo.geom.Geometry(geometry, CRS).to_crs("EPSG:4326").geom


FIELD = shapely.Polygon(
    [(381075, 3746630), (381230, 3746600), (381200, 3746500), (381080, 3746520)]
)


def test_timeseries_of_a_point() -> None:
    """The pixel that contains it, for any form of point."""
    cube = small()
    point = shapely.Point(381060 + 30 * 3 + 1, 3746640 - 30 * 2 - 29)
    expected = cube["lst"].values[:, 2, 3]
    degrees = to_lonlat(point)
    for geometry in (
        degrees,
        shapely.geometry.mapping(degrees),
        {"type": "Feature", "geometry": shapely.geometry.mapping(degrees), "properties": {}},
        odc.geo.geom.Geometry(point, CRS),
    ):
        series = cube.constellr.timeseries(geometry)
        np.testing.assert_array_equal(series["lst"], expected)
    assert set(series.data_vars) == {"lst", "lst_std"}
    np.testing.assert_array_equal(cube.constellr.timeseries(point, crs=CRS)["lst"], expected)
    assert series["lst"].dims == ("time",)
    assert series["lst"].attrs["units"] == "K"


@pytest.mark.parametrize("touched", [{"weights": False}, {"all_touched": True}])
@pytest.mark.parametrize("statistic", ["median", "mean", "min", "max", "std", "count"])
def test_timeseries_of_an_area(statistic: Any, touched: dict[str, bool]) -> None:
    """Pixels with centres inside, or all touched ones; NaN is skipped."""
    cube = small()
    inside = ~geometry_mask(
        [FIELD], BOX.shape, BOX.affine, all_touched=touched.get("all_touched", False)
    )
    assert inside[2, 3]
    pixels = cube["lst"].values[:, inside].astype(float)
    functions: dict[str, Any] = {
        "median": np.nanmedian,
        "mean": np.nanmean,
        "min": np.nanmin,
        "max": np.nanmax,
        "std": np.nanstd,
        "count": lambda values, axis: np.isfinite(values).sum(axis),
    }
    series = cube.constellr.timeseries(FIELD, crs=CRS, statistic=statistic, **touched)
    expected = functions[statistic](pixels, axis=1)
    np.testing.assert_allclose(series["lst"], expected, rtol=1e-5)
    names = {"min": "minimum", "max": "maximum", "std": "standard_deviation"}
    words = series["lst"].attrs
    if statistic == "count":
        assert words == {
            "long_name": "valid pixels of land surface temperature",
            "standard_name": "number_of_observations",
            "units": "1",
        }
        return
    assert words["cell_methods"] == f"area: {names.get(statistic, statistic)}"
    assert words["units"] == "K"
    # A mean temperature can be converted to degrees Celsius; a standard deviation cannot.
    shift = 0 if statistic == "std" else 273.15
    np.testing.assert_allclose(series.constellr.celsius["lst"], series["lst"] - shift, rtol=1e-5)


def test_timeseries_is_lazy_and_reads_one_chunk_per_scene() -> None:
    """Nothing is read before the compute."""
    cube, pixels = counted(small())
    point = shapely.Point(381060 + 15, 3746640 - 15)
    series = cube.constellr.timeseries(point, crs=CRS)["lst"]
    celsius = cube.constellr.celsius["lst"]
    cleared = cube.constellr.clear()["lst"]
    anomaly = cube.constellr.anomaly()["lst"]
    areas = gpd.GeoDataFrame(geometry=[FIELD], crs=CRS)
    zonal = cube.constellr.zonal(areas, statistics=["mean"])["lst_mean"]
    assert pixels.reads == 0
    series.compute()
    assert pixels.reads == 3
    plain = small()
    np.testing.assert_array_equal(celsius.compute(), plain.constellr.celsius["lst"])
    np.testing.assert_array_equal(cleared.compute(), plain.constellr.clear()["lst"])
    np.testing.assert_allclose(anomaly.compute(), plain.constellr.anomaly()["lst"])
    expected = plain.constellr.zonal(areas, statistics=["mean"])["lst_mean"]
    np.testing.assert_allclose(zonal.compute(), expected)


@pytest.mark.parametrize("crs", ["EPSG:4326", CRS])
def test_zonal_statistics_equal_each_timeseries(crs: str) -> None:
    """By the frame's index; areas may overlap, lie outside the cube or be empty."""
    cube = small()
    far = shapely.Point(500000, 3746640).buffer(50)
    tiny = shapely.Point(381075.5, 3746500).buffer(0.2)
    areas = gpd.GeoDataFrame(
        {"name": list("abcde")},
        index=["field", "half", "far", "tiny", "none"],
        geometry=[FIELD, shapely.box(381060, 3746460, 381180, 3746640), far, tiny, None],
        crs=CRS,
    ).to_crs(crs)
    zonal = cube.constellr.zonal(areas, weights=False)
    assert zonal["lst_mean"].dims == ("time", "zone")
    assert zonal["zone"].values.tolist() == ["field", "half", "far", "tiny", "none"]
    assert {name for name in zonal.data_vars if str(name).startswith("lst_std")} == {
        f"lst_std_{each}" for each in ("mean", "median", "min", "max", "count")
    }
    for statistic in ("mean", "median", "count"):
        of_options: Any
        for of_options in ({}, {"weights": False}):
            series = cube.constellr.timeseries(FIELD, crs=CRS, statistic=statistic, **of_options)[
                "lst"
            ]
            expected = cube.constellr.zonal(areas, **of_options)
            column = expected[f"lst_{statistic}"].sel(zone="field")
            np.testing.assert_allclose(column, series, rtol=1e-6)
    half = cube["lst"].values[:, :, :4].reshape(3, -1)
    np.testing.assert_allclose(zonal["lst_max"].sel(zone="half"), np.nanmax(half, axis=1))
    assert zonal["lst_count"].sel(zone="half").values.tolist() == [24, 23, 24]
    empty = zonal.sel(zone=["far", "tiny", "none"])
    assert empty["lst_mean"].isnull().all()
    assert (empty["lst_count"] == 0).all()
    frame = zonal[["lst_mean"]].to_dataframe()
    assert frame.index.names == ["time", "zone"]
    only = cube.constellr.zonal(areas.geometry, statistics=["std"])
    assert set(only.data_vars) == {"lst_std", "lst_std_std"}


def test_invalid_zonal_arguments_are_refused() -> None:
    """Missing CRS or geometries, and unknown statistics."""
    cube = small()
    areas = gpd.GeoDataFrame(geometry=[FIELD])
    with pytest.raises(ValueError, match=r"no CRS.*set_crs"):
        cube.constellr.zonal(areas)
    with pytest.raises(TypeError, match="A list is not an area"):
        cube.constellr.zonal([FIELD])
    with pytest.raises(ValueError, match="Unknown statistic 'mode'; use one of median, mean"):
        cube.constellr.timeseries(FIELD, crs=CRS, statistic="mode")
    with pytest.raises(ValueError, match=r"reproject metres"):
        cube.constellr.timeseries(FIELD)
    with pytest.raises(ValueError, match="outside the cube"):
        cube.constellr.timeseries(shapely.Point(0, 0), crs=CRS)


@pytest.mark.parametrize("geometry", [None, (8.12, 49.11), {}], ids=type)
def test_timeseries_needs_a_geometry(geometry: Any) -> None:
    """Numbers are refused by type, with the types accepted."""
    with pytest.raises(TypeError, match=r"is not an area\. Pass GeoJSON|not GeoJSON"):
        small().constellr.timeseries(geometry)


def test_cube_without_a_grid_is_refused() -> None:
    """Methods that need a location raise."""
    cube = small().drop_vars(["x", "y", "spatial_ref"])
    with pytest.raises(ValueError, match="has no georeferencing"):
        cube.constellr.timeseries(FIELD)
    with pytest.raises(ValueError, match="has no georeferencing"):
        _ = cube.constellr.solar_hour


def test_table_has_the_documented_medians(real: xr.Dataset) -> None:
    """Within 0.01 K, and the cloud share within 0.01 %."""
    table = real.constellr.table()
    documents = real_documents()
    expected = [each["expected"]["median_lst"] for each in documents]
    np.testing.assert_allclose(table["median"], expected, atol=0.01)
    covers = [each["aoi_cloud_cover"] for each in documents]
    np.testing.assert_allclose(table["cloud_share"] * 100, covers, atol=0.01)
    valid = [each["expected"]["valid_fraction"] for each in documents]
    np.testing.assert_allclose(table["valid_share"], valid, atol=0.001)
    np.testing.assert_allclose(table["cloud_share"] + table["clear_share"], 1)
    assert table.index.equals(real.indexes["time"])
    assert table["daytime"].tolist() == [6 < hour < 18.5 for hour in table["solar_hour"]]


def test_table_of_a_lazy_cube(real: xr.Dataset) -> None:
    """The columns are computed together, with the cube's own ``daytime``."""
    part = real.isel(time=[0, 3, 5], y=slice(100), x=slice(100))
    lazy = part.chunk(time=1, y=50, x=100)
    assert lazy.constellr.table().equals(part.constellr.table())
    nights = part.assign_coords(daytime=("time", [False] * 3))
    assert not nights.constellr.table()["daytime"].any()
    unmasked = part.drop_vars("cloud_mask").constellr.table()
    assert (unmasked["clear_share"] == 1).all()
    assert unmasked["median"].equals(part.constellr.table()["median"])


def test_table_of_a_masked_cube_counts_clouds(real: xr.Dataset) -> None:
    """Masked pixels count as cloud; medians are in the cube's unit."""
    table = real.constellr.table()
    masked = real.constellr.clear().constellr.celsius.constellr.table()
    for share in ("cloud_share", "clear_share"):
        np.testing.assert_allclose(masked[share], table[share], atol=1e-6)
    for median in ("median", "clear_median"):
        np.testing.assert_allclose(masked[median] + 273.15, table["clear_median"], atol=0.01)


def test_table_of_a_cloudy_scene(real: xr.Dataset) -> None:
    """The median is NaN, and numpy's empty-slice warning is suppressed."""
    part = real.isel(time=slice(2), y=slice(40), x=slice(40)).copy(deep=True)
    part["cloud_mask"][0] = 1
    part["lst"][1] = np.nan
    table = part.chunk(time=1).constellr.table()
    assert table["clear_median"].isna().all()
    assert table["median"].isna().tolist() == [False, True]
    assert table["cloud_share"].iloc[0] == 1


def test_geographic_cube() -> None:
    """Dims (latitude, longitude), in EPSG:4326."""
    box = GeoBox.from_bbox((8.0, 49.0, 8.4, 49.2), "EPSG:4326", resolution=0.05)
    kelvin = np.arange(32, dtype="float32").reshape(1, 4, 8)
    cube = cube_of(kelvin, ["2026-06-01T12:00:00"], geobox=box)
    series = cube.constellr.timeseries(shapely.Point(8.12, 49.11))
    assert series["lst"].values.tolist() == [10.0]
    assert cube.constellr.solar_hour.values == pytest.approx([12 + 8.2 / 15])


def test_quicklook_has_one_map_per_scene() -> None:
    """Options are passed through."""
    cube = small()
    figure = cube.constellr.quicklook()
    assert isinstance(figure, Figure)
    assert len([ax for ax in figure.axes if ax.images]) == 3
    assert len([ax for ax in cube.constellr.quicklook("lst_std", most=2).axes if ax.images]) == 2


def test_daytime_defaults_to_the_sun(real: xr.Dataset) -> None:
    """Without ``daytime`` in the cube, scenes near noon are day and near midnight night."""
    table = real.constellr.table()
    noon = [abs(hour - 12) < 4 for hour in table["solar_hour"]]
    midnight = [min(hour, 24 - hour) < 4 for hour in table["solar_hour"]]
    assert table["daytime"][noon].all()
    assert not table["daytime"][midnight].any()
    assert datetime.fromisoformat(real_documents()[0]["acquisition_datetime"]).tzinfo == UTC
