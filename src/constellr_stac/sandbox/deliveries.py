"""Deliveries of an order: which scenes, when, and as which items."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shapely.geometry import shape

from .orders import UNTIL_ACCEPTED, UNTIL_CLOSING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .orders import Draft, Order
    from .scenes import Scene

__all__ = ["as_delivered", "planned"]

_PERIODS = {
    "weekly": timedelta(days=7),
    "once_every_two_weeks": timedelta(days=14),
    "monthly": timedelta(days=30),
}


def planned(scenes: Iterable[Scene], order: Order) -> list[tuple[datetime, Scene]]:
    """Return the delivery times and scenes of an order, spread over its lifetime, if any."""
    if order.lifetime is None:
        return []
    chosen = _matching(scenes, order.draft)
    share = (UNTIL_CLOSING - UNTIL_ACCEPTED) / max(1, len(chosen))
    return [
        (order.created + order.lifetime * (UNTIL_ACCEPTED + share * number), scene)
        for number, scene in enumerate(chosen, start=1)
    ]


def as_delivered(
    item: dict[str, Any], order_id: str, existing: Container[tuple[str, str]]
) -> dict[str, Any]:
    """Return the item in the newer API's form, with its order's id.

    A second order for the same scene gets an item with a numbered id.
    """
    collection, item_id = item["collection"], item["id"]
    name, number = item_id, 1
    while (collection, name) in existing:
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


def _matching(scenes: Iterable[Scene], draft: Draft) -> list[Scene]:
    """Return the scenes matching product, time, light and place, thinned to the frequency."""
    fields = draft.fields
    light = fields["illumination_constraint"]
    limit = fields.get("maximum_number_of_images")
    if fields["frequency"] in ("single_image", "single-image"):
        limit = 1
    period = _PERIODS.get(fields["frequency"], timedelta(0))
    chosen: list[Scene] = []
    earliest = draft.starts
    for scene in scenes:
        acquired = datetime.fromisoformat(scene.item["properties"]["datetime"]).astimezone(UTC)
        if (
            scene.item["collection"] == fields["product_name"].lower()
            and earliest <= acquired <= draft.ends
            and (light is None or scene.is_day in (None, light == "day"))
            and draft.area.polygon.intersects(shape(scene.item["geometry"]))
        ):
            chosen.append(scene)
            earliest = acquired + period
    return chosen[:limit]
