"""The one retry policy: a request is repeated until a deadline passes without progress."""

from __future__ import annotations

import random
import time
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import requests
from requests.utils import rewind_body
from urllib3.exceptions import HTTPError

from constellr_stac._refresh import utc_now
from constellr_stac.errors import ConstellrError

from .failures import Failure, failure_of
from .hosts import host_of
from .routes import RoutedAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac.limits import Limits

__all__ = [
    "LONGEST_ASKED",
    "READS",
    "TRANSIENT",
    "Attempts",
    "RetryingSession",
    "retry_after",
]

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing on a server."""

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The statuses after which the same request may succeed."""

LONGEST_ASKED = 60.0
"""Seconds of Retry-After that are respected."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_UNKNOWN_HOST = 60.0  # seconds; a laptop that wakes up has no names for a while


class Attempts:
    """The attempts of one request.

    Args:
        limits: Bounds on waiting.
        url: The requested URL.
    """

    def __init__(self, limits: Limits, url: str = "") -> None:
        self._deadline = limits.retry_deadline
        self.url = url
        """The URL of the last attempt."""
        self._began = self._since = time.monotonic()
        self._pauses = 0
        self.made = 1

    def progressed(self) -> None:
        """Restart the deadline: bytes have arrived."""
        self._since = time.monotonic()
        self._pauses = 0

    def begin_next(self, failure: Failure, *, asked: float | None = None) -> bool:
        """Sleep until the next attempt is due; return ``False`` at once if there is none.

        Args:
            failure: What became of the last attempt.

        Keyword Args:
            asked: The seconds to wait that the server asked for.
        """
        patience = self._deadline
        if failure.kind == "unknown host":
            patience = min(patience, _UNKNOWN_HOST)
        left = self._since + patience - time.monotonic()
        down = host_of(self.url).down_for() >= self._deadline
        if failure.kind == "final" or left <= 0 or down:
            return False
        self.made += 1
        if failure.kind == "unreachable":
            return True  # the next attempt waits for the host's turn
        pause = min(_FIRST_PAUSE * 2 ** min(self._pauses, 10), _LONGEST_PAUSE)
        self._pauses += 1
        pause = max(pause * random.uniform(0.5, 1), min(asked or 0.0, LONGEST_ASKED))  # noqa: S311
        time.sleep(min(pause, left))
        return True

    def summary(self) -> str:
        """Return the number of attempts and their time, for messages."""
        times = "once" if self.made == 1 else f"{self.made} times"
        return f"Tried {times} in {time.monotonic() - self._began:.0f} s"


class RetryingSession(requests.Session):
    """A session with timeouts that repeats requests, by the ``repeats`` of their adapters.

    Repeated are dropped connections, incomplete bodies and the statuses of :data:`TRANSIENT`. A
    connection that could not be made is repeated for all methods, since nothing was sent.

    Args:
        limits: Bounds on waiting.
        repeats: The methods that may be repeated.
    """

    def __init__(self, limits: Limits, repeats: frozenset[str] = READS) -> None:
        super().__init__()
        self.limits = limits
        for scheme in ("https://", "http://"):
            self.mount(scheme, RoutedAdapter(limits, repeats=repeats))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send until there is an answer, or the deadline has passed."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (self.limits.connect_timeout, self.limits.read_timeout)
        url = request.url or ""
        repeats = getattr(self.get_adapter(url), "repeats", None)
        if repeats is None:
            return super().send(request, **kwargs)
        is_repeated = request.method in repeats
        attempts = Attempts(self.limits, url)
        while True:
            try:
                response = super().send(request, **kwargs)
            except ConstellrError:
                raise  # of the auth, which has its own attempts
            except (OSError, HTTPError) as error:
                failure = failure_of(error, url)
                may_repeat = is_repeated or failure.kind in ("unreachable", "unknown host")
                if not may_repeat or not _rewound(request) or not attempts.begin_next(failure):
                    raise
                self.renew(request)
                continue
            failed = is_repeated and response.status_code in TRANSIENT
            status = Failure("transient", str(response.status_code))
            asked = retry_after(response.headers)
            if not failed or not _rewound(request) or not attempts.begin_next(status, asked=asked):
                return response
            response.close()
            self.renew(request)

    def renew(self, request: requests.PreparedRequest) -> None:
        """Replace what may have expired in a request since it was sent."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the time of Retry-After, by the server's clock, if it states one."""
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            return float(value)
        now = parsedate_to_datetime(headers.get("Date") or format_datetime(utc_now()))
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):  # such as fractions of a second
        return None


def _rewound(request: requests.PreparedRequest) -> bool:
    """Rewind a request's body, if it is a file; return whether it can be sent again."""
    if isinstance(getattr(request, "_body_position", None), int):
        rewind_body(request)
        return True
    return request.body is None or isinstance(request.body, str | bytes)
