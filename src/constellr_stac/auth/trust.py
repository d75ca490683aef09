"""Which certificates are trusted, and which proxy is used, by the environment."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.utils import get_environ_proxies, select_proxy
from truststore import SSLContext as SystemTrust

from constellr_stac._process import STATE
from constellr_stac._text import redact_url
from constellr_stac.config import is_loopback

__all__ = ["BUNDLE_VARIABLES", "TrustError", "allowed", "proxy_of", "tls_context", "trusted"]

BUNDLE_VARIABLES = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "AWS_CA_BUNDLE",
)
"""The variables that name trusted certificates; the first that is set counts."""


class TrustError(requests.exceptions.SSLError):
    """The trusted certificates cannot be loaded."""


def trusted() -> str:
    """Return which certificates are trusted, for messages."""
    variable, path = _bundle()
    return f"those of {variable}={path}" if path else "those of this system"


def tls_context(verify: bool | str = True) -> ssl.SSLContext:  # noqa: FBT001, FBT002 - as in requests
    """Return the TLS settings for trusted certificates; one per bundle and process.

    Args:
        verify: The path of a bundle. ``True``: that of the first of :data:`BUNDLE_VARIABLES` that
            is set, else the system's certificates and, on Linux, those of certifi.

    Raises:
        TrustError: The bundle does not exist or holds no certificate.
    """
    variable, path = _bundle()
    if isinstance(verify, str):
        variable, path = (variable, path) if verify == path else ("verify=", verify)
    if not path:
        return STATE.shared("tls", "", _system_context)
    try:
        stamp = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise TrustError(
            f"{variable} names {path}, which cannot be read ({error.strerror})"
        ) from None
    return STATE.shared("tls", (path, stamp), lambda: _bundle_context(variable, path))


def proxy_of(url: str) -> str | None:
    """Return the proxy for ``url`` by the environment, without its credentials."""
    if _is_local(url):
        return None
    proxy = select_proxy(url, dict(get_environ_proxies(url)))
    return None if proxy is None else redact_url(proxy if "://" in proxy else f"http://{proxy}")


def allowed(proxies: Any, url: str | None) -> Any:
    """Return the proxies that may be used for ``url``: none for plain http to loopback."""
    return {} if _is_local(url or "") else proxies


def _bundle() -> tuple[str, str]:
    """Return the first variable that names a bundle and its path; empty if none is set."""
    found = ((name, os.environ.get(name, "")) for name in BUNDLE_VARIABLES)
    return next(((name, path) for name, path in found if path), ("", ""))


def _system_context() -> ssl.SSLContext:
    context = SystemTrust(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform not in ("darwin", "win32"):  # a container may have no certificates
        context.load_verify_locations(certifi.where())
    return context


def _bundle_context(variable: str, path: str) -> ssl.SSLContext:
    # Without VERIFY_X509_STRICT of Python 3.13: few companies' certificates comply.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as error:  # an ssl.SSLError is one
        raise TrustError(
            f"{variable} names {path}, which holds no readable certificates (PEM)"
        ) from error
    return context


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and is_loopback(parts.hostname or "")
