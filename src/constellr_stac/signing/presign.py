"""Pre-signed GET URLs: AWS Signature Version 4 in the query, cached while fresh.

The algorithm is documented by AWS as "Authenticating Requests: Using Query Parameters"; the tests
compare it with botocore's. The lifetime of URLs is decided here.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import threading
from dataclasses import replace
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from constellr_stac._process import STATE
from constellr_stac._secret import Secret
from constellr_stac.errors import SigningError

from .s3_url import base_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from constellr_stac.config import StorageSettings

    from .aws import CredentialSource
    from .aws_credentials import StorageCredentials
    from .s3_url import ObjectAddress, SignedObject

__all__ = ["Presigner", "presigned"]

K = TypeVar("K")

_MAX_URLS = 50_000
_MAX_KEYS = 64
_MARGIN = 2  # seconds that a URL may be on its way to its user
_UNRESERVED = "-._~"


class _Issued(NamedTuple):
    """A cached URL, and the Unix time from which it is replaced."""

    url: str
    renew_at: int


class Presigner:
    """Signs URLs and caches them; thread-safe.

    Args:
        settings: Region and endpoint.
        credentials: Provides the AWS credentials.
        expires_in: Lifetime of a URL; shorter if the credentials expire earlier.
        clock: Returns the current time, aware.
    """

    def __init__(
        self,
        settings: StorageSettings,
        credentials: CredentialSource,
        expires_in: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._expires_in = expires_in
        self._clock = clock
        self._lock = threading.Lock()
        self._issued: dict[ObjectAddress, _Issued] = {}
        self._signed_with: StorageCredentials | None = None
        self._access_keys: dict[str, None] = {}

    @property
    def regions(self) -> dict[str, str]:
        """The regions of buckets that are not in the region of the settings, as learnt."""
        return STATE.shared("regions", self._settings.endpoint, dict[str, str])

    def learn_region(self, signed: SignedObject, region: str) -> None:
        """Sign for another region from now on: the object store names it."""
        with self._lock:
            self.regions[signed.address.bucket] = region
            for address in [each for each in self._issued if each.bucket == signed.address.bucket]:
                del self._issued[address]

    def urls(self, addresses: Iterable[ObjectAddress]) -> dict[ObjectAddress, str]:
        """Return a URL for each address, from the cache while fresh.

        Raises:
            SigningError: There are no credentials, or they have expired.
        """
        credentials = self._credentials.get()
        with self._lock:
            if credentials != self._signed_with:
                self._reset(credentials)
            clock = self._clock()
            now = int(clock.timestamp())
            urls: dict[ObjectAddress, str] = {}
            for address in dict.fromkeys(addresses):
                issued = self._issued.get(address)
                if issued is None or now >= issued.renew_at:
                    life = self._life(credentials, now)
                    url = presigned(address, self._located(address), credentials, clock, life)
                    self._issued.pop(address, None)  # keeps the oldest first
                    issued = self._issued[address] = _Issued(url, now + life // 2)
                urls[address] = issued.url
            for address in list(islice(self._issued, max(0, len(self._issued) - _MAX_URLS))):
                del self._issued[address]
            return urls

    def to_renew(self, presigned: Mapping[K, SignedObject]) -> list[K]:
        """Return which of these URLs were signed with our access key and are no longer fresh.

        URLs of earlier sessions are always included, since such a session may be revoked. URLs
        signed by others never are.
        """
        now = self._clock()
        stale = {key for key, signed in presigned.items() if not signed.fresh(now)}
        current = self._access_key(may_search=bool(stale))
        return [
            key
            for key, signed in presigned.items()
            if (
                key in stale
                if signed.access_key_id == current
                else signed.access_key_id in self._access_keys
            )
        ]

    def forget(self, signed: SignedObject, url: str) -> None:
        """Drop a refused ``url``, and search for credentials again."""
        with self._lock:
            issued, credentials = self._issued.get(signed.address), self._signed_with
            if issued is not None and issued.url == url:
                del self._issued[signed.address]
        if credentials is not None and credentials.access_key_id == signed.access_key_id:
            self._credentials.discard(credentials)

    def _located(self, address: ObjectAddress) -> StorageSettings:
        region = self.regions.get(address.bucket)
        return self._settings if region is None else replace(self._settings, region=region)

    def _access_key(self, *, may_search: bool) -> str | None:
        """Return the id of the current access key. The first search may take seconds."""
        if self._signed_with is None and not may_search:
            return None
        try:
            return self._credentials.get().access_key_id
        except SigningError:
            return None  # URLs signed elsewhere are unchanged

    def _reset(self, credentials: StorageCredentials) -> None:
        self._signed_with = credentials
        self._issued.clear()
        self._access_keys[credentials.access_key_id] = None
        if len(self._access_keys) > _MAX_KEYS:
            del self._access_keys[next(iter(self._access_keys))]

    def _life(self, credentials: StorageCredentials, now: int) -> int:
        """Return the lifetime in seconds of a URL signed now."""
        life = int(self._expires_in.total_seconds())
        if credentials.expires_at is not None:
            life = min(life, int(credentials.expires_at.timestamp()) - now - _MARGIN)
        if life < 1:
            raise SigningError(
                f"The AWS credentials ({credentials.source}) expire at {credentials.expires_at}, "
                "too soon to sign with them. Renew them."
            )
        return life


def presigned(
    address: ObjectAddress,
    settings: StorageSettings,
    credentials: StorageCredentials,
    now: datetime,
    life: int,
) -> str:
    """Return a pre-signed URL for a GET of one object.

    Args:
        address: The object.
        settings: Region and endpoint.
        credentials: The credentials to sign with.
        now: The time of the signature, aware.
        life: Seconds from ``now`` until the URL expires.
    """
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    scope = f"{stamp[:8]}/{settings.region}/s3/aws4_request"
    url = f"{base_url(address.bucket, settings)}/{quote(address.key, safe=f'/{_UNRESERVED}')}"
    parts = urlsplit(url)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(life),
    }
    if credentials.token:
        query["X-Amz-Security-Token"] = Secret(credentials.token).reveal()
    query["X-Amz-SignedHeaders"] = "host"
    if settings.requester_pays:
        query["x-amz-request-payer"] = "requester"
    text = "&".join(f"{name}={quote(value, safe=_UNRESERVED)}" for name, value in query.items())
    request = f"GET\n{parts.path}\n{text}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = _signing_key(Secret(credentials.secret_access_key), scope)
    return f"{url}?{text}&X-Amz-Signature={hmac.digest(key, to_sign.encode(), 'sha256').hex()}"


def _signing_key(secret: Secret, scope: str) -> bytes:
    """Derive the signing key of a day, region and service from the secret access key."""
    return functools.reduce(
        lambda key, step: hmac.digest(key, step.encode(), "sha256"),
        scope.split("/"),
        b"AWS4" + secret.reveal().encode(),
    )
