"""What customers have on the books: areas, tags and orders, and the deliveries orders bring.

Nothing here knows HTTP or rules: what comes in has been accepted. Deliveries happen when
somebody looks: :meth:`Bookings.deliver` hands over what the clock says is due.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable

    import shapely

    from .catalogue import Catalogue
    from .measure import Measures
    from .options import Clock, Options
    from .scenes import Scene

__all__ = ["ACTIVE", "Area", "Bookings", "Order"]

ACTIVE = frozenset({"initial_state", "pending_validation", "in_progress", "closing"})
"""The states in which an order still wants its area."""

_UNTIL_ACCEPTED = 0.1
_UNTIL_CLOSING = 0.9
_PERIODS = {
    "weekly": timedelta(days=7),
    "once_every_two_weeks": timedelta(days=14),
    "monthly": timedelta(days=30),
}


@dataclass(frozen=True)
class Area:
    """An area of interest."""

    id: str
    name: str
    description: str | None
    geometry: dict[str, Any]
    """As the customer sent it."""
    polygon: shapely.Polygon
    size: Measures
    created: datetime

    def answer(self, *, newer: bool) -> dict[str, Any]:
        """Return the area as the API tells it."""
        return {
            "name": self.name,
            "geojson" if newer else "geometry": self.geometry,
            "description": self.description,
            "bbox_width": round(self.size.width, 1),
            "bbox_height": round(self.size.height, 1),
            "id": self.id,
            "created": self.created.replace(tzinfo=None).isoformat(timespec="microseconds"),
        }


@dataclass
class Order:
    """An order, with what the customer asked for as sent and checked."""

    id: str
    area: Area
    asked: dict[str, Any]
    """The fields of the order's answer that the customer chose."""
    starts: datetime
    ends: datetime
    created: datetime
    tags: list[dict[str, str]]
    lifetime: timedelta | None
    """From placing to closing; ``None``: it stays as it is."""
    fixed_state: str | None = None
    rejection_reason: str | None = None
    due: list[tuple[datetime, Scene]] = field(default_factory=list)
    """What is still to be delivered, and when."""

    def state(self, now: datetime, *, newer: bool) -> str:
        """Return how far it has come."""
        if self.fixed_state is not None:
            return self.fixed_state
        first = "pending_validation" if newer else "initial_state"
        if self.lifetime is None:
            return first
        age = now - self.created
        if age >= self.lifetime:
            return "closed"
        if age < self.lifetime * _UNTIL_ACCEPTED:
            return first
        return "in_progress" if age < self.lifetime * _UNTIL_CLOSING else "closing"

    def answer(self, now: datetime, *, newer: bool) -> dict[str, Any]:
        """Return the order as the API tells it."""
        answer = {
            **self.asked,
            "area_of_interest_id": self.area.id,
            "start_date": _zulu(self.starts),
            "end_date": _zulu(self.ends),
            "id": self.id,
            "created": _zulu(self.created),
            "state": self.state(now, newer=newer),
            "tags": self.tags,
        }
        return {**answer, "rejection_reason": self.rejection_reason} if newer else answer


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
        self.areas: dict[str, Area] = {}
        self.orders: dict[str, Order] = {}

    def stamp(self) -> datetime:
        """Return the time, later than any time returned before: orders sort by it."""
        with self.lock:
            self._last_stamp = max(self._clock.now(), self._last_stamp + timedelta(microseconds=1))
            return self._last_stamp

    def tags(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Return the tags of these names, new ones where there are none yet."""
        with self.lock:
            return [self._tags.setdefault(name, self._new_tag(name)) for name in names]

    def book(
        self, area: Area, asked: dict[str, Any], starts: datetime, ends: datetime, tags: list[str]
    ) -> Order:
        """Put an order on the books and plan its deliveries."""
        with self.lock:
            lifetime = self._options.delivery
            order = Order(
                id=str(uuid4()),
                area=area,
                asked=asked,
                starts=starts,
                ends=ends,
                created=self.stamp(),
                tags=self.tags(tags),
                lifetime=lifetime,
            )
            if lifetime is not None:
                chosen = self._scenes_for(order)
                share = (_UNTIL_CLOSING - _UNTIL_ACCEPTED) / max(1, len(chosen))
                order.due = [
                    (order.created + lifetime * (_UNTIL_ACCEPTED + share * (number + 1)), scene)
                    for number, scene in enumerate(chosen)
                ]
            self.orders[order.id] = order
            return order

    def deliver(self) -> None:
        """Bring into the catalogue whatever is due by now."""
        with self.lock:
            now = self._clock.now()
            for order in self.orders.values():
                if order.fixed_state == "rejected":
                    continue
                while order.due and order.due[0][0] <= now:
                    self._hand_over(order.due.pop(0)[1].item, order)

    def told_orders(self) -> list[dict[str, Any]]:
        """Return every order as the API tells it, oldest first."""
        with self.lock:
            now = self._clock.now()
            newer = self._options.newer
            return [order.answer(now, newer=newer) for order in self.orders.values()]

    def told_areas(self) -> list[dict[str, Any]]:
        """Return every area as the API tells it, oldest first."""
        with self.lock:
            return [area.answer(newer=self._options.newer) for area in self.areas.values()]

    def settle(self, order_id: str, state: str, reason: str | None) -> None:
        """Put an order into a state for good.

        Raises:
            KeyError: There is no such order.
        """
        with self.lock:
            order = self.orders[order_id]
            order.fixed_state = state
            order.rejection_reason = reason

    def is_wanted(self, area: Area) -> bool:
        """Say whether an order that is not done yet uses the area."""
        now = self._clock.now()
        with self.lock:
            return any(
                order.area.id == area.id and order.state(now, newer=True) in ACTIVE
                for order in self.orders.values()
            )

    def _hand_over(self, item: dict[str, Any], order: Order) -> None:
        collection, item_id = item["collection"], item["id"]
        taken = {held.key for held in self._catalogue.items()}
        if not self._options.newer:
            if (collection, item_id) not in taken:
                self._catalogue.add_item(item)
            return
        # The newer API's items name their order, so a second order gets an item of its own.
        name, number = item_id, 1
        while (collection, name) in taken:
            number += 1
            name = f"{item_id}_{number}"
        delivered = copy.deepcopy(item)
        delivered["id"] = name
        delivered["links"] = [
            {**link, "href": link["href"].replace(f"/items/{item_id}", f"/items/{name}")}
            for link in item["links"]
        ]
        delivered["properties"]["order:id"] = order.id
        self._catalogue.add_item(delivered)

    def _scenes_for(self, order: Order) -> list[Scene]:
        """Choose the scenes an order gets: place, time, product, light, then how often."""
        from shapely.geometry import shape

        wanted = order.asked
        collection = wanted["product_name"].lower()
        light = wanted["illumination_constraint"]
        most = wanted.get("maximum_number_of_images")
        if wanted["frequency"] in ("single_image", "single-image"):
            most = 1
        period = _PERIODS.get(wanted["frequency"], timedelta(0))
        chosen: list[Scene] = []
        not_before = order.starts
        for scene in self._scenes:
            taken = datetime.fromisoformat(scene.item["properties"]["datetime"]).astimezone(UTC)
            if (
                scene.item["collection"] == collection
                and max(order.starts, not_before) <= taken <= order.ends
                and (light is None or scene.is_day is None or scene.is_day == (light == "day"))
                and order.area.polygon.intersects(shape(scene.item["geometry"]))
                and (most is None or len(chosen) < most)
            ):
                chosen.append(scene)
                not_before = taken + period
        return chosen

    def _new_tag(self, name: str) -> dict[str, str]:
        created = _zulu(self._clock.now(), timespec="milliseconds")
        return {"name": name, "id": str(uuid4()), "created": created}


def _zulu(when: datetime, *, timespec: str = "microseconds") -> str:
    return when.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
