"""The I/O of pystac-client for this API: authentication, retries and errors."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import pystac
import requests
from pystac_client.exceptions import APIError as PystacAPIError
from pystac_client.stac_api_io import StacApiIO

from constellr_stac._text import redact_url
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConstellrError,
    NotFoundError,
)
from constellr_stac.limits import Limits

from .fixups import Fixups
from .members import owned
from .screening import new_pages, screened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pystac_client.stac_api_io import Timeout

    from constellr_stac.auth.requests_auth import ConstellrAuth

__all__ = ["ConstellrIO"]

E = TypeVar("E", bound=ConstellrError)

_log = logging.getLogger(__name__)

_WITH_BODY = ("POST", "PUT", "PATCH")


class ConstellrIO(StacApiIO):
    """Reads the API for pystac-client; refuses all other URLs.

    Requests carry the credential of ``auth`` and have timeouts; GETs and searches are retried.
    Errors are those of this package and also pystac-client's ``APIError``. Documents are
    completed (:mod:`.fixups`). It pickles without a secret.

    Args:
        auth: Adds the credential.

    Keyword Args:
        headers: Sent with each request.
        parameters: Sent in the query of each request.
        request_modifier: Changes or replaces each request before the credential is added.
        timeout: Seconds, as for ``requests``; default as for the session.
        limits: Bounds on waiting and sizes; default from the environment.
    """

    def __init__(
        self,
        auth: ConstellrAuth,
        *,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
        request_modifier: Callable[[requests.Request], requests.Request | None] | None = None,
        timeout: Timeout | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._req_modifier: Callable[[requests.Request], requests.Request | None] | None = None
        self._headers: dict[str, str] = {}
        self._parameters: dict[str, Any] = {}
        super().__init__(max_retries=None)
        self.auth = auth
        self.fixups = Fixups(f"{auth.base_url}/stac")
        self.limits = limits or Limits()
        self.session = api_session(auth, retry_posts_to=[self.fixups.search_url], limits=limits)
        self.update(headers, parameters, request_modifier, timeout)

    def update(
        self,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
        request_modifier: Callable[[requests.Request], requests.Request | None] | None = None,
        timeout: Timeout | None = None,
    ) -> None:
        """Change the given settings and keep the others, which pystac-client would reset."""
        self._headers.update(headers or {})
        self._parameters.update(parameters or {})
        super().update(
            self._headers,
            self._parameters,
            request_modifier or self._req_modifier,
            self.timeout if timeout is None else timeout,
        )

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Send a request to the API, and return the body of the response.

        Raises:
            APIError: An error response. Also pystac-client's ``APIError``.
            APIConnectionError: No response. Also pystac-client's ``APIError``.
            AuthenticationError: The credential was refused.
            CredentialsNotFoundError: There is no credential.
            ConstellrError: ``href`` is not a URL of the API; nothing was sent.
        """
        method = (method or "GET").upper()
        if not self.fixups.covers(href):
            raise for_pystac(
                ConstellrError(
                    f"{method} {redact_url(href)} was not sent: it is not below "
                    f"{self.fixups.stac_url}, and this client only sends requests to the API.",
                    request_url=href,
                )
            )
        content = {"json" if method in _WITH_BODY else "params": parameters}
        request = requests.Request(method, href, headers=headers, **content)
        if self._req_modifier is not None:
            request = self._req_modifier(request) or request
        try:
            with connection_errors(method, href):
                prepared = self.session.prepare_request(request)
                _log.debug("%s %s", method, redact_url(href))
                kwargs = self.session.merge_environment_settings(prepared.url, {}, None, None, None)
                response = self.session.send(prepared, timeout=self.timeout, **kwargs)
        except (AuthenticationError, NotFoundError):
            # From POST /token: pystac-client would report a 404 as a missing item.
            raise
        except (APIError, APIConnectionError) as error:
            raise for_pystac(error) from error.__cause__
        try:
            checked(response)
        except APIError as error:
            raise for_pystac(error) from None
        return response.content.decode()

    def read_json(self, source: pystac.link.HREF, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a document of the API, and complete it.

        Raises:
            APIError: The response is not such a document; else as for :meth:`request`.
        """
        try:
            text = self.read_text(source, *args, **kwargs)
        except UnicodeDecodeError as error:
            raise self._bad_response(source, "invalid JSON") from error
        try:
            document = self.json_loads(text)
        # Also raised for numbers with thousands of digits, and thousands of nested brackets.
        except (ValueError, RecursionError) as error:
            raise self._bad_response(source, "invalid JSON") from error
        url, body = _target(source, kwargs)
        if not self.fixups.covers(url):
            return document  # a file
        if not isinstance(document, dict):
            raise self._bad_response(source, "JSON that is not an object")
        if (problem := screened(document, url, self.fixups)) is not None:
            raise self._bad_response(source, problem)
        document = self.fixups.completed(document, url, self._conformance)
        if any(_target(pystac.Link.from_dict(link), {}) == (url, body) for link in _next(document)):
            raise self._bad_response(source, "a page whose next link is the page itself")
        return document

    def stac_object_from_dict(
        self,
        d: dict[str, Any],
        href: pystac.link.HREF | None = None,
        root: pystac.Catalog | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> pystac.STACObject:
        """Return a document as an object of pystac-client, of the client that is its root."""
        found = super().stac_object_from_dict(d, href, root, *args, **kwargs)
        client: Any = None if root is None else root.get_root()
        if client is not None and isinstance(found, pystac.Item | pystac.Collection):
            return owned(found, client)
        return found

    def get_pages(
        self,
        url: str,
        method: str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a search or of the collections.

        A collection's ``get_items()`` is a GET in pystac-client; here it becomes a ``POST
        /stac/search``, the API's only way to list items.

        Raises:
            ValueError: The GET has parameters other than ids, collections and limit.
        """
        searches = url == self.fixups.search_url or self.fixups.is_items_url(url)
        if searches and (method or "GET").upper() == "GET":
            url, method, parameters = self.fixups.search_url, "POST", _body(parameters or {})
        pages = super().get_pages(url, method, parameters)
        yield from new_pages(pages, self.limits.pages, lambda what: self._bad_response(url, what))

    def __getstate__(self) -> dict[str, Any]:
        return {
            "auth": self.auth,
            "headers": self._headers,
            "parameters": self._parameters,
            "request_modifier": self._req_modifier,
            "timeout": self.timeout,
            "limits": self.limits,
            "fixups": self.fixups,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        given = {**state}
        auth, fixups = given.pop("auth"), given.pop("fixups")
        self.__init__(auth, **given)  # type: ignore[misc] # initializes an unpickled object
        self.fixups = fixups

    def _conformance(self) -> list[str]:
        try:
            page = self.read_json(f"{self.fixups.stac_url}/conformance")
        except NotFoundError:
            return []
        classes = page.get("conformsTo")
        return (
            [each for each in classes if isinstance(each, str)] if isinstance(classes, list) else []
        )

    def _bad_response(self, source: pystac.link.HREF, what: str) -> APIError:
        url = redact_url(_target(source, {})[0])
        return for_pystac(
            APIError(f"{url} answered with {what}. Is this the API's URL?", request_url=url)
        )


def for_pystac(error: E) -> E:
    """Return ``error`` as an instance of pystac-client's ``APIError`` too."""
    plain: Any = type(error)
    kind: Any = _caught_by_pystac(plain)
    converted: E = kind.__new__(kind, *error.args)
    converted.__dict__.update(error.__dict__)
    converted.args = error.args
    return converted


@functools.cache
def _caught_by_pystac(kind: type[ConstellrError]) -> type[ConstellrError]:
    def reduce(self: ConstellrError) -> tuple[Any, ...]:
        plain = kind.__new__(kind, *self.args)
        plain.__dict__.update(self.__dict__)
        plain.args = self.args
        return for_pystac, (plain,)

    names = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduce}
    return type(kind.__name__, (kind, PystacAPIError), names)


def _target(
    source: pystac.link.HREF, kwargs: Mapping[str, Any]
) -> tuple[str, dict[str, Any] | None]:
    """Return the URL and the body of the request for ``source``."""
    if isinstance(source, pystac.Link):
        url, fields = source.get_href(transform_href=False) or "", source.extra_fields
        with_body = fields.get("method") in _WITH_BODY
        return url, fields.get("body") or {} if with_body else None
    parameters = kwargs.get("parameters")
    if (kwargs.get("method") or "GET").upper() in _WITH_BODY:
        return str(source), parameters or {}
    return requests.Request("GET", str(source), params=parameters).prepare().url or "", None


def _next(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [link for link in document["links"] if link.get("rel") == "next"]


def _body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Convert pystac-client's query parameters to the body of a search."""
    body: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in ("ids", "collections"):
            body[name] = value.split(",")
        elif name == "limit":
            body[name] = int(value)
        else:
            msg = f"The API does not support GET searches with {name}=. Use POST."
            raise ValueError(msg)
    return body
