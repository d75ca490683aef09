"""Items of the catalogue and objects of the bucket."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shapely.geometry import shape

if TYPE_CHECKING:
    import shapely

    from .objects import StoredObject

__all__ = ["Catalogue", "CatalogueItem"]


@dataclass(frozen=True)
class CatalogueItem:
    """An unsigned item, with the values that searches compare."""

    item: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """Ids of its collection and itself."""
        return self.item["collection"], self.item["id"]

    @cached_property
    def geometry(self) -> shapely.Geometry | None:
        """Its footprint in longitude and latitude."""
        geometry = self.item.get("geometry")
        return None if geometry is None else shape(geometry)

    @cached_property
    def interval(self) -> tuple[datetime, datetime] | None:
        """Start and end; equal for an instant."""
        properties = self.item["properties"]
        instant = properties.get("datetime")
        start = properties.get("start_datetime") or instant
        end = properties.get("end_datetime") or instant
        if start is None or end is None:
            return None
        return _utc(start), _utc(end)


class Catalogue:
    """Items and objects; copy :attr:`items` before a loop, since other threads change them."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], CatalogueItem] = {}
        """Items by collection and id, in order of arrival."""
        self.objects: dict[str, StoredObject] = {}
        """Objects by key."""

    def add_item(self, item: dict[str, Any]) -> None:
        """Add an item, replacing one of the same id and collection."""
        if not {"id", "collection", "properties"} <= item.keys():
            raise ValueError("An item must have an id, a collection and properties.")
        entry = CatalogueItem(copy.deepcopy(item))
        self.items[entry.key] = entry


def _utc(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
