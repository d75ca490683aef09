"""The arguments of a search in the forms that people have, as pystac-client takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from constellr_stac.geometry.any_geometry import geometry_from

__all__ = ["area", "interval"]

_ENDS = 2


def area(intersects: Any) -> dict[str, Any]:
    """Return a geometry of any form as GeoJSON in longitude and latitude.

    Args:
        intersects: As for :func:`.geometry_from`.

    Raises:
        InvalidAreaError: It is not a geometry.
    """
    return dict(geometry_from(intersects).__geo_interface__)


def interval(time: Any) -> Any:
    """Return a time or an interval as pystac-client takes it.

    Args:
        time: A str, ``date``, ``datetime``, ``np.datetime64``, ``pd.Timestamp`` or ``pd.Period``,
            or a pair of these, with ``None`` for an open end. Times without a zone are UTC.

    Raises:
        ValueError: It is not a time, or a sequence of other than two.

    Example:
        >>> interval(pd.Period("2026-06"))
        '2026-06-01T00:00:00Z/2026-06-30T23:59:59Z'
        >>> interval([date(2026, 6, 1), None])
        '2026-06-01/..'
    """
    if isinstance(time, str) or time is None:
        return time
    if isinstance(time, pd.Period):
        return f"{_text(time.start_time)}/{_text(time.end_time)}"
    if isinstance(time, pd.Interval):
        time = [time.left, time.right]
    if isinstance(time, Sequence | np.ndarray | pd.Index):
        if len(time) == 1:
            return interval(time[0])
        if len(time) != _ENDS:
            raise ValueError(f"datetime= is a time or a pair of times, not {len(time)} times.")
        start, end = time
        if isinstance(start, pd.Period):
            start = start.start_time
        if isinstance(end, pd.Period):
            end = end.end_time
        return f"{_text(start)}/{_text(end)}"
    return _text(time)


def _text(time: Any) -> str:
    """Return one time as text; a day as a day, which pystac-client expands."""
    if time is None or time is pd.NaT:
        return ".."
    if isinstance(time, str):
        return time
    if isinstance(time, np.datetime64) and np.datetime_data(time)[0] in ("Y", "M", "D"):
        return str(time)
    if isinstance(time, date) and not isinstance(time, datetime):
        return time.isoformat()
    try:
        moment = pd.Timestamp(time)
    except (TypeError, ValueError) as error:
        raise ValueError(f"datetime= must hold times, not {time!r}.") from error
    moment = moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
