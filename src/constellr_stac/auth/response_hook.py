"""The hook that gets the response of an authenticated request, and the error that it may raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import requests

from constellr_stac.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac._secret import Secret

    from .credentials import Token

__all__ = ["RequestConnectionError", "ResponseHook", "SentHeader"]


class RequestConnectionError(APIConnectionError, requests.ConnectionError):
    """``POST /token`` was not answered, within a call of requests that needs the token."""

    @classmethod
    def of(cls, error: APIConnectionError) -> Self:
        """Return ``error`` as an error of requests too."""
        same = cls(str(error))
        same.__dict__.update(error.__dict__)
        return same


class Handler(Protocol):
    """Handles responses; a ``ConstellrAuth``."""

    def current_header(self) -> SentHeader:
        """Return the header of a request that is sent now."""

    def handle_response(
        self, response: requests.Response, hook: ResponseHook, send_kwargs: Mapping[str, Any]
    ) -> requests.Response:
        """Return the response, or that of the request sent again."""


class ResponseHook:
    """The response hook of one request. Picklable, since responses are pickled with it."""

    def __init__(self, auth: Handler, sent: SentHeader | None) -> None:
        self._auth = auth
        self.sent = sent
        """The header that the request has; ``None`` if unpickled, to not send it again."""

    def __call__(self, response: requests.Response, **send_kwargs: Any) -> requests.Response:
        """Return the response, or that of the request sent again."""
        return self._auth.handle_response(response, self, send_kwargs)

    def renew(self, request: requests.PreparedRequest) -> None:
        """Replace the credential of a request that is sent again."""
        if self.sent is not None:
            self.sent = sent = self._auth.current_header()
            request.headers[sent.name] = sent.value

    def __reduce__(self) -> tuple[Any, ...]:
        return ResponseHook, (self._auth, None)


class SentHeader(NamedTuple):
    """The header added to a request, and the token in it, if any."""

    name: str
    value: Secret
    token: Token | None
