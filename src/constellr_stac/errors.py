"""The errors and warnings of this package.

::

    ConstellrError
    ├── APIError                     the API answered with an error status
    │   ├── BadRequestError          400
    │   ├── AuthenticationError      401, or a credential that cannot be used
    │   ├── ForbiddenError           403
    │   ├── NotFoundError            404
    │   ├── ConflictError            409
    │   │   └── AreaOfInterestExistsError
    │   ├── ValidationError          422
    │   ├── RateLimitError           429
    │   └── ServerError              5xx
    ├── APIConnectionError           the API did not answer
    ├── CredentialsNotFoundError     no credential was found
    ├── InsecureURLError             plain http to another machine (a ValueError)
    ├── SigningError                 an href that cannot be signed
    ├── AssetReadError               an asset that cannot be read
    ├── DownloadError                a file that cannot be downloaded
    │   └── IncompleteDownloadError  some files of a download failed
    ├── OrderExistsError             an equal order is active already; nothing was sent
    ├── OrderValidationError         orders that break a rule, found before sending (a ValueError)
    ├── OrderOutcomeUnknown          an order was sent, and whether it was placed is unknown
    ├── OrderEndedError              an order ended in another state than expected
    ├── OrderWaitTimeout             an order did not change in time (a TimeoutError)
    ├── InvalidAreaError             a geometry that cannot be an area (a ValueError)
    ├── WorkerError                  dask workers that cannot read
    └── MissingExtraError            an optional dependency is missing (an ImportError)

    UserWarning
    ├── ContradictionWarning         a file, its item or the documents contradict each other
    ├── ResamplingWarning            scenes are resampled because their grids differ
    ├── SceneLeftEmptyWarning        a scene could not be read and is NaN
    ├── SkippedContentWarning        a part of a response was malformed and is left out
    ├── UnknownLayerWarning          pixels are loaded as stored: nothing says what they mean
    ├── UnencryptedClusterWarning    credentials cross an unencrypted network
    ├── CredentialsNotSharedWarning  a credential was found and not shared
    └── WorkerVersionWarning         workers have other versions
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit

from ._secret import Secret
from ._text import detail_of, redact, redact_url, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import requests

__all__ = [
    "APIConnectionError",
    "APIError",
    "AreaOfInterestExistsError",
    "AssetReadError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConstellrError",
    "ContradictionWarning",
    "CredentialsNotFoundError",
    "CredentialsNotSharedWarning",
    "DownloadError",
    "ForbiddenError",
    "IncompleteDownloadError",
    "InsecureURLError",
    "InvalidAreaError",
    "MissingExtraError",
    "NotFoundError",
    "OrderEndedError",
    "OrderExistsError",
    "OrderOutcomeUnknown",
    "OrderValidationError",
    "OrderWaitTimeout",
    "RateLimitError",
    "ResamplingWarning",
    "SceneLeftEmptyWarning",
    "ServerError",
    "SigningError",
    "SkippedContentWarning",
    "UnencryptedClusterWarning",
    "UnknownLayerWarning",
    "ValidationError",
    "WorkerError",
    "WorkerVersionWarning",
    "redact",
    "redact_url",
]


class ConstellrError(Exception):
    """Base class of all errors of this package.

    Args:
        message: What was asked, what came back, and what to do next.

    Keyword Args:
        status_code: The HTTP status, if there was a response.
        request_url: The requested URL; its query is removed.
    """

    status_code: int | None
    """The HTTP status of the response, or ``None``."""
    request_url: str | None
    """The requested URL without its query, or ``None``."""

    def __init__(
        self, message: str, *, status_code: int | None = None, request_url: str | None = None
    ) -> None:
        super().__init__(shown(redact(message)))
        self.status_code = status_code
        self.request_url = None if request_url is None else redact_url(request_url)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all attributes: dask sends errors from workers to the client."""
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(
    cls: type[ConstellrError], args: tuple[Any, ...], state: dict[str, Any]
) -> ConstellrError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class APIError(ConstellrError):
    """The API answered with an error status, or with something unusable.

    Attributes:
        method: The request's method, such as ``POST``.
        detail: The server's explanation, on one line.
    """

    hint = "See the server's message."
    """What the user can do about this status."""

    method: str | None = None
    detail: str = ""

    @property
    def path(self) -> str:
        """The requested path; empty if there was no request."""
        return urlsplit(self.request_url or "").path

    @classmethod
    def from_response(
        cls, response: requests.Response, *, hint: str | None = None, secret: str = ""
    ) -> APIError:
        """Return the error of this tree that matches the response's status.

        Args:
            response: A response with an error status.

        Keyword Args:
            hint: What to do about it, if the caller knows better than the class.
            secret: A secret of the request's body, which the server may repeat.
        """
        forget_echo(response, secret)
        status = response.status_code
        kind = _BY_STATUS.get(status, ServerError if status >= _SERVER_ERRORS else APIError)
        url = redact_url(response.url or "")
        method = response.request.method
        detail = " ".join(detail_of(response).split())
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


