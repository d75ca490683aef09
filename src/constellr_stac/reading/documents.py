"""Metadata documents of items, read in parallel."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from constellr_stac._text import redact
from constellr_stac.errors import AssetReadError
from constellr_stac.layers.metadata import metadata_asset

from .prefetch import MAX_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pystac

    from .asset_ref import AssetRef
    from .prefetch import Fetcher

    Reference: TypeAlias = Callable[[pystac.Item, str], AssetRef]

__all__ = ["documents_of", "file_of", "in_parallel"]

Key = TypeVar("Key")
Value = TypeVar("Value")
Answer = TypeVar("Answer")

_DOCUMENT_BYTES = 1 << 20


def documents_of(
    items: Iterable[pystac.Item],
    fetcher: Fetcher,
    reference: Reference,
    *,
    lenient: bool = False,
) -> Callable[[pystac.Item], dict[str, Any] | None]:
    """Read the metadata documents of items; return a function that gives that of an item.

    Args:
        items: The items.
        fetcher: Reads the documents.
        reference: Makes a reference of an item and an asset key.

    Keyword Args:
        lenient: Whether a document that cannot be read counts as empty.

    Raises:
        AssetReadError: A document cannot be read.
    """
    assets = {file_of(item, key): (item, key) for item in items if (key := metadata_asset(item))}

    def document(asset: tuple[pystac.Item, str]) -> dict[str, Any]:
        item, key = asset
        fetcher.resolver.remember(item)
        named = reference(item, key)
        try:
            content = json.loads(fetcher.header(named, _DOCUMENT_BYTES).head)
        except (ValueError, RecursionError) as error:
            if lenient:
                return {}
            raise AssetReadError(f"{named.label} is not a JSON document ({error}).") from error
        except AssetReadError:
            if lenient:
                return {}
            raise
        return content if isinstance(content, dict) else {}

    documents = in_parallel(assets, document)

    def document_of(item: pystac.Item) -> dict[str, Any] | None:
        key = metadata_asset(item)
        return None if key is None else documents.get(file_of(item, key))

    return document_of


def file_of(item: pystac.Item, key: str) -> tuple[str | None, str, str, str]:
    """Return what an asset is known by: two items of one name may have other files each."""
    asset = item.assets[key]
    return item.collection_id, item.id, key, redact(asset.get_absolute_href() or asset.href)


def in_parallel(values: dict[Key, Value], fetch: Callable[[Value], Answer]) -> dict[Key, Answer]:
    """Return the answers of ``fetch`` by key."""
    if not values:
        return {}
    with ThreadPoolExecutor(min(MAX_REQUESTS, len(values))) as pool:
        return dict(zip(values, pool.map(fetch, values.values()), strict=True))
