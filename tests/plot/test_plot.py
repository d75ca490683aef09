"""Figures: pixels, labels, and that nothing is clipped."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from odc.geo.geobox import GeoBox

import constellr_stac.accessor  # noqa: F401 - registers .constellr
from constellr_stac.layers.table import LAYERS
from constellr_stac.plot import demo_figure, quicklook, rgb, temperature_map, time_series
from constellr_stac.plot.figures import NotebookFigure
from scene_cubes import BOX, cube_of, real_cube

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

TIMES = ["2023-07-03T15:25:51", "2023-08-05T18:27:15"]


@pytest.fixture(scope="module")
def real() -> xr.Dataset:
    """All shipped scenes."""
    return real_cube()


def small(**options: Any) -> xr.Dataset:
    """Two scenes of 6 x 8 pixels with a missing north-west corner."""
    kelvin = 290 + np.arange(96, dtype="float32").reshape(2, 6, 8) / 4
    kelvin[:, 0, 0] = np.nan
    return cube_of(kelvin, TIMES, **options)


def words(figure: Figure) -> list[str]:
    """All text on a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def assert_nothing_is_clipped(figure: Figure) -> None:
    """Draw the figure and check that everything is within its edges."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


def drawn_texts(figure: Figure) -> list[Text]:
    """Titles, labels and visible tick labels; matplotlib keeps more than it draws."""
    texts = list(figure.texts)
    for ax in figure.axes:
        texts += [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            labelled = axis.get_tick_params()
            if labelled.get("labelbottom", True) and labelled.get("labelleft", True):
                ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
                texts += [label for place, label in ticks if low <= place <= high]
    return [text for text in texts if text.get_text() and text.get_visible()]


def pixels(ax: Axes) -> NDArray[Any]:
    """Values of a map, NaN where it is grey."""
    array = ax.images[0].get_array()
    assert array is not None
    return np.asarray(np.ma.filled(array, np.nan))


def figure_of(ax: Axes) -> Figure:
    """The figure created for axes."""
    assert isinstance(ax.figure, Figure)
    return ax.figure


def test_map_pixels_and_extent() -> None:
    """Every value is drawn, from edge to edge, in kilometres."""
    scene = small()["lst"].isel(time=0)
    ax = temperature_map(scene)
    np.testing.assert_array_equal(pixels(ax), scene.values)
    assert ax.images[0].get_extent() == pytest.approx([381.06, 381.30, 3746.46, 3746.64])
    assert ax.get_xlim()[0] < ax.get_xlim()[1]
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


def test_map_labels() -> None:
    """Title, coordinates, colour bar and the meaning of grey."""
    ax = temperature_map(small()["lst"].isel(time=0))
    figure = figure_of(ax)
    written = words(figure)
    assert "Land surface temperature\n2023-07-03 15:25 UTC" in written
    assert "Land surface temperature (K)" in written
    assert "Easting (km), EPSG:32611" in written
    assert "Northing (km)" in written
    assert "no data or masked" in written
    assert_nothing_is_clipped(figure)


def test_figures_have_a_png_repr() -> None:
    """Figures show in notebooks without pyplot, and can be copied."""
    cube = small()
    drawn = quicklook(cube)
    for figure in (drawn, copy.deepcopy(drawn), temperature_map(cube["lst"][0]).figure):
        assert isinstance(figure, NotebookFigure)
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_colour_limits_ignore_outliers() -> None:
    """A furnace or a stray fill value does not reduce the contrast."""
    scene = small()["lst"].isel(time=0)
    scene[1, 1], scene[2, 2] = 900.0, 0.0
    ax = temperature_map(scene)
    valid = scene.values[np.isfinite(scene.values)]
    assert ax.images[0].get_clim() == pytest.approx(tuple(np.percentile(valid, [2, 98])))
    assert figure_of(ax).axes[1].get_ylim() == ax.images[0].get_clim()
    limited = temperature_map(scene, limits=(280.0, 300.0))
    assert limited.images[0].get_clim() == (280.0, 300.0)


def test_missing_pixels_are_grey() -> None:
    """The grey is far from every colour of the map."""
    ax = temperature_map(small()["lst"].isel(time=0))
    [image] = ax.images
    grey = np.array(to_rgb("0.82"))
    np.testing.assert_allclose(image.get_cmap()(np.ma.masked)[:3], grey)
    assert np.isnan(pixels(ax)[0, 0])
    colours = image.get_cmap()(np.linspace(0, 1, 256))[:, :3]
    assert np.linalg.norm(colours - grey, axis=1).min() > 0.15


def test_colour_map_is_perceptually_uniform() -> None:
    """Lightness grows with temperature in equal steps."""
    colours = temperature_map(small()["lst"].isel(time=0)).images[0].get_cmap()
    srgb = colours(np.linspace(0, 1, 33))[:, :3]
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(luminance) - 16
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.std() < steps.mean() / 2


def test_north_is_up_for_any_row_order() -> None:
    """A cube with ascending y gives the same map."""
    scene = small()["lst"].isel(time=0)
    one, other = temperature_map(scene), temperature_map(scene.isel(y=slice(None, None, -1)))
    np.testing.assert_array_equal(pixels(one), pixels(other))
    assert one.images[0].get_extent() == other.images[0].get_extent()


def test_map_in_degrees_has_the_right_aspect() -> None:
    """A degree of longitude is shorter than one of latitude."""
    box = GeoBox.from_bbox((8.0, 59.9, 8.3, 60.1), "EPSG:4326", resolution=0.05)
    kelvin = np.full((1, *box.shape), 290.0)
    ax = temperature_map(cube_of(kelvin, TIMES[:1], geobox=box)["lst"])
    assert ax.get_xlabel() == "Longitude (°)"
    assert ax.get_aspect() == pytest.approx(2.0, rel=0.01)


def test_array_without_geobox_is_drawn_by_pixel() -> None:
    """Any array with two dims can be drawn."""
    ax = temperature_map(xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("y", "x"), name="a"))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("Column", "Row", "A")


def test_scene_without_valid_pixels_is_grey() -> None:
    """No warning, no error; a constant scene is drawn as well."""
    for value in (np.nan, 290.0):
        ax = temperature_map(cube_of(np.full((1, 6, 8), value), TIMES[:1])["lst"])
        assert_nothing_is_clipped(figure_of(ax))


def test_map_refuses_several_scenes() -> None:
    """A map shows one scene."""
    with pytest.raises(ValueError, match=r"one scene.*'time': 2"):
        temperature_map(small()["lst"])


def test_map_on_given_axes() -> None:
    """Only the given axes are drawn on; the colour bar is optional."""
    figure = Figure()
    ax = figure.add_subplot()
    assert temperature_map(small()["lst"].isel(time=1), ax, colorbar=False, title="mine") is ax
    assert figure.axes == [ax]
    assert ax.get_title() == "mine"


def test_true_colour_stretch() -> None:
    """The three bands share one stretch: grey stays grey; missing pixels are neutral grey."""
    plain = small()["lst"].isel(time=0) / 1000
    cube = xr.Dataset({"red": plain, "green": plain, "blue": plain * 0.9})
    ax = rgb(cube)
    drawn = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(drawn[0, 0], 0.82)
    measured = drawn.reshape(-1, 3)[1:]
    assert (measured.min(), measured.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(measured[:, 0], measured[:, 1])
    assert (measured[:, 2] < measured[:, 0]).all()
    assert "no data or masked" in words(figure_of(ax))
    assert ax.get_title() == "True colour\n2023-07-03 15:25 UTC"
    assert_nothing_is_clipped(figure_of(ax))
    with pytest.raises(ValueError, match="has no 'blue'"):
        rgb(cube.drop_vars("blue"))
    other = cube.rename(red="vnir04", green="vnir03", blue="vnir02")
    assert rgb(other, bands=("vnir04", "vnir03", "vnir02"), title="").get_title() == ""


def test_true_colour_gamma_brightens_land() -> None:
    """A tenth of the brightness range is drawn at a quarter."""
    bright = small()["lst"].isel(time=0, drop=True) * 0 + 1.0
    bright[1:, :], bright[5, :] = 0.1, 0.0
    drawn = np.asarray(rgb(xr.Dataset(dict.fromkeys(("red", "green", "blue"), bright))).images[0]
                       .get_array())  # fmt: skip
    assert drawn[2, 2] == pytest.approx([0.1 ** (1 / 1.6)] * 3)
    assert (drawn[5].max(), drawn[0, 1:].min()) == (0.0, 1.0)


def test_mask_classes_have_colours_and_names() -> None:
    """One named colour per class; unclassified pixels are grey."""
    clouds = np.zeros((2, 6, 8))
    clouds[:, 0, :5] = [0, 1, 2, 3, 255]
    cube = small(clouds=clouds)
    ax = temperature_map(cube["cloud_mask"].isel(time=0))
    assert pixels(ax)[0, :4].tolist() == [0, 1, 2, 3]
    assert np.isnan(pixels(ax)[0, 4])
    array = ax.images[0].get_array()
    assert array is not None
    colours = ax.images[0].to_rgba(array)[0, :5, :3]
    assert len({tuple(colour) for colour in colours}) == 5
    np.testing.assert_allclose(colours[4], to_rgb("0.82"))
    for figure in (figure_of(ax), quicklook(cube, "cloud_mask")):
        assert {"clear", "thick", "thin", "shadow"} <= set(words(figure))
        assert "no data" in words(figure)
        assert_nothing_is_clipped(figure)
    water = (
        cube["cloud_mask"]
        .isel(time=0)
        .assign_attrs(flag_values=np.array([1, 3], "uint8"), flag_meanings="thick shadow")
    )
    drawn = pixels(temperature_map(water))
    np.testing.assert_array_equal(drawn[0, :5], [np.nan, 0, np.nan, 1, np.nan])


def test_quicklook_shows_all_scenes_on_one_scale(real: xr.Dataset) -> None:
    """Fifteen scenes, fifteen maps, one colour bar, nothing clipped."""
    figure = quicklook(real)
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in maps][3] == "2023-07-03 15:25 UTC"
    assert len(maps) == 15
    assert len({ax.images[0].get_clim() for ax in maps}) == 1
    assert len(figure.axes) == 16
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize("shape", [(8, 64), (64, 8)])
@pytest.mark.parametrize("crs", ["EPSG:32611", "EPSG:4326"])
@pytest.mark.parametrize("scenes", [1, 5])
def test_maps_of_any_shape_fit_their_figure(shape: tuple[int, int], crs: str, scenes: int) -> None:
    """Nothing is clipped, no text overlaps, and the legend covers no map."""
    corner = (381060.0, 30.0, 3746640.0) if crs == "EPSG:32611" else (-118.2, 0.0003, 33.8)
    affine = rasterio.Affine(corner[1], 0, corner[0], 0, -corner[1], corner[2])
    kelvin = np.random.default_rng(1).uniform(280, 320, (scenes, *shape))
    kelvin[:, 0, 0] = np.nan
    times = [f"2023-07-{day:02}T15:25:51" for day in range(1, scenes + 1)]
    figure = quicklook(cube_of(kelvin, times, geobox=GeoBox(shape, affine, crs)))
    assert_nothing_is_clipped(figure)
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    for number, (_, box) in enumerate(boxes):
        assert [name for name, other in boxes[:number] if box.overlaps(other)] == []
    maps = [ax for ax in figure.axes if ax.images]
    (key,) = figure.legends
    assert not any(key.get_window_extent().overlaps(ax.get_window_extent()) for ax in maps)
    [bar] = [ax for ax in figure.axes if ax not in maps]
    assert bar.get_window_extent().height > 0.5 * maps[0].get_window_extent().height
    if scenes == 1:
        area = np.prod(maps[0].get_window_extent().size) / np.prod(figure.bbox.size)
        assert area > 0.2


def test_anomalies_are_white_at_zero() -> None:
    """Blue below, red above, with symmetric limits."""
    cube = small()
    cube["lst"][1] += np.float32(12)
    anomaly = cube.constellr.anomaly(hours=24)
    for image in (
        temperature_map(anomaly["lst"].isel(time=0)).images[0],
        quicklook(anomaly).axes[0].images[0],
    ):
        low, high = image.get_clim()
        assert low == -high < 0
        cold, zero, warm = image.to_rgba(np.array([low, 0.0, high]))[:, :3]
        assert zero.min() > 0.95
        assert cold[2] > 2 * cold[0]
        assert warm[0] > 2 * warm[2]


def test_water_is_blue() -> None:
    """Water is blue and land is not."""
    band = next(band for band in LAYERS["scl_mask_30m"].bands if band.name == "landwater_mask")
    mask = small()["lst"].isel(time=0).copy(data=np.indices((6, 8))[1] % 2)
    mask.attrs = band.cf_attributes("int64")
    land, water = temperature_map(mask).images[0].to_rgba(np.array([0.0, 1.0]))[:, :3]
    assert water[2] > 2 * water[0]
    assert land[0] > land[2]


def test_quicklook_samples_many_scenes(real: xr.Dataset) -> None:
    """At most ``most`` maps, including the first and the last scene."""
    titles = [ax.get_title() for ax in quicklook(real["lst"], most=4, columns=2).axes if ax.images]
    assert len(titles) == 4
    assert (titles[0], titles[-1]) == ("2023-06-24 11:23 UTC", "2023-08-26 17:50 UTC")


def test_quicklook_defaults_to_the_temperature() -> None:
    """Masks are drawn only on request."""
    cube = small(clouds=np.zeros((2, 6, 8)))
    cube["red"] = cube["lst"].assign_attrs(standard_name="", long_name="red", units="1")
    cube = cube[["red", "cloud_mask", "lst"]]
    assert "Land surface temperature (K)" in words(quicklook(cube))
    assert "Red" in words(quicklook(cube, "red"))
    assert "Cloud\n2023-07-03 15:25 UTC" in words(quicklook(cube.isel(time=0), "cloud_mask"))
    assert "Red\n2023-07-03 15:25 UTC" in words(quicklook(cube[["red"]].isel(time=[0])))


@pytest.mark.filterwarnings("ignore:grid_mapping=spatial_ref:UserWarning")  # odc-geo's
def test_quicklook_skips_the_crs_variable() -> None:
    """It is the first variable of a NetCDF file opened with ``decode_coords=False``."""
    cube = small().rename(lst="red")
    cube.red.attrs = {"long_name": "red", "units": "1"}
    cube = cube.reset_coords("spatial_ref")[["spatial_ref", "red"]]
    assert "Red" in words(quicklook(cube))


@pytest.mark.parametrize(
    ("cube", "variable", "message"),
    [
        (small().isel(time=[]), None, "no time step"),
        (small(clouds=np.zeros((2, 6, 8)))[["cloud_mask"]], None, "no values to draw"),
        (small(), "red", "has no 'red'; it has lst"),
    ],
)
def test_nothing_to_draw_is_a_value_error(
    cube: xr.Dataset, variable: str | None, message: str
) -> None:
    """The message says what is missing."""
    with pytest.raises(ValueError, match=message):
        quicklook(cube, variable)


def test_time_series_is_sorted_and_labelled() -> None:
    """Sorted by time, with the unit, and a legend for several series."""
    series = small()["lst"].isel(time=[1, 0]).median(("y", "x"), keep_attrs=True)
    ax = time_series(series)
    [line] = ax.lines
    np.testing.assert_array_equal(np.asarray(line.get_ydata()), series.values[::-1])
    assert ax.get_ylabel() == "Land surface temperature (K)"
    assert ax.get_xlabel() == "Time (UTC)"
    several = time_series({"all": series, "clear": series + 1}, title="Medians")
    legend = several.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["all", "clear"]
    assert_nothing_is_clipped(figure_of(several))


def test_series_of_one_scene_shows_days() -> None:
    """The axis spans days, not years."""
    series = small()["lst"].isel(time=[0]).median(("y", "x"), keep_attrs=True)
    ax = time_series(series)
    first, last = ax.get_xlim()
    assert last - first == 4
    FigureCanvasAgg(figure_of(ax)).draw()  # type: ignore[no-untyped-call]
    assert "03 Jul" in words(figure_of(ax))


@pytest.mark.parametrize("series", [{}, small()["lst"]])
def test_time_series_refuses_other_dims(series: Any) -> None:
    """The error says how to reduce a cube."""
    with pytest.raises(ValueError, match=r"one dimension time.*median"):
        time_series(series)


def test_time_series_refuses_a_dataframe() -> None:
    """The result of :meth:`table` is a TypeError."""
    with pytest.raises(TypeError, match="a DataArray, not a DataFrame"):
        time_series(small().constellr.table())


def assert_names_do_not_overlap(ax: Axes, count: int) -> None:
    """The scenes' labels are inside the axes, off the marks, and connected by a line."""
    marks = np.vstack([ax.transData.transform(line.get_xydata()) for line in ax.lines])
    names = [text for text in ax.texts if isinstance(text, Annotation)]
    assert len(names) == count
    for name in names:
        box = Text.get_window_extent(name)
        inside = ax.get_window_extent()
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1
        assert not any(box.padded(4).contains(x, y) for x, y in marks)
        assert name.arrow_patch is not None
        x, y = name.xy
        place = ax.transData.transform((date2num(x), y))  # type: ignore[no-untyped-call]
        assert np.hypot(*(marks - place).T).min() < 1


