"""The one mapping of HTTP failures to our errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import requests
from urllib3.exceptions import HTTPError

from constellr_stac._text import redact_url
from constellr_stac.errors import APIConnectionError, APIError, ConstellrError

from .failures import causes, failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["checked", "connection_errors", "without_frames"]

E = TypeVar("E", bound=BaseException)


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
        failure = failure_of(error, url)
        hint = failure.hint or "Check the network, and that CONSTELLR_API_URL is right."
        raise APIConnectionError(
            f"{method} {redact_url(url)} was not answered ({failure.text}){consequence}. {hint}",
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


def without_frames(error: E) -> E:
    """Remove the frames of ``error`` and of all errors it wraps, and return it.

    Frames of urllib3 and ``http.client`` hold the headers and the body that were being sent, and
    some tools show or transmit the variables of a traceback.
    """
    for one in causes(error, contexts=True):
        one.__traceback__ = None
    return error
