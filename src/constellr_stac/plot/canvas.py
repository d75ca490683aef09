"""Figures without global state, and the words on them: quantities, units, times, places."""

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

__all__ = [
    "NO_DATA",
    "figure_of",
    "label_axes",
    "label_times",
    "map_extent",
    "map_size",
    "name_of",
    "new_figure",
    "quantity",
    "time_of",
    "title_of",
]

NO_DATA = "0.82"
"""The grey of what is masked or was never measured; no colour of a map is near it."""
_UNITS = {"degC": "°C", "1": "", "percent": "%"}
_METRES_IN_KM = 1000.0


def new_figure(*, width: float, height: float) -> Figure:
    """Make a figure that belongs to nobody but the caller.

    Keyword Args:
        width: In inches.
        height: In inches.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
    """
    try:
        from .figures import NotebookFigure
    except ImportError as error:
        what = "Drawing"
        raise MissingExtraError(what, "plot") from error
    return NotebookFigure(figsize=(width, height), layout="constrained")


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes are part of, be it by way of subfigures.

    Args:
        ax: Axes of a figure.
    """
    return ax.figure.figure


def quantity(values: xr.DataArray) -> str:
    """Say what is shown and in which unit: ``Land surface temperature (°C)``.

    Args:
        values: With CF attributes.
    """
    unit = "as stored" if is_stored(values) else values.attrs.get("units", "")
    unit = _UNITS.get(unit, unit)
    return name_of(values) + (f" ({unit})" if unit else "")


def name_of(values: xr.DataArray) -> str:
    """Return the long name, as a sentence begins."""
    name = str(values.attrs.get("long_name") or values.name or "value")
    return name[:1].upper() + name[1:]


def time_of(values: xr.DataArray) -> str:
    """Return when a scene was taken, or nothing where it does not say.

    Args:
        values: A scene; its scalar coordinate ``time`` is UTC.
    """
    if "time" not in values.coords or values["time"].ndim:
        return ""
    return str(np.datetime_as_string(values["time"].to_numpy(), "m")).replace("T", " ") + " UTC"


def title_of(values: xr.DataArray) -> str:
    """Return what is shown and when, in two lines.

    Args:
        values: A scene.
    """
    return "\n".join(part for part in (name_of(values), time_of(values)) if part)


def map_extent(scene: xr.DataArray) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top edge: kilometres, degrees, or pixels without a grid.

    Args:
        scene: Dims (y, x), north up.
    """
    geobox = scene.odc.geobox
    if geobox is None or geobox.crs is None:
        rows, columns = scene.shape
        return 0.0, float(columns), float(rows), 0.0
    per_unit = 1.0 if geobox.crs.geographic else _METRES_IN_KM
    left, bottom, right, top = (edge / per_unit for edge in geobox.boundingbox)
    return left, right, bottom, top


def map_size(scene: xr.DataArray, side: float) -> tuple[float, float]:
    """Return width and height of a map in inches: as large as a square, in true proportions.

    A long one is at most twice as long as the square.

    Args:
        scene: Dims (y, x).
        side: Of the square.
    """
    left, right, bottom, top = map_extent(scene)
    ratio = abs(right - left) / abs(top - bottom) / _aspect(scene)
    longest = min(max(ratio, 1 / ratio) ** 0.5, 2.0) * side
    return (longest, longest / ratio) if ratio > 1 else (longest * ratio, longest)


def label_axes(ax: Axes, scene: xr.DataArray, *, ticks: int = 5) -> None:
    """Write what the coordinates are, and keep true proportions.

    Args:
        ax: With the map drawn.
        scene: Dims (y, x).

    Keyword Args:
        ticks: How many coordinates along the side of a square; fewer along a shorter side.
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
        return
    name = f", {geobox.crs.authority[0]}:{geobox.crs.epsg}" if geobox.crs.epsg else ""
    ax.set(xlabel=f"Easting (km){name}", ylabel="Northing (km)")


def _aspect(scene: xr.DataArray) -> float:
    """Return how much longer a unit is drawn along y than along x."""
    geobox = scene.odc.geobox
    if geobox is None or geobox.crs is None or not geobox.crs.geographic:
        return 1.0
    _, south, _, north = geobox.boundingbox
    return float(1 / max(np.cos(np.radians((south + north) / 2)), 0.01))


def label_times(ax: Axes) -> None:
    """Write dates no denser than can be read, and say that they are UTC.

    Args:
        ax: With times along x.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    first, last = ax.dataLim.intervalx
    if first == last:  # one scene: the days around it, not the years
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
