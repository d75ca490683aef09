"""Conversion of all accepted forms of items to a list of items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import pystac
from pystac_client import ItemSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Items",
    "item_from_dict",
    "items_of",
    "materialized",
    "members_of",
    "not_items",
    "sorted_items",
    "time_of",
]

Items: TypeAlias = (
    ItemSearch
    | pystac.ItemCollection
    | pystac.Catalog
    | pystac.Item
    | Iterable["Items"]
    | dict[str, Any]
)
"""The accepted forms: a search, an ItemCollection, a catalogue, an item, the dict of an item or
ItemCollection, rows of :func:`constellr_stac.scenes`, or an iterable of these."""


def items_of(items: Items) -> list[pystac.Item]:
    """Return the items in ``items``, in their order.

    Args:
        items: Any of the forms in :data:`Items`. A search is run; a catalogue or collection
            yields its items and those of its children.

    Raises:
        TypeError: ``items`` holds something else.
    """
    if isinstance(items, pystac.Item):
        return [items]
    if isinstance(items, pystac.Catalog):
        return list(items.get_items(recursive=True))
    if isinstance(items, dict) and items.get("type") == "Feature":
        return [item_from_dict(items)]
    members = members_of(items)
    if members is None:
        raise not_items(items)
    return [item for member in members for item in items_of(member)]


def _rows(table: Any) -> list[pystac.Item] | None:
    """Return the items in rows of :func:`constellr_stac.scenes`; ``None`` for anything else."""
    if not hasattr(table, "iloc") or "item" not in table:
        return None
    held = table["item"] if hasattr(table, "columns") else [table["item"]]
    # A file holds their JSON.
    return [item_from_dict(json.loads(each)) if isinstance(each, str) else each for each in held]


def members_of(obj: Any) -> Sequence[Any] | None:
    """Return the members of a container of STAC objects, or ``None`` if it is not a container.

    Args:
        obj: A search, an ItemCollection, the dict of a page of items or collections, or any
            iterable but a string.
    """
    if isinstance(obj, pystac.ItemCollection):
        return obj.items
    if isinstance(obj, dict):
        held = (obj.get(name) for name in ("features", "collections"))
        return next((members for members in held if isinstance(members, list)), None)
    if (rows := _rows(obj)) is not None:
        return rows
    if isinstance(obj, ItemSearch):
        return list(obj.items())
    if isinstance(obj, Iterable) and not isinstance(obj, str | bytes | pystac.Asset):
        return list(obj)
    return None


def materialized(items: Any) -> Any:
    """Return ``items`` with searches and iterators carried out, at any depth of lists.

    The result can be traversed more than once.
    """
    if isinstance(items, ItemSearch):
        return items.item_collection()
    if isinstance(items, Iterator) or type(items) is list:
        return [materialized(each) for each in items]
    return items


def item_from_dict(item: dict[str, Any]) -> pystac.Item:
    """Return the item of a STAC dict, without pystac's migration, which drops ``proj:epsg``."""
    return pystac.Item.from_dict(item, migrate=False)


def sorted_items(items: Items) -> list[pystac.Item]:
    """Return the items in ``items``, sorted by time and id.

    Raises:
        TypeError: ``items`` holds something other than items.
        ValueError: There are no items, or one has no time.
    """
    found = items_of(items)
    if not found:
        msg = (
            "The search found no items, so there is nothing to load. Check the spelling of the "
            "collections, widen bbox, datetime or filter, or check whether the order has been "
            "delivered."
        )
        raise ValueError(msg)
    return sorted(found, key=lambda item: (time_of(item), item.id))


def time_of(item: pystac.Item) -> datetime:
    """Return an item's time in UTC, aware: its ``datetime``, else the start of its range.

    Raises:
        ValueError: The item has no time.
    """
    common = item.common_metadata
    time = item.datetime or common.start_datetime or common.end_datetime
    if time is None:
        raise ValueError(f"Item {item.id!r} has no datetime, so it cannot be placed in a cube.")
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def not_items(other: object) -> TypeError:
    """Return the error for an object that holds no items."""
    kind = f"dict of type {other.get('type')!r}" if isinstance(other, dict) else None
    return TypeError(
        "Expected a search, an ItemCollection, a catalog, items or their dicts, not "
        f"a {kind or type(other).__name__}."
    )
