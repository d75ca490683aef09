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
