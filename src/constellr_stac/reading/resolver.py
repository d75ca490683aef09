"""A reference becomes a URL that can be read now, and a new one when that is refused.

Three kinds are told apart: ``s3://`` hrefs, signed here with credentials that renew; assets
with a signed URL, whose next one comes from asking the API for the item (where it answers with
``s3://`` hrefs, they are signed here); and everything else, which is read as it is. Each kind is
renewed by one caller for all.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import APIError
from constellr_stac.signing.s3_url import is_s3
from constellr_stac.signing.signer import Signer, signature_expiry

from .asset_ref import is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pystac
    import requests

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth

    from .asset_ref import AssetRef

__all__ = ["AssetResolver"]

_ENOUGH = 1000  # items that are kept without asking whether they are still of use
_DOUBT = timedelta(minutes=1)  # while what was asked for and never worked is not asked for again


@dataclass(frozen=True)
class _SignedItem:
    """What came in one answer: an href for each asset, good until the first signature ends."""

    urls: Mapping[str, str]
    expires_at: datetime | None

    @classmethod
    def of(cls, urls: Mapping[str, str]) -> _SignedItem:
        ends = [end for url in urls.values() if (end := signature_expiry(url)) is not None]
        return cls(urls, min(ends, default=None))

    def outlives(self, other: _SignedItem) -> bool:
        """Say whether this is the later answer, as far as the signatures tell."""
        if self.expires_at is None or other.expires_at is None:
            return True
        return self.expires_at > other.expires_at


class AssetResolver:
    """Where assets can be read now. Equal for equal settings; pickles without a secret.

    Args:
        auth: Asks the API for items; a credential will do. By default with the credential found
            where it runs.
        signer: Signs ``s3://`` hrefs; by default with the credentials found where it runs.
    """

    def __init__(
        self, auth: ConstellrAuth | Credential | None = None, signer: Signer | None = None
    ) -> None:
        self.auth = as_auth(auth)
        self.signer = signer or Signer()
        self._lock = threading.Lock()
        self._items: dict[tuple[str, str], Refreshing[_SignedItem]] = {}
        self._unproven: dict[tuple[str, str], datetime] = {}
        self._most = _ENOUGH
        self._session: requests.Session | None = None

    def url(self, reference: AssetRef) -> str:
        """Return a URL to GET, or a path.

        Raises:
            APIError: The API does not give the item any more.
            APIConnectionError: The API does not answer.
            SigningError: There are no object-store credentials.
        """
        href = reference.href
        if reference.renewable:
            urls = self._item(reference).get().urls
            try:
                href = urls[reference.asset]
            except KeyError:
                raise APIError(
                    f"Item {reference.item!r} has no asset {reference.asset!r} any more; it has "
                    f"{', '.join(sorted(urls)) or 'none'}. Search again."
                ) from None
        return self.signer.sign(href) if is_s3(href) else href

    def refused(self, reference: AssetRef, url: str) -> bool:
        """Note that ``url`` was refused; say whether another one is worth asking for."""
        if reference.renewable:
            item = self._item(reference)
            held = item.held
            if held is not None and held.urls.get(reference.asset) == url:
                asked = self._unproven.get((reference.collection, reference.item))
                if asked is not None and utc_now() < asked + _DOUBT:
                    return False  # what the API has just given: it will not give another
                item.discard(held)
        elif not is_s3(reference.href):
            return False
        self.signer.refused(url)  # if it was signed here
        return True

    def accepted(self, reference: AssetRef) -> None:
        """Note that a URL asked for after a refusal was good."""
        self._unproven.pop((reference.collection, reference.item), None)

    def held(self, reference: AssetRef) -> datetime | None:
        """Return when the signed URL that is held for a reference ends, if one is."""
        item = self._items.get((reference.collection, reference.item))
        signed = None if item is None else item.held
        return None if signed is None else signed.expires_at

    def remember(self, item: pystac.Item) -> None:
        """Use the signed URLs that a search brought, if it did, for as long as they last."""
        urls = {name: asset.href for name, asset in item.assets.items()}
        if not any(map(is_signed, urls.values())):
            return
        key = (item.collection_id or "", item.id)
        with self._lock:
            known = self._items.get(key)
            held = None if known is None else known.held
            if held is not None and held.urls == urls:
                return  # each band of an item asks for this
            signed = _SignedItem.of(urls)
            if held is None or signed.outlives(held):
                self._make_room()
                self._items[key] = Refreshing(_Ask(self, *key), _expiry, value=signed)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AssetResolver):
            return NotImplemented
        return (self.auth, self.signer) == (other.auth, other.signer)

    def __hash__(self) -> int:
        return hash((self.auth, self.signer))

    def __reduce__(self) -> tuple[Any, ...]:
        return AssetResolver, (self.auth, self.signer)

    def _make_room(self) -> None:
        """Let go of items whose URLs have ended, as they pile up in a process that lives long."""
        if len(self._items) < self._most:
            return
        now = utc_now()
        for key, item in list(self._items.items()):
            held = item.held
            if held is not None and held.expires_at is not None and held.expires_at <= now:
                del self._items[key]
        self._most = max(_ENOUGH, 2 * len(self._items))

    def _item(self, reference: AssetRef) -> Refreshing[_SignedItem]:
        key = (reference.collection, reference.item)
        with self._lock:
            if key not in self._items:
                self._items[key] = Refreshing(_Ask(self, *key), _expiry)
            return self._items[key]

    def ask(self, collection: str, item: str) -> _SignedItem:
        """Ask the API for an item again.

        Raises:
            APIError: It does not give it, or answers with something else.
            APIConnectionError: It does not answer.
        """
        with self._lock:
            if self._session is None:
                self._session = api_session(self.auth)
        url = (
            f"{self.auth.base_url}/stac/collections/{quote(collection, safe='')}"
            f"/items/{quote(item, safe='')}"
        )
        with connection_errors("GET", url, f"; item {item!r} cannot be signed again"):
            answer = self._session.get(url)
        checked(answer)
        try:
            assets = answer.json()["assets"]
            signed = _SignedItem.of({name: asset["href"] for name, asset in assets.items()})
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise APIError(
                f"GET {url} answered with no STAC item. Is this the API's URL?",
                status_code=answer.status_code,
                request_url=url,
            ) from error
        self._unproven[collection, item] = utc_now()
        return signed


class _Ask:
    """Asks for one item; an object, since a lambda in a loop forgets which."""

    def __init__(self, resolver: AssetResolver, collection: str, item: str) -> None:
        self._locations, self._names = resolver, (collection, item)

    def __call__(self) -> _SignedItem:
        return self._locations.ask(*self._names)


def _expiry(signed: _SignedItem) -> datetime | None:
    return signed.expires_at
