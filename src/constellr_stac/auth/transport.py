"""Timeouts, retries, and the one mapping of HTTP failures to our errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from constellr_stac._text import redact_url
from constellr_stac.errors import APIConnectionError, APIError, ConstellrError
from constellr_stac.limits import Limits

from .body import read_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3.response import BaseHTTPResponse


__all__ = [
    "TIMEOUT",
    "cause_of",
    "checked",
    "connection_errors",
    "retrying",
    "without_frames",
]

E = TypeVar("E", bound=BaseException)

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and between two bytes of a response."""

_LONGEST_PAUSE = 60.0
_DEEPEST = 10


def retrying(*methods: str, limits: Limits | None = None) -> HTTPAdapter:
    """Return an adapter that retries ``methods`` up to four times with growing pauses.

    That is after a dropped connection and after 429, 502, 503 and 504, honouring ``Retry-After``
    up to a minute. A connection that could not be made is retried for all methods, since nothing
    was sent.
    """
    return _BoundedAdapter(
        limits or Limits(),
        max_retries=_CappedRetry(
            total=4,
            redirect=0,
            allowed_methods=methods,
            status_forcelist=(429, 502, 503, 504),
            backoff_factor=0.25,
            backoff_jitter=0.25,
            raise_on_status=False,
        ),
    )


@contextmanager
def connection_errors(method: str, url: str, consequence: str = "") -> Iterator[None]:
    """Raise :class:`APIConnectionError` for whatever keeps a request from being answered.

    Args:
        method: The request's method, for the message.
        url: The requested URL.
        consequence: What the failure means, to be added to the message.

    Raises:
        APIConnectionError: The request was not answered. Its cause holds no frames, since those
            of urllib3 hold headers and bodies.
    """
    try:
        yield
    except ConstellrError:
        raise
    # requests' errors are OSErrors; a redirect to an invalid URL is a ValueError of urllib's.
    except (OSError, ValueError, HTTPError) as error:
        if isinstance(error, requests.RequestException):
            error.request = None  # its body may hold the password, and errors are pickled
        raise APIConnectionError(
            f"{method} {redact_url(url)} was not answered ({cause_of(error)}){consequence}. Check "
            "the network, and that CONSTELLR_API_URL is right.",
            request_url=url,
        ) from without_frames(error)


def checked(response: requests.Response, *, hint: str | None = None) -> requests.Response:
    """Return a response with a success status.

    Raises:
        APIError: The status is another.
    """
    if not 200 <= response.status_code < 300:  # noqa: PLR2004 - the success statuses
        raise APIError.from_response(response, hint=hint)
    return response


def cause_of(error: BaseException) -> str:
    """Return the innermost reason of a failure: requests and urllib3 wrap it several times.

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
    """Remove the frames of ``error`` and of all errors it wraps, and return it.

    Frames of urllib3 and ``http.client`` hold the headers and the body that were being sent, and
    some tools show or transmit the variables of a traceback.
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


class _BoundedAdapter(HTTPAdapter):
    """An adapter that reads bodies itself, also those of redirects and refusals."""

    def __init__(self, limits: Limits, **kwargs: Any) -> None:
        self._limits = limits
        super().__init__(**kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send, and read the body within the limits."""
        response = super().send(request, **kwargs)
        read_body(response, self._limits)
        return response


class _CappedRetry(Retry):
    """A retry whose ``Retry-After`` is limited to a minute."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except InvalidHeader:  # such as fractions of a second
            return None
        return None if seconds is None else min(seconds, _LONGEST_PAUSE)
