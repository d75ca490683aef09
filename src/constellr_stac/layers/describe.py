"""Completion of items, so that any STAC tool reads them correctly.

Stated fields are never changed. Missing fields are added from the item's metadata document and
file headers, which the caller passes, and from the provider's documents. Nothing here makes a
request.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

import pystac

from constellr_stac.stac.items import item_from_dict, items_of, members_of, not_items

from .item_bands import asset_bands
from .item_grid import add_grids, grid_groups, item_grid
from .metadata import add_metadata
from .report import Description
from .stac_fields import add_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .header import Header

__all__ = ["complete_items", "headers_needed"]

T = TypeVar("T")


def complete_items(
    items: T,
    *,
    copy: bool = True,
    headers: Callable[[pystac.Item, str], Header | None]
    | Mapping[tuple[str, str], Header]
    | None = None,
    metadata: Callable[[pystac.Item], Mapping[str, Any] | None]
    | Mapping[str, Mapping[str, Any]]
    | None = None,
) -> Description[T]:
    """Add band metadata and projection fields to items.

    Adds STAC 1.1 ``bands`` together with ``raster:bands`` and ``eo:bands``, media types, roles
    and pixel sizes; ``proj:code``, ``proj:epsg``, ``proj:shape`` and ``proj:transform`` where
    known; and from the metadata document ``eo:cloud_cover``, ``view:*`` and ``platform``. Plain
    odc-stac, stackstac and pystac then find types, scales and grids. Stated fields are unchanged.

    Args:
        items: A pystac Item or ItemCollection, a STAC dict of either, or a list of items.

    Keyword Args:
        copy: Whether to return completed copies and leave ``items`` unchanged.
        headers: File headers by item id and asset key, or a function of item and asset key.
            :func:`headers_needed` lists the files whose headers are needed.
        metadata: Metadata documents by item id, or a function of the item.

    Returns:
        The items, in the same form, and a report of the added fields.

    Raises:
        TypeError: ``items`` is none of these.

    Example:
        >>> item = {"type": "Feature", "stac_version": "1.1.0", "id": "a", "geometry": None,
        ...         "properties": {"datetime": "2026-06-01T12:00:00Z"}, "links": [],
        ...         "assets": {"lst": {"href": "s3://b/lst.tiff", "type": "image/tiff"}}}
        >>> whole = complete_items(item).items
        >>> whole["assets"]["lst"]["bands"][0]["raster:scale"]
        0.01
    """
    header_of = _by_item_and_key(headers) if isinstance(headers, Mapping) else headers
    document_of = _by_item(metadata) if isinstance(metadata, Mapping) else metadata
    added: Counter[tuple[str | None, str, str]] = Counter()
    count = without_grid = 0

    def note(where: str | None, name: str, source: str) -> None:
        added[where, name, source] += 1

    def complete(item: pystac.Item) -> None:
        nonlocal count, without_grid
        document = None if document_of is None else document_of(item)
        add_fields(item, note, header_of)
        add_metadata(item, document, note)
        count += 1
        without_grid += not add_grids(item, note, document=document, header_of=header_of)

    with _gc_paused():
        described = _each(items, complete, copy=copy)
    return Description(described, count, added, without_grid)


def headers_needed(items: Any) -> list[tuple[pystac.Item, str]]:
    """List the files whose headers complete the items.

    Those are one per item and pixel size if the grid is not stated, and every file whose encoding
    the item does not state.

    Args:
        items: As for :func:`complete_items`.

    Returns:
        Pairs of item and asset key.
    """
    needed = []
    for item in items_of(items):
        for keys in grid_groups(item):
            missing = [key for key in keys if item_grid(item, key) is None][:1]
            silent = [key for key in keys if not _states_encoding(item, key)]
            needed += [(item, key) for key in dict.fromkeys([*missing, *silent])]
    return needed


def _states_encoding(item: pystac.Item, key: str) -> bool:
    return all(
        band.by_item & {"dtype", "scale", "offset", "unit", "copied"}
        for band in asset_bands(item, key)
    )


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Disable garbage collection, if it is enabled.

    Thousands of items make hundreds of thousands of objects and no garbage; repeated collections
    would take as long as the work itself.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _each(items: Any, complete: Callable[[pystac.Item], None], *, copy: bool) -> Any:
    """Complete every item in ``items``, and return them in the same form."""
    if isinstance(items, pystac.Item):
        described = items.clone() if copy else items
        complete(described)
        return described
    if isinstance(items, dict):
        return _each_dict(items, complete, copy=copy)
    members = items_of(items) if isinstance(items, pystac.Catalog) else members_of(items)
    if members is None:
        raise not_items(items)
    whole = [_each(item, complete, copy=copy) for item in members]
    if not isinstance(items, pystac.ItemCollection):
        return whole
    if not copy:
        return items
    return pystac.ItemCollection(whole, deepcopy(items.extra_fields), clone_items=False)


def _each_dict(
    stac: dict[str, Any], complete: Callable[[pystac.Item], None], *, copy: bool
) -> dict[str, Any]:
    if stac.get("type") not in ("Feature", "FeatureCollection"):
        raise not_items(stac)
    if stac["type"] == "FeatureCollection":
        features = _each(stac["features"], complete, copy=copy)
        return {**stac, "features": features} if copy else stac
    item = item_from_dict(stac)
    complete(item)
    whole = item.to_dict(include_self_link=True, transform_hrefs=False)
    if copy:
        return whole
    stac.clear()
    stac.update(whole)
    return stac


def _by_item(
    documents: Mapping[str, Mapping[str, Any]],
) -> Callable[[pystac.Item], Mapping[str, Any] | None]:
    return lambda item: documents.get(item.id)


def _by_item_and_key(
    headers: Mapping[tuple[str, str], Header],
) -> Callable[[pystac.Item, str], Header | None]:
    return lambda item, key: headers.get((item.id, key))
