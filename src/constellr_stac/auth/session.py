"""How requests reach the API: how long to wait, and what to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3.response import BaseHTTPResponse

__all__ = ["TIMEOUT", "cause_of", "retrying", "without_frames"]

E = TypeVar("E", bound=BaseException)

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and between two bytes of an answer."""

_LONGEST_PAUSE = 60.0
_DEEPEST = 10


def retrying(*methods: str) -> HTTPAdapter:
    """Return an adapter that tries ``methods`` again, up to four times with growing pauses.

    That is after a dropped connection, and after 429, 502, 503 and 504, honouring
    ``Retry-After`` up to a minute. A connection that could not be made is tried again whatever
    the method: nothing was sent.
    """
    return HTTPAdapter(
        max_retries=_CappedRetry(
            total=4,
            redirect=0,
            allowed_methods=methods,
            status_forcelist=(429, 502, 503, 504),
            backoff_factor=0.25,
            backoff_jitter=0.25,
            raise_on_status=False,
        )
    )


def cause_of(error: BaseException) -> str:
    """Say why there was no answer: the innermost of the errors that requests and urllib3 wrap.

    Example:
        >>> from requests import ConnectionError
        >>> cause_of(ConnectionError(ConnectionRefusedError(111, "Connection refused")))
        'Connection refused'
    """
    for _ in range(_DEEPEST):
        inner = next(_wrapped_in(error), None)
        if inner is None:
            break
        error = inner
    said = getattr(error, "strerror", None) or str(error).rpartition("): ")[2]
    return said or type(error).__name__


def without_frames(error: E) -> E:
    """Take the frames out of ``error`` and out of all that it wraps, and return it.

    Those of urllib3 and ``http.client`` hold the header and the body that were being sent, and
    there are tools that show, or send away, the variables of a traceback.
    """
    left: list[BaseException] = [error]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            left += _wrapped_in(one)
    return error


def _wrapped_in(error: BaseException) -> Iterator[BaseException]:
    for each in (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__):
        if isinstance(each, BaseException):
            yield each


class _CappedRetry(Retry):
    """A server may ask for a pause, but not for an afternoon."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except InvalidHeader:  # fractions of a second, say; what was answered counts all the same
            return None
        return None if seconds is None else min(seconds, _LONGEST_PAUSE)
