"""What customers have on the books: areas, tags and orders, and the deliveries orders bring.

Nothing here knows HTTP or rules: what comes in was accepted. Deliveries happen when
somebody looks: :meth:`Bookings.deliver` hands over what the clock says is due.
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

__all__ = ["Bookings"]

_ACTIVE = frozenset({"initial_state", "pending_validation", "in_progress", "closing"})
_DELETABLE = frozenset({"pending_validation", "rejected"})


class Bookings:
    """Areas, tags and orders; the API and the user's thread may use it at once.

    Args:
        scenes: What satellites see: what orders can bring into the catalogue.
        catalogue: Where deliveries go.
        options: The sandbox's knobs.
        clock: The servers' time.
    """

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
        self._areas: dict[str, Area] = {}
        self._orders: dict[str, Order] = {}

    def stamp(self) -> datetime:
        """Return the time, later than any time returned before: orders sort by it."""
        with self.lock:
            self._last_stamp = max(self._clock.now(), self._last_stamp + timedelta(microseconds=1))
            return self._last_stamp

    def tags(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Return the tags of these names, new ones where there are none yet."""
        with self.lock:
            return [self._tags.setdefault(name, self._new_tag(name)) for name in names]

    def area(self, area_id: str) -> Area | None:
        """Return one area."""
        return self._areas.get(area_id)

    def add_area(self, area: Area) -> bool:
        """Keep an area, unless its name is taken; say whether it was kept."""
        with self.lock:
            if any(other.name == area.name for other in self._areas.values()):
                return False
            self._areas[area.id] = area
            return True

    def remove_area(self, area: Area) -> bool:
        """Forget an area, unless an order still wants it; say whether it is gone."""
        with self.lock:
            now = self._clock.now()
            if any(
                order.area.id == area.id and order.state(now, newer=True) in _ACTIVE
                for order in self._orders.values()
            ):
                return False
            self._areas.pop(area.id, None)
            return True

    def order(self, order_id: str) -> Order | None:
        """Return one order."""
        return self._orders.get(order_id)

    def remove_order(self, order: Order) -> bool:
        """Forget an order that nobody works on; say whether it is gone."""
        with self.lock:
            if order.state(self._clock.now(), newer=True) not in _DELETABLE:
                return False
            self._orders.pop(order.id, None)
            return True

    def book(self, draft: Draft) -> Order:
        """Put an order on the books and plan its deliveries."""
        with self.lock:
            lifetime = self._options.delivery
            order = Order(
                id=str(uuid4()),
                area=draft.area,
                asked=draft.asked,
                starts=draft.starts,
                ends=draft.ends,
                created=self.stamp(),
                tags=self.tags(draft.tags),
                lifetime=lifetime,
            )
            if lifetime is not None:
                order.due = planned(self._scenes, order, lifetime)
            self._orders[order.id] = order
            return order

    def deliver(self) -> None:
        """Bring into the catalogue whatever is due by now."""
        with self.lock:
            now = self._clock.now()
            for order in self._orders.values():
                if order.fixed_state == "rejected":
                    continue
                while order.due and order.due[0][0] <= now:
                    self._hand_over(order.due.pop(0)[1].item, order)

    def told_orders(self) -> list[dict[str, Any]]:
        """Return every order as the API tells it, oldest first."""
        with self.lock:
            now = self._clock.now()
            newer = self._options.newer
            return [order.answer(now, newer=newer) for order in self._orders.values()]

    def told_areas(self) -> list[dict[str, Any]]:
        """Return every area as the API tells it, oldest first."""
        with self.lock:
            return [area.answer(newer=self._options.newer) for area in self._areas.values()]

    def settle(self, order_id: str, state: str, reason: str | None) -> None:
        """Put an order into a state for good.

        Raises:
            KeyError: There is no such order.
        """
        with self.lock:
            order = self._orders[order_id]
            order.fixed_state = state
            order.rejection_reason = reason

    def _hand_over(self, item: dict[str, Any], order: Order) -> None:
        taken = {held.key for held in self._catalogue.items()}
        if self._options.newer:
            self._catalogue.add_item(as_delivered(item, order.id, taken))
        elif (item["collection"], item["id"]) not in taken:
            self._catalogue.add_item(item)

    def _new_tag(self, name: str) -> dict[str, str]:
        created = zulu(self._clock.now(), timespec="milliseconds")
        return {"name": name, "id": str(uuid4()), "created": created}
