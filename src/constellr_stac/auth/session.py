"""Authenticated sessions for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from constellr_stac.limits import Limits

from .requests_auth import CREDENTIAL_HEADERS
from .response_hook import ResponseHook
from .retry import READS, RetryingSession
from .routes import RoutedAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests

    from .requests_auth import ConstellrAuth

__all__ = ["api_session"]


def api_session(
    auth: ConstellrAuth,
    *,
    retry_posts_to: Iterable[str] = (),
    never_retried: Iterable[str] = (),
    limits: Limits | None = None,
) -> requests.Session:
    """Return an authenticated session for the API, with timeouts and retries.

    GETs are repeated until ``limits.retry_deadline`` has passed without an answer: after a dropped
    connection, an incomplete body, 408, 425, 429, 500, 502, 503 and 504, with growing pauses, and
    ``Retry-After`` respected up to a minute. POSTs are not, except to URLs that begin with one of
    ``retry_posts_to`` (such as a search, which only reads). A connection that could not be made is
    tried again for every method, since nothing was sent.

    Args:
        auth: Adds the credential to requests to the API.

    Keyword Args:
        retry_posts_to: URL prefixes whose POSTs change nothing on the server.
        never_retried: URL prefixes of requests that are sent at most once.
        limits: Bounds on waiting and sizes; default from the environment.
    """
    session = _ApiSession(auth, limits or Limits())
    for prefix in retry_posts_to:
        session.mount(prefix, RoutedAdapter(session.limits, repeats=READS | {"POST"}))
    for prefix in never_retried:
        session.mount(prefix, RoutedAdapter(session.limits, repeats=None))
    return session


class _ApiSession(RetryingSession):
    """A session whose credential never crosses a redirect to another origin."""

    def __init__(self, auth: ConstellrAuth, limits: Limits) -> None:
        super().__init__(limits)
        self.auth = auth
        self._covers = auth.covers

    def renew(self, request: requests.PreparedRequest) -> None:
        """Add the current token: others may have renewed it during the pause."""
        for hook in request.hooks["response"]:
            if isinstance(hook, ResponseHook):
                hook.renew(request)

    def rebuild_auth(
        self,
        prepared_request: requests.PreparedRequest,
        response: requests.Response,  # noqa: ARG002
    ) -> None:
        """Remove the credential from a redirect to another origin; ignore ``.netrc``."""
        if not self._covers(prepared_request.url or ""):
            for name in CREDENTIAL_HEADERS:
                prepared_request.headers.pop(name, None)
