"""URLs with a signature: made with obstore, given out again while they are fresh.

How long a URL lives and when another takes its place is decided here. No connection is decoded
but those that a search for credentials needs.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import obstore

from constellr_stac.errors import SigningError

from .aws import bucket_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from obstore.store import S3Store

    from constellr_stac.config import StorageSettings

    from .aws import CredentialSource
    from .aws_credentials import StorageCredentials
    from .s3_url import ObjectAddress, SignedObject

__all__ = ["Presigner"]

K = TypeVar("K")

_MOST_URLS = 50_000
_MOST_KEYS = 64
_BATCH = 10_000
_SIGNING_TIME = 2  # seconds that a batch may take; each URL is dated when it is signed


class _Issued(NamedTuple):
    """A URL that was given out, and the second from which it is not any more."""

    url: str
    renew_at: int


class Presigner:
    """Makes signed URLs, and remembers them; safe to share between threads.

    Args:
        settings: Where the buckets are.
        credentials: Whose signature it is.
        expires_in: How long a URL is to live; shorter where the credentials end earlier.
        clock: Tells the time, aware.
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
        self._stores: dict[str, S3Store] = {}
        self._signed_with: StorageCredentials | None = None
        self._access_keys: dict[str, None] = {}

    def urls(self, addresses: Iterable[ObjectAddress]) -> dict[ObjectAddress, str]:
        """Return a URL for each address: the one given out before, as long as that is fresh.

        Raises:
            SigningError: There are no credentials, or they have ended.
        """
        credentials = self._credentials.get()
        with self._lock:
            if credentials != self._signed_with:
                self._start_over(credentials)
            now = self._clock().timestamp()
            urls: dict[ObjectAddress, str] = {}
            missing: defaultdict[str, list[ObjectAddress]] = defaultdict(list)
            for address in dict.fromkeys(addresses):
                issued = self._issued.get(address)
                if issued is not None and now < issued.renew_at:
                    urls[address] = issued.url
                else:
                    missing[address.bucket].append(address)
            for bucket, group in missing.items():
                for start in range(0, len(group), _BATCH):
                    urls.update(self._signed(bucket, group[start : start + _BATCH], credentials))
            return urls

    def to_renew(self, presigned: Mapping[K, SignedObject]) -> list[K]:
        """Say which of these URLs were signed with our access key and are fresh no more.

        A URL of a session before this one counts too, fresh or not: that session may have been
        ended early. What others signed never does.
        """
        now = self._clock()
        stale = {key for key, signed in presigned.items() if not signed.fresh(now)}
        current = self._access_key(worth_a_search=bool(stale))
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
        """Do not give ``url`` out again, and look for credentials again: it was refused."""
        with self._lock:
            issued, credentials = self._issued.get(signed.address), self._signed_with
            if issued is not None and issued.url == url:
                del self._issued[signed.address]
        if credentials is not None and credentials.access_key_id == signed.access_key_id:
            self._credentials.discard(credentials)

    def _access_key(self, *, worth_a_search: bool) -> str | None:
        """Return the id of the access key in use; a search for the first one may take seconds."""
        if self._signed_with is None and not worth_a_search:
            return None
        try:
            return self._credentials.get().access_key_id
        except SigningError:
            return None  # then what was signed elsewhere is left alone

    def _start_over(self, credentials: StorageCredentials) -> None:
        self._signed_with = credentials
        self._issued.clear()
        self._stores.clear()
        self._access_keys[credentials.access_key_id] = None
        if len(self._access_keys) > _MOST_KEYS:
            del self._access_keys[next(iter(self._access_keys))]

    def _signed(
        self, bucket: str, addresses: list[ObjectAddress], credentials: StorageCredentials
    ) -> dict[ObjectAddress, str]:
        """Sign a batch of one bucket, and remember it."""
        now = int(self._clock().timestamp())
        life = self._life(credentials, now)
        if bucket not in self._stores:
            self._stores[bucket] = bucket_store(bucket, self._settings, credentials.for_obstore)
        keys = [address.key for address in addresses]
        urls = obstore.sign(self._stores[bucket], "GET", keys, timedelta(seconds=life))
        batch = dict(zip(addresses, urls, strict=True))
        for address, url in batch.items():
            self._issued.pop(address, None)  # so that the oldest comes first
            self._issued[address] = _Issued(url, now + life // 2)
        for address in list(itertools.islice(self._issued, max(0, len(self._issued) - _MOST_URLS))):
            del self._issued[address]
        return batch

    def _life(self, credentials: StorageCredentials, now: int) -> int:
        """Return how many seconds a URL may live that is signed now."""
        life = int(self._expires_in.total_seconds())
        if credentials.expires_at is not None:
            life = min(life, int(credentials.expires_at.timestamp()) - now - _SIGNING_TIME)
        if life < 1:
            raise SigningError(
                f"The AWS credentials ({credentials.source}) end at {credentials.expires_at}, too "
                "soon to sign anything with them. Put fresh ones in their place."
            )
        return life
