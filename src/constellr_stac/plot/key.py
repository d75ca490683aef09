"""Colours of values and classes, colour bars and legends."""

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
    from matplotlib.figure import Figure

__all__ = ["add_colour_bar", "add_legend", "colours_of", "meanings_of", "numbered", "robust_limits"]

_SEQUENTIAL, _DARKEST = "inferno", 0.1
"""Perceptually uniform, without its nearly black colours, which are indistinguishable."""
_DIVERGING = "RdBu_r"
"""For differences: blue below zero, white at zero, red above."""
_CLASSES = {
    "clear": "#c9dfb8",
    "thick": "#ffffff",
    "thin": "#a9b8cc",
    "shadow": "#3f3a4d",
    "castshadow": "#3f3a4d",
    "land": "#d9c49a",
    "water": "#2b5c8a",
}
"""Conventional colours; other classes use the colour map."""
_BAR_WIDTH = 0.15  # inches
_CHARACTERS = 11  # of a label, in an inch


def meanings_of(scene: xr.DataArray) -> list[str]:
    """Return the names of a mask's classes; none for values."""
    return str(scene.attrs.get("flag_meanings", "")).split()


def numbered(scene: xr.DataArray) -> xr.DataArray:
    """Return a mask with its classes numbered 0, 1, 2, … and NaN elsewhere; values as they are."""
    if not meanings_of(scene):
        return scene
    stored, numbers = scene.to_numpy(), np.full(scene.shape, np.nan)
    for number, value in enumerate(np.atleast_1d(scene.attrs["flag_values"])):
        numbers[stored == value] = number
    return scene.copy(data=numbers)


def colours_of(scene: xr.DataArray, cmap: str | None = None) -> Colormap:
    """Return the colours of a scene: one for each class of a mask, grey for missing pixels."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    name, meanings = cmap or (_DIVERGING if _is_centred(scene) else _SEQUENTIAL), meanings_of(scene)
    steps = np.linspace(_DARKEST if name == _SEQUENTIAL else 0.0, 1.0, len(meanings) or 256)
    colours: Any = colormaps[name](steps)
    if cmap is None and meanings and set(meanings) <= _CLASSES.keys():
        colours = [_CLASSES[meaning] for meaning in meanings]
    return ListedColormap(colours, name).with_extremes(bad=NO_DATA)


def _is_centred(scene: xr.DataArray) -> bool:
    return is_anomaly(scene.attrs) or is_difference(scene)


def robust_limits(scenes: Sequence[xr.DataArray]) -> tuple[float, float]:
    """Return the 2nd and 98th percentile over the valid pixels of several scenes.

    Limits of differences are symmetric about zero. 0 and 1 if no pixel is valid.
    """
    values = np.concatenate([scene.to_numpy().astype("float64").ravel() for scene in scenes])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(values, (2, 98)))
    if all(map(_is_centred, scenes)):
        high = max(-low, high)
        low = -high
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def add_colour_bar(
    axes: Sequence[Axes],
    scenes: Sequence[xr.DataArray],
    *,
    beside: Sequence[Axes] = (),
    when: str = "",
) -> None:
    """Add the shared colour bar of maps of values, as high as they are, with name and unit.

    None for masks, which have a legend, nor if no pixel is valid. The colours of the first map
    apply to all; the bar stands ``beside`` these axes, by default the maps; ``when`` is added to
    the label.
    """
    known = [scene for scene in scenes if scene.notnull().any()]
    if not known or meanings_of(scenes[0]):
        return
    figure: Figure = axes[0].figure.figure
    beside, image = beside or axes, axes[0].images[0]
    low, high = image.get_clim()
    lowest = min(float(scene.min()) for scene in known)
    highest = max(float(scene.max()) for scene in known)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    corners = np.array([ax.get_position().corners() for ax in beside]).reshape(-1, 2)
    inches = np.asarray(figure.bbox.size) / figure.dpi
    width, height = (corners.max(0) - corners.min(0)) * inches
    label = quantity(scenes[0]) + (f", {when}" if when else "")
    figure.colorbar(
        image,
        ax=beside,
        label="\n".join(textwrap.wrap(label, int(inches[1] * _CHARACTERS))),
        extend=ends.get((lowest < low, highest > high), "both"),
        extendfrac=min(_BAR_WIDTH / height, 0.1),
        aspect=height / _BAR_WIDTH,
        fraction=1.3 * _BAR_WIDTH / width,
        pad=0.02,
    )


def add_legend(
    where: Axes | Figure, ax: Axes, scenes: Sequence[xr.DataArray], *, grey: str = ""
) -> None:
    """Add a legend of classes and of grey, as far as there are any, in the colours of ``ax``.

    On a figure, it stands outside the maps. ``grey`` is what grey means, by default no data.
    """
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    meanings, colours = meanings_of(scenes[0]), ax.images[0].get_cmap()
    entries: dict[str, Any] = {
        name.replace("_", " "): colours(number) for number, name in enumerate(meanings)
    }
    if any(bool(numbered(scene).isnull().any()) for scene in scenes):
        entries[grey or ("no data" if meanings else "no data or masked")] = NO_DATA
    handles = [Patch(facecolor=fill, edgecolor="0.5", label=name) for name, fill in entries.items()]
    if handles and isinstance(where, Axes):
        where.legend(handles=handles, loc="lower right", fontsize="small", borderaxespad=0.6)
    elif handles:
        loc: Any = "outside right upper" if meanings else "outside lower right"
        where.legend(handles=handles, loc=loc, fontsize="small", frameon=False)
