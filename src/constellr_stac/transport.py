"""How requests reach the API: how long to wait, and what to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter
from urllib3.util import Retry

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["TIMEOUT", "retrying"]

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and between two bytes of an answer."""

_LONGEST_PAUSE = 60.0


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


class _CappedRetry(Retry):
    """A server may ask for a pause, but not for an afternoon."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(seconds, _LONGEST_PAUSE)
