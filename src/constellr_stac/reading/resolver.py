"""Resolution of references to readable URLs, and renewal of refused or expired ones.

There are three kinds: ``s3://`` hrefs are signed here; signed URLs are renewed by fetching the
item from the API (if that returns ``s3://`` hrefs, they are signed here); all other hrefs are
unchanged. One thread renews for all.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from constellr_stac._local import catalog_of
from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac._text import redact_url
from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import APIError
from constellr_stac.limits import Limits
from constellr_stac.signing.s3_url import is_s3, signature_expiry
from constellr_stac.signing.signer import Signer

from .asset_ref import is_signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    import pystac
    import requests

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth

    from .asset_ref import AssetRef

__all__ = ["AssetResolver"]

_Key: TypeAlias = tuple[str, str, str]  # catalog, collection, item
_MIN_CACHED = 1000  # items cached before expired ones are dropped
_RETRY_AFTER = timedelta(minutes=1)  # until an item whose new URL was refused is fetched again


@dataclass(frozen=True)
class _SignedItem:
    """The hrefs of an item's assets, valid until the first signature expires."""

    urls: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None

    @classmethod
    def of(cls, urls: Mapping[str, str]) -> _SignedItem:
        ends = [end for url in urls.values() if (end := signature_expiry(url)) is not None]
        return cls(urls, min(ends, default=None))

    def outlives(self, other: _SignedItem) -> bool:
        """Return whether this item expires later; true if unknown."""
        if self.expires_at is None or other.expires_at is None:
            return True
        return self.expires_at > other.expires_at


