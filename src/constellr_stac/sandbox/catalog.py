"""Items of the catalogue and objects of the bucket."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shapely.geometry import shape

from .objects import StoredObject
from .options import BUCKET

if TYPE_CHECKING:
    import shapely

    from .options import Clock

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
    """Thread-safe items and objects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[tuple[str, str], CatalogueItem] = {}
        self._objects: dict[str, StoredObject] = {}

    def items(self) -> list[CatalogueItem]:
        """Return every item, in order of arrival."""
        with self._lock:
            return list(self._items.values())

    def item(self, collection: str, item_id: str) -> CatalogueItem | None:
        """Return an item."""
        return self._items.get((collection, item_id))

    def add_item(self, item: dict[str, Any]) -> None:
        """Add an item, replacing one of the same id and collection."""
        if not {"id", "collection", "properties"} <= item.keys():
            raise ValueError("An item must have an id, a collection and properties.")
        entry = CatalogueItem(copy.deepcopy(item))
        with self._lock:
            self._items[entry.key] = entry

    def remove_item(self, collection: str, item_id: str) -> None:
        """Remove an item, else raise :class:`KeyError`."""
        with self._lock:
            del self._items[collection, item_id]

    def object(self, key: str) -> StoredObject | None:
        """Return an object."""
        return self._objects.get(key)

    def add_object(self, key: str, stored: StoredObject) -> None:
        """Add an object."""
        self._objects[key] = stored

    def put(self, key: str, content: bytes) -> str:
        """Store bytes as an object and return its ``s3://`` href."""
        self.add_object(key, StoredObject.from_bytes(key, content, self._clock.now()))
        return f"s3://{BUCKET}/{key}"

    def delete(self, key: str) -> None:
        """Delete an object, else raise :class:`KeyError`."""
        del self._objects[key]


def _utc(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
