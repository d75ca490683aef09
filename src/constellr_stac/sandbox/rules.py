"""The server's rules for orders, in the older and the newer API.

Written from the API's documentation, independent of the client's table, so that tests of one
against the other are meaningful.
"""

from __future__ import annotations

from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Measures

__all__ = ["MOST_ORDERS", "PRODUCTS", "OrderRequest", "broken_rules", "broken_tag_rules"]

MOST_ORDERS = 25
"""Maximum batch size of the newer API."""

PRODUCTS = frozenset({"LSTprecision", "LSTzoom", "LSTfusion"})
"""Products that can be ordered; LSTzoom is an older name and no longer listed."""

_LARGEST_SCENE = 15_000.0
_SMALLEST_FUSION, _LARGEST_FUSION = 60.0, 110_000.0
_NOTICE = timedelta(days=8)
_SHORTEST = timedelta(days=7)
_MOST_TAGS = 10
_LONGEST_TAG = 50
_SCENE_FREQUENCIES = frozenset(
    {"single_image", "single-image", "max_frequency", "once_every_two_weeks", "monthly"}
)


class OrderRequest(NamedTuple):
    """Fields of an order that the rules check; times in UTC."""

    product: str
    frequency: str
    starts: datetime
    ends: datetime
    tags: list[str]
    most_images: int | None


def broken_rules(order: OrderRequest, size: Measures, today: date, *, newer: bool) -> list[str]:
    """Return the broken rules as sentences.

    Args:
        order: The order.
        size: Size of its area.
        today: Date of placement.

    Keyword Args:
        newer: Whether the newer API's rules apply.
    """
    problems = list(broken_tag_rules(order.tags))
    if order.ends <= order.starts:
        problems.append("end_date must be after start_date")
    if order.product == "LSTfusion":
        problems += _broken_by_fusion(order, size, newer=newer)
    else:
        problems += _broken_by_scenes(order, size, today, newer=newer)
    return problems


def broken_tag_rules(tags: list[str]) -> Iterator[str]:
    """Yield the broken rules for tags."""
    if len(tags) > _MOST_TAGS:
        yield f"at most {_MOST_TAGS} tags are allowed"
    if any(len(tag) > _LONGEST_TAG for tag in tags):
        yield f"a tag has at most {_LONGEST_TAG} characters"
    if len(set(tags)) < len(tags):
        yield "duplicate tags are not allowed"


def _broken_by_scenes(
    order: OrderRequest, size: Measures, today: date, *, newer: bool
) -> Iterator[str]:
    if max(size.width, size.height) > _LARGEST_SCENE:
        yield (
            f"the area's bounding box is {size.width:.1f} m x {size.height:.1f} m, "
            f"the limit is {_LARGEST_SCENE:.0f} m x {_LARGEST_SCENE:.0f} m"
        )
    earliest = today if newer else today + _NOTICE
    if order.starts.astimezone(UTC).date() < earliest:
        yield f"start_date must not be before {earliest}"
    if order.ends - order.starts < _SHORTEST:
        yield f"the duration must be at least {_SHORTEST.days} days"
    if order.ends > _a_year_after(order.starts):
        yield "the duration must not be more than one year"
    frequencies = _SCENE_FREQUENCIES | {"weekly"} if newer else _SCENE_FREQUENCIES
    if order.frequency not in frequencies:
        yield f"frequency {order.frequency} is not available for {order.product}"
    if order.frequency == "single_image" and order.most_images not in (None, 1):
        yield "maximum_number_of_images must be 1 for a single image"


def _broken_by_fusion(order: OrderRequest, size: Measures, *, newer: bool) -> Iterator[str]:
    if order.frequency != "daily":
        yield f"frequency {order.frequency} is not available for {order.product}"
    if newer:
        sides = (size.width, size.height)
        if min(sides) < _SMALLEST_FUSION or max(sides) > _LARGEST_FUSION:
            yield (
                f"the area's bounding box is {size.width:.1f} m x {size.height:.1f} m, it must "
                f"be from {_SMALLEST_FUSION:.0f} m to {_LARGEST_FUSION:.0f} m"
            )
        if order.most_images is not None:
            yield "maximum_number_of_images is not available for LSTfusion"


def _a_year_after(start: datetime) -> datetime:
    """Return the same day of the next year; 1 March for 29 February."""
    if start.year == MAXYEAR:
        return datetime.max.replace(tzinfo=UTC)
    try:
        return start.replace(year=start.year + 1)
    except ValueError:
        return start.replace(year=start.year + 1, month=3, day=1)