def test_demo_figure(real: xr.Dataset) -> None:
    """The coolest clear night and the hottest clear day on one scale, above all medians."""
    table = real.constellr.table()
    figure = demo_figure(real.constellr.clear(), table)
    night, day, colours, medians = figure.axes
    assert night.get_title() == "Coolest clear night\n2023-06-28 09:45 UTC (01:53 solar time)"
    assert day.get_title() == "Hottest clear day\n2023-08-05 18:27 UTC (10:34 solar time)"
    assert night.images[0].get_clim() == day.images[0].get_clim()
    assert "Land surface temperature (°C)" in words(figure)
    assert medians.get_ylabel() == "Median land surface temperature (°C)"
    drawn = {str(line.get_label()): len(np.asarray(line.get_ydata())) for line in medians.lines}
    assert drawn == {
        "day, all pixels": 8,
        "day, clear pixels": 8,
        "night, all pixels": 7,
        "night, clear pixels": 7,
    }
    celsius = np.asarray(medians.lines[0].get_ydata())
    assert celsius == pytest.approx(table["median"][table["daytime"]].to_numpy() - 273.15)
    assert colours.get_ylim() == pytest.approx(night.images[0].get_clim())
    assert_nothing_is_clipped(figure)
    assert_names_do_not_overlap(medians, 2)


