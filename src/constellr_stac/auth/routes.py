"""The way to a server: certificates, proxy, and no crowd before a host that is down.

The environment is read for each request to the API, and for assets when a connection pool is made
and after each failure. Plain http to loopback is never sent through a proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

from constellr_stac._text import redact_url
from constellr_stac.errors import APIError

from .body import LimitError, read_body, timed
from .hosts import host_of
from .trust import allowed, tls_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from constellr_stac.limits import Limits

__all__ = ["RoutedAdapter"]


class RoutedAdapter(HTTPAdapter):
    """Sends requests with the certificates and the proxy of the environment.

    Args:
        limits: Bounds on waiting.
        repeats: The methods that :class:`~.retry.RetryingSession` may repeat; ``None``: nothing is
            repeated, and nothing waits for a host that is down.
        pool: As for ``HTTPAdapter``.
    """

    piece = float("inf")
    """Bytes of a response to which ``limits.answer_time`` applies."""

    def __init__(self, limits: Limits, *, repeats: Iterable[str] | None = (), **pool: Any) -> None:
        super().__init__(**pool)
        self.limits = limits
        self.repeats = None if repeats is None else frozenset(repeats)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send once, and read the response within the limits.

        Before that, wait while the host is down and another request asks.

        Raises:
            APIError: The response exceeds a limit.
        """
        kwargs["stream"] = True  # read_body reads it
        url, status = request.url or "", None
        try:
            if self.repeats is None:
                response = super().send(request, **kwargs)
            else:
                with host_of(url).turn(self.limits.retry_deadline):
                    response = super().send(request, **kwargs)
            status = response.status_code
            read_body(response, self.limits)
        except LimitError as error:
            raise APIError(
                f"{request.method} {redact_url(url)} failed: {error}.",
                status_code=status,
                request_url=url,
            ) from None
        return response

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Add the TLS settings to the key of a connection pool."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if verify and host["scheme"] == "https":
            tls.pop("ca_certs", None)
            tls.pop("ca_cert_dir", None)
            tls["ssl_context"] = tls_context(verify)
        return host, tls

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave verification to :func:`tls_context`."""
        if not verify:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> Any:
        """Return the connection pool of a request."""
        pool: Any = super().get_connection_with_tls_context(
            request, verify, allowed(proxies, request.url), cert
        )
        pool.ConnectionCls = timed(pool.ConnectionCls, self.limits.answer_time, self.piece)
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return the request's target: the whole URL for a proxy."""
        return super().request_url(request, allowed(proxies, request.url))

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Return the connection pools of a proxy, whose own TLS is verified likewise."""
        if proxy.lower().startswith("https:"):
            proxy_kwargs["proxy_ssl_context"] = context = tls_context()
            known = self.proxy_manager.get(proxy)
            if known is not None and known.proxy_config.ssl_context is not context:
                del self.proxy_manager[proxy]
        return super().proxy_manager_for(proxy, **proxy_kwargs)
