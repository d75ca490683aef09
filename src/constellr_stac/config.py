"""Where the API and the object store are: explicit, then the environment, then the default.

On a dask worker, what :func:`constellr_stac.share_credentials` said comes before the default.

Nothing is read at import. A plain ``http://`` URL is refused unless it is on this machine,
before anything is sent.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from ._process import STATE
from .errors import InsecureURLError

__all__ = [
    "DEFAULT_API_URL",
    "DEFAULT_REGION",
    "StorageSettings",
    "api_url",
    "checked_url",
    "is_loopback",
    "origin",
    "storage_settings",
]

DEFAULT_API_URL = "https://api.constellr.com"
"""The API, when neither the code nor ``CONSTELLR_API_URL`` says otherwise."""

DEFAULT_REGION = "eu-central-1"
"""Where the provider's bucket is."""

_PORTS = {"http": 80, "https": 443}


def api_url(explicit: str | None = None) -> str:
    """Return the API's base URL, without a trailing slash and without ``/stac``.

    Args:
        explicit: A URL given in code; ``None`` means ``CONSTELLR_API_URL``, else
            :data:`DEFAULT_API_URL`. The landing page's own URL (``…/stac``) is understood too.

    Raises:
        InsecureURLError: The URL is ``http://`` and not on this machine.
        ValueError: It is no http(s) URL at all.

    Example:
        >>> api_url("https://API.constellr.com:443/stac/")
        'https://api.constellr.com'
    """
    url = explicit or _variable("CONSTELLR_API_URL") or DEFAULT_API_URL
    return checked_url(url, "The API's URL").rstrip("/").removesuffix("/stac")


def checked_url(url: str, what: str) -> str:
    """Return ``url`` if a credential may be sent there, else say why not.

    Args:
        url: An absolute http or https URL.
        what: What the URL is, for the message.

    Returns:
        ``url`` as others write it: no space around it, its scheme and host in small letters, and
        no port that goes without saying.

    Raises:
        InsecureURLError: It is ``http://`` and not on this machine.
        ValueError: It is no http(s) URL, or carries credentials of its own, or a query.
    """
    url = url.strip()
    if "@" in url:
        msg = f"{what} must not contain credentials; use the CONSTELLR_ variables for those."
        raise ValueError(msg)
    if "?" in url or "#" in url:
        msg = f"{what} must not have a query or a fragment: leave out what begins with '?' or '#'."
        raise ValueError(msg)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        msg = f"{what} is no URL: {url!r} ({error})."
        raise ValueError(msg) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        msg = f"{what} has to start with https:// and name a host, not {url!r}."
        raise ValueError(msg)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        msg = (
            f"{what} is {parts.scheme}://{parts.netloc}: anyone on the way could read the "
            "credential. Use https:// (plain http is accepted on this machine only)."
        )
        raise InsecureURLError(msg)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def is_loopback(host: str) -> bool:
    """Say whether ``host`` is this machine: ``localhost``, 127.0.0.0/8 or ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Return the scheme, host and port of ``url``; two URLs of one origin give equal tuples.

    Example:
        >>> origin("https://API.constellr.com/stac") == origin("https://api.constellr.com:443")
        True
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


@dataclass(frozen=True)
class StorageSettings:
    """Where ``s3://`` hrefs are: the standard AWS variables, and the provider's region."""

    region: str = DEFAULT_REGION
    """The bucket's region."""
    endpoint: str | None = None
    """An S3 endpoint other than AWS's own, addressed with the bucket in the path."""
    profile: str | None = None
    """The AWS profile to take credentials from."""


def storage_settings(*, region: str | None = None, endpoint: str | None = None) -> StorageSettings:
    """Return the object store's settings.

    Keyword Args:
        region: Else ``AWS_REGION``, ``AWS_DEFAULT_REGION``, then :data:`DEFAULT_REGION`.
        endpoint: Else ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, then AWS's own.

    Raises:
        InsecureURLError: The endpoint is ``http://`` and not on this machine.
    """
    endpoint = endpoint or _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint is not None:
        endpoint = checked_url(endpoint, "The S3 endpoint").rstrip("/")
    return StorageSettings(
        region=region or _variable("AWS_REGION", "AWS_DEFAULT_REGION") or DEFAULT_REGION,
        endpoint=endpoint,
        profile=_variable("AWS_PROFILE"),
    )


def _variable(*names: str) -> str | None:
    """Return the first of these variables that is set here, else on the dask client."""
    pushed = [STATE.pushed(("variable", name)) for name in names]
    values = [os.environ.get(name) for name in names] + [each and each.held for each in pushed]
    return next((value for value in values if value), None)