def test_demo_figure_without_nights_or_clear_scenes(real: xr.Dataset) -> None:
    """Only days: one map. Mostly cloudy: the clearest available. None clear: an error."""
    days = real.isel(time=[9, 11])
    figure = demo_figure(days, days.constellr.table())
    assert len([ax for ax in figure.axes if ax.images]) == 1
    assert_nothing_is_clipped(figure)
    assert_names_do_not_overlap(figure.axes[-1], 1)
    table = real.constellr.table()
    cloudy = table.assign(clear_share=table["clear_share"] * 0.4)
    assert len([ax for ax in demo_figure(real, cloudy).axes if ax.images]) == 2
    with pytest.raises(ValueError, match="No scene has a clear pixel"):
        demo_figure(real, table.assign(clear_median=np.nan))


PROGRAM = """
import json, sys
import numpy, xarray
from constellr_stac.errors import MissingExtraError
from constellr_stac.plot import temperature_map

facts = {"imported unasked": "matplotlib" in sys.modules}
picture = xarray.DataArray(numpy.zeros((2, 2)), dims=("y", "x"))
sys.modules["matplotlib"] = None
try:
    temperature_map(picture)
except MissingExtraError as error:
    facts["error"] = str(error)
del sys.modules["matplotlib"]
temperature_map(picture).figure.savefig("/dev/null", format="png")
facts["pyplot"] = "matplotlib.pyplot" in sys.modules
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What a separate process observes, without matplotlib and with it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_no_global_matplotlib_state(facts: dict[str, Any]) -> None:
    """No pyplot, no backend, no import before drawing."""
    assert facts["pyplot"] is False
    assert facts["imported unasked"] is False


@pytest.mark.slow
def test_missing_matplotlib_names_the_extra(facts: dict[str, Any]) -> None:
    """The error says what to install."""
    assert "pip install 'constellr-stac[plot]'" in facts["error"]


def test_geobox_of_the_tests() -> None:
    """The cubes above share a corner with the real scenes."""
    assert small().odc.geobox == BOX
