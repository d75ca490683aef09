"""Items made whole with what only their files can tell: ``describe``.

What the items and the provider's documents tell is :mod:`constellr_stac.layers`' business;
here the metadata documents and file headers are fetched that it asks for, all at once.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pystac_client import ItemSearch

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.describe import complete_items, headers_needed
from constellr_stac.layers.metadata import metadata_asset
from constellr_stac.stac.items import items_of, materialized

from .asset_ref import asset_ref
from .prefetch import MAX_REQUESTS, shared_fetcher
from .raster import header_of
from .resolver import AssetResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pystac

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.header import Header
    from constellr_stac.layers.report import Description
    from constellr_stac.signing.signer import Signer

    from .prefetch import Fetcher

__all__ = ["describe"]

T = TypeVar("T")
Key = TypeVar("Key")
Answer = TypeVar("Answer")

_HEADER_BYTES = 1 << 15
_DOCUMENT_BYTES = 1 << 20


@overload
def describe(
    items: ItemSearch,
    *,
    copy: bool = True,
    headers: bool = True,
    metadata: bool = True,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
) -> Description[pystac.ItemCollection]: ...
@overload
def describe(
    items: T,
    *,
    copy: bool = True,
    headers: bool = True,
    metadata: bool = True,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
) -> Description[T]: ...
def describe(
    items: Any,
    *,
    copy: bool = True,
    headers: bool = True,
    metadata: bool = True,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
) -> Description[Any]:
    """Complete items, so that any STAC tool reads them right; report what was added.

    Types, scales, units and mask classes come from the item, else from the provider's
    documents; grids from the item, its metadata document, or one header for each scene and
    pixel size; cloud cover and angles from the metadata document. What an item states itself is
    not changed. Requests are made only for what items lack, all of them at once.

    Args:
        items: A pystac Item or ItemCollection, a STAC dict of either, or a list of items. A search
            is carried out, and counts as the ItemCollection that it finds.

    Keyword Args:
        copy: Whether to leave ``items`` as they are and return completed copies.
        headers: Whether to read the beginnings of files whose grid nothing else tells.
        metadata: Whether to read the metadata documents of items that state no cloud cover.
        auth: Asks the API for items whose signed URLs have ended; a credential will do.
        signer: Signs ``s3://`` hrefs.

    Returns:
        The items in the form in which they came (``.items``), and the report (``print`` it).

    Raises:
        AssetReadError: A header or document cannot be read.
        SigningError: There are ``s3://`` hrefs, and no credentials for them.
        TypeError: ``items`` is none of these.

    Example:
        >>> whole = constellr_stac.describe(search.item_collection())  # doctest: +SKIP
        >>> odc.stac.load(whole.items, bands=["lst"])  # doctest: +SKIP
    """
    copy = copy and not isinstance(items, ItemSearch)  # nobody else holds the items of a search
    items = materialized(items)
    fetcher = shared_fetcher(AssetResolver(auth, signer))
    documents = _documents(items_of(items), fetcher) if metadata else {}

    def document_of(item: pystac.Item) -> dict[str, Any] | None:
        return documents.get(_name(item))

    if headers:
        # What the documents tell need not be read from the files.
        told = complete_items(items, metadata=document_of).items if documents else items
        found = _together(
            {(*_name(item), key): (item, key) for item, key in headers_needed(told)},
            lambda place: _header(*place, fetcher),
        )
    else:
        found = {}

    def header_of(item: pystac.Item, key: str) -> Header | None:
        return found.get((*_name(item), key))

    return complete_items(items, copy=copy, headers=header_of, metadata=document_of)


def _name(item: pystac.Item) -> tuple[str | None, str]:
    """Return what tells an item from others; an id does so within its collection."""
    return item.collection_id, item.id


def _documents(
    items: Iterable[pystac.Item], fetcher: Fetcher
) -> dict[tuple[str | None, str], dict[str, Any]]:
    wanted = {
        _name(item): (item, key)
        for item in items
        if item.properties.get("eo:cloud_cover") is None
        and (key := metadata_asset(item)) is not None
    }
    return _together(wanted, lambda place: _document(*place, fetcher))


def _document(item: pystac.Item, key: str, fetcher: Fetcher) -> dict[str, Any]:
    fetcher.resolver.remember(item)
    named = asset_ref(item, key)
    try:
        document = json.loads(fetcher.header(named, _DOCUMENT_BYTES).head)
    except ValueError as error:
        raise AssetReadError(f"{named.label} is no JSON document ({error}).") from error
    return document if isinstance(document, dict) else {}


def _header(item: pystac.Item, key: str, fetcher: Fetcher) -> Header:
    fetcher.resolver.remember(item)
    return header_of(fetcher.header(asset_ref(item, key), _HEADER_BYTES))


def _together(
    wanted: dict[Key, tuple[pystac.Item, str]],
    fetch: Callable[[tuple[pystac.Item, str]], Answer],
) -> dict[Key, Answer]:
    """Fetch everything at once."""
    if not wanted:
        return {}
    with ThreadPoolExecutor(min(MAX_REQUESTS, len(wanted))) as pool:
        return dict(zip(wanted, pool.map(fetch, wanted.values()), strict=True))
