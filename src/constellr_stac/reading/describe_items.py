"""``describe``: complete items, also from their metadata documents and file headers.

:mod:`constellr_stac.layers` adds the fields; this module fetches the documents and headers that
it needs, in parallel.
"""

from __future__ import annotations

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from pystac_client import ItemSearch

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.describe import complete_items, headers_needed
from constellr_stac.layers.metadata import metadata_asset
from constellr_stac.stac.items import items_of, materialized

from .asset_ref import asset_ref
from .prefetch import HEADER_BYTES, MAX_REQUESTS, shared_fetcher
from .raster import header_of
from .resolver import AssetResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pystac

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.header import Header
    from constellr_stac.layers.report import Description
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer

    from .asset_ref import AssetRef
    from .prefetch import Fetcher

    _Reference: TypeAlias = Callable[[pystac.Item, str], AssetRef]

__all__ = ["describe"]

T = TypeVar("T")
Key = TypeVar("Key")
Answer = TypeVar("Answer")

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
    limits: Limits | None = None,
    local_files: bool = False,
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
    limits: Limits | None = None,
    local_files: bool = False,
) -> Description[T]: ...
def describe(
    items: Any,
    *,
    copy: bool = True,
    headers: bool = True,
    metadata: bool = True,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
    local_files: bool = False,
) -> Description[Any]:
    """Complete items, so that any STAC tool reads them correctly.

    Types, scales, units and mask classes come from the item, else from the provider's
    documents; grids from the item, its metadata document, or one header per scene and pixel
    size; cloud cover and angles from the metadata document. Stated fields are not changed.
    Only missing fields cause requests, which run in parallel.

    Args:
        items: A pystac Item or ItemCollection, a STAC dict of either, or a list of items. A search
            is run and treated as its ItemCollection.

    Keyword Args:
        copy: Whether to return completed copies and leave ``items`` unchanged.
        headers: Whether to read file headers if the grid is not known otherwise.
        metadata: Whether to read the metadata documents of items without cloud cover.
        auth: Renews expired signed URLs; an auth object or a credential.
        signer: Signs ``s3://`` hrefs.
        limits: Bounds on waiting and sizes; default from the environment.
        local_files: Whether items that came from a server may name files of this machine, since
            you set their hrefs yourself.

    Returns:
        The items in the same form (``.items``), and a report of the added fields (``print`` it).

    Raises:
        AssetReadError: A header or document cannot be read.
        SigningError: There are ``s3://`` hrefs but no credentials for them.
        TypeError: ``items`` is none of these.

    Example:
        >>> whole = constellr_stac.describe(search.item_collection())  # doctest: +SKIP
        >>> odc.stac.load(whole.items, bands=["lst"])  # doctest: +SKIP
    """
    copy = copy and not isinstance(items, ItemSearch)  # nobody else holds the items of a search
    items = materialized(items)
    fetcher = shared_fetcher(AssetResolver(auth, signer, limits))
    reference = functools.partial(asset_ref, local_files=local_files)
    documents = _documents(items_of(items), fetcher, reference) if metadata else {}

    def document_of(item: pystac.Item) -> dict[str, Any] | None:
        return documents.get(_name(item))

    if headers:
        # Grids of metadata documents are not read from the files.
        completed = complete_items(items, metadata=document_of).items if documents else items
        found = _in_parallel(
            {(*_name(item), key): (item, key) for item, key in headers_needed(completed)},
            lambda asset: _header(*asset, fetcher, reference),
        )
    else:
        found = {}

    def header_of(item: pystac.Item, key: str) -> Header | None:
        return found.get((*_name(item), key))

    return complete_items(items, copy=copy, headers=header_of, metadata=document_of)


def _name(item: pystac.Item) -> tuple[str | None, str]:
    """Return an item's key: ids are unique within a collection only."""
    return item.collection_id, item.id


def _documents(
    items: Iterable[pystac.Item], fetcher: Fetcher, reference: _Reference
) -> dict[tuple[str | None, str], dict[str, Any]]:
    assets = {
        _name(item): (item, key)
        for item in items
        if item.properties.get("eo:cloud_cover") is None
        and (key := metadata_asset(item)) is not None
    }
    return _in_parallel(assets, lambda asset: _document(*asset, fetcher, reference))


def _document(
    item: pystac.Item, key: str, fetcher: Fetcher, reference: _Reference
) -> dict[str, Any]:
    fetcher.resolver.remember(item)
    named = reference(item, key)
    try:
        document = json.loads(fetcher.header(named, _DOCUMENT_BYTES).head)
    except ValueError as error:
        raise AssetReadError(f"{named.label} is not a JSON document ({error}).") from error
    return document if isinstance(document, dict) else {}


def _header(item: pystac.Item, key: str, fetcher: Fetcher, reference: _Reference) -> Header:
    fetcher.resolver.remember(item)
    return header_of(fetcher.header(reference(item, key), HEADER_BYTES))


def _in_parallel(
    assets: dict[Key, tuple[pystac.Item, str]],
    fetch: Callable[[tuple[pystac.Item, str]], Answer],
) -> dict[Key, Answer]:
    if not assets:
        return {}
    with ThreadPoolExecutor(min(MAX_REQUESTS, len(assets))) as pool:
        return dict(zip(assets, pool.map(fetch, assets.values()), strict=True))
