"""Colour maps, limits, colour bars and the legend of grey."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac.cube.units import is_anomaly

from .canvas import NO_DATA, is_difference, quantity

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
"""Perceptually uniform."""

_DARKEST = 0.1
"""Start of the colour map: nearly black colours are indistinguishable."""

DIVERGING = "RdBu_r"
"""For anomalies: blue below zero, white at zero, red above."""

CLASS_COLOURS = {
    "clear": "#c9dfb8",
    "thick": "#ffffff",
    "thin": "#a9b8cc",
    "shadow": "#3f3a4d",
    "castshadow": "#3f3a4d",
    "land": "#d9c49a",
    "water": "#2b5c8a",
}
"""Conventional colours; other classes use the colour map."""

_BAR_WIDTH = 0.15
"""Inches."""

_CHARACTERS = 11
"""Of a label, in an inch."""

_ROBUST = (2.0, 98.0)


def colours_of(scene: xr.DataArray, cmap: str | None = None) -> Colormap:
    """Return the colour map of a scene, grey for missing pixels.

    Classes get one colour each. ``cmap`` defaults to a sequential map, or a diverging one for
    anomalies.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    name = cmap or (DIVERGING if _is_centred(scene) else COLOUR_MAP)
    meanings = str(scene.attrs.get("flag_meanings", "")).split()
    steps = np.linspace(_DARKEST if name == COLOUR_MAP else 0.0, 1.0, len(meanings) or 256)
    colours: Any = colormaps[name](steps)
    if cmap is None and meanings and set(meanings) <= CLASS_COLOURS.keys():
        colours = [CLASS_COLOURS[meaning] for meaning in meanings]
    return ListedColormap(colours, name).with_extremes(bad=NO_DATA)


def _is_centred(scene: xr.DataArray) -> bool:
    """Return whether zero is the middle of the colours."""
    return is_anomaly(scene.attrs) or is_difference(scene)


def class_numbers(scene: xr.DataArray) -> xr.DataArray:
    """Number the classes of a mask 0, 1, 2, … in ``flag_values`` order; NaN elsewhere."""
    stored = scene.to_numpy()
    numbers = np.full(stored.shape, np.nan)
    for number, value in enumerate(np.atleast_1d(scene.attrs["flag_values"])):
        numbers[stored == value] = number
    return scene.copy(data=numbers)


def robust_limits(scenes: Sequence[xr.DataArray]) -> tuple[float, float]:
    """Return the 2nd and 98th percentile over the valid pixels of several scenes.

    Limits of anomalies are symmetric about zero. 0 and 1 if no pixel is valid.
    """
    values = np.concatenate([scene.to_numpy().astype("float64").ravel() for scene in scenes])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(values, _ROBUST))
    if all(map(_is_centred, scenes)):
        high = max(-low, high)
        low = -high
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def add_colour_bar(
    figure: Figure | SubFigure,
    axes: Sequence[Axes],
    scenes: Sequence[xr.DataArray],
    *,
    beside: Sequence[Axes] = (),
    label: str = "",
) -> None:
    """Add the shared colour bar of maps, as high as they are, with the unit.

    Args:
        figure: The figure of the maps.
        axes: The maps; the first one's colours apply to all.
        scenes: The scenes shown.

    Keyword Args:
        beside: What the bar stands beside; default the maps.
        label: Default: name and unit.
    """
    label = label or quantity(scenes[0])
    beside = beside or axes
    image: Any = axes[0].images[0]
    low, high = image.get_clim()
    attrs = scenes[0].attrs
    if "flag_values" in attrs:
        scenes = [class_numbers(scene) for scene in scenes]
    lowest = min((float(scene.min()) for scene in scenes), default=low)
    highest = max((float(scene.max()) for scene in scenes), default=high)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = ends.get((lowest < low, highest > high), "both")
    corners = np.array([ax.get_position().corners() for ax in beside]).reshape(-1, 2)
    inches = np.asarray(figure.bbox.size) / figure.dpi
    width, height = (corners.max(0) - corners.min(0)) * inches
    bar = figure.colorbar(
        image,
        ax=beside,
        label="\n".join(textwrap.wrap(label, int(inches[1] * _CHARACTERS))),
        extend=extend,
        extendfrac=min(_BAR_WIDTH / height, 0.1),
        aspect=height / _BAR_WIDTH,
        fraction=_BAR_WIDTH / width,
        pad=0.02,
    )
    if "flag_values" in attrs:
        names = [name.replace("_", " ") for name in str(attrs["flag_meanings"]).split()]
        bar.set_ticks(range(len(names)), labels=names)
        bar.ax.tick_params(length=0)


def has_grey(scenes: Sequence[xr.DataArray]) -> bool:
    """Return whether any pixel is drawn grey."""
    return any(
        bool((class_numbers(scene) if "flag_values" in scene.attrs else scene).isnull().any())
        for scene in scenes
    )


def meaning_of_grey(values: xr.DataArray) -> str:
    """Return the legend text for grey."""
    return "no data" if "flag_values" in values.attrs else "no data or masked"


def explain_grey(where: Axes | Figure, meaning: str) -> None:
    """Add a legend for grey: outside the maps of a figure, or in a corner of given axes."""
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    grey = Patch(facecolor=NO_DATA, edgecolor="0.5", label=meaning)
    if isinstance(where, Axes):
        where.legend(handles=[grey], loc="lower right", fontsize="small", borderaxespad=0.6)
    else:
        where.legend(handles=[grey], loc="outside lower right", fontsize="small", frameon=False)
