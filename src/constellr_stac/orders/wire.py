"""HTTP requests to the orders API, and parsing of their responses."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from constellr_stac._text import MAX_DEPTH, is_deep, redact_url
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import APIError
from constellr_stac.limits import Limits

from .paging import PAGE_SIZE, listing, parse_page
from .payloads import AreaOfInterest, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.errors import ConstellrError

    from .paging import Page
    from .records import Record

    R = TypeVar("R", bound=Record)
    V = TypeVar("V")

__all__ = [
    "AREAS",
    "AREA_CONVERSION",
    "AREA_SIZE",
    "BATCH",
    "ORDERS",
    "Api",
    "concerns",
    "error_context",
    "ignore_body",
    "json_of",
    "parse",
    "parse_list",
    "path_of",
]

AREAS = "/areas-of-interest"
AREA_SIZE = f"{AREAS}/geometry-info"
AREA_CONVERSION = f"{AREAS}/convert"
ORDERS = "/orders"
BATCH = f"{ORDERS}/batch"
"""The endpoint that places orders; the session never repeats a request to it."""

_MAX_DIGITS = 300


class Api:
    """A session with the API.

    Args:
        auth: Adds the credential to requests.

    Keyword Args:
        session: A session to use; it is not closed.
        timeout: Connect and read timeout, in seconds.
        limits: Bounds on waiting and sizes; default from the environment.

    Raises:
        ValueError: ``session`` may place orders twice.
    """

    def __init__(
        self,
        auth: ConstellrAuth,
        *,
        session: requests.Session | None = None,
        timeout: tuple[float, float] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.auth = auth
        self.base_url = auth.base_url
        self.limits = limits or Limits()
        self._timeout = timeout
        self._owns_session = session is None
        if session is None:
            session = api_session(
                auth,
                # These POSTs change nothing on the server.
                retry_posts_to=[self.base_url + path for path in (AREA_SIZE, AREA_CONVERSION)],
                never_retried=[self.base_url + BATCH],
                limits=self.limits,
            )
        else:
            _refuse_retries(session, self.base_url + BATCH)
        self.session = session

    def close(self) -> None:
        """Close the session, unless it was passed in."""
        if self._owns_session:
            self.session.close()

    def send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send one request and return the response, whatever its status.

        Raises:
            APIConnectionError: There was no response.
        """
        url = self.base_url + path
        kwargs = {"auth": self.auth, "timeout": self._timeout, **kwargs}
        with connection_errors(method, url):
            return self.session.request(method, url, **kwargs)

    def call(
        self,
        read: Callable[[Any], V],
        method: str,
        path: str,
        *,
        hints: Mapping[int, str] | None = None,
        **kwargs: Any,
    ) -> V:
        """Send one request and return its parsed response.

        Args:
            read: Parses the response's JSON; gets ``None`` if the body is empty.
            method: The HTTP method.
            path: Relative to the API's root.

        Keyword Args:
            hints: What to do, by status code; replaces the error class's hint.
            kwargs: Passed to ``requests.Session.request``.

        Raises:
            APIError: An error status, or a response that cannot be parsed.
            APIConnectionError: There was no response.
        """
        response = self.send(method, path, **kwargs)
        checked(response, hint=(hints or {}).get(response.status_code))
        with error_context(method, response.url, response.status_code):
            return read(json_of(response) if response.content else None)

    def iterate(
        self, read: Callable[[Any], V], path: str, limit: int | None, sort: str | None
    ) -> Iterator[V]:
        """Yield the parsed items of a paged list, each once."""
        if limit is not None and limit < 1:
            return

        pages = count(1)

        def fetch(offset: int, size: int) -> Page:
            if next(pages) > self.limits.pages:
                raise APIError(f"More than {self.limits.pages:.0f} pages (limits.pages).")
            params = {"limit": size, "offset": offset, "sort": sort}
            return self.call(parse_page, "GET", path, params=params)

        items = listing(fetch, page_size=min(PAGE_SIZE, limit or PAGE_SIZE))
        for item in islice(items, limit):
            with error_context("GET", self.base_url + path, 200):
                value = read(item)
            yield value


def _refuse_retries(session: requests.Session, url: str) -> None:
    retries = getattr(session.get_adapter(url), "max_retries", None)
    # With a total of None, the other counts decide.
    if retries is not None and (retries.total or retries.total is None):
        msg = (
            "This session retries and might place an order twice. Mount an adapter without "
            f"retries: session.mount({url!r}, HTTPAdapter())."
        )
        raise ValueError(msg)


@contextmanager
def error_context(method: str, url: str, status: int) -> Iterator[None]:
    """Add method, URL and status to any :class:`.APIError` raised within."""
    try:
        yield
    except APIError as error:
        error.method, error.request_url, error.status_code = method, redact_url(url), status
        raise


def json_of(response: requests.Response) -> Any:
    """Return a response's JSON.

    Raises:
        APIError: The body is not valid JSON, or nested too deep.
    """
    what, cause = "without valid JSON", None
    try:
        content = response.json(parse_int=_number)
        if not isinstance(content, dict | list) or not is_deep(content):
            return content
        what = f"with JSON nested deeper than {MAX_DEPTH} levels"
    except (ValueError, RecursionError) as error:
        cause = error
    raise APIError(
        f"{response.request.method} {response.url} answered {response.status_code} {what}. "
        "Check the API's URL."
    ) from cause


def _number(digits: str) -> float:
    """Return a JSON integer; infinity if no float is as large."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def ignore_body(_content: Any) -> None:
    """Accept any body: only the status matters."""


def parse(kind: type[R], content: Any) -> R:
    """Return JSON from the server as a ``kind``.

    Raises:
        APIError: It does not validate; the message names the fields.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise APIError(
            f"The API answered with an invalid {kind.__name__} ({problems}). "
            "Check for a newer version of constellr-stac."
        ) from error


def parse_list(kind: type[R], content: Any) -> list[R]:
    """Return JSON from the server as a list of ``kind``.

    Raises:
        APIError: It is not such a list.
    """
    if not isinstance(content, list):
        raise APIError(f"The API did not answer with a list of {kind.__name__}s.")
    return [parse(kind, each) for each in content]


def path_of(collection: str, key: Any) -> str:
    """Return the path of a resource, given its id or the resource itself.

    Example:
        >>> path_of("/orders", "123e4567")
        '/orders/123e4567'
    """
    key = key.id if isinstance(key, (AreaOfInterest, Order)) else key
    if key is None or str(key) in ("", ".", ".."):
        msg = f"{key!r} is not an id."
        raise ValueError(msg)
    return f"{collection}/{quote(str(key), safe='')}"


def concerns(error: ConstellrError, path: str) -> bool:
    """Return whether an error is about a request to ``path``, not to the token endpoint."""
    return (error.request_url or "").endswith(path)
