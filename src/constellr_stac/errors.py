"""Every failure of this package, as one tree; and how a secret is kept out of its text.

::

    ConstellrError
    ├── APIError                     the API answered, and the answer was no
    │   ├── BadRequestError          400
    │   ├── AuthenticationError      401, or a credential that cannot be used
    │   ├── ForbiddenError           403
    │   ├── NotFoundError            404
    │   ├── ConflictError            409
    │   ├── ValidationError          422
    │   ├── RateLimitError           429
    │   └── ServerError              5xx
    ├── APIConnectionError           the API did not answer
    ├── CredentialsNotFoundError     no credential in any of the places looked at
    ├── InsecureURLError             plain http to anything but this machine (a ValueError)
    ├── SigningError                 an href that cannot be signed
    ├── AssetReadError               a pixel file that cannot be read
    ├── DownloadError                a file that cannot be brought to disk
    ├── OrderValidationError         orders that break a rule, before sending (a ValueError)
    ├── OrderOutcomeUnknown          sent, and nobody can say whether it was placed
    ├── WorkerError                  dask workers that cannot read
    └── MissingExtraError            an optional dependency is not installed (an ImportError)

Nothing here imports anything of this package. Errors particular to one room (an area of
interest whose name is taken, say) are defined there, below one of these.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

__all__ = [
    "APIConnectionError",
    "APIError",
    "AssetReadError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConstellrError",
    "CredentialsNotFoundError",
    "DownloadError",
    "ForbiddenError",
    "InsecureURLError",
    "MissingExtraError",
    "NotFoundError",
    "OrderOutcomeUnknown",
    "OrderValidationError",
    "RateLimitError",
    "ServerError",
    "SigningError",
    "ValidationError",
    "WorkerError",
    "redact",
    "redact_url",
]

_SECRET_QUERY = re.compile(
    r"\?[^\s\"<>]*(?:signature|credential|token|password|key|sig)=[^\s\"'<>]*", re.IGNORECASE
)
_USERINFO = re.compile(r"(?P<scheme>https?://)[^/\s\"'?#]+@", re.IGNORECASE)


def redact_url(url: str) -> str:
    """Return ``url`` without its query, fragment and user information.

    Example:
        >>> redact_url("https://b.s3.amazonaws.com/lst.tiff?X-Amz-Signature=1f")
        'https://b.s3.amazonaws.com/lst.tiff'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def redact(text: str) -> str:
    """Return ``text`` without what makes a URL or a path in it worth stealing.

    Cut off are queries with a signature, a key or a token, and user information.

    Example:
        >>> redact("GET https://b.s3.amazonaws.com/lst.tiff?X-Amz-Signature=1f failed")
        'GET https://b.s3.amazonaws.com/lst.tiff failed'
    """
    return _USERINFO.sub(r"\g<scheme>", _SECRET_QUERY.sub("", text))


