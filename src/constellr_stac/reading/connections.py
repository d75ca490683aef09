"""GET requests over connections that are kept open, without a signature in urllib3's log.

Proxies and certificates are found out as requests does it, but once for each origin: to do so for
each request takes more time than everything else here. What is asked for, and what to do when it
fails, is decided by the callers.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, requote_uri
from urllib3 import Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from constellr_stac.auth.transport import TIMEOUT
from constellr_stac.config import origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

__all__ = ["Connections"]

_ORIGINS = 256
_REDIRECTS = 5
_ONCE = Retry(total=False, redirect=0)  # who asks knows better what to try again
_QUERY = "X-Query-Of-This-Request"  # between a pool and its connections; never sent


class Connections:
    """Connections to any number of origins. Shared by all threads.

    Args:
        kept: How many connections to an origin are kept.
    """

    def __init__(self, kept: int) -> None:
        self._adapter = _Adapter(pool_connections=_ORIGINS, pool_maxsize=kept)
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str, int], _Route] = {}

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """GET ``url``; the body is still to be read. Redirects are followed.

        Raises:
            HTTPError: The connection failed (urllib3's).
            RequestException: The URL, or a proxy's, makes no sense (requests').
        """
        for _ in range(_REDIRECTS):
            answer = self._route(url).get(url, headers)
            target = answer.get_redirect_location()
            if not target:
                return answer
            answer.drain_conn()
            url = urljoin(url, target)
        raise HTTPError("redirected too often")

    def _route(self, url: str) -> _Route:
        try:
            where = origin(url)
        except ValueError as error:  # a port that is none
            raise requests.exceptions.InvalidURL(str(error)) from error
        with self._lock:
            if where not in self._routes:
                if len(self._routes) >= _ORIGINS:
                    self._routes.clear()
                self._routes[where] = self._adapter.route(url)
            return self._routes[where]


class _Route(NamedTuple):
    """How an origin is reached."""

    pool: HTTPConnectionPool
    prefix: str
    """What stands before the path on the wire: the origin, where a proxy has to know it."""

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        if not query.isascii() or " " in query:
            query = requote_uri(query)
        return self.pool.urlopen(
            "GET",
            self.prefix + (parts.path or "/"),
            headers={**headers, _QUERY: query},
            redirect=False,
            assert_same_host=False,  # a proxy is another
            retries=_ONCE,
            timeout=Timeout(*TIMEOUT),
            preload_content=False,
        )


class _Adapter(HTTPAdapter):
    """Finds out how requests would reach an origin."""

    def route(self, url: str) -> _Route:
        request = requests.Request("GET", url).prepare()
        with requests.Session() as session:
            found = session.merge_environment_settings(request.url, {}, True, None, None)  # noqa: FBT003
        # requests adds its own authorities to a connection later, when it sends.
        verify = DEFAULT_CA_BUNDLE_PATH if found["verify"] is True else found["verify"]
        found_pool = self.get_connection_with_tls_context(
            request, verify, found["proxies"], found["cert"]
        )
        pool = cast("HTTPConnectionPool", found_pool)
        pool.ConnectionCls = _discreet(pool.ConnectionCls)
        on_the_wire = self.request_url(request, found["proxies"])
        parts = urlsplit(url)
        proxied = not on_the_wire.startswith("/")
        return _Route(pool, f"{parts.scheme}://{parts.netloc}" if proxied else "")


@functools.lru_cache(maxsize=8)
def _discreet(kind: Any) -> Any:
    """Return the kind of connection that adds the query when urllib3 has logged the path.

    A signature is a secret as long as it lasts, and urllib3 logs what it is asked for.
    """

    class Discreet(kind):  # type: ignore[misc] # urllib3 tells at run time which it is
        def request(
            self, method: str, url: str, body: Any, headers: Mapping[str, str], **how: Any
        ) -> None:
            sent = dict(headers)
            super().request(method, url + sent.pop(_QUERY), body, sent, **how)

    return Discreet
