"""Authenticated sessions for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from constellr_stac.limits import Limits

from .requests_auth import CREDENTIAL_HEADERS
from .transport import TIMEOUT, retrying

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .requests_auth import ConstellrAuth

__all__ = ["api_session"]


def api_session(
    auth: ConstellrAuth, *, retry_posts_to: Iterable[str] = (), limits: Limits | None = None
) -> requests.Session:
    """Return an authenticated session for the API, with timeouts and retries.

    GETs are retried with backoff after a dropped connection and after 429, 502, 503 and 504,
    honouring ``Retry-After`` up to a minute. POSTs are not retried, except to URLs that begin with
    one of ``retry_posts_to`` (such as a search, which only reads).

    Args:
        auth: Adds the credential to requests to the API.

    Keyword Args:
        retry_posts_to: URL prefixes whose POSTs change nothing on the server.
        limits: Bounds on waiting and sizes; default from the environment.
    """
    return _ApiSession(auth, retry_posts_to, limits or Limits())


class _ApiSession(requests.Session):
    """A session whose credential never crosses a redirect to another origin."""

    def __init__(self, auth: ConstellrAuth, retry_posts_to: Iterable[str], limits: Limits) -> None:
        super().__init__()
        self.auth = auth
        self.limits = limits
        self._covers = auth.covers
        reads = retrying("GET", "HEAD", "OPTIONS", limits=limits)
        self.mount("https://", reads)
        self.mount("http://", reads)
        for prefix in retry_posts_to:
            self.mount(prefix, retrying("GET", "HEAD", "OPTIONS", "POST", limits=limits))

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
