"""Maps of scenes: single, several on one colour scale, or true colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from constellr_stac.cube.mask import values_of

from .canvas import (
    NO_DATA,
    decimated,
    is_difference,
    is_temperature,
    label_axes,
    map_extent,
    map_size,
    name_of,
    new_axes,
    new_figure,
    time_of,
)
from .key import add_colour_bar, add_legend, colours_of, meanings_of, numbered, robust_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quicklook", "rgb", "temperature_map"]

_TITLE_WIDTH = 1.9
"""Inches needed by a time above its map."""
_TITLE_PAD = 9
"""Points between map and title; the offset text of a narrow map is there too."""
_LABEL_HEIGHT = 3.2
"""Inches needed by a colour bar with a long name."""

_GAMMA = 1.6
_MAP_DIMS = 2
_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
_MOST_PIXELS = 1200
"""Of a side of a map; a figure has no room for more."""


def temperature_map(
    values: xr.DataArray,
    ax: Axes | None = None,
    *,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    colorbar: bool = True,
    cmap: str | None = None,
) -> Axes:
    """Draw one scene as a map, with coordinates, unit and time.

    Args:
        values: Dims (y, x), or with a ``time`` of one step; any variable of a cube. Classes of a
            mask get one colour each; unclassified pixels are grey.
        ax: Axes to draw on. Default: a new figure (``ax.figure``).

    Keyword Args:
        limits: Values of the first and last colour. Default: the 2nd and 98th percentile,
            symmetric about zero for an anomaly. Ignored for masks.
        title: Default: name and time.
        colorbar: Whether to add a colour bar or, for classes, a legend.
        cmap: A matplotlib colour map. Default: sequential, or diverging for an anomaly.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: ``values`` is not a single scene.
    """
    scene = one_scene(values)
    own, ax, extent = ax, ax or _map_axes(scene, beside=1.75), map_extent(scene)
    scene = decimated(scene, _MOST_PIXELS)
    colours = colours_of(scene, cmap)
    if meanings_of(scene):
        low, high = -0.5, colours.N - 0.5
    else:
        low, high = limits or robust_limits([scene])
    ax.imshow(
        np.ma.masked_invalid(numbered(scene).to_numpy().astype("float64")),
        cmap=colours,
        vmin=low,
        vmax=high,
        extent=extent,
        interpolation="nearest",
    )
    label_axes(ax, scene)
    default = "\n".join(part for part in (name_of(scene), time_of(scene)) if part)
    ax.set_title(default if title is None else title, pad=_TITLE_PAD)
    if colorbar:
        add_colour_bar([ax], [scene])
        add_legend(own or ax.figure.figure, ax, [scene])
    return ax


def rgb(
    cube: xr.Dataset,
    ax: Axes | None = None,
    *,
    bands: tuple[str, str, str] = ("red", "green", "blue"),
    title: str | None = None,
) -> Axes:
    """Draw one scene in true colour, over a robust brightness range with a gamma of 1.6.

    All bands share one range, which keeps the colours true; the gamma brightens land beside clouds.

    Args:
        cube: Contains the three bands; dims (y, x), or with a ``time`` of one step.
        ax: Axes to draw on. Default: a new figure (``ax.figure``).

    Keyword Args:
        bands: The variables for red, green and blue.
        title: Default: name and time.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: A band is missing, or ``cube`` is not a single scene.
    """
    if missing := [name for name in bands if name not in cube]:
        raise ValueError(
            f"The cube has no {', '.join(map(repr, missing))}: load them, or pass bands=."
        )
    scenes = [one_scene(cube[name]) for name in bands]
    own, ax = ax, ax or _map_axes(scenes[0], beside=0.95)
    stack = np.stack([scene.to_numpy().astype("float64") for scene in scenes], axis=-1)
    low, high = robust_limits([scene.drop_attrs() for scene in scenes])
    colours = np.clip((stack - low) / (high - low), 0.0, 1.0) ** (1 / _GAMMA)
    colours[np.isnan(stack).any(axis=-1)] = float(NO_DATA)
    ax.imshow(colours, extent=map_extent(scenes[0]), interpolation="nearest")
    label_axes(ax, scenes[0])
    add_legend(own or ax.figure.figure, ax, scenes)
    ax.set_title(f"True colour\n{time_of(scenes[0])}".strip() if title is None else title)
    return ax


def quicklook(
    cube: xr.Dataset | xr.DataArray,
    variable: str | None = None,
    *,
    columns: int = 4,
    most: int = 16,
    limits: tuple[float, float] | None = None,
    cmap: str | None = None,
) -> Figure:
    """Draw the scenes of a cube side by side.

    Temperatures by day and at night have a colour scale each if the cube has the coordinate
    ``daytime``, as the cubes of :func:`constellr_stac.load` have.

    Args:
        cube: With or without ``time``.
        variable: Default: the temperature, else the first variable that is not a mask.

    Keyword Args:
        columns: Number of maps per row.
        most: Maximum number of maps, spread evenly over the time steps.
        limits: Values of the first and last colour of all scenes. Default: the 2nd and 98th
            percentile of the scenes by day, and of those at night.
        cmap: A matplotlib colour map. Default: as for :func:`temperature_map`.

    Returns:
        The figure: ``figure.savefig("quicklook.png")``.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: There is nothing to draw.
    """
    values = _variable(cube, variable)
    if values.sizes.get("time", 1) == 0:
        raise ValueError("The cube has no time step to draw.")
    if values.sizes.get("time", 1) == 1:
        return temperature_map(values, limits=limits, cmap=cmap).figure.figure
    steps = np.linspace(0, values.sizes["time"] - 1, min(most, values.sizes["time"]))
    chosen = decimated(values.isel(time=np.unique(steps.round().astype(int))), _MOST_PIXELS // 2)
    scenes = list(chosen.compute())
    columns = min(columns, len(scenes))
    rows = -(-len(scenes) // columns)
    width, height = map_size(scenes[0], 2.2)
    groups = _by_daytime(scenes) if limits is None else {"": list(range(len(scenes)))}
    figure = new_figure(
        width=max(width + 0.3, _TITLE_WIDTH) * columns + 0.6 + 0.8 * len(groups),
        height=max((height + 0.25) * rows + 0.8, _LABEL_HEIGHT),
    )
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    maps = axes[: len(scenes)]
    for when, members in groups.items():
        span = limits or robust_limits([scenes[member] for member in members])
        for member in members:
            ax, scene = maps[member], scenes[member]
            temperature_map(scene, ax, limits=span, colorbar=False, title="", cmap=cmap)
            ax.set_title(time_of(scene), fontsize="medium", pad=_TITLE_PAD)
            label_axes(ax, scene, ticks=3)
            if when:
                ax.text(0.03, 0.03, when, transform=ax.transAxes, fontsize="small", bbox=_BOX)
    figure.supxlabel(axes[0].get_xlabel(), fontsize="medium")
    figure.supylabel(axes[0].get_ylabel(), fontsize="medium")
    for number, ax in enumerate(maps):
        ax.set(xlabel="", ylabel="")
        ax.tick_params(labelbottom=number + columns >= len(scenes))
    for ax in axes[len(scenes) :]:
        ax.remove()
    for when, members in sorted(groups.items(), reverse=True):  # the last one is the nearest
        own = [maps[member] for member in members], [scenes[member] for member in members]
        add_colour_bar(*own, beside=maps, when=when)
    add_legend(figure, maps[0], scenes)
    return figure


def _by_daytime(scenes: list[xr.DataArray]) -> dict[str, list[int]]:
    """Return the scenes by day and at night; one group if these are no temperatures.

    Differences share a scale, so that one colour has one sign and size.
    """
    by: dict[str, list[int]] = {}
    for number, scene in enumerate(scenes):
        apart = "daytime" in scene.coords and is_temperature(scene) and not is_difference(scene)
        when = ("day" if scene["daytime"] else "night") if apart else ""
        by.setdefault(when, []).append(number)
    return by if len(by) > 1 else {"": list(range(len(scenes)))}


def one_scene(values: xr.DataArray) -> xr.DataArray:
    """Return one computed scene, north up."""
    scene = values.squeeze("time") if values.sizes.get("time") == 1 else values
    if len(scene.dims) != _MAP_DIMS:
        raise ValueError(
            f"A map shows one scene with dims (y, x), not {dict(values.sizes)}: select one."
        )
    rows = scene.dims[0]
    if rows in scene.coords and scene.sizes[rows] > 1 and scene[rows][0] < scene[rows][-1]:
        scene = scene.isel({rows: slice(None, None, -1)})
    return scene.compute()


def _map_axes(scene: xr.DataArray, *, beside: float) -> Axes:
    """Return axes for one map in a new figure, with ``beside`` inches for the colour bar."""
    width, height = map_size(scene, 4.65)
    return new_axes(
        width=max(width, _TITLE_WIDTH) + beside, height=max(height + 0.95, _LABEL_HEIGHT)
    )


def _variable(cube: xr.Dataset | xr.DataArray, name: str | None) -> xr.DataArray:
    """Select the variable to draw."""
    if isinstance(cube, xr.DataArray):
        return cube
    if name is None:
        values = list(values_of(cube))
        if not values:
            raise ValueError(
                f"The cube has no values to draw, only {', '.join(map(str, cube.data_vars))}."
            )
        kelvin = "surface_temperature"
        name = next((k for k in values if cube[k].attrs.get("standard_name") == kelvin), values[0])
    if name not in cube:
        raise ValueError(f"The cube has no {name!r}; it has {', '.join(map(str, cube.data_vars))}.")
    return cube[name]
