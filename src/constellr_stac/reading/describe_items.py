"""``describe``: complete items, also from their metadata documents and file headers.

:mod:`constellr_stac.layers` adds the fields; this module fetches the documents and headers that
it needs, in parallel.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pystac_client import ItemSearch

from constellr_stac.layers.describe import complete_items, headers_needed
from constellr_stac.stac.items import items_of, materialized

from .asset_ref import asset_ref
from .documents import documents_of, file_of, in_parallel
from .prefetch import shared_fetcher
from .raster import header_of
from .resolver import AssetResolver

if TYPE_CHECKING:
    import pystac

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.header import Header
    from constellr_stac.layers.report import Description
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer

    from .documents import Reference
    from .prefetch import Fetcher

__all__ = ["describe"]

T = TypeVar("T")


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
    unknown = [item for item in items_of(items) if item.properties.get("eo:cloud_cover") is None]
    unknown = unknown if metadata else []
    document_of = documents_of(unknown, fetcher, reference)
    if headers:
        # Grids of metadata documents are not read from the files.
        completed = complete_items(items, metadata=document_of).items if unknown else items
        found = in_parallel(
            {file_of(item, key): (item, key) for item, key in headers_needed(completed)},
            lambda asset: _header(*asset, fetcher, reference),
        )
    else:
        found = {}

    def header_of(item: pystac.Item, key: str) -> Header | None:
        return found.get(file_of(item, key))

    return complete_items(items, copy=copy, headers=header_of, metadata=document_of)


def _header(item: pystac.Item, key: str, fetcher: Fetcher, reference: Reference) -> Header:
    fetcher.resolver.remember(item)
    return header_of(fetcher.header(reference(item, key)))
