"""Colour scales, labels and sizes of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from odc.geo.geobox import GeoBox
from rasterio import Affine

from constellr_stac.layers.table import LAYERS
from constellr_stac.plot import quicklook, rgb, temperature_map, time_series
from scene_cubes import cube_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIMES = ["2023-07-03T15:25:51", "2023-07-04T06:20:00", "2023-07-05T15:00:00", "2023-07-06T06:00:00"]


def small() -> xr.Dataset:
    """Two days of 310 K and two nights of 285 K, 6 x 8 pixels."""
    kelvin = np.random.default_rng(4).uniform(-3, 3, (4, 6, 8))
    cube = cube_of(kelvin + np.array([310, 285, 311, 286])[:, None, None], TIMES)
    return cube.assign_coords(daytime=("time", [True, False, True, False]))


def maps(figure: Figure) -> list[Axes]:
    """The axes with an image."""
    return [ax for ax in figure.axes if ax.images]


def limits(figure: Figure) -> list[tuple[float, float]]:
    """The colour limits of each map."""
    return [ax.images[0].get_clim() for ax in maps(figure)]


def labels(figure: Figure) -> set[str]:
    """The labels of the colour bars."""
    return {ax.get_ylabel().replace("\n", " ") for ax in figure.axes if not ax.images}


def assert_inside(figure: Figure) -> None:
    """Draw, and check that nothing is outside the figure."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0


def test_day_and_night_have_a_scale_each() -> None:
    """Each spans its own scenes, and has its own colour bar."""
    cube = small()
    figure = quicklook(cube)
    day, night, *others = limits(figure)
    assert others == [day, night]
    assert day == pytest.approx(np.percentile(cube["lst"][[0, 2]], (2, 98)), abs=1e-3)
    assert night == pytest.approx(np.percentile(cube["lst"][[1, 3]], (2, 98)), abs=1e-3)
    name = "Land surface temperature (K)"
    assert labels(figure) == {f"{name}, day", f"{name}, night"}
    assert_inside(figure)


def test_quicklook_takes_limits_and_colours() -> None:
    """Then all scenes share one scale, as masks, anomalies and differences do."""
    cube = small()
    figure = quicklook(cube, limits=(280, 300), cmap="viridis")
    assert set(limits(figure)) == {(280, 300)}
    assert labels(figure) == {"Land surface temperature (K)"}
    assert {ax.images[0].get_cmap().name for ax in maps(figure)} == {"viridis"}
    assert len(set(limits(quicklook(cube.drop_vars("daytime"))))) == 1
    anomaly = cube.assign(lst=cube["lst"].assign_attrs(long_name="x, anomaly", standard_name=""))
    assert len(set(limits(quicklook(anomaly)))) == 1
    difference = cube["lst"] - cube["lst"].mean("time")
    assert len(set(limits(quicklook(difference.assign_attrs(cube["lst"].attrs))))) == 1


def test_difference_is_centred_and_named() -> None:
    """Subtraction in xarray keeps the attributes of a temperature."""
    cube = small()
    difference = cube["lst"][0] - cube["lst"][1].drop_vars(["time", "daytime"])
    ax = temperature_map(difference)
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert ax.get_title().startswith("Land surface temperature, difference")
    np.testing.assert_allclose(ax.images[0].to_rgba(np.array([0.0]))[0, :3], 0.97, atol=0.01)


def test_classes_have_meaningful_colours() -> None:
    """Clear is light, clouds white or grey, shadow dark, water blue."""
    band = LAYERS["scl_mask_30m"].bands[0]
    mask = small()["lst"][0].copy(data=np.indices((6, 8))[1] % 4)
    mask.attrs = band.cf_attributes("uint8")
    clear, thick, thin, shadow = temperature_map(mask).images[0].to_rgba(np.arange(4.0))[:, :3]
    assert clear.min() > 0.7
    assert thick.min() == 1
    assert np.ptp(thin) < 0.15
    assert shadow.max() < 0.35
    assert all(abs(each - to_rgb("0.82")).max() > 0.05 for each in (clear, thick, thin, shadow))


def test_classes_have_a_legend() -> None:
    """In their colours, with grey, outside the map; and no colour bar."""
    band = LAYERS["scl_mask_30m"].bands[0]
    clouds = small()["lst"].copy(data=np.indices((4, 6, 8))[2] % 5)
    clouds.attrs = band.cf_attributes("uint8")
    ax = temperature_map(clouds[0])
    image = ax.images[0]
    for figure in (ax.figure, quicklook(clouds)):
        assert isinstance(figure, Figure)
        assert len(maps(figure)) == len(figure.axes)
        [legend] = figure.legends
        names = [text.get_text() for text in legend.get_texts()]
        assert names == ["clear", "thick", "thin", "shadow", "no data"]
        fills = np.array([to_rgb(patch.get_facecolor()) for patch in legend.get_patches()])
        np.testing.assert_allclose(fills[:4], image.to_rgba(np.arange(4.0))[:, :3])
        np.testing.assert_allclose(fills[4], to_rgb("0.82"))
        assert_inside(figure)
        box = legend.get_window_extent()
        assert not any(box.overlaps(each.get_window_extent()) for each in maps(figure))


def test_scene_without_a_valid_pixel_has_no_colour_bar() -> None:
    """There is no scale to show."""
    for figure in (temperature_map(small()["lst"][0] * np.nan).figure, quicklook(small() * np.nan)):
        assert isinstance(figure, Figure)
        assert len(maps(figure)) == len(figure.axes)