class ConstellrError(Exception):
    """Any failure of this package.

    Args:
        message: What was asked, what came back, and what to do next.

    Keyword Args:
        status_code: The HTTP status, where there was a response.
        request_url: The URL that was asked for; its query is cut off.
    """

    status_code: int | None
    """The HTTP status of the response, or ``None`` where there was none."""
    request_url: str | None
    """The URL that was asked for, without its query, or ``None``."""

    def __init__(
        self, message: str, *, status_code: int | None = None, request_url: str | None = None
    ) -> None:
        super().__init__(redact(message))
        self.status_code = status_code
        self.request_url = None if request_url is None else redact_url(request_url)

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process boundaries whole: dask sends them from worker to client."""
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(
    cls: type[ConstellrError], args: tuple[Any, ...], state: dict[str, Any]
) -> ConstellrError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class APIError(ConstellrError):
    """The API answered, and the answer was no.

    Attributes:
        method: The request's method, such as ``POST``.
        detail: What the server said, as one line.
    """

    hint = "See the message of the server."
    """What a person can do about this status."""

    method: str | None = None
    detail: str = ""

    @property
    def path(self) -> str:
        """The path that was asked for; empty where there was no request."""
        return urlsplit(self.request_url or "").path

    @classmethod
    def from_response(cls, response: requests.Response, *, hint: str | None = None) -> APIError:
        """Build the error of this tree that fits the response's status.

        Args:
            response: An answer whose status is not a success.

        Keyword Args:
            hint: What to do about it, where the caller knows better than the status.
        """
        status = response.status_code
        kind = _BY_STATUS.get(status, ServerError if status >= _SERVER_ERRORS else APIError)
        url = redact_url(response.url or "")
        method = response.request.method
        detail = " ".join(_detail(response).split())
        said = f": {detail}" if detail else ""
        error = kind(
            f"{method} {url} answered {status} {response.reason or ''}".rstrip()
            + f"{said}. {hint or kind.hint}",
            status_code=status,
            request_url=url,
        )
        error.method = method
        error.hint = hint or kind.hint
        error.detail = redact(detail)
        return error


class BadRequestError(APIError):
    """400: the values of the request make no sense to the server."""

    hint = "Correct the request."


class AuthenticationError(APIError):
    """401: the credential was refused, or cannot be used any more."""

    hint = "Check the credential; an expired or revoked one has to be replaced."


class ForbiddenError(APIError):
    """403: the account may not do this."""

    hint = "Ask the administrator of your organization for this permission."


class NotFoundError(APIError):
    """404: there is no such thing, or this account may not see it."""

    hint = "Check the id, and that it belongs to your organization."


class ConflictError(APIError):
    """409: the state of things does not allow it."""

    hint = "Look at what is there first."


class ValidationError(APIError):
    """422: the request is not of the form the API asks for."""

    hint = "Correct the fields named above."


class RateLimitError(APIError):
    """429: too many requests; the server did nothing."""

    hint = "Wait before asking again."


class ServerError(APIError):
    """5xx: the server failed."""

    hint = "Try again later."


class APIConnectionError(ConstellrError):
    """The API did not answer: no connection, a timeout, a connection that broke off."""


class CredentialsNotFoundError(ConstellrError):
    """No credential in any of the places that were looked at; the message lists them."""


class InsecureURLError(ConstellrError, ValueError):
    """A plain ``http://`` URL that is not on this machine: a credential would be readable."""


class SigningError(ConstellrError):
    """An href that cannot be signed, or object-store credentials that are not there."""


class AssetReadError(ConstellrError):
    """A pixel file that cannot be read; the message names item, asset and cause."""


class DownloadError(ConstellrError):
    """A file that cannot be brought to disk; nothing half-written bears its name."""


class OrderValidationError(ConstellrError, ValueError):
    """Orders that break a rule, found before anything was sent."""

    violations: tuple[Any, ...] = ()
    """Every broken rule of every order, as :class:`constellr_stac.orders.Violation`."""


class OrderOutcomeUnknown(ConstellrError):  # noqa: N818 - it is not known to be an error
    """An order was sent and nobody can say whether it was placed."""

    payload: Mapping[str, Any] | None = None
    """What was sent, exactly."""
    found: tuple[Any, ...] = ()
    """The orders like those sent that have appeared on the server since."""
    before: Any = None
    """What was there before, for :meth:`constellr_stac.orders.OrdersClient.look_again`."""


class WorkerError(ConstellrError):
    """Dask workers that cannot authenticate or read; the message names each."""

    table: tuple[Any, ...] = ()
    """What was found on each, as :class:`constellr_stac.cluster.WorkerTable`."""


class MissingExtraError(ConstellrError, ImportError):
    """An optional dependency is not installed.

    Args:
        what: What was wanted, as a noun phrase: ``"engine='stackstac'"``.
        extra: The extra that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs an optional dependency. "
            f"Install it with: pip install 'constellr-stac[{extra}]'"
        )


_SERVER_ERRORS = 500
_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: ValidationError,
    429: RateLimitError,
}
_MAX_TEXT = 300
_PARTS = ("body", "query", "path")
"""Where in a request a problem is: the first of FastAPI's steps to it."""


def _detail(response: requests.Response) -> str:
    """Render what a FastAPI server says: a string, or a list of located problems."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        text = response.text.strip()
        return "" if text.startswith("<") else text[:_MAX_TEXT]
    detail = body.get("detail", body) if isinstance(body, dict) else body
    if isinstance(detail, str):
        return detail.rstrip(".")
    if isinstance(detail, list) and all(isinstance(part, dict) for part in detail):
        return "; ".join(_located(part) for part in detail)
    return json.dumps(detail, default=str)[:_MAX_TEXT]


def _located(problem: dict[str, Any]) -> str:
    """Render ``{"loc": ["body", "orders", 0, "start_date"], "msg": ...}`` as a path and text."""
    steps = problem.get("loc")
    steps = steps if isinstance(steps, list) else []
    path = ""
    for step in steps[1:] if steps and steps[0] in _PARTS else steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else str(step)
    message = str(problem.get("msg", "")).rstrip(".")
    return f"{path}: {message}" if path else message
