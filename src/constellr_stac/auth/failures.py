"""What kept a request from being answered, in words, and whether to send it again."""

from __future__ import annotations

import re
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)

from .trust import TrustError, proxy_of, trusted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Failure", "cause_of", "causes", "failure_of"]

Kind = Literal["transient", "unreachable", "unknown host", "final"]

_DEEPEST = 10
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)")  # by http.client
_UPSTREAM = ("500", "502", "503", "504")  # what the proxy met, or its own 503: temporary
_BAD_URL = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.TooManyRedirects,
    requests.exceptions.UnrewindableBodyError,
    LocationParseError,
)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL")


@dataclass(frozen=True)
class Failure:
    """Why a request was not answered."""

    kind: Kind
    """``unreachable``: nothing was sent. ``final``: the same request would fail again."""
    text: str
    """The reason, for messages."""
    hint: str = ""
    """What to do, if the kind of failure says so."""
    nothing_sent: bool = False
    """Whether it is certain that no part of the request was sent."""


def failure_of(error: BaseException, url: str) -> Failure:
    """Return what an exception of requests or urllib3 means.

    Args:
        error: The exception.
        url: The requested URL.
    """
    text, found = cause_of(error), list(causes(error))
    failure = _tls_failure(found, url, text) or _proxy_failure(found, url, text)
    if failure is not None:
        return failure
    if any(isinstance(each, NameResolutionError | socket.gaierror) for each in found):
        text = f"the host {urlsplit(url).hostname!r} is not known"
        return Failure("unknown host", text, nothing_sent=True)
    if _is_unconnected(found):
        return Failure("unreachable", text, nothing_sent=True)
    is_final = isinstance(error, _BAD_URL) or not isinstance(error, OSError | HTTPError)
    return Failure("final" if is_final else "transient", text)


def _tls_failure(found: list[BaseException], url: str, text: str) -> Failure | None:
    host = urlsplit(url).hostname or url
    for each in found:
        if isinstance(each, TrustError):
            hint = "Correct the variable, or unset it."
            return Failure("final", str(each), hint, nothing_sent=True)
        if isinstance(each, ssl.SSLCertVerificationError):
            why = each.verify_message or each.reason or text
            return Failure(
                "final",
                f"the certificate of {host} is not accepted: {why}; trusted are {trusted()}",
                "On a network that inspects TLS, set REQUESTS_CA_BUNDLE to a file with the "
                "certificate authority of your company (PEM).",
                nothing_sent=True,
            )
        if isinstance(each, ssl.SSLError) and each.reason in _NOT_TLS:
            return Failure("final", f"{host} does not speak TLS at this port", "Check the URL.")
    return None


def _proxy_failure(found: list[BaseException], url: str, text: str) -> Failure | None:
    if not any(isinstance(each, ProxyError | requests.exceptions.ProxyError) for each in found):
        return None
    # urllib3 raises it too if a connection through the proxy breaks before an answer.
    tunnel = next(filter(None, (_TUNNEL.search(str(each)) for each in found)), None)
    if tunnel is None and not _is_unconnected(found):
        return None
    temporary = tunnel is not None and tunnel[1] in _UPSTREAM
    proxy = f" {proxy}" if (proxy := proxy_of(url)) else ""
    return Failure(
        "transient" if temporary else "final",
        f"the proxy{proxy} refused: {text}",
        "Check HTTPS_PROXY, or add the host to NO_PROXY.",
        nothing_sent=True,
    )


def _is_unconnected(found: list[BaseException]) -> bool:
    return any(isinstance(each, NewConnectionError | ConnectTimeoutError) for each in found)


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


def causes(error: BaseException, *, contexts: bool = False) -> Iterator[BaseException]:
    """Yield an error and all that it wraps.

    Args:
        error: The error.

    Keyword Args:
        contexts: Whether to follow ``__context__`` too, which may be an earlier failure.
    """
    left, seen = deque([error]), set[int]()
    while left:
        one = left.popleft()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left.extend(_wrapped_in(one))
            if contexts and one.__context__ is not None:
                left.append(one.__context__)


def _wrapped_in(error: BaseException) -> Iterator[BaseException]:
    for each in (getattr(error, "reason", None), *error.args, error.__cause__):
        if isinstance(each, BaseException):
            yield each
