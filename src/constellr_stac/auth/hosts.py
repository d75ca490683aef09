"""Which hosts do not answer at the moment: one request asks, and the others wait for it."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from constellr_stac._process import STATE
from constellr_stac.config import origin

from .failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Host", "host_of"]

_MOST = 1024
_IN_A_ROW = 8  # failures after a connection was made, until a host counts as down
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_FORGOTTEN = 30.0  # seconds without a request, after which a host counts as unknown again


def host_of(url: str) -> Host:
    """Return the state of the host of ``url``, shared by the threads of this process."""
    try:
        where = origin(url)
    except ValueError:  # an invalid port
        return Host(url)
    return STATE.shared("host", where, lambda: Host(url), most=_MOST)


class Host:
    """Whether a host answers; thread-safe.

    A host is down once a connection to it fails, or eight requests in a row. Then one request at a
    time is sent, after growing pauses, until one is answered.

    Args:
        url: A URL of the host, for messages.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._changed = threading.Condition()
        self._failures = 0
        self._down_since: float | None = None
        self._next = 0.0  # until then nothing is sent
        self._failed_at = 0.0
        self._probing = False

    @contextmanager
    def turn(self, patience: float) -> Iterator[None]:
        """Wait until a request may be sent, and record what becomes of it.

        Args:
            patience: Seconds to wait at most. A request to a host that has been down for longer is
                sent at once.
        """
        probing = self._wait(patience)
        try:
            yield
        except Exception as error:
            failure = failure_of(error, self._url)
            if failure.kind in ("unreachable", "transient"):
                self._record_failure(connected=failure.kind == "transient")
            raise
        else:
            self._record_answer()
        finally:
            if probing:
                with self._changed:
                    self._probing = False
                    self._changed.notify_all()

    def slow_down(self, seconds: float) -> None:
        """Send nothing for ``seconds``: the host asks for a slower pace."""
        with self._changed:
            self._next = max(self._next, time.monotonic() + seconds)

    def down_for(self) -> float:
        """Return for how many seconds the host has been down."""
        since = self._down_since
        return 0.0 if since is None else time.monotonic() - since

    def _wait(self, patience: float) -> bool:
        """Wait for this request's turn; return whether it is the one that asks."""
        now = time.monotonic()
        end = now + patience
        with self._changed:
            if self._down_since is not None:
                if not self._probing and now - self._failed_at > _FORGOTTEN:
                    self._failures, self._down_since = 0, None
                else:
                    end = min(end, self._down_since + patience)
            while now < end and (
                now < self._next or (self._down_since is not None and self._probing)
            ):
                self._changed.wait(min(self._next, end) - now if now < self._next else end - now)
                now = time.monotonic()
            asks = self._down_since is not None and not self._probing
            self._probing = self._probing or asks
            return asks

    def _record_failure(self, *, connected: bool) -> None:
        with self._changed:
            self._failures += 1
            self._failed_at = time.monotonic()
            if self._down_since is None and connected and self._failures < _IN_A_ROW:
                return
            if self._down_since is None:
                self._failures, self._down_since = 1, self._failed_at
            pause = min(_FIRST_PAUSE * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
            self._next = self._failed_at + pause * random.uniform(0.5, 1)  # noqa: S311 - spreads load

    def _record_answer(self) -> None:
        with self._changed:
            if self._down_since is not None:
                self._next = 0.0
                self._changed.notify_all()
            self._failures, self._down_since = 0, None
