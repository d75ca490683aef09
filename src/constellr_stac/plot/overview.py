"""The demo figure: the extreme scenes as maps, and every scene's median."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac.cube.units import FREEZING, in_celsius

from .canvas import COLOURS, label_times, new_figure, time_of
from .key import add_colour_bar, add_legend, robust_limits
from .maps import temperature_map

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["clock", "demo_figure"]

_CLEAR_ENOUGH = 0.5
"""Minimum share of clear pixels."""


def demo_figure(cube: xr.Dataset, table: pd.DataFrame, *, variable: str = "lst") -> Figure:
    """Draw the coolest night and the hottest day on one colour scale, above all medians.

    The two have the extreme medians of clear pixels among the scenes that are at least half clear,
    or among all if none is.

    Args:
        cube: Temperatures with dims (time, y, x), in kelvin or degrees Celsius; NaN is grey.
        table: One row per time step, in the cube's order, indexed by time, with ``daytime``,
            ``solar_hour``, ``median``, ``clear_median`` and ``clear_share``; medians in kelvin.
            As returned by ``cube.constellr.table()``.

    Keyword Args:
        variable: Name of the temperature variable.

    Returns:
        The figure: ``figure.savefig("demo.png", dpi=150)``.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        ValueError: No scene has a clear pixel.
    """
    steps = _extremes(table)
    temperature = in_celsius(cube[[variable]])[variable]
    scenes = [temperature.isel(time=step).compute() for step in steps.values()]
    figure = new_figure(width=11.0, height=9.6)
    grid = figure.add_gridspec(2, len(scenes), height_ratios=[1.3, 1.0])
    axes = [figure.add_subplot(grid[0, column]) for column in range(len(scenes))]
    limits = robust_limits(scenes)
    for ax, scene, (name, step) in zip(axes, scenes, steps.items(), strict=True):
        hour = clock(table["solar_hour"].iloc[step])
        title = f"{name}\n{time_of(scene)} ({hour} solar time)"
        temperature_map(scene, ax, limits=limits, colorbar=False, title=title)
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    add_colour_bar(axes, scenes)
    add_legend(axes[-1], axes[-1], scenes, grey="cloud or no data")
    axes[0].set_anchor("C")  # otherwise a single map sits beside the colour bar
    below = figure.add_subplot(grid[1, :])
    _draw_medians(below, table)
    _annotate(below, table, steps)
    return figure


def _extremes(table: pd.DataFrame) -> dict[str, int]:
    """Return the time steps of the coolest night and the hottest day."""
    known = table["clear_median"].notna()
    if not known.any():
        raise ValueError("No scene has a clear pixel to draw.")
    clear = known & (table["clear_share"] >= _CLEAR_ENOUGH)
    found = {}
    for name, is_day in (("Coolest clear night", False), ("Hottest clear day", True)):
        of_kind = table["daytime"].astype(bool) == is_day
        chosen = next((c for c in (clear & of_kind, known & of_kind) if c.any()), None)
        if chosen is not None:
            medians = table["clear_median"].where(chosen).to_numpy()
            found[name] = int(np.nanargmax(medians) if is_day else np.nanargmin(medians))
    return found


def _draw_medians(ax: Axes, table: pd.DataFrame) -> None:
    """Draw each scene's median with and without clouds, joined by a line."""
    is_day = table["daytime"].to_numpy().astype(bool)
    times = table.index.to_numpy()
    clear, whole = (table[name].to_numpy() - FREEZING for name in ("clear_median", "median"))
    ax.vlines(times, whole, clear, color="0.6", lw=1, zorder=1)
    for kind, marker, chosen in (("day", "o", is_day), ("night", "s", ~is_day)):
        style: dict[str, Any] = {"marker": marker, "color": COLOURS[kind], "ls": ""}
        ax.plot(
            times[chosen], whole[chosen], label=f"{kind}, all pixels", ms=9, mfc="white", **style
        )
        ax.plot(times[chosen], clear[chosen], label=f"{kind}, clear pixels", ms=5, **style)
    label_times(ax)
    ax.margins(x=0.04, y=0.16)
    ax.set_ylabel("Median land surface temperature (°C)")
    ax.set_title("Median of each scene, with and without its clouds")
    ax.secondary_yaxis(
        "right",
        functions=(
            lambda celsius: np.add(celsius, FREEZING),
            lambda kelvin: np.subtract(kelvin, FREEZING),
        ),
    ).set_ylabel("(K)")
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)


def _annotate(ax: Axes, table: pd.DataFrame, steps: dict[str, int]) -> None:
    """Label the scenes shown as maps."""
    times = table.index
    middle = times.min() + (times.max() - times.min()) / 2
    for name, step in steps.items():
        up = 1 if name.startswith("Hottest") else -1
        inward = 1 if times[step] <= middle else -1
        ax.annotate(
            name.lower(),
            (times[step], table["clear_median"].iloc[step] - FREEZING),
            xytext=(22 * inward, 16 * up),
            textcoords="offset points",
            ha="left" if inward > 0 else "right",
            va="center",
            fontsize="small",
            arrowprops={"arrowstyle": "-", "color": "0.4", "shrinkA": 0, "shrinkB": 6},
        )


def clock(hour: float) -> str:
    """Format an hour of the day: 8.51 is 08:31."""
    minutes = round(hour * 60) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"