def forget_echo(response: requests.Response, secret: str) -> None:
    """Remove the credentials of a request from the body of its response."""
    headers = response.request.headers
    sent = [Secret(headers[name]) for name in ("Authorization", "X-Api-Key") if name in headers]
    secrets = [each.reveal().removeprefix("Bearer ") for each in (*sent, Secret(secret))]
    content = response.content
    for each in filter(None, secrets):
        for form in {each, quote(each), quote_plus(each), json.dumps(each)[1:-1]}:
            content = content.replace(form.encode(), b"***")
    response._content = content  # noqa: SLF001 - errors keep frames, and frames the response


class BadRequestError(APIError):
    """400: the request's values are invalid."""

    hint = "Correct the request."


class AuthenticationError(APIError):
    """401: the credential was refused, or cannot be used any more."""

    hint = "Check the credential; replace it if it is expired or revoked."


class ForbiddenError(APIError):
    """403: the account lacks this permission."""

    hint = "Ask the administrator of your organization for this permission."


class NotFoundError(APIError):
    """404: not found, or not visible to this account."""

    hint = "Check the id, and that it belongs to your organization."


class ConflictError(APIError):
    """409: the request conflicts with the current state."""

    hint = "Look at what is there first."


class AreaOfInterestExistsError(ConflictError):
    """409: an area of interest of this name exists already."""

    existing: Any = None
    """The area of that name; ``None`` if this account cannot see it."""


class ValidationError(APIError):
    """422: the request's form is invalid."""

    hint = "Correct the fields named above."


class RateLimitError(APIError):
    """429: too many requests; nothing was done."""

    hint = "Wait before asking again."


class ServerError(APIError):
    """5xx: the server failed."""

    hint = "Try again later."


class APIConnectionError(ConstellrError):
    """The API did not answer: no connection, a timeout, or a connection that broke off."""


class CredentialsNotFoundError(ConstellrError):
    """No credential was found; the message lists the places searched."""


class InsecureURLError(ConstellrError, ValueError):
    """A plain ``http://`` URL to another machine: a credential could be read on the way."""


class SigningError(ConstellrError):
    """An href that cannot be signed, or missing object-store credentials."""


class AssetReadError(ConstellrError):
    """An asset that cannot be read; the message names item, asset and cause."""


class DownloadError(ConstellrError):
    """A file that cannot be downloaded; no partial file has its final name."""


class IncompleteDownloadError(DownloadError):
    """Some files of a download failed; all others are complete."""

    failures: Mapping[Path, ConstellrError]
    """The error of each missing file."""
    downloaded: Any
    """The complete files, as :class:`constellr_stac.downloads.Downloaded`."""


class OrderValidationError(ConstellrError, ValueError):
    """Orders that break a rule, found before anything was sent."""

    violations: tuple[Any, ...] = ()
    """Every broken rule of every order, as :class:`constellr_stac.orders.Violation`."""


class OrderExistsError(ConstellrError):
    """An equal order is active, or twice in the batch; nothing was sent."""

    existing: tuple[Any, ...] = ()
    """The equal orders, as :class:`constellr_stac.orders.Order`."""


class OrderOutcomeUnknown(ConstellrError):  # noqa: N818 - it may not be an error
    """An order was sent, and whether it was placed is unknown."""

    payload: Mapping[str, Any] | None = None
    """The request body that was sent."""
    found: tuple[Any, ...] = ()
    """Orders like those sent that have appeared on the server since."""
    before: Any = None
    """The orders that existed before, for :meth:`constellr_stac.orders.OrdersClient.look_again`."""


class OrderEndedError(ConstellrError):
    """An order is closed or rejected, and will not reach the expected state."""

    order: Any = None
    """The order, as :class:`constellr_stac.orders.Order`."""


class OrderWaitTimeout(ConstellrError, TimeoutError):  # noqa: N818 - a kind of TimeoutError
    """An order did not reach the expected state in time."""

    order: Any = None
    """The order as last seen, as :class:`constellr_stac.orders.Order`."""


class InvalidAreaError(ConstellrError, ValueError):
    """A geometry that cannot be an area of interest, found before anything was sent."""


class WorkerError(ConstellrError):
    """Dask workers that cannot authenticate or read; the message names each."""

    table: tuple[Any, ...] = ()
    """The result of each worker, as :class:`constellr_stac.cluster.WorkerTable`."""


class MissingExtraError(ConstellrError, ImportError):
    """An optional dependency is not installed.

    Args:
        what: What needs it, as a noun phrase: ``"engine='stackstac'"``.
        extra: The extra that installs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs an optional dependency. "
            f"Install it with: pip install 'constellr-stac[{extra}]'"
        )


class ContradictionWarning(UserWarning):
    """A file, its item or the documents contradict each other; the message says who is believed."""


class ResamplingWarning(UserWarning):
    """Scenes are on different grids, and some are resampled."""


class SkippedContentWarning(UserWarning):
    """A part of a server's response was left out, such as an item that is not STAC."""


class SceneLeftEmptyWarning(UserWarning):
    """A scene could not be read and is NaN, as ``errors="nan"`` asks for."""


class UnknownLayerWarning(UserWarning):
    """Neither the item nor the documents describe an asset; it is read as it is stored."""


class UnencryptedClusterWarning(UserWarning):
    """Credentials are sent over a network that others may listen to."""


class CredentialsNotSharedWarning(UserWarning):
    """A credential was found and is not shared with the workers."""


class WorkerVersionWarning(UserWarning):
    """Workers have other versions of packages than this process."""


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
