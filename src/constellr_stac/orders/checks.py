"""Check orders against the rules in :mod:`.rules`, reporting every violation at once."""

from __future__ import annotations

import difflib
from collections import Counter
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import InvalidAreaError

from .geometry import measure
from .payloads import AreaOfInterest, GeometryInfo, Order
from .rules import CONTRACT_RULES
from .violation import Violation, parse_orders, raise_violations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .rules import OrderRules, ProductRules

__all__ = ["check_order", "check_orders", "rule_violations", "tag_violations", "violations"]


def check_order(
    order: Order | Mapping[str, Any],
    *,
    area: Any = None,
    rules: OrderRules = CONTRACT_RULES,
    today: date | None = None,
) -> None:
    """Check one order against the rules, locally.

    Args:
        order: The order, or its fields.

    Keyword Args:
        area: The order's area of interest, or its geometry; by default its size is not checked.
        rules: The rules.
        today: The current date; default in UTC.

    Raises:
        OrderValidationError: ``violations`` holds every broken rule.
    """
    valid, malformed = parse_orders([order])
    areas = {} if area is None else {each.area_of_interest_id: area for each in valid.values()}
    raise_violations(rule_violations(valid, malformed, areas=areas, rules=rules, today=today))


def check_orders(
    orders: Iterable[Order | Mapping[str, Any]],
    *,
    areas: Mapping[str, Any] | None = None,
    rules: OrderRules = CONTRACT_RULES,
    today: date | None = None,
) -> None:
    """Check a batch of orders against the rules, locally.

    Args:
        orders: The orders, or their fields.

    Keyword Args:
        areas: Areas of interest, or their geometries, by id; only their sizes are checked.
        rules: The rules.
        today: The current date; default in UTC.

    Raises:
        OrderValidationError: ``violations`` holds every violation of every order.
    """
    raise_violations(violations(orders, areas=areas, rules=rules, today=today))


def violations(
    orders: Iterable[Order | Mapping[str, Any]],
    *,
    areas: Mapping[str, Any] | None = None,
    rules: OrderRules = CONTRACT_RULES,
    today: date | None = None,
) -> list[Violation]:
    """Return every violation of a batch; for the arguments see :func:`check_orders`.

    Example:
        >>> [found] = violations([{
        ...     "area_of_interest_id": "a", "product_name": "LSTfusion", "frequency": "monthly",
        ...     "start_date": "2026-06-01", "end_date": "2026-06-30",
        ... }])
        >>> print(found)
        orders[0].frequency: monthly is not offered for LSTfusion; choose daily
    """
    valid, malformed = parse_orders(orders)
    return rule_violations(valid, malformed, areas=areas or {}, rules=rules, today=today)


def rule_violations(
    valid: Mapping[int, Order],
    malformed: Iterable[Violation],
    *,
    areas: Mapping[str, Any],
    rules: OrderRules,
    today: date | None,
) -> list[Violation]:
    """Return every violation of a batch that was parsed by :func:`parse_orders`."""
    found = list(malformed)
    today = today or datetime.now(UTC).date()
    sizes = {key: _size_of(area) for key, area in areas.items()}
    count = len(valid.keys() | {violation.index for violation in found})
    if not count:
        found.append(Violation(None, "orders", "the batch is empty"))
    if count > rules.max_orders:
        problem = f"{count} in one batch, {rules.max_orders} at most; split the batch"
        found.append(Violation(None, "orders", problem))
    for index, order in valid.items():
        size = sizes.get(order.area_of_interest_id)
        found += [Violation(index, *problem) for problem in _check_order(order, size, rules, today)]
    return sorted(found, key=lambda violation: -1 if violation.index is None else violation.index)


def tag_violations(names: Sequence[str], rules: OrderRules) -> list[Violation]:
    """Return the violations of an order's tags."""
    return [Violation(None, *problem) for problem in _check_tags(names, rules)]


Problem = tuple[str, str]
"""A field, and what is wrong with it."""


