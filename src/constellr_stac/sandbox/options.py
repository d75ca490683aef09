"""Options and clock of a sandbox."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

__all__ = ["BUCKET", "REGION", "Clock", "Options"]

REGION = "eu-central-1"
"""Region of the provider's bucket; the store accepts no other in signatures."""

BUCKET = "constellr-sandbox"
"""The store's only bucket."""


_TYPES = {
    "token_lifetime": timedelta,
    "url_lifetime": timedelta,
    "session_lifetime": timedelta,
    "delivery": timedelta,
    "today": date,
}


@dataclass(frozen=True)
class Options:
    """Options of a sandbox; documented in :class:`~constellr_stac.sandbox.Sandbox`."""

    token_lifetime: timedelta = timedelta(hours=24)
    url_lifetime: timedelta = timedelta(hours=1)
    session_lifetime: timedelta | None = None
    presigned: bool = False
    api_key_mode: bool = False
    newer: bool = False
    latency: float = 0.0
    delivery: timedelta | None = None
    today: date | None = None

    def __post_init__(self) -> None:
        """Validate here, or a request would fail later in a server's thread."""
        for name, kind in _TYPES.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"{name}= must be a {kind.__name__}, not {value!r}.")
        if not isinstance(self.latency, int | float) or self.latency < 0:
            raise ValueError(f"latency= must be a number of seconds, not {self.latency!r}.")


class Clock:
    """The servers' time: the real one plus an offset."""

    def __init__(self) -> None:
        self._offset = 0.0

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self._offset

    def now(self) -> datetime:
        """Return the aware time in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, by: timedelta) -> None:
        """Advance the clock."""
        self._offset += by.total_seconds()
