"""What an order brings: which scenes, when, and as which items."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shapely.geometry import shape

from .orders import UNTIL_ACCEPTED, UNTIL_CLOSING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .orders import Order
    from .scenes import Scene

__all__ = ["as_delivered", "planned"]

_PERIODS = {
    "weekly": timedelta(days=7),
    "once_every_two_weeks": timedelta(days=14),
    "monthly": timedelta(days=30),
}


def planned(
    scenes: Iterable[Scene], order: Order, lifetime: timedelta
) -> list[tuple[datetime, Scene]]:
    """Return the scenes an order gets, and when, spread over the life of the order."""
    chosen = _chosen(scenes, order)
    share = (UNTIL_CLOSING - UNTIL_ACCEPTED) / max(1, len(chosen))
    return [
        (order.created + lifetime * (UNTIL_ACCEPTED + share * number), scene)
        for number, scene in enumerate(chosen, start=1)
    ]


def as_delivered(
    item: dict[str, Any], order_id: str, taken: Container[tuple[str, str]]
) -> dict[str, Any]:
    """Return the item of the newer API, which names its order.

    A second order for the same scene gets an item of its own, with a number behind its id.
    """
    collection, item_id = item["collection"], item["id"]
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
    delivered["properties"]["order:id"] = order_id
    return delivered


def _chosen(scenes: Iterable[Scene], order: Order) -> list[Scene]:
    """Choose the scenes an order gets: product, time, light, place, then how often."""
    asked = order.asked
    light = asked["illumination_constraint"]
    most = asked.get("maximum_number_of_images")
    if asked["frequency"] in ("single_image", "single-image"):
        most = 1
    period = _PERIODS.get(asked["frequency"], timedelta(0))
    chosen: list[Scene] = []
    not_before = order.starts
    for scene in scenes:
        taken = datetime.fromisoformat(scene.item["properties"]["datetime"]).astimezone(UTC)
        if (
            scene.item["collection"] == asked["product_name"].lower()
            and not_before <= taken <= order.ends
            and (light is None or scene.is_day in (None, light == "day"))
            and order.area.polygon.intersects(shape(scene.item["geometry"]))
        ):
            chosen.append(scene)
            not_before = taken + period
    return chosen[:most]
