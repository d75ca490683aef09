"""How requests reach the API: how long to wait, and what to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter
from urllib3.util import Retry

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["TIMEOUT", "cause_of", "retrying"]

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
        wrapped = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
        inner = [each for each in wrapped if isinstance(each, BaseException)]
        if not inner:
            break
        error = inner[0]
    said = getattr(error, "strerror", None) or str(error).rpartition("): ")[2]
    return said or type(error).__name__


class _CappedRetry(Retry):
    """A server may ask for a pause, but not for an afternoon."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(seconds, _LONGEST_PAUSE)
