"""Time series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from .canvas import COLOURS, label_times, name_of, new_axes, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

__all__ = ["time_series"]

_STYLES = {"": "o-", "day": "o-", "night": "s--"}
_INCHES_OF_MARK, _INCHES_OF_LETTER, _INCHES_OF_LINE = 0.7, 0.09, 0.23  # in the legend


def time_series(
    series: xr.DataArray | Mapping[str, xr.DataArray],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Draw values over time, with their unit.

    Values by day and at night have a line each if a series has the coordinate ``daytime``.

    Args:
        series: Dims (time,): one, or several by legend label.
        ax: Axes to draw on. Default: a new figure (``ax.figure``).

    Keyword Args:
        title: Default: the name of the first series.

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
    parts = [
        (name, when, part)
        for name, each in named.items()
        for when, part in _by_daytime(each.sortby("time").compute())
    ]
    labels = [", ".join(filter(None, part[:2])) for part in parts]
    beside: dict[str, Any] = {}
    if ax is None and len(parts) > 1:  # a legend beside the axes covers no value
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        width = 8.0 + _INCHES_OF_MARK + _INCHES_OF_LETTER * max(map(len, labels))
        ax = new_axes(width=width, height=max(4.0, 0.6 + _INCHES_OF_LINE * len(labels)))
    ax = ax or new_axes(width=8.0, height=4.0)
    colours: dict[str, Any] = {}
    for label, (name, when, part) in zip(labels, parts, strict=True):
        [line] = ax.plot(
            part["time"].to_numpy(),
            part.to_numpy(),
            _STYLES[when] if len(named) > 1 else _STYLES[when].replace("--", "-"),
            color=colours.get(name) if len(named) > 1 else COLOURS.get(when),
            ms=4,
            lw=1,
            label=label,
        )
        colours[name] = line.get_color()
    first = next(iter(named.values()))
    ax.set_ylabel(quantity(first))
    label_times(ax)
    ax.set_title(name_of(first) if title is None else title)
    if len(ax.get_lines()) > 1:
        ax.legend(frameon=False, **beside)
    return ax


def _by_daytime(series: xr.DataArray) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield the values by day and at night, which no line joins."""
    if "daytime" not in series.coords or len(set(series["daytime"].to_numpy().tolist())) == 1:
        yield "", series
        return
    is_day = series["daytime"].to_numpy().astype(bool)
    yield "day", series.isel(time=is_day)
    yield "night", series.isel(time=~is_day)