def _check_order(
    order: Order, size: GeometryInfo | None, rules: OrderRules, today: date
) -> Iterator[Problem]:
    """Yield the problems of one order."""
    if order.id is not None:
        yield "id", f"already placed ({order.id}); pass order.draft() to order it again"
    if not order.area_of_interest_id:
        yield "area_of_interest_id", "is empty"
    yield from _check_fields(order, rules)
    yield from _check_tags(order.tag_names, rules)
    if order.illumination_constraint not in (None, *rules.illuminations):
        options = ", ".join(rules.illuminations)
        yield (
            "illumination_constraint",
            f"{order.illumination_constraint} is unknown; choose {options} or None",
        )
    if order.end_date <= order.start_date:
        yield "end_date", f"{_day(order.end_date)} is not after the start, {_day(order.start_date)}"
    product = rules.products.get(order.product_name)
    if product is None:
        name = order.product_name
        for known in rules.products:
            if known.casefold() == name.casefold():
                yield "product_name", f"unknown product {name}; did you mean {known}?"
        return
    yield from _check_images(order, product)
    if product.frequencies is not None and order.frequency not in product.frequencies:
        yield (
            "frequency",
            f"{order.frequency} is not offered for {order.product_name}; choose "
            + ", ".join(product.frequencies),
        )
    yield from _check_period(order, product, today)
    if size is not None:
        yield from _check_extent(order, product, size)


def _check_fields(order: Order, rules: OrderRules) -> Iterator[Problem]:
    for field in sorted(order.payload().keys() - rules.fields):
        similar = difflib.get_close_matches(field, rules.fields - order.model_fields_set, n=1)
        hint = f"; did you mean {similar[0]}?" if similar else ""
        yield field, f"unknown field{hint}"


def _check_tags(names: Sequence[str], rules: OrderRules) -> Iterator[Problem]:
    if len(names) > rules.max_tags:
        yield "tags", f"{len(names)} tags, {rules.max_tags} at most"
    for number, name in enumerate(names):
        if len(name) > rules.max_tag_length:
            yield f"tags[{number}]", f"{len(name)} characters, {rules.max_tag_length} at most"
    for name, times in Counter(names).items():
        if times > 1:
            yield "tags", f"{name} is listed {times} times"


def _check_images(order: Order, product: ProductRules) -> Iterator[Problem]:
    most = order.maximum_number_of_images
    if most is None:
        return
    field = "maximum_number_of_images"
    if not product.image_limit:
        yield field, f"not allowed for {order.product_name}"
    elif order.frequency == "single_image" and most != 1:
        yield field, f"{most} for single_image; omit it or pass 1"
    elif most < 1:
        yield field, f"{most}; the minimum is 1"


def _check_period(order: Order, product: ProductRules, today: date) -> Iterator[Problem]:
    if product.lead_days is not None:
        earliest = today + timedelta(days=product.lead_days)
        if order.start_date.date() < earliest:
            lead = f"{product.lead_days} days from today" if product.lead_days else "today"
            yield (
                "start_date",
                f"{_day(order.start_date)} is too early; the earliest is {earliest} ({lead})",
            )
    duration = order.end_date - order.start_date
    if product.min_days is not None and timedelta(0) < duration < timedelta(days=product.min_days):
        yield "end_date", f"the period is {duration}; the minimum is {product.min_days} days"
    if product.max_years is not None:
        latest = _years_later(order.start_date, product.max_years)
        if order.end_date > latest:
            yield "end_date", f"{_day(order.end_date)} is too late; the latest is {_day(latest)}"


def _check_extent(order: Order, product: ProductRules, size: GeometryInfo) -> Iterator[Problem]:
    box = f"the area's bounding box is {size.bbox_width:,.1f} m x {size.bbox_height:,.1f} m"
    shortest, longest = sorted((size.bbox_width, size.bbox_height))
    if product.max_bbox is not None and longest > product.max_bbox:
        limit = f"{product.max_bbox:,.0f} m x {product.max_bbox:,.0f} m"
        yield "area_of_interest_id", f"{box}; {limit} at most for {order.product_name}"
    if product.min_bbox is not None and shortest < product.min_bbox:
        limit = f"{product.min_bbox:,.0f} m x {product.min_bbox:,.0f} m"
        yield "area_of_interest_id", f"{box}; {limit} at least for {order.product_name}"


def _size_of(area: Any) -> GeometryInfo | None:
    """Measure an area; if that fails, use the server's values if there are any."""
    if isinstance(area, GeometryInfo):
        return area
    try:
        return measure(area)
    except InvalidAreaError:
        match area:
            case AreaOfInterest(bbox_width=float(width), bbox_height=float(height)):
                return GeometryInfo(bbox_width=width, bbox_height=height, area=width * height)
            case AreaOfInterest():
                return None
            case _:
                raise


def _years_later(start: datetime, years: int) -> datetime:
    """Return the moment ``years`` later; 29 February becomes 1 March if needed."""
    if start.year + years > MAXYEAR:
        return datetime.max.replace(tzinfo=UTC)
    try:
        return start.replace(year=start.year + years)
    except ValueError:
        return start.replace(year=start.year + years, month=3, day=1)


def _day(moment: datetime) -> str:
    return moment.isoformat().removesuffix("+00:00").removesuffix("T00:00:00")
