"""Time series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import xarray as xr

from .canvas import label_times, name_of, new_figure, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["time_series"]


def time_series(
    series: xr.DataArray | Mapping[str, xr.DataArray],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Draw values over time, with their unit.

    Args:
        series: Dims (time,): one, or several by legend label.
        ax: Axes to draw on. Default: a new figure (``ax.figure``).

    Keyword Args:
        title: Default: the name of the first series.

    Returns:
        The axes.

    Raises:
        MissingExtraError: The extra ``plot`` is not installed.
        TypeError: A series is not a DataArray.
        ValueError: There is no series, or one has dims other than ``time``.
    """
    named = dict(series) if isinstance(series, Mapping) else {"": series}
    for each in named.values():
        if not isinstance(each, xr.DataArray):
            raise TypeError(f"A time series is a DataArray, not a {type(each).__name__}.")
    if not named or any(each.dims != ("time",) for each in named.values()):
        found = [each.dims for each in named.values()]
        raise ValueError(
            f"A time series has the one dimension time, not {found}: reduce y and x first, with "
            ".median(...), or select a zone."
        )
    ax = ax or new_figure(width=8.0, height=4.0).add_subplot()
    for name, each in named.items():
        in_order = each.sortby("time").compute()
        ax.plot(in_order["time"].to_numpy(), in_order.to_numpy(), "o-", ms=4, lw=1, label=name)
    first = next(iter(named.values()))
    ax.set_ylabel(quantity(first))
    label_times(ax)
    ax.set_title(name_of(first) if title is None else title)
    if len(named) > 1:
        ax.legend(frameon=False)
    return ax
