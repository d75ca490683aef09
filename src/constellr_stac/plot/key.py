"""What colours mean: which there are, what they span, and how a figure says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac.cube.units import is_anomaly

from .canvas import NO_DATA, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "add_colour_bar",
    "class_numbers",
    "colours_of",
    "explain_grey",
    "has_grey",
    "meaning_of_grey",
    "robust_limits",
]

COLOUR_MAP = "inferno"
"""Perceptually even: readable in grey print and with any colour vision."""

_DARKEST = 0.1
"""Where the colour map begins: what lies in nearly black cannot be told apart."""

DIVERGING = "RdBu_r"
"""For anomalies: blue below zero, white at it, red above, and as even on either side."""

CLASS_COLOURS = {"land": "#d9c49a", "water": "#2b5c8a"}
"""What everybody expects; other classes have the colours of the map."""

_BAR_WIDTH = 0.15
"""Of a colour bar, in inches."""

_ROBUST = (2.0, 98.0)


def colours_of(scene: xr.DataArray, cmap: str | None = None) -> Colormap:
    """Return the colours to draw a scene with; grey is what has none.

    Classes have a colour each: their own, or one of the map, the darkest for the first.

    Args:
        scene: With CF attributes.
        cmap: A matplotlib colour map; else one that grows lighter evenly, or for an anomaly one
            that is white at zero.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    name = cmap or (DIVERGING if is_anomaly(scene.attrs) else COLOUR_MAP)
    meanings = str(scene.attrs.get("flag_meanings", "")).split()
    steps = np.linspace(_DARKEST if name == COLOUR_MAP else 0.0, 1.0, len(meanings) or 256)
    colours: Any = colormaps[name](steps)
    if cmap is None and meanings and set(meanings) <= CLASS_COLOURS.keys():
        colours = [CLASS_COLOURS[meaning] for meaning in meanings]
    return ListedColormap(colours, name).with_extremes(bad=NO_DATA)


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

    Those of anomalies lie as far below zero as above, so that zero has the colour in the middle.

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
    if is_anomaly(scenes[0].attrs):
        high = max(-low, high)
        low = -high
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def add_colour_bar(
    figure: Figure | SubFigure, axes: Sequence[Axes], scenes: Sequence[xr.DataArray]
) -> None:
    """Add the colour bar that maps share, as high as they are, with the unit.

    Args:
        figure: What the maps are part of.
        axes: The maps; the first one's colours are those of all.
        scenes: What they show.
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
    corners = np.array([ax.get_position().corners() for ax in axes]).reshape(-1, 2)
    inches = np.asarray(figure.bbox.size) / figure.dpi
    width, height = (corners.max(0) - corners.min(0)) * inches
    bar = figure.colorbar(
        image,
        ax=axes,
        label=quantity(scenes[0]),
        extend=extend,
        extendfrac=min(_BAR_WIDTH / height, 0.1),
        aspect=height / _BAR_WIDTH,
        fraction=_BAR_WIDTH / width,
        pad=0.02,
    )
    if "flag_values" in words:
        names = [name.replace("_", " ") for name in str(words["flag_meanings"]).split()]
        bar.set_ticks(range(len(names)), labels=names)
        bar.ax.tick_params(length=0)


def has_grey(scenes: Sequence[xr.DataArray]) -> bool:
    """Say whether there are pixels that are drawn grey.

    Args:
        scenes: Values, or the classes of masks.
    """
    return any(
        bool((class_numbers(scene) if "flag_values" in scene.attrs else scene).isnull().any())
        for scene in scenes
    )


def meaning_of_grey(values: xr.DataArray) -> str:
    """Say what grey means: a mask is not masked."""
    return "no data" if "flag_values" in values.attrs else "no data or masked"


def explain_grey(where: Axes | Figure, meaning: str) -> None:
    """Say what grey means: beside the maps where the figure is ours, else in a corner of one.

    Args:
        where: A figure of ours, or a map.
        meaning: What to say.
    """
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    grey = Patch(facecolor=NO_DATA, edgecolor="0.5", label=meaning)
    if isinstance(where, Axes):
        where.legend(handles=[grey], loc="lower right", fontsize="small", borderaxespad=0.6)
    else:
        where.legend(handles=[grey], loc="outside lower right", fontsize="small", frameon=False)
