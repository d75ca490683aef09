"""Sessions for the API: timeouts, retries, and the mapping of HTTP failures to our errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from constellr_stac._text import redact_url
from constellr_stac.errors import APIConnectionError, APIError, ConstellrError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from urllib3.response import BaseHTTPResponse

    from .requests_auth import ConstellrAuth

__all__ = [
    "CREDENTIAL_HEADERS",
    "TIMEOUT",
    "api_session",
    "cause_of",
    "checked",
    "connection_errors",
    "retrying",
    "without_frames",
]

E = TypeVar("E", bound=BaseException)

TIMEOUT = (10.0, 60.0)
"""Connect and read timeouts in seconds."""

CREDENTIAL_HEADERS = ("Authorization", "X-Api-Key")
"""The headers that hold a credential."""

_MAX_RETRY_AFTER = 60.0
_MAX_DEPTH = 10


def api_session(auth: ConstellrAuth, *, retry_posts_to: Iterable[str] = ()) -> requests.Session:
    """Return an authenticated session for the API, with timeouts and retries.

    GETs are retried with backoff after a dropped connection and after 429, 502, 503 and 504,
    honouring ``Retry-After`` up to a minute. POSTs are not retried, except to URLs that begin with
    one of ``retry_posts_to`` (such as a search, which only reads).

    Args:
        auth: Adds the credential to requests to the API.

    Keyword Args:
        retry_posts_to: URL prefixes whose POSTs change nothing on the server.
    """
    return _ApiSession(auth, retry_posts_to)


class _ApiSession(requests.Session):
    """A session whose credential never crosses a redirect to another origin."""

    def __init__(self, auth: ConstellrAuth, retry_posts_to: Iterable[str]) -> None:
        super().__init__()
        self.auth = auth
        self._covers = auth.covers
        reads = retrying("GET", "HEAD", "OPTIONS")
        self.mount("https://", reads)
        self.mount("http://", reads)
        for prefix in retry_posts_to:
            self.mount(prefix, retrying("GET", "HEAD", "OPTIONS", "POST"))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send with a default timeout."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = TIMEOUT
        return super().send(request, **kwargs)

    def rebuild_auth(
        self,
        prepared_request: requests.PreparedRequest,
        response: requests.Response,  # noqa: ARG002
    ) -> None:
        """Remove the credential from a redirect to another origin; ignore ``.netrc``."""
        if not self._covers(prepared_request.url or ""):
            for name in CREDENTIAL_HEADERS:
                prepared_request.headers.pop(name, None)


def retrying(*methods: str) -> HTTPAdapter:
    """Return an adapter that retries ``methods`` up to four times with backoff.

    It retries after a dropped connection and after 429, 502, 503 and 504, honouring
    ``Retry-After`` up to a minute. A failed connection attempt is retried for all methods, since
    nothing was sent.
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


@contextmanager
def connection_errors(method: str, url: str, consequence: str = "") -> Iterator[None]:
    """Raise connection failures as :class:`APIConnectionError`.

    Args:
        method: The request's method, for the message.
        url: The requested URL.
        consequence: Text to append to the message.

    Raises:
        APIConnectionError: The request was not answered. Its cause has no traceback, since
            urllib3's frames hold headers and bodies.
    """
    try:
        yield
    except ConstellrError:
        raise
    # requests' errors are OSErrors; a redirect to an invalid URL raises urllib's ValueError.
    except (OSError, ValueError, HTTPError) as error:
        if isinstance(error, requests.RequestException):
            error.request = None  # errors are pickled, and the body may hold the password
        raise APIConnectionError(
            f"{method} {redact_url(url)} was not answered ({cause_of(error)}){consequence}. Check "
            "the network and CONSTELLR_API_URL.",
            request_url=url,
        ) from without_frames(error)


def checked(response: requests.Response, *, hint: str | None = None) -> requests.Response:
    """Return ``response`` if its status is 2xx.

    Raises:
        APIError: The status is not 2xx.
    """
    if not 200 <= response.status_code < 300:  # noqa: PLR2004 - the success statuses
        raise APIError.from_response(response, hint=hint)
    return response


def cause_of(error: BaseException) -> str:
    """Return the message of the innermost error: requests and urllib3 wrap it several times.

    Example:
        >>> from requests import ConnectionError
        >>> cause_of(ConnectionError(ConnectionRefusedError(111, "Connection refused")))
        'Connection refused'
    """
    for _ in range(_MAX_DEPTH):
        inner = next(_wrapped_in(error), None)
        if inner is None:
            break
        error = inner
    said = getattr(error, "strerror", None) or str(error).rpartition("): ")[2]
    return said or type(error).__name__


def without_frames(error: E) -> E:
    """Remove the tracebacks of ``error`` and of all errors it wraps, and return it.

    Frames of urllib3 and ``http.client`` hold headers and bodies, and some tools show or send the
    local variables of a traceback.
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
    """A retry whose ``Retry-After`` is limited to a minute."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except InvalidHeader:  # such as fractions of a second
            return None
        return None if seconds is None else min(seconds, _MAX_RETRY_AFTER)
