"""The hook that gets the response of an authenticated request, and the error that it may raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import requests

from constellr_stac.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from constellr_stac._secret import Secret

    from .credentials import Token

    Handler: TypeAlias = Callable[
        [requests.Response, "ResponseHook", Mapping[str, Any]], requests.Response
    ]

__all__ = ["RequestConnectionError", "ResponseHook", "SentHeader"]


class RequestConnectionError(APIConnectionError, requests.ConnectionError):
    """``POST /token`` was not answered, within a call of requests that needs the token."""

    @classmethod
    def of(cls, error: APIConnectionError) -> Self:
        """Return ``error`` as an error of requests too."""
        same = cls(str(error))
        same.__dict__.update(error.__dict__)
        return same


class ResponseHook:
    """The response hook of one request. Picklable, since responses are pickled with it."""

    def __init__(self, handle: Handler, sent: SentHeader | None) -> None:
        self._handle = handle
        self.sent = sent
        """The header that the request has; ``None`` if unpickled, to not send it again."""

    def __call__(self, response: requests.Response, **send_kwargs: Any) -> requests.Response:
        """Return the response, or that of the request sent again."""
        return self._handle(response, self, send_kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return ResponseHook, (self._handle, None)


class SentHeader(NamedTuple):
    """The header added to a request, and the token in it, if any."""

    name: str
    value: Secret
    token: Token | None
