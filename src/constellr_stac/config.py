"""Addresses of the API and the object store: explicit, then the environment, then the default.

On a dask worker, settings pushed by :func:`constellr_stac.share_credentials` take precedence over
the default. The environment is not read at import. A plain ``http://`` URL is refused before
anything is sent, unless its host is loopback.
"""

from __future__ import annotations

import functools
import ipaddress
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from ._process import STATE
from .errors import InsecureURLError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AWS_FILES",
    "DEFAULT_API_URL",
    "DEFAULT_REGION",
    "StorageSettings",
    "api_url",
    "aws_files",
    "checked_url",
    "is_loopback",
    "origin",
    "storage_settings",
]

DEFAULT_API_URL = "https://api.constellr.com"
"""The default API, unless given in code or by ``CONSTELLR_API_URL``."""

DEFAULT_REGION = "eu-central-1"
"""The region of the provider's bucket."""

_PORTS = {"http": 80, "https": 443}


def api_url(explicit: str | None = None) -> str:
    """Return the API's base URL, without a trailing slash and without ``/stac``.

    Args:
        explicit: A URL given in code; default ``CONSTELLR_API_URL``, else
            :data:`DEFAULT_API_URL`. The landing page's URL (``…/stac``) is accepted too.

    Raises:
        InsecureURLError: The URL is ``http://`` and its host is not loopback.
        ValueError: Not an http(s) URL.

    Example:
        >>> api_url("https://API.constellr.com:443/stac/")
        'https://api.constellr.com'
    """
    url = explicit or _variable("CONSTELLR_API_URL") or DEFAULT_API_URL
    return checked_url(url, "The API's URL").rstrip("/").removesuffix("/stac")


def checked_url(url: str, what: str) -> str:
    """Return ``url``, normalized, if a credential may be sent there.

    Args:
        url: An absolute http or https URL.
        what: A name for the URL, for the message.

    Returns:
        ``url`` without surrounding space and default port; scheme and host in lower case.

    Raises:
        InsecureURLError: The URL is ``http://`` and its host is not loopback.
        ValueError: Not an http(s) URL, or it holds credentials, a query or a fragment.
    """
    url = url.strip()
    if "@" in url:
        msg = f"{what} must not contain credentials; set the CONSTELLR_ variables instead."
        raise ValueError(msg)
    if "?" in url or "#" in url:
        msg = f"{what} must not have a query or fragment; remove everything from '?' or '#' on."
        raise ValueError(msg)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        msg = f"{what} is not a valid URL: {url!r} ({error})."
        raise ValueError(msg) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        msg = f"{what} must start with https:// and name a host, not {url!r}."
        raise ValueError(msg)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        msg = (
            f"{what} is {parts.scheme}://{parts.netloc}, which would send the credential "
            "unencrypted. Use https:// (plain http is accepted for loopback hosts only)."
        )
        raise InsecureURLError(msg)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is loopback: ``localhost``, 127.0.0.0/8 or ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Return the scheme, host and port of ``url``; equal for URLs of the same origin.

    Example:
        >>> origin("https://API.constellr.com/stac") == origin("https://api.constellr.com:443")
        True
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


@dataclass(frozen=True)
class StorageSettings:
    """The object store that ``s3://`` hrefs refer to."""

    region: str = DEFAULT_REGION
    """The bucket's region."""
    endpoint: str | None = None
    """An S3 endpoint other than AWS."""
    profile: str | None = None
    """The AWS profile for credentials."""
    dualstack: bool = False
    """Whether to use AWS's endpoints for IPv6 and IPv4."""
    virtual_hosted: bool | None = None
    """Whether the bucket is part of the host's name; if ``None``, on AWS only."""
    requester_pays: bool = False
    """Whether the requester pays for the transfer."""


def storage_settings(
    *,
    region: str | None = None,
    endpoint: str | None = None,
    profile: str | None = None,
    virtual_hosted: bool | None = None,
    requester_pays: bool = False,
) -> StorageSettings:
    """Return the object store's settings.

    Keyword Args:
        region: Default ``AWS_REGION``, ``AWS_DEFAULT_REGION``, the profile's ``region``, then
            :data:`DEFAULT_REGION`.
        endpoint: Default ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, the profile's
            ``endpoint_url``, then AWS.
        profile: An AWS profile; default ``AWS_PROFILE``.
        virtual_hosted: As in :class:`StorageSettings`.
        requester_pays: As in :class:`StorageSettings`.

    Raises:
        InsecureURLError: The endpoint is ``http://`` and its host is not loopback.
    """
    profile = profile or _variable("AWS_PROFILE")
    stated = _profile_settings(profile)
    if endpoint is None and not _is_true(_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")):
        endpoint = _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") or stated.get("endpoint")
    if endpoint is not None:
        endpoint = checked_url(endpoint, "The S3 endpoint").rstrip("/")
    return StorageSettings(
        region=region
        or _variable("AWS_REGION", "AWS_DEFAULT_REGION")
        or stated.get("region")
        or DEFAULT_REGION,
        endpoint=endpoint,
        profile=profile,
        dualstack=_is_true(_variable("AWS_USE_DUALSTACK_ENDPOINT") or stated.get("dualstack")),
        virtual_hosted=virtual_hosted,
        requester_pays=requester_pays,
    )


AWS_FILES = (
    ("AWS_CONFIG_FILE", "~/.aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
)
"""The files of AWS profiles: the variable that names each, and its default."""


def aws_files() -> tuple[tuple[str, int], ...]:
    """Return the files of AWS profiles that exist, and when each was modified."""
    found = []
    for variable, default in AWS_FILES:
        path = os.path.expanduser(os.environ.get(variable) or default)  # noqa: PTH111 - works without a home
        with suppress(OSError):
            found.append((path, os.stat(path).st_mtime_ns))  # noqa: PTH116 - likewise
    return tuple(found)


def _profile_settings(profile: str | None) -> Mapping[str, str]:
    """Return region, endpoint and dual-stack of an AWS profile; empty without botocore."""
    files = aws_files()
    named = profile or os.environ.get("AWS_DEFAULT_PROFILE")
    return _read_profile(named, files) if files else {}


@functools.lru_cache(maxsize=8)
def _read_profile(profile: str | None, _files: tuple[tuple[str, int], ...]) -> Mapping[str, str]:
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError:
        return {}
    session = botocore.session.Session(profile=profile)
    try:
        config = session.get_scoped_config()
        services = session.full_config.get("services", {}).get(config.get("services"), {})
    except BotoCoreError:  # the search for credentials reports it
        return {}
    s3 = services.get("s3")
    own = s3.get("endpoint_url") if isinstance(s3, dict) else None
    if _is_true(config.get("ignore_configured_endpoint_urls")):
        config = {**config, "endpoint_url": None}
        own = None
    stated = {
        "region": config.get("region"),
        "endpoint": own or config.get("endpoint_url"),
        "dualstack": config.get("use_dualstack_endpoint"),
    }
    return {name: value for name, value in stated.items() if isinstance(value, str) and value}


def _is_true(text: str | None) -> bool:
    return (text or "").lower() == "true"


def _variable(*names: str) -> str | None:
    """Return the first of these variables that is set here, else pushed by the dask client."""
    pushed = [STATE.pushed(("variable", name)) for name in names]
    values = [os.environ.get(name) for name in names] + [each and each.held for each in pushed]
    return next((value for value in values if value), None)
