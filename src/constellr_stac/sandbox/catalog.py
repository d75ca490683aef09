"""What can be found and fetched: the items of the catalogue and the objects of the bucket."""

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

__all__ = ["Catalogue", "HeldItem"]


@dataclass(frozen=True)
class HeldItem:
    """An item as it is served (before any signing), and what searches ask of it."""

    item: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """Its collection's id and its own."""
        return self.item["collection"], self.item["id"]

    @cached_property
    def geometry(self) -> shapely.Geometry | None:
        """Its footprint in longitude and latitude."""
        geometry = self.item.get("geometry")
        return None if geometry is None else shape(geometry)

    @cached_property
    def interval(self) -> tuple[datetime, datetime] | None:
        """When it was taken: from, to; the same time twice where it is an instant."""
        properties = self.item["properties"]
        instant = properties.get("datetime")
        start = properties.get("start_datetime") or instant
        end = properties.get("end_datetime") or instant
        if start is None or end is None:
            return None
        return _utc(start), _utc(end)


class Catalogue:
    """Items and objects; the servers and the user's thread may all use it at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[tuple[str, str], HeldItem] = {}
        self._objects: dict[str, StoredObject] = {}

    def items(self) -> list[HeldItem]:
        """Return every item, in the order of arrival."""
        with self._lock:
            return list(self._items.values())

    def item(self, collection: str, item_id: str) -> HeldItem | None:
        """Return one item."""
        return self._items.get((collection, item_id))

    def add_item(self, item: dict[str, Any]) -> None:
        """Put an item in, in place of one of the same id and collection.

        Raises:
            ValueError: It has no id, no collection or no properties.
        """
        if not {"id", "collection", "properties"} <= item.keys():
            raise ValueError("An item has to have an id, a collection and properties.")
        held = HeldItem(copy.deepcopy(item))
        with self._lock:
            self._items[held.key] = held

    def remove_item(self, collection: str, item_id: str) -> None:
        """Take an item out.

        Raises:
            KeyError: There is none such.
        """
        with self._lock:
            del self._items[collection, item_id]

    def object(self, key: str) -> StoredObject | None:
        """Return one object."""
        return self._objects.get(key)

    def add_object(self, key: str, stored: StoredObject) -> None:
        """Put an object into the bucket."""
        self._objects[key] = stored

    def put(self, key: str, content: bytes) -> str:
        """Put bytes into the bucket and return their ``s3://`` href."""
        self.add_object(key, StoredObject.from_bytes(key, content, self._clock.now()))
        return f"s3://{BUCKET}/{key}"

    def delete(self, key: str) -> None:
        """Delete an object.

        Raises:
            KeyError: There is none such.
        """
        del self._objects[key]


def _utc(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
