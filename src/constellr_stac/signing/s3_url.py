"""Parsing and building of ``s3://`` hrefs, https URLs of objects, and pre-signed URLs.

Nothing here holds a credential or opens a connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import unquote

from constellr_stac.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac.config import StorageSettings

__all__ = [
    "ObjectAddress",
    "SignedObject",
    "base_url",
    "is_region",
    "is_s3",
    "own_object",
    "signature_expiry",
    "signed_region",
]

_S3 = "s3://"
_ANY_S3 = re.compile(r"s3[an]?://", re.IGNORECASE)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_DNS_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_UNADDRESSABLE = re.compile(r"(?:^|/)(?:\.{0,2})(?:/|$)|[\x00-\x1f\x7f\ud800-\udfff]")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)*")
_PAYER = "x-amz-request-payer"
_SUFFIXES = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}  # by the first part of a region
_SCOPE = re.compile(r"[?&]X-Amz-Credential=[^&]*?%2F\d{8}%2F([a-z0-9-]+)%2Fs3%2F")
_DATE = re.compile(r"[?&]X-Amz-Date=(\d{8}T\d{6}Z)(?:&|$)")
_EXPIRES = re.compile(r"[?&]X-Amz-Expires=(\d{1,9})(?:&|$)")
_SIGNATURE_FIELDS = {
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
}


_NO_REGIONS: Mapping[str, str] = MappingProxyType({})


def is_s3(href: str) -> bool:
    """Return whether ``href`` begins with ``s3://``, or with Hadoop's ``s3a://`` or ``s3n://``.

    Example:
        >>> is_s3("s3://bucket/lst.tiff"), is_s3("https://bucket/lst.tiff")
        (True, False)
    """
    return href.startswith(_S3) or _ANY_S3.match(href) is not None


def signature_expiry(url: str) -> datetime | None:
    """Return when a pre-signed URL expires, or ``None`` if it has no such signature.

    The expiry is ``X-Amz-Date`` plus ``X-Amz-Expires`` (AWS Signature Version 4 in a query).

    Example:
        >>> signature_expiry("https://host/lst?X-Amz-Date=20260824T100000Z&X-Amz-Expires=60")
        datetime.datetime(2026, 8, 24, 10, 1, tzinfo=datetime.timezone.utc)
    """
    date, expires = _DATE.search(url), _EXPIRES.search(url)
    if date is None or expires is None:
        return None
    try:
        return datetime.fromisoformat(date[1]) + timedelta(seconds=int(expires[1]))
    except (ValueError, OverflowError):
        return None


def signed_region(url: str) -> str | None:
    """Return the region for which a URL is signed, or ``None`` if it has no such signature."""
    found = _SCOPE.search(url)
    return found[1] if found else None


def is_region(text: str) -> bool:
    """Return whether ``text`` has the form of a region, which becomes part of a host's name."""
    return len(text) <= 32 and _REGION.fullmatch(text) is not None  # noqa: PLR2004 - ample


class ObjectAddress(NamedTuple):
    """A bucket and a key; keys are not percent-encoded."""

    bucket: str
    key: str

    @classmethod
    def of(cls, href: str) -> Self:
        """Parse an ``s3://`` href. Everything after the bucket is the key, also ``?`` and ``#``.

        Raises:
            SigningError: The href names no object, or its key is ambiguous in a URL.

        Example:
            >>> ObjectAddress.of("s3://bucket/LA harbor+port/lst.tiff")
            ObjectAddress(bucket='bucket', key='LA harbor+port/lst.tiff')
        """
        bucket, _, key = href.partition("://")[2].partition("/")
        if not _BUCKET.fullmatch(bucket) or not key:
            raise SigningError(f"{href!r} names no object; expected s3://bucket/key.")
        if _UNADDRESSABLE.search(key):
            # RFC 3986 lets clients normalize such paths, which would request another object.
            raise SigningError(
                f"{href!r} cannot be signed: its key has a leading, trailing or doubled slash, a "
                "'.' or '..' segment, or a control character."
            )
        return cls(bucket, key)


@dataclass(frozen=True)
class SignedObject:
    """The content of a pre-signed URL of our own object store."""

    address: ObjectAddress
    access_key_id: str
    """The access key that signed it."""
    signed_at: datetime
    expires_at: datetime

    def fresh(self, now: datetime) -> bool:
        """Return whether at least half of its lifetime is left."""
        return now <= self.signed_at + (self.expires_at - self.signed_at) / 2


