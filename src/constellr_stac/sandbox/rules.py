"""What may be ordered: the API's rules of both ages, as the server keeps them.

Written from the API's documentation and independent of the client's own table, so that tests
of one against the other mean something.
"""

from __future__ import annotations

from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Measures

__all__ = ["MOST_ORDERS", "PRODUCTS", "Wish", "broken_rules", "broken_tag_rules"]

MOST_ORDERS = 25
"""How many orders the newer API takes at once."""

PRODUCTS = frozenset({"LSTprecision", "LSTzoom", "LSTfusion"})
"""What can be ordered; LSTzoom is the older name and not listed as available any more."""

_LARGEST_SCENE = 15_000.0
_SMALLEST_FUSION, _LARGEST_FUSION = 60.0, 110_000.0
_NOTICE = timedelta(days=8)
_SHORTEST = timedelta(days=7)
_MOST_TAGS = 10
_LONGEST_TAG = 50
_SCENE_FREQUENCIES = frozenset(
    {"single_image", "single-image", "max_frequency", "once_every_two_weeks", "monthly"}
)


class Wish(NamedTuple):
    """What the rules look at in an order; times in UTC."""

    product: str
    frequency: str
    starts: datetime
    ends: datetime
    tags: list[str]
    most_images: int | None


def broken_rules(wish: Wish, size: Measures, today: date, *, newer: bool) -> list[str]:
    """Return what is wrong with an order, as sentences; nothing is wrong with an empty list.

    Args:
        wish: The order.
        size: How large its area is.
        today: The date orders are placed on.

    Keyword Args:
        newer: Whether the rules of the newer API hold.
    """
    found = list(broken_tag_rules(wish.tags))
    if wish.ends <= wish.starts:
        found.append("end_date has to be after start_date")
    if wish.product == "LSTfusion":
        found += _broken_by_fusion(wish, size, newer=newer)
    else:
        found += _broken_by_scenes(wish, size, today, newer=newer)
    return found


def broken_tag_rules(tags: list[str]) -> Iterator[str]:
    """Yield what is wrong with an order's tags."""
    if len(tags) > _MOST_TAGS:
        yield f"at most {_MOST_TAGS} tags are allowed"
    if any(len(tag) > _LONGEST_TAG for tag in tags):
        yield f"a tag has at most {_LONGEST_TAG} characters"
    if len(set(tags)) < len(tags):
        yield "duplicate tags are not allowed"


def _broken_by_scenes(wish: Wish, size: Measures, today: date, *, newer: bool) -> Iterator[str]:
    if max(size.width, size.height) > _LARGEST_SCENE:
        yield (
            f"the area's bounding box is {size.width:.1f} m x {size.height:.1f} m, "
            f"the limit is {_LARGEST_SCENE:.0f} m x {_LARGEST_SCENE:.0f} m"
        )
    earliest = today if newer else today + _NOTICE
    if wish.starts.astimezone(UTC).date() < earliest:
        yield f"start_date must not be before {earliest}"
    if wish.ends - wish.starts < _SHORTEST:
        yield f"the duration has to be at least {_SHORTEST.days} days"
    if wish.ends > _a_year_after(wish.starts):
        yield "the duration must not be more than one year"
    frequencies = _SCENE_FREQUENCIES | {"weekly"} if newer else _SCENE_FREQUENCIES
    if wish.frequency not in frequencies:
        yield f"frequency {wish.frequency} is not available for {wish.product}"
    if wish.frequency == "single_image" and wish.most_images not in (None, 1):
        yield "maximum_number_of_images has to be 1 for a single image"


def _broken_by_fusion(wish: Wish, size: Measures, *, newer: bool) -> Iterator[str]:
    if wish.frequency != "daily":
        yield f"frequency {wish.frequency} is not available for {wish.product}"
    if newer:
        sides = (size.width, size.height)
        if min(sides) < _SMALLEST_FUSION or max(sides) > _LARGEST_FUSION:
            yield (
                f"the area's bounding box is {size.width:.1f} m x {size.height:.1f} m, it has to "
                f"be from {_SMALLEST_FUSION:.0f} m to {_LARGEST_FUSION:.0f} m"
            )
        if wish.most_images is not None:
            yield "maximum_number_of_images is not available for LSTfusion"


def _a_year_after(start: datetime) -> datetime:
    """Return the same day of the next year; 1 March where it has no 29 February."""
    if start.year == MAXYEAR:
        return datetime.max.replace(tzinfo=UTC)
    try:
        return start.replace(year=start.year + 1)
    except ValueError:
        return start.replace(year=start.year + 1, month=3, day=1)
