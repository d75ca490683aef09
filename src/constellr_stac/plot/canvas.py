"""Figures without global state, and labels: quantities, units, times, places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import odc.geo.xr  # noqa: F401 - the .odc accessor

from constellr_stac.cube.units import is_stored
from constellr_stac.errors import MissingExtraError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from odc.geo.geobox import GeoBox

__all__ = [
    "COLOURS",
    "NO_DATA",
    "decimated",
    "is_difference",
    "is_temperature",
    "label_axes",
    "label_times",
    "map_extent",
    "map_size",
    "name_of",
    "new_axes",
    "new_figure",
    "quantity",
    "time_of",
]

COLOURS = {"day": "#c8501e", "night": "#2b5c8a"}
"""Of values by day and at night."""
NO_DATA = "0.82"
"""Grey of masked and missing pixels; far from every colour of the maps."""
_UNITS = {"degC": "°C", "1": "", "percent": "%"}
_METRES_IN_KM = 1000.0
_METRES_IN_DEGREE = 111_195.0
_STRIP = 10.0
"""The largest ratio of a drawn map's sides."""
_LEAST_TEMPERATURE = 100.0
"""Kelvin; no surface on Earth is colder."""


def new_figure(*, width: float, height: float) -> Figure:
    """Return a new figure, in inches, that pyplot does not track.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
    """
    try:
        from .figures import NotebookFigure
    except ImportError as error:
        raise MissingExtraError("Drawing", "plot") from error
    return NotebookFigure(figsize=(width, height), layout="constrained")


def new_axes(*, width: float, height: float) -> Axes:
    """Return axes in a :func:`new_figure`, which a notebook shows."""
    figure = new_figure(width=width, height=height)
    from .figures import NotebookAxes

    return figure.add_subplot(axes_class=NotebookAxes)


def decimated(scene: xr.DataArray, most: int) -> xr.DataArray:
    """Return every n-th pixel of dims (..., y, x), so that no side has more than ``most``."""
    step = -(-max(scene.shape[-2:]) // most)
    if step <= 1:
        return scene
    sides = zip(scene.dims[-2:], scene.shape[-2:], strict=True)
    return scene.isel({dim: slice(min(step // 2, size - 1), None, step) for dim, size in sides})


def quantity(values: xr.DataArray) -> str:
    """Return name and unit: ``Land surface temperature (°C)``."""
    unit = "as stored" if is_stored(values) else values.attrs.get("units", "")
    unit = _UNITS.get(unit, unit)
    return name_of(values) + (f" ({unit})" if unit else "")


def name_of(values: xr.DataArray) -> str:
    """Return the long name, capitalized."""
    name = str(values.attrs.get("long_name") or values.name or "value")
    name += ", difference" if is_difference(values) else ""
    return name[:1].upper() + name[1:]


def is_difference(values: xr.DataArray) -> bool:
    """Return whether values in kelvin are too small for temperatures.

    xarray keeps the attributes of what was subtracted.
    """
    if values.attrs.get("units") != "K" or not is_temperature(values):
        return False
    return bool(values.max() < _LEAST_TEMPERATURE)


def is_temperature(values: xr.DataArray) -> bool:
    """Return whether values are surface temperatures by their attributes."""
    return bool(values.attrs.get("standard_name") == "surface_temperature")


def time_of(values: xr.DataArray) -> str:
    """Return a scene's time in UTC, or an empty string without a scalar ``time``."""
    if "time" not in values.coords or values["time"].ndim:
        return ""
    return str(np.datetime_as_string(values["time"].to_numpy(), "m")).replace("T", " ") + " UTC"


def map_extent(scene: xr.DataArray) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top: kilometres, degrees, or pixels without a geobox."""
    geobox = scene.odc.geobox
    if geobox is None or geobox.crs is None:
        rows, columns = scene.shape
        return 0.0, float(columns), float(rows), 0.0
    per_unit = 1.0 if geobox.crs.geographic else _METRES_IN_KM
    left, bottom, right, top = (edge / per_unit for edge in geobox.boundingbox)
    return left, right, bottom, top


def map_size(scene: xr.DataArray, side: float) -> tuple[float, float]:
    """Return width and height of a map in inches, with the area of a square of this ``side``.

    The longer side is at most twice ``side``.
    """
    left, right, bottom, top = map_extent(scene)
    ratio = abs(right - left) / abs(top - bottom) / _aspect(scene)
    longest = min(max(ratio, 1 / ratio) ** 0.5, 2.0) * side
    return (longest, longest / ratio) if ratio > 1 else (longest * ratio, longest)


def label_axes(ax: Axes, scene: xr.DataArray, *, ticks: int = 5) -> None:
    """Label the coordinates of a map and set its aspect ratio.

    A full side gets this number of ``ticks``, a shorter one fewer.
    """
    ax.ticklabel_format(style="plain", useOffset=False)
    width, height = (max(1, round(ticks * min(side, 1.0))) for side in map_size(scene, 1.0))
    ax.locator_params(axis="x", nbins=width, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.locator_params(axis="y", nbins=height, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.set_aspect(_aspect(scene))
    geobox = scene.odc.geobox
    if geobox is None or geobox.crs is None:
        ax.set(xlabel="Column", ylabel="Row")
        return
    if geobox.crs.geographic:
        ax.set(xlabel="Longitude (°)", ylabel="Latitude (°)")
        _add_scale_bar(ax, geobox)
        return
    name = f", {geobox.crs.authority[0]}:{geobox.crs.epsg}" if geobox.crs.epsg else ""
    ax.set(xlabel=f"Easting (km){name}", ylabel="Northing (km)")


def _add_scale_bar(ax: Axes, geobox: GeoBox) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten metres, up to a quarter of the map."""
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    west, south, east, north = geobox.boundingbox
    per_degree = _METRES_IN_DEGREE * max(np.cos(np.radians((south + north) / 2)), 0.01)
    most = (east - west) * per_degree / 4
    power = 10.0 ** np.floor(np.log10(most))
    metres = power * max(step for step in (1, 2, 5) if step * power <= most)
    label = f"{metres / 1000:g} km" if metres >= _METRES_IN_KM else f"{metres:g} m"
    bar = AnchoredSizeBar(
        ax.transData, metres / per_degree, label, "upper left", pad=0.3, sep=3, borderpad=0.5
    )
    bar.patch.set(alpha=0.75, edgecolor="none")
    ax.add_artist(bar)


def _aspect(scene: xr.DataArray) -> float:
    """Return the length of a y unit relative to an x unit; strips are drawn wider than they are."""
    left, right, bottom, top = map_extent(scene)
    ratio, geobox, aspect = abs(right - left) / abs(top - bottom), scene.odc.geobox, 1.0
    if geobox is not None and geobox.crs is not None and geobox.crs.geographic:
        aspect = float(1 / max(np.cos(np.radians((bottom + top) / 2)), 0.01))
    return min(max(aspect, ratio / _STRIP), ratio * _STRIP)


def label_times(ax: Axes) -> None:
    """Format the time axis, in UTC."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    first, last = ax.dataLim.intervalx
    if first == last:  # one scene: show days, not years
        ax.set_xlim(first - 2, last + 2)
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"],
        zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        offset_formats=["", "", "%Y", "%Y", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
    )
    ax.xaxis.set_major_formatter(formatter)
    ax.set_xlabel("Time (UTC)")
    ax.grid(visible=True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