def base_url(bucket: str, settings: StorageSettings) -> str:
    """Return the URL of ``bucket``, without a trailing slash.

    Virtual-hosted style on AWS and by ``virtual_hosted``, unless the name is not a valid host label
    or has dots, which the certificate does not cover; path style everywhere else.

    Example:
        >>> from constellr_stac.config import StorageSettings
        >>> base_url("scenes", StorageSettings())
        'https://scenes.s3.eu-central-1.amazonaws.com'
        >>> base_url("scenes.v2", StorageSettings())
        'https://s3.eu-central-1.amazonaws.com/scenes.v2'
        >>> base_url("scenes", StorageSettings(endpoint="http://127.0.0.1:9000"))
        'http://127.0.0.1:9000/scenes'
        >>> base_url("scenes", StorageSettings("cn-north-1", dualstack=True))
        'https://scenes.s3.dualstack.cn-north-1.amazonaws.com.cn'
    """
    scheme, mark, host = _store(settings).partition("://")
    if _is_virtual_hosted(bucket, settings):
        return f"{scheme}{mark}{bucket}.{host}"
    return f"{scheme}{mark}{host}/{bucket}"


def own_object(
    url: str, settings: StorageSettings, regions: Mapping[str, str] = _NO_REGIONS
) -> SignedObject | None:
    """Parse a pre-signed URL for a plain GET of an object in our object store.

    Args:
        url: Any href.
        settings: Region and endpoint.
        regions: The regions of buckets that are elsewhere.

    Returns:
        ``None`` for all other URLs: other hosts and regions, no signature, a signature of another
        kind or with additional fields.
    """
    path, mark, query = url.partition("?")
    if not mark or "X-Amz-Signature=" not in query or "#" in query:
        return None
    region = signed_region(url)
    if region is not None and region != settings.region and region in regions.values():
        settings = replace(settings, region=region)
    address = _address(path, settings)
    if address is None:
        return None
    parts = query.split("&")
    named = dict(part.partition("=")[::2] for part in parts)
    paid = {_PAYER} if settings.requester_pays else set()
    if len(named) != len(parts) or named.keys() - _SIGNATURE_FIELDS != paid:
        return None
    expires_at = signature_expiry(url)
    if expires_at is None or named.get("X-Amz-SignedHeaders") != "host":
        return None
    access_key_id, *scope = unquote(named.get("X-Amz-Credential", "")).rsplit("/", 4)
    if scope[1:] != [settings.region, "s3", "aws4_request"]:
        return None
    signed_at = datetime.fromisoformat(named["X-Amz-Date"])
    return SignedObject(address, access_key_id, signed_at, expires_at)


def _address(url: str, settings: StorageSettings) -> ObjectAddress | None:
    """Parse the bucket and key of a URL without query."""
    shared, rest = _store(settings) + "/", _virtual_hosted(url, settings)
    if rest is None:
        if not url.startswith(shared):
            return None
        rest = url[len(shared) :]
    bucket, _, quoted = rest.partition("/")
    try:
        key = unquote(quoted, errors="strict")
        return ObjectAddress.of(f"{_S3}{bucket}/{key}")
    except (UnicodeDecodeError, SigningError):
        return None


def _virtual_hosted(url: str, settings: StorageSettings) -> str | None:
    """Return ``bucket/key`` of ``https://bucket.s3.region.amazonaws.com/key``."""
    scheme, mark, domain = _store(settings).partition("://")
    bucket, _, rest = url.removeprefix(scheme + mark).partition(".")
    if not url.startswith(scheme + mark) or not _is_virtual_hosted(bucket, settings):
        return None
    key = rest.removeprefix(domain + "/")
    return f"{bucket}/{key}" if key != rest else None


def _is_virtual_hosted(bucket: str, settings: StorageSettings) -> bool:
    wanted = settings.virtual_hosted
    if wanted is None:
        wanted = settings.endpoint is None
    return wanted and _DNS_LABEL.fullmatch(bucket) is not None


def _store(settings: StorageSettings) -> str:
    """Return the URL of the object store."""
    if settings.endpoint is not None:
        return settings.endpoint
    suffix = _SUFFIXES.get(settings.region.partition("-")[0], "amazonaws.com")
    dualstack = "dualstack." if settings.dualstack else ""
    return f"https://s3.{dualstack}{settings.region}.{suffix}"