class AssetResolver:
    """Resolves references to URLs. Equal for equal settings; pickles without a secret.

    Args:
        auth: Authenticates the renewal of items; an auth object or a credential. Default: the
            credential of the running process.
        signer: Signs ``s3://`` hrefs. Default: with the credentials of the running process.
        limits: Bounds on waiting and sizes; default from the environment.
    """

    def __init__(
        self,
        auth: ConstellrAuth | Credential | None = None,
        signer: Signer | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.auth = as_auth(auth, limits=limits)
        self.signer = signer or Signer()
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._items: dict[_Key, Refreshing[_SignedItem]] = {}
        self._unconfirmed: dict[_Key, datetime] = {}
        self._most = _MIN_CACHED
        self._session: requests.Session | None = None

    def url(self, reference: AssetRef) -> str:
        """Return a URL to GET, or a path.

        Raises:
            APIError: The API no longer has the item.
            APIConnectionError: The API did not answer.
            SigningError: There are no object-store credentials.
        """
        href = reference.href
        if reference.renewable:
            urls = self._item(reference).get().urls
            try:
                href = urls[reference.asset]
            except KeyError:
                raise APIError(
                    f"Item {reference.item!r} no longer has an asset {reference.asset!r}; it has "
                    f"{', '.join(sorted(urls)) or 'none'}. Search again."
                ) from None
        url = self.signer.sign(href) if is_s3(href) else href
        elsewhere = reference.renewable and reference.catalog not in ("", self.auth.base_url)
        if elsewhere and redact_url(url) != reference.href:
            raise APIError(
                f"Item {reference.item!r} came from {reference.catalog}, and {self.auth.base_url} "
                "has another one of this name. Pass the auth= of the API that it came from."
            )
        return url

    def check_credentials(self, references: Iterable[AssetRef]) -> None:
        """Sign the first ``s3://`` href, to fail early, unless dask workers will sign.

        Raises:
            SigningError: There are no object-store credentials.
        """
        stored = next((each for each in references if is_s3(each.href)), None)
        if stored is not None and not _has_dask_client():
            self.url(stored)

    def refused(self, reference: AssetRef, url: str) -> bool:
        """Record that ``url`` was refused; return whether to try again with a new URL."""
        if reference.renewable:
            item = self._item(reference)
            held = item.held
            if held is not None and held.urls.get(reference.asset) == url:
                asked = self._unconfirmed.get(_key(reference))
                if asked is not None and utc_now() < asked + _RETRY_AFTER:
                    return False  # a new URL was refused: do not fetch another one yet
                item.discard(held)
        elif not is_s3(reference.href):
            return False
        self.signer.refused(url)  # ignored unless signed here
        return True

    def accepted(self, reference: AssetRef) -> None:
        """Record that the URL of a reference works."""
        self._unconfirmed.pop(_key(reference), None)

    def held(self, reference: AssetRef) -> datetime | None:
        """Return when the cached URL of a reference expires, if there is one."""
        item = self._items.get(_key(reference))
        signed = None if item is None else item.held
        return None if signed is None else signed.expires_at

    def remember(self, item: pystac.Item) -> None:
        """Cache the signed URLs of a search result until they expire."""
        urls = {name: asset.href for name, asset in item.assets.items()}
        if not any(map(is_signed, urls.values())):
            return
        key = (catalog_of(item), item.collection_id or "", item.id)
        with self._lock:
            known = self._items.get(key)
            held = None if known is None else known.held
            if held is not None and held.urls == urls:
                return  # called for each band of an item
            signed = _SignedItem.of(urls)
            if held is None or signed.outlives(held):
                self._drop_expired()
                self._items[key] = Refreshing(_ItemRequest(self, key), _expiry, value=signed)

    def fresh(self) -> AssetResolver:
        """Return an equal resolver without cached items, locks and connections."""
        return AssetResolver(*self._identity())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AssetResolver):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[Any, ...]:
        return AssetResolver, self._identity()

    def _identity(self) -> tuple[ConstellrAuth, Signer, Limits]:
        return self.auth, self.signer, self.limits

    def _drop_expired(self) -> None:
        """Drop items with expired URLs, which accumulate in a long-running process."""
        if len(self._items) < self._most:
            return
        now = utc_now()
        for key, item in list(self._items.items()):
            held = item.held
            if held is not None and held.expires_at is not None and held.expires_at <= now:
                del self._items[key]
        self._most = max(_MIN_CACHED, 2 * len(self._items))

    def _item(self, reference: AssetRef) -> Refreshing[_SignedItem]:
        key = _key(reference)
        with self._lock:
            if key not in self._items:
                self._items[key] = Refreshing(_ItemRequest(self, key), _expiry)
            return self._items[key]

    def ask(self, catalog: str, collection: str, item: str) -> _SignedItem:
        """Fetch an item from the API, for one that came from ``catalog``.

        Raises:
            APIError: An error response, or not an item.
            APIConnectionError: The API did not answer.
        """
        with self._lock:
            if self._session is None:
                self._session = api_session(self.auth, limits=self.limits)
        url = (
            f"{self.auth.base_url}/stac/collections/{quote(collection, safe='')}"
            f"/items/{quote(item, safe='')}"
        )
        with connection_errors("GET", url, f"; the URLs of item {item!r} were not renewed"):
            answer = self._session.get(url)
        checked(answer)
        try:
            assets = answer.json()["assets"]
            signed = _SignedItem.of({name: asset["href"] for name, asset in assets.items()})
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise APIError(
                f"GET {url} did not return a STAC item. Is this the API's URL?",
                status_code=answer.status_code,
                request_url=url,
            ) from error
        self._unconfirmed[catalog, collection, item] = utc_now()
        return signed


class _ItemRequest:
    """Fetches one item."""

    def __init__(self, resolver: AssetResolver, key: _Key) -> None:
        self._resolver, self._key = resolver, key

    def __call__(self) -> _SignedItem:
        return self._resolver.ask(*self._key)


def _key(reference: AssetRef) -> _Key:
    return reference.catalog, reference.collection, reference.item


def _expiry(signed: _SignedItem) -> datetime | None:
    return signed.expires_at


def _has_dask_client() -> bool:
    """Return whether a dask.distributed client is active, whose workers have own credentials."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.default_client()
    except ValueError:
        return False
    return True
