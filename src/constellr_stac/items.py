"""Items, out of whatever holds some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import pystac
from pystac_client import ItemSearch

__all__ = ["Items", "items_of"]

Items: TypeAlias = (
    ItemSearch
    | pystac.ItemCollection
    | pystac.Item
    | Iterable[pystac.Item | dict[str, Any]]
    | dict[str, Any]
)
"""What scenes can be given as."""


def items_of(items: Items) -> list[pystac.Item]:
    """Return the items in ``items``, in the order in which they come.

    Args:
        items: A search, which is made now; an ItemCollection, an item, a list of items or of
            their dicts; or the dict of an item or of a collection of them.

    Raises:
        TypeError: There is something else in it.
    """
    found: Any = items
    if isinstance(items, ItemSearch):
        found = items.items()
    elif isinstance(items, pystac.Item):
        found = [items]
    elif isinstance(items, dict):
        found = items.get("features", [items])
    if not isinstance(found, Iterable) or isinstance(found, str | bytes):
        raise TypeError(_needed(found))
    scenes = []
    for each in found:
        item = pystac.Item.from_dict(each) if isinstance(each, dict) else each
        if not isinstance(item, pystac.Item):
            raise TypeError(_needed(item))
        scenes.append(item)
    return scenes


def _needed(other: object) -> str:
    return (
        f"STAC items are needed, not a {type(other).__name__}: give a search, an ItemCollection, "
        "items or their dicts."
    )
