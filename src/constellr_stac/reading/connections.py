"""GET requests over pooled connections, without signatures in urllib3's log.

Proxies and certificates are those of :mod:`constellr_stac.auth.trust`, resolved once per origin
and anew after a failure: per request it would take longer than everything else here. Callers decide
about retries.
"""

from __future__ import annotations

import functools
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import requote_uri
from urllib3 import Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from constellr_stac.auth.hosts import host_of
from constellr_stac.auth.routes import RoutedAdapter
from constellr_stac.auth.trust import allowed
from constellr_stac.config import origin
from constellr_stac.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

__all__ = ["Connections"]

_ORIGINS = 256
_REDIRECTS = 5
_NO_RETRY = Retry(total=False, redirect=0)  # callers retry
_QUERY = "X-Query-Of-This-Request"  # from a pool to its connections; never sent


class Connections:
    """Pooled connections to any number of origins; thread-safe.

    Args:
        kept: The maximum number of pooled connections per origin.
        limits: Bounds on waiting; default from the environment.
    """

    def __init__(self, kept: int, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._adapter = _Adapter(self._limits, pool_connections=_ORIGINS, pool_maxsize=kept)
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str, int], _Route] = {}

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """GET ``url`` with an unread body. Follows redirects.

        Raises:
            HTTPError: The connection failed (urllib3).
            RequestException: The URL, a proxy's or the trusted certificates are invalid (requests).
        """
        for _ in range(_REDIRECTS):
            try:
                with host_of(url).turn(self._limits.retry_deadline):
                    answer = self._route(url).get(url, headers, self._limits)
            except Exception:
                self._forget_route(url)
                raise
            target = answer.get_redirect_location()
            if not target or "x-amz-bucket-region" in answer.headers:
                return answer  # a URL signed for one region is not valid in another
            answer.close()  # unread: its body may be endless
            url = urljoin(url, target)
        raise HTTPError("too many redirects")

    def _route(self, url: str) -> _Route:
        try:
            where = origin(url)
        except ValueError as error:  # an invalid port
            raise requests.exceptions.InvalidURL(str(error)) from error
        with self._lock:
            if where not in self._routes:
                if len(self._routes) >= _ORIGINS:
                    self._routes.clear()
                self._routes[where] = self._adapter.route(url)
            return self._routes[where]

    def _forget_route(self, url: str) -> None:
        """Read the environment again for the next request."""
        with suppress(ValueError), self._lock:
            self._routes.pop(origin(url), None)


class _Route(NamedTuple):
    """The connection pool of an origin."""

    pool: HTTPConnectionPool
    prefix: str
    """The prefix of the request target: the origin for an http proxy, else empty."""

    def get(self, url: str, headers: Mapping[str, str], limits: Limits) -> BaseHTTPResponse:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        if not query.isascii() or " " in query:
            query = requote_uri(query)
        return self.pool.urlopen(
            "GET",
            self.prefix + (parts.path or "/"),
            headers={**headers, _QUERY: query},
            redirect=False,
            assert_same_host=False,  # a proxy is another host
            retries=_NO_RETRY,
            timeout=Timeout(connect=limits.connect_timeout, read=limits.read_timeout),
            preload_content=False,
        )


class _Adapter(RoutedAdapter):
    """Resolves the route to an origin as requests does."""

    piece = 256 << 10

    def route(self, url: str) -> _Route:
        request = requests.Request("GET", url).prepare()
        with requests.Session() as session:
            found = session.merge_environment_settings(request.url, {}, True, None, None)  # noqa: FBT003
        proxies = allowed(found["proxies"], url)
        found_pool = self.get_connection_with_tls_context(
            request, found["verify"], proxies, found["cert"]
        )
        pool = cast("HTTPConnectionPool", found_pool)
        if not hasattr(pool.ConnectionCls, "hides_query"):
            pool.ConnectionCls = _hiding_query(pool.ConnectionCls)
        target = self.request_url(request, proxies)
        parts = urlsplit(url)
        proxied = not target.startswith("/")
        return _Route(pool, f"{parts.scheme}://{parts.netloc}" if proxied else "")


@functools.lru_cache(maxsize=8)
def _hiding_query(kind: Any) -> Any:
    """Return a subclass of a connection class that appends the query after urllib3 has logged.

    urllib3 logs the URL, and the query holds the signature.
    """

    class HidingQuery(kind):  # type: ignore[misc] # the base class is known at run time only
        hides_query = True

        def request(
            self, method: str, url: str, body: Any, headers: Mapping[str, str], **kwargs: Any
        ) -> None:
            sent = dict(headers)
            super().request(method, url + sent.pop(_QUERY), body, sent, **kwargs)
            # urllib3 logs it if the headers of the answer break off.
            options: Any = vars(self)["_response_options"]
            self._response_options = options._replace(request_url=url)

    return HidingQuery
