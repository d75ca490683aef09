"""Scenes as maps: one, several on one colour scale, or in true colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .canvas import (
    NO_DATA,
    figure_of,
    label_axes,
    map_extent,
    new_figure,
    quantity,
    time_of,
    title_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["add_colour_bar", "quicklook", "rgb", "robust_limits", "temperature_map"]

COLOUR_MAP = "inferno"
"""Perceptually even: readable in grey print and with any colour vision."""

_DARKEST = 0.1
"""Where the colour map begins: what lies in nearly black cannot be told apart."""

_ROBUST = (2.0, 98.0)
_GAMMA = 1.6
_MAP_DIMS = 2


def temperature_map(
    values: xr.DataArray,
    ax: Axes | None = None,
    *,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    colorbar: bool = True,
    cmap: str = COLOUR_MAP,
) -> Axes:
    """Draw one scene as a map: colours over a robust range, coordinates, unit and time.

    Args:
        values: Dims (y, x), or with a ``time`` of one step; any variable of a cube. The classes
            of a mask get a colour each, and what has no class is grey.
        ax: Where to draw; a new figure if left out (``ax.figure``).

    Keyword Args:
        limits: The values of the first and last colour; else the percentiles 2 and 98. Of a
            mask, all classes are shown.
        title: Else what is shown and when.
        colorbar: Whether to add a colour bar.
        cmap: A matplotlib colour map.

    Returns:
        The axes.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: ``values`` is no single scene.
    """
    scene = one_scene(values)
    ax = ax or new_figure(width=6.4, height=5.6).add_subplot()
    if "flag_values" in scene.attrs:
        scene = class_numbers(scene)
        colours = _class_colours(cmap, len(scene.attrs["flag_values"]))
        low, high = -0.5, colours.N - 0.5
    else:
        colours = _colours(cmap)
        low, high = limits or robust_limits([scene])
    ax.imshow(
        np.ma.masked_invalid(scene.to_numpy().astype("float64")),
        cmap=colours,
        vmin=low,
        vmax=high,
        extent=map_extent(scene),
        interpolation="nearest",
    )
    label_axes(ax, scene)
    ax.set_title(title_of(scene) if title is None else title)
    if colorbar:
        add_colour_bar(figure_of(ax), [ax], [scene])
    return ax


def rgb(
    cube: xr.Dataset,
    ax: Axes | None = None,
    *,
    bands: tuple[str, str, str] = ("red", "green", "blue"),
    title: str | None = None,
) -> Axes:
    """Draw one scene in true colour: a robust range of brightness, with a gamma of 1.6.

    One range for all three bands keeps the colours true; the gamma keeps land from looking black
    beside clouds.

    Args:
        cube: Has the three bands; dims (y, x), or with a ``time`` of one step.
        ax: Where to draw; a new figure if left out (``ax.figure``).

    Keyword Args:
        bands: The variables for red, green and blue.
        title: Else what is shown and when.

    Returns:
        The axes.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: A band is missing, or ``cube`` is no single scene.
    """
    if missing := [name for name in bands if name not in cube]:
        msg = f"The cube has no {', '.join(map(repr, missing))}: load them too, or name others."
        raise ValueError(msg)
    scenes = [one_scene(cube[name]) for name in bands]
    ax = ax or new_figure(width=5.6, height=5.6).add_subplot()
    stack = np.stack([scene.to_numpy().astype("float64") for scene in scenes], axis=-1)
    low, high = robust_limits(scenes)
    colours = np.clip((stack - low) / (high - low), 0.0, 1.0) ** (1 / _GAMMA)
    empty = np.isnan(stack).any(axis=-1)
    colours[empty] = float(NO_DATA)
    ax.imshow(colours, extent=map_extent(scenes[0]), interpolation="nearest")
    label_axes(ax, scenes[0])
    if empty.any():
        _explain_grey(ax, "no data")
    ax.set_title(f"True colour\n{time_of(scenes[0])}".strip() if title is None else title)
    return ax


def quicklook(
    cube: xr.Dataset | xr.DataArray,
    variable: str | None = None,
    *,
    columns: int = 4,
    most: int = 16,
) -> Figure:
    """Draw the scenes of a cube side by side, on one colour scale.

    Args:
        cube: With or without ``time``.
        variable: What to draw; else the temperature, else the first variable of values.

    Keyword Args:
        columns: How many maps in a row.
        most: At most so many maps, spread evenly over the time steps.

    Returns:
        The figure: ``figure.savefig("quicklook.png")``.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: There is nothing to draw.
    """
    values = _variable(cube, variable)
    if values.sizes.get("time", 1) == 0:
        msg = "The cube has no time step: there is nothing to draw."
        raise ValueError(msg)
    if values.sizes.get("time", 1) == 1:
        return figure_of(temperature_map(values))
    steps = np.linspace(0, values.sizes["time"] - 1, min(most, values.sizes["time"]))
    scenes = list(values.isel(time=np.unique(steps.round().astype(int))).compute())
    columns = min(columns, len(scenes))
    rows = -(-len(scenes) // columns)
    figure = new_figure(width=2.5 * columns + 1.2, height=2.45 * rows + 0.8)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    limits = robust_limits(scenes)
    for ax, scene in zip(axes, scenes, strict=False):
        temperature_map(scene, ax, limits=limits, colorbar=False, title="")
        ax.set_title(time_of(scene), fontsize="medium")
        ax.locator_params(nbins=3)
    figure.supxlabel(axes[0].get_xlabel(), fontsize="medium")
    figure.supylabel(axes[0].get_ylabel(), fontsize="medium")
    for number, ax in enumerate(axes[: len(scenes)]):
        ax.set(xlabel="", ylabel="")
        ax.tick_params(labelbottom=number + columns >= len(scenes))
    for ax in axes[len(scenes) :]:
        ax.remove()
    add_colour_bar(figure, axes[: len(scenes)], scenes)
    return figure


def add_colour_bar(
    figure: Figure | SubFigure,
    axes: Sequence[Axes],
    scenes: Sequence[xr.DataArray],
    *,
    no_data: str = "no data",
) -> None:
    """Add the colour bar that maps share, with the unit, and say what grey means.

    Args:
        figure: What the maps are part of.
        axes: The maps; the first one's colours are those of all.
        scenes: What they show.

    Keyword Args:
        no_data: What grey means, if there is any.
    """
    image: Any = axes[0].images[0]
    low, high = image.get_clim()
    words = scenes[0].attrs
    if "flag_values" in words:
        scenes = [class_numbers(scene) for scene in scenes]
    least = min((float(scene.min()) for scene in scenes), default=low)
    most = max((float(scene.max()) for scene in scenes), default=high)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = ends.get((least < low, most > high), "both")
    label = quantity(scenes[0])
    bar = figure.colorbar(
        image, ax=axes, label=label, extend=extend, aspect=30, fraction=0.04, pad=0.02
    )
    if "flag_values" in words:
        names = [name.replace("_", " ") for name in str(words["flag_meanings"]).split()]
        bar.set_ticks(range(len(names)), labels=names)
        bar.ax.tick_params(length=0)
    if any(bool(scene.isnull().any()) for scene in scenes):
        _explain_grey(axes[-1], no_data)


def class_numbers(scene: xr.DataArray) -> xr.DataArray:
    """Number the classes of a mask by their order, 0, 1, 2, …; NaN where there is none.

    Args:
        scene: Integers, with ``flag_values``.
    """
    stored = scene.to_numpy()
    numbers = np.full(stored.shape, np.nan)
    for number, value in enumerate(np.atleast_1d(scene.attrs["flag_values"])):
        numbers[stored == value] = number
    return scene.copy(data=numbers)


def robust_limits(scenes: Sequence[xr.DataArray]) -> tuple[float, float]:
    """Return the percentiles 2 and 98 over all valid pixels of several scenes.

    Args:
        scenes: Of any dims; NaN is left out.

    Returns:
        Two numbers, the first the smaller; 0 and 1 if nothing is valid.
    """
    values = np.concatenate([scene.to_numpy().astype("float64").ravel() for scene in scenes])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(values, _ROBUST))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def one_scene(values: xr.DataArray) -> xr.DataArray:
    """Return one scene, computed, its first row in the north.

    Args:
        values: Dims (y, x), or with a ``time`` of one step.

    Raises:
        ValueError: There are several scenes, or none.
    """
    scene = values.squeeze("time") if values.sizes.get("time") == 1 else values
    if len(scene.dims) != _MAP_DIMS:
        msg = f"A map shows one scene with dims (y, x), not {dict(values.sizes)}: choose one."
        raise ValueError(msg)
    rows = scene.dims[0]
    if rows in scene.coords and scene.sizes[rows] > 1 and scene[rows][0] < scene[rows][-1]:
        scene = scene.isel({rows: slice(None, None, -1)})
    return scene.compute()


def _explain_grey(ax: Axes, meaning: str) -> None:
    from matplotlib.patches import Patch

    grey = Patch(facecolor=NO_DATA, edgecolor="0.5", label=meaning)
    ax.legend(handles=[grey], loc="lower right", fontsize="small", borderaxespad=0.6)


def _colours(name: str) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    colours = colormaps[name](np.linspace(_DARKEST, 1.0, 256))
    return ListedColormap(colours, name).with_extremes(bad=NO_DATA)


def _class_colours(name: str, count: int) -> Any:
    """Return one colour for each class, the darkest for the first."""
    from matplotlib.colors import ListedColormap

    colours = _colours(name)(np.linspace(0.0, 1.0, count))
    return ListedColormap(colours, name).with_extremes(bad=NO_DATA)


def _variable(cube: xr.Dataset | xr.DataArray, name: str | None) -> xr.DataArray:
    """Choose what to draw: what was asked for, else temperatures, else any values."""
    if isinstance(cube, xr.DataArray):
        return cube
    values = [key for key, each in cube.data_vars.items() if "flag_values" not in each.attrs]
    if name is None:
        if not values:
            msg = f"The cube has no values to draw, only {', '.join(map(str, cube.data_vars))}."
            raise ValueError(msg)
        kelvin = "surface_temperature"
        name = str(
            next((k for k in values if cube[k].attrs.get("standard_name") == kelvin), values[0])
        )
    if name not in cube:
        raise ValueError(f"The cube has no {name!r}; it has {', '.join(map(str, cube.data_vars))}.")
    return cube[name]
