"""What a sandbox is asked to be, and the clock it lives by.

Plain values only: every other room reads them, none changes them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

__all__ = ["BUCKET", "REGION", "Clock", "Options"]

REGION = "eu-central-1"
"""Where the provider's bucket is, and the only region whose signatures the store accepts."""

BUCKET = "constellr-sandbox"
"""The one bucket of the store."""


_KINDS = {
    "token_lifetime": timedelta,
    "url_lifetime": timedelta,
    "session_lifetime": timedelta,
    "delivery": timedelta,
    "today": date,
}


@dataclass(frozen=True)
class Options:
    """The knobs of a sandbox; :class:`~constellr_stac.sandbox.Sandbox` documents each."""

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
        """Refuse here what would make a request fail later, in a server's thread."""
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                msg = f"{name}= is a {kind.__name__}, not {value!r}."
                raise TypeError(msg)
        if not isinstance(self.latency, int | float) or self.latency < 0:
            msg = f"latency= is a number of seconds, not {self.latency!r}."
            raise ValueError(msg)


class Clock:
    """The servers' time: the real one, plus what :meth:`advance` added to it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return time.time() + self._ahead

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, by: timedelta) -> None:
        """Put the clock forward, so that what expires does so without waiting for it."""
        self._ahead += by.total_seconds()