@pytest.mark.parametrize(("side", "label"), [(0.2, "2 km"), (0.0003, "2 m"), (4.0, "50 km")])
def test_maps_in_degrees_have_a_scale_bar(side: float, label: str) -> None:
    """Of a round length, up to a quarter of the width, right at the middle latitude."""
    box = GeoBox.from_bbox((8, 60 - side / 2, 8 + side, 60 + side / 2), "EPSG:4326", shape=(6, 8))
    ax = temperature_map(cube_of(np.full((1, 6, 8), 300.0), TIMES[:1], geobox=box)["lst"][0])
    [bar] = [each for each in ax.artists if isinstance(each, AnchoredSizeBar)]
    assert bar.txt_label.get_text() == label
    number, unit = label.split()
    metres = float(number) * (1000 if unit == "km" else 1)
    [line] = bar.size_bar.get_children()
    _, _, drawn = pyproj.Geod(ellps="WGS84").inv(8, 60, 8 + line.get_width(), 60)
    assert drawn == pytest.approx(metres, rel=0.005)


def test_axes_of_a_new_figure_are_shown_by_a_notebook() -> None:
    """As an image; given axes are returned."""
    cube = small()
    red = cube["lst"][0] / 400
    colours = xr.Dataset({"red": red, "green": red, "blue": red})
    series = cube["lst"].median(("y", "x"), keep_attrs=True)
    drawn: Any
    for drawn in (temperature_map(cube["lst"][0]), rgb(colours), time_series(series)):
        assert drawn._repr_png_().startswith(b"\x89PNG")
    ax = Figure().add_subplot()
    assert temperature_map(cube["lst"][0], ax=ax) is ax


def test_series_by_day_and_at_night_are_not_joined() -> None:
    """One line each."""
    series = small()["lst"].median(("y", "x"), keep_attrs=True)
    day, night = time_series(series).get_lines()
    assert (day.get_label(), night.get_label()) == ("day", "night")
    np.testing.assert_array_equal(day.get_ydata(), series[[0, 2]])
    np.testing.assert_array_equal(night.get_ydata(), series[[1, 3]])
    many = time_series({"a": series, "b": series + 1})
    a_day, a_night, b_day, b_night = many.get_lines()
    assert a_day.get_color() == a_night.get_color() != b_day.get_color() == b_night.get_color()
    legend = many.get_legend()
    assert legend is not None
    assert isinstance(many.figure, Figure)
    assert_inside(many.figure)
    assert legend.get_window_extent().x0 >= many.get_window_extent().x1  # covers no value


def test_legend_of_many_series_takes_no_room_of_the_values() -> None:
    """The figure grows with their number and the length of their names."""
    series = small()["lst"].mean(["y", "x"])
    ax = time_series({f"District of the {n}th meridian": series + n for n in range(24)})
    assert isinstance(ax.figure, Figure)
    assert_inside(ax.figure)
    assert ax.get_window_extent().width > 650  # of 800 pixels


@pytest.mark.parametrize("kind", ["deviation", "pixel", "strip", "degrees", "constant", "hot"])
def test_nothing_is_clipped(kind: str) -> None:
    """Long names, single pixels, latitudes, any temperature."""
    cube = small()
    scene = cube["lst"][0]
    if kind == "deviation":
        scene = (scene / 300).assign_attrs(LAYERS["lst_std"].bands[0].cf_attributes())
        assert_inside(
            quicklook(
                cube.assign(lst_std=(cube["lst"] / 300).assign_attrs(scene.attrs))[["lst_std"]]
            )
        )
    elif kind == "pixel":
        scene = scene[2:3, 3:4]
    elif kind == "strip":
        box = GeoBox((1, 2401), Affine(30, 0, 381060, 0, -30, 3746640), "EPSG:32611")
        row = np.linspace(280, 300, 2401, dtype="float32").reshape(1, 1, 2401)
        scene = cube_of(row, TIMES[:1], geobox=box)["lst"]
    elif kind == "degrees":
        box = GeoBox.from_bbox((-118.3, 33.7, -118.1, 33.9), "EPSG:4326", shape=(6, 8))
        scene = cube_of(scene.values[None], TIMES[:1], geobox=box)["lst"]
    else:
        scene = scene * 0 + (300 if kind == "constant" else 1200)
    figure = temperature_map(scene).figure
    assert isinstance(figure, Figure)
    assert_inside(figure)
    drawn = figure.axes[0].get_window_extent().height / figure.dpi
    assert drawn > 0.7  # inches, also of a single row of pixels


def test_large_maps_are_decimated() -> None:
    """At most 1,200 pixels a side, over the whole extent."""
    box = GeoBox((3300, 3200), Affine(30, 0, 381060, 0, -30, 3746640), "EPSG:32611")
    kelvin = np.broadcast_to(np.linspace(280, 300, 3200, dtype="float32"), (1, 3300, 3200))
    ax = temperature_map(cube_of(kelvin, TIMES[:1], geobox=box)["lst"])
    array = ax.images[0].get_array()
    assert array is not None
    assert array.shape == (1100, 1067)
    assert ax.get_xlim() == pytest.approx((381.06, 381.06 + 96))
    assert float(array[0, 0]) == pytest.approx(280, abs=0.1)
    assert float(array[0, -1]) == pytest.approx(300, abs=0.1)
