"""One request to the API and its answer: a value, or the error that fits.

What the answers mean is said in :mod:`.areas` and :mod:`.client`; that an order is not sent
twice, in :mod:`.placement`.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

from pydantic import ValidationError
from requests.adapters import HTTPAdapter

from constellr_stac._text import redact_url
from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import TIMEOUT, checked, connection_errors
from constellr_stac.errors import APIError

from .payloads import AreaOfInterest, Order, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.errors import ConstellrError

    R = TypeVar("R", bound=Record)
    V = TypeVar("V")

__all__ = [
    "ApiClient",
    "about",
    "concerns",
    "content_of",
    "each_of",
    "nothing",
    "parsed",
    "path_of",
]

_NO_HINTS: Mapping[int, str] = MappingProxyType({})


class ApiClient:
    """A session with the API: what all its clients have in common.

    Args:
        auth: Adds the credential; a credential will do. Default what
            :func:`constellr_stac.default_credential` finds.

    Keyword Args:
        base_url: The API; default ``auth``'s, else ``CONSTELLR_API_URL``.
        session: A session of your own, which stays open. It must not send a POST again by
            itself: an order would be placed twice.
        timeout: Seconds to wait for a connection, and between two bytes of an answer.

    Raises:
        InsecureURLError: ``base_url`` is plain http and not on this machine.
        ValueError: ``session`` might send a POST again, or ``auth`` is for another API.
    """

    _never_resent: tuple[str, ...] = ()
    """Paths that are sent once, whatever happens to the connection."""
    _only_read: tuple[str, ...] = ()
    """Paths to which a POST changes nothing, and may be sent again."""

    def __init__(
        self,
        auth: ConstellrAuth | Credential | None = None,
        *,
        base_url: str | None = None,
        session: requests.Session | None = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self.auth = as_auth(auth, base_url=base_url)
        self.base_url = self.auth.base_url
        self._timeout = timeout
        self._owned = session is None
        self.session = self._opened() if session is None else self._accepted(session)

    def close(self) -> None:
        """Close the connections, if they are this client's own."""
        if self._owned:
            self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.auth!r})"

    def _opened(self) -> requests.Session:
        reading = [self.base_url + path for path in self._only_read]
        session = api_session(self.auth, retry_posts_to=reading)
        for path in self._never_resent:
            # urllib3 tries other failures than reading again whatever the method: a TLS record
            # that broke after the server had done its work, for one.
            session.mount(self.base_url + path, HTTPAdapter(max_retries=0))
        return session

    def _accepted(self, session: requests.Session) -> requests.Session:
        for path in self._never_resent:
            retries = getattr(session.get_adapter(self.base_url + path), "max_retries", None)
            # A total of None leaves it to the other counts, which may be any.
            if retries is not None and (retries.total or retries.total is None):
                msg = (
                    "This session retries, so it might place an order twice. Mount an adapter "
                    f"that does not: session.mount({self.base_url + path!r}, HTTPAdapter())."
                )
                raise ValueError(msg)
        return session

    def _ask(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send one request and return the answer, whatever its status.

        Raises:
            APIConnectionError: There was none.
        """
        url = self.base_url + path
        kwargs = {"auth": self.auth, "timeout": self._timeout, **kwargs}
        with connection_errors(method, url):
            return self.session.request(method, url, **kwargs)

    def _told(
        self,
        read: Callable[[Any], V],
        method: str,
        path: str,
        *,
        hints: Mapping[int, str] = _NO_HINTS,
        **kwargs: Any,
    ) -> V:
        """Send one request and return what its answer says.

        Args:
            read: Makes a value of the answer's JSON, which is ``None`` where it is empty.
            method: Such as ``GET``.
            path: From the API's root.

        Keyword Args:
            hints: What to do about a status, where more is known than the status itself says.
            kwargs: As for ``requests.Session.request``.

        Raises:
            APIError: The answer was no, or nothing that can be read.
            APIConnectionError: There was none.
        """
        response = self._ask(method, path, **kwargs)
        checked(response, hint=hints.get(response.status_code))
        with about(method, response.url, response.status_code):
            return read(content_of(response) if response.content else None)


@contextmanager
def about(method: str, url: str, status: int) -> Iterator[None]:
    """Note on the errors raised within to which answer they are due."""
    try:
        yield
    except APIError as error:
        error.method, error.request_url, error.status_code = method, redact_url(url), status
        raise


def content_of(response: requests.Response) -> Any:
    """Return the JSON of an answer.

    Raises:
        APIError: It is none that can be read.
    """
    try:
        return response.json()
    # Beside what is no JSON: numbers of thousands of digits, brackets of thousands of levels.
    except (ValueError, RecursionError) as error:
        raise APIError(
            f"{response.request.method} {response.url} answered {response.status_code}, but not "
            "with JSON. Is this the API's URL?"
        ) from error


def nothing(_content: Any) -> None:
    """Read nothing: all that counts is that the answer was yes."""


def parsed(kind: type[R], content: Any) -> R:
    """Return what the server said as a value.

    Raises:
        APIError: It is none; the message says what is missing.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise APIError(
            f"The API answered with something that is no {kind.__name__} ({problems}). "
            "It may have changed; is there a newer version of constellr-stac?"
        ) from error


def path_of(collection: str, key: Any) -> str:
    """Return the path of one thing, given its id or the thing itself.

    Example:
        >>> path_of("/orders", "123e4567")
        '/orders/123e4567'
    """
    key = key.id if isinstance(key, (AreaOfInterest, Order)) else key
    if key is None or str(key) in ("", ".", ".."):
        msg = f"{key!r} is no id."
        raise ValueError(msg)
    return f"{collection}/{quote(str(key), safe='')}"


def concerns(error: ConstellrError, path: str) -> bool:
    """Say whether an error is about a request to ``path``, not about getting a token for it."""
    return (error.request_url or "").endswith(path)


def each_of(kind: type[R], content: Any) -> list[R]:
    """Return a list that the server said as values.

    Raises:
        APIError: It is no such list.
    """
    if not isinstance(content, list):
        raise APIError(f"The API answered with no list of {kind.__name__}s.")
    return [parsed(kind, each) for each in content]
