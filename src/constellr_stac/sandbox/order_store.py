"""Areas, tags, orders and their deliveries.

Input is already validated. Deliveries are lazy: :meth:`OrderStore.deliver` adds the items that
are due.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .deliveries import as_delivered, planned
from .orders import Order, zulu

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .catalog import Catalogue
    from .options import Clock, Options
    from .orders import Area, Draft
    from .scenes import Scene

__all__ = ["OrderStore"]

_ACTIVE = frozenset({"initial_state", "pending_validation", "in_progress", "closing"})
_DELETABLE = frozenset({"pending_validation", "rejected"})


class OrderStore:
    """Thread-safe areas, tags and orders, which deliver ``scenes`` to the catalogue."""

    def __init__(
        self, scenes: Iterable[Scene], catalogue: Catalogue, options: Options, clock: Clock
    ) -> None:
        self.lock = threading.RLock()
        self._scenes = list(scenes)
        self._catalogue = catalogue
        self._options = options
        self._clock = clock
        self._last_stamp = clock.now()
        self._tags: dict[str, dict[str, str]] = {}
        self.areas: dict[str, Area] = {}
        """Areas by id."""
        self.orders: dict[str, Order] = {}
        """Orders by id."""

    def stamp(self) -> datetime:
        """Return the time, strictly increasing, since orders sort by it."""
        with self.lock:
            self._last_stamp = max(self._clock.now(), self._last_stamp + timedelta(microseconds=1))
            return self._last_stamp

    def tags(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Return the tags of these names, creating missing ones."""
        with self.lock:
            return [self._tags.setdefault(name, self._new_tag(name)) for name in names]

    def add_area(self, area: Area) -> bool:
        """Add an area; return ``False`` if its name is taken."""
        with self.lock:
            if any(other.name == area.name for other in self.areas.values()):
                return False
            self.areas[area.id] = area
            return True

    def remove_area(self, area: Area) -> bool:
        """Remove an area; return ``False`` if an active order uses it."""
        with self.lock:
            now = self._clock.now()
            if any(
                order.draft.area.id == area.id and order.state(now, newer=True) in _ACTIVE
                for order in self.orders.values()
            ):
                return False
            self.areas.pop(area.id, None)
            return True

    def remove_order(self, order: Order) -> bool:
        """Remove an order; return ``False`` if its state forbids it."""
        with self.lock:
            if order.state(self._clock.now(), newer=True) not in _DELETABLE:
                return False
            self.orders.pop(order.id, None)
            return True

    def place(self, draft: Draft) -> Order:
        """Store an order and plan its deliveries."""
        with self.lock:
            tags = self.tags(draft.tags)
            order = Order(str(uuid4()), draft, self.stamp(), tags, self._options.delivery)
            order.due = planned(self._scenes, order)
            self.orders[order.id] = order
            return order

    def deliver(self) -> None:
        """Add the items that are due to the catalogue."""
        with self.lock:
            now = self._clock.now()
            for order in self.orders.values():
                if order.fixed_state == "rejected":
                    continue
                while order.due and order.due[0][0] <= now:
                    self._add_delivered(order.due.pop(0)[1].item, order)

    def list_orders(self) -> list[dict[str, Any]]:
        """Return every order in the API's format, oldest first."""
        with self.lock:
            now = self._clock.now()
            newer = self._options.newer
            return [order.answer(now, newer=newer) for order in self.orders.values()]

    def list_areas(self) -> list[dict[str, Any]]:
        """Return every area in the API's format, oldest first."""
        with self.lock:
            return [area.answer(newer=self._options.newer) for area in self.areas.values()]

    def settle(self, order_id: str, state: str, reason: str | None) -> None:
        """Fix the state of an order, else raise :class:`KeyError`."""
        with self.lock:
            order = self.orders[order_id]
            order.fixed_state = state
            order.rejection_reason = reason

    def _add_delivered(self, item: dict[str, Any], order: Order) -> None:
        existing = self._catalogue.items
        if self._options.newer:
            self._catalogue.add_item(as_delivered(item, order.id, existing))
        elif (item["collection"], item["id"]) not in existing:
            self._catalogue.add_item(item)

    def _new_tag(self, name: str) -> dict[str, str]:
        created = zulu(self._clock.now(), timespec="milliseconds")
        return {"name": name, "id": str(uuid4()), "created": created}
