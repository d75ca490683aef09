"""Resolution of references to readable URLs, and renewal of refused or expired ones.

There are three kinds: ``s3://`` hrefs are signed here; signed URLs are renewed by fetching the
item from the API, many at once (:mod:`.renewal`; if that returns ``s3://`` hrefs, they are signed
here); all other hrefs are unchanged. One thread renews an item for all.
"""

from __future__ import annotations

import functools
import threading
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from constellr_stac._local import catalog_of
from constellr_stac._pushed import has_dask_client
from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac._text import redact_url
from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.errors import APIError
from constellr_stac.limits import Limits
from constellr_stac.signing.s3_url import is_s3
from constellr_stac.signing.signer import Signer

from .asset_ref import is_signed
from .renewal import ItemRenewer, SignedItem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import pystac

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth

    from .asset_ref import AssetRef

__all__ = ["AssetResolver"]

_Key: TypeAlias = tuple[str, str, str]  # catalog, collection, item
_MIN_CACHED = 1000  # items cached before expired ones are dropped
_RETRY_AFTER = timedelta(minutes=1)  # until an item whose new URL was refused is fetched again


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
        self._items: dict[_Key, Refreshing[SignedItem]] = {}
        self._unconfirmed: dict[_Key, datetime] = {}
        self._most = _MIN_CACHED
        self.renewer = ItemRenewer(self.auth, self.limits)

    def url(self, reference: AssetRef) -> str:
        """Return a URL to GET, or a path.

        Raises:
            APIError: The API no longer has the item.
            APIConnectionError: The API did not answer.
            SigningError: There are no object-store credentials.
        """
        href = reference.href
        if reference.renewable:
            signed = self._item(reference).get()
            if reference.asset not in signed.urls:
                raise _lost(reference, signed.urls.keys())
            href = signed.urls[reference.asset]
        url = self.signer.sign_hrefs([href])[0] if is_s3(href) else href
        elsewhere = reference.renewable and reference.catalog not in ("", self.auth.base_url)
        if elsewhere and redact_url(url) != reference.href:
            del signed, href, url  # tools show the variables of a traceback
            raise _another(reference, self.auth.base_url)
        return url

    def check_credentials(self, references: Iterable[AssetRef]) -> None:
        """Sign the first ``s3://`` href, to fail early, unless dask workers will sign.

        Raises:
            SigningError: There are no object-store credentials.
        """
        stored = next((each for each in references if is_s3(each.href)), None)
        if stored is not None and not has_dask_client():
            self.url(stored)

    def discard(self, reference: AssetRef, url: str) -> bool:
        """Discard a refused URL; return whether to try again with a new one."""
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
            signed = SignedItem.of(urls)
            if held is None or signed.outlives(held):
                self._drop_expired()
                self._items[key] = self._refreshing(key, signed)

    def fresh(self) -> AssetResolver:
        """Return an equal resolver without cached items, locks and connections."""
        return AssetResolver(self.auth, self.signer, self.limits)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AssetResolver):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.auth, self.signer, self.limits)

    def _identity(self) -> tuple[object, ...]:
        owner = self.auth.owner  # graphs of others, or of accounts given in code, use their own
        other = None if owner is None or (owner.is_here and not owner.explicit) else owner
        return self.auth, self.signer, self.limits, other

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

    def _item(self, reference: AssetRef) -> Refreshing[SignedItem]:
        key = _key(reference)
        with self._lock:
            if key not in self._items:
                self._items[key] = self._refreshing(key)
            return self._items[key]

    def _refreshing(self, key: _Key, held: SignedItem | None = None) -> Refreshing[SignedItem]:
        return Refreshing(functools.partial(self._renew, key), attrgetter("expires_at"), value=held)

    def _renew(self, key: _Key) -> SignedItem:
        signed = self.renewer.get(key[1:])
        self._unconfirmed[key] = utc_now()
        return signed


def _unpickled(auth: ConstellrAuth, signer: Signer, limits: Limits) -> AssetResolver:
    """Return a resolver whose signer uses the AWS keys of whoever shares ``auth``'s token."""
    signer.credentials.owner = auth.owner
    return AssetResolver(auth, signer, limits)


def _lost(reference: AssetRef, keys: Iterable[str]) -> APIError:
    return APIError(
        f"Item {reference.item!r} no longer has an asset {reference.asset!r}; it has "
        f"{', '.join(sorted(keys)) or 'none'}. Search again."
    )


def _another(reference: AssetRef, api: str) -> APIError:
    return APIError(
        f"Item {reference.item!r} came from {reference.catalog}, and {api} has another one of this "
        "name. Pass the auth= of the API that it came from."
    )


def _key(reference: AssetRef) -> _Key:
    return reference.catalog, reference.collection, reference.item
