"""The client's rules equal the server's."""

from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.affinity import scale

from constellr_stac import BadRequestError, OrderValidationError, ValidationError
from constellr_stac.orders import (
    CONTRACT_RULES,
    NEWER_RULES,
    AreaOfInterest,
    GeometryInfo,
    InvalidAreaError,
    OrderRules,
    OrdersClient,
    ProductRules,
    check_order,
    check_orders,
    measure,
    same_area,
    violations,
)
from ordering import FIELD, TODAY, client_of, new_name, open_sandbox, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOTH = (CONTRACT_RULES, NEWER_RULES)


def fields_of(order: dict[str, Any], rules: OrderRules, **options: Any) -> list[str]:
    """Return the fields in which an order breaks rules."""
    found = violations([order], rules=rules, today=TODAY, **options)
    return [violation.field for violation in found]


def fusion(**changes: Any) -> dict[str, Any]:
    """Return a valid order of the daily product."""
    return wish("a", product_name="LSTfusion", frequency="daily", **changes)


CASES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    # order, fields that break the contract's rules, fields that break the newer rules
    "good": (wish("a"), [], []),
    "good fusion": (fusion(), [], []),
    "in eight days": (wish("a", start_date="2026-08-09", end_date="2026-08-16"), [], []),
    "in seven days": (
        wish("a", start_date="2026-08-08T23:59:59.999Z", end_date="2026-08-16"),
        ["start_date"],
        [],
    ),
    "in eight days elsewhere": (
        wish("a", start_date="2026-08-09T00:30+01:00", end_date="2026-08-20"),
        ["start_date"],
        [],
    ),
    "today": (wish("a", start_date="2026-08-01"), ["start_date"], []),
    "yesterday": (wish("a", start_date="2026-07-31"), ["start_date"], ["start_date"]),
    "fusion of old": (fusion(start_date="2015-01-01", end_date="2026-01-01"), [], []),
    "seven days": (wish("a", start_date="2026-09-01", end_date="2026-09-08"), [], []),
    "a second less": (
        wish("a", start_date="2026-09-01", end_date="2026-09-07T23:59:59Z"),
        ["end_date"],
        ["end_date"],
    ),
    "fusion of a minute": (
        fusion(start_date="2026-09-01", end_date="2026-09-01T00:01Z"),
        [],
        [],
    ),
    "a year": (wish("a", start_date="2027-09-01", end_date="2028-09-01"), [], []),
    "a year from a leap day": (wish("a", start_date="2028-02-29", end_date="2029-03-01"), [], []),
    "a second more": (
        wish("a", start_date="2027-09-01", end_date="2028-09-01T00:00:01Z"),
        ["end_date"],
        ["end_date"],
    ),
    "to the end of time": (wish("a", end_date="9999-12-31"), ["end_date"], ["end_date"]),
    "at the end of time": (
        wish("a", start_date="9999-12-01", end_date="9999-12-31T23:59:59Z"),
        [],
        [],
    ),
    "backwards": (wish("a", end_date="2026-08-31"), ["end_date"], ["end_date"]),
    "fusion of nothing": (
        fusion(start_date="2026-09-01", end_date="2026-09-01"),
        ["end_date"],
        ["end_date"],
    ),
    "daily": (wish("a", frequency="daily"), ["frequency"], ["frequency"]),
    "weekly": (wish("a", frequency="weekly"), ["frequency"], []),
    "single": (wish("a", frequency="single-image"), [], []),
    "monthly fusion": (
        wish("a", product_name="LSTfusion", frequency="monthly"),
        ["frequency"],
        ["frequency"],
    ),
    "ten tags": (wish("a", tags=[str(n) * 50 for n in range(10)]), [], []),
    "eleven tags": (wish("a", tags=[str(n) for n in range(11)]), ["tags"], ["tags"]),
    "a long tag": (wish("a", tags=["a", "b" * 51]), ["tags[1]"], ["tags[1]"]),
    "a tag thrice": (wish("a", tags=["a", "b", "a", "a"]), ["tags"], ["tags"]),
    "at night": (wish("a", illumination_constraint="night"), [], []),
    "at dusk": (
        wish("a", illumination_constraint="dusk"),
        ["illumination_constraint"],
        ["illumination_constraint"],
    ),
    "a misspelt field": (
        wish("a", ilumination_constraint="day"),
        ["ilumination_constraint"],
        ["ilumination_constraint"],
    ),
    "three images": (
        wish("a", maximum_number_of_images=3),
        ["maximum_number_of_images"],
        [],
    ),
    "three images a week": (
        wish("a", maximum_number_of_images=3, frequency="weekly"),
        ["maximum_number_of_images", "frequency"],
        [],
    ),
    "three single images": (
        wish("a", maximum_number_of_images=3, frequency="single_image"),
        ["maximum_number_of_images", "maximum_number_of_images"],
        ["maximum_number_of_images"],
    ),
    "no images": (
        wish("a", maximum_number_of_images=0),
        ["maximum_number_of_images", "maximum_number_of_images"],
        ["maximum_number_of_images"],
    ),
    "fusion with a limit": (
        fusion(maximum_number_of_images=1),
        ["maximum_number_of_images", "maximum_number_of_images"],
        ["maximum_number_of_images"],
    ),
    "sharpened": (wish("a", product_options={"sharpened_10m": True}), ["product_options"], []),
    "another product": (wish("a", product_name="LSTnext", frequency="hourly"), [], []),
    "a product in small letters": (
        wish("a", product_name="lstprecision"),
        ["product_name"],
        ["product_name"],
    ),
    "placed already": (wish("a", id="1", state="closed"), ["id"], ["id"]),
    "no area": (wish(""), ["area_of_interest_id"], ["area_of_interest_id"]),
}


@pytest.mark.parametrize("case", CASES)
def test_rules_at_their_limits(case: str) -> None:
    """Both sets of rules, at the last valid and the first invalid value."""
    order, contract, newer = CASES[case]
    assert fields_of(order, CONTRACT_RULES) == contract
    assert fields_of(order, NEWER_RULES) == newer


@pytest.mark.parametrize(
    ("metres", "order", "contract", "newer"),
    [
        (15_000.0, wish("a"), True, True),
        (15_000.1, wish("a"), False, False),
        (59.9, fusion(), True, False),
        (60.0, fusion(), True, True),
        (110_000.0, fusion(), True, True),
        (110_000.1, fusion(), True, False),
        (float("inf"), wish("a"), False, False),
    ],
)
@pytest.mark.parametrize("turned", ["wide", "high"])
def test_width_and_height_limits(
    *, metres: float, order: dict[str, Any], contract: bool, newer: bool, turned: str
) -> None:
    """Width and height each have the limits."""
    other = 1000.0
    width, height = (metres, other) if turned == "wide" else (other, metres)
    size = GeometryInfo(bbox_width=width, bbox_height=height, area=1.0)
    for rules, is_allowed in zip(BOTH, (contract, newer), strict=True):
        broken = fields_of(order, rules, areas={"a": size})
        assert broken == ([] if is_allowed else ["area_of_interest_id"])


def test_server_size_is_used_for_an_invalid_geometry() -> None:
    """An area that cannot be measured has the size stated by the server."""
    odd = {"type": "Polygon", "coordinates": []}
    area = AreaOfInterest(name="n", geometry=odd, bbox_width=20_000.0, bbox_height=1.0)
    assert fields_of(wish("a"), CONTRACT_RULES, areas={"a": area}) == ["area_of_interest_id"]
    unmeasured = AreaOfInterest(name="n", geometry=odd)
    assert fields_of(wish("a"), CONTRACT_RULES, areas={"a": unmeasured}) == []
    with pytest.raises(InvalidAreaError):
        violations([wish("a")], areas={"a": odd})


def test_one_error_has_every_violation() -> None:
    """Each violation names the order, the field, and a valid value."""
    orders: list[Any] = [
        wish("a", tags=["x", "x"], frequency="daily"),
        wish("a"),
        {"product_name": 3, "tags": [1]},
        "no order",
    ]
    with pytest.raises(OrderValidationError) as refused:
        check_orders(orders, areas={"a": FIELD.buffer(1)}, today=TODAY)
    found = [str(violation) for violation in refused.value.violations]
    assert found[:2] == [
        "orders[0].tags: x is listed 2 times",
        (
            "orders[0].frequency: daily is not offered for LSTprecision; choose single_image, "
            "max_frequency, once_every_two_weeks, monthly"
        ),
    ]
    indices = [violation.index for violation in refused.value.violations]
    assert indices == [0, 0, 0, 1] + [2] * 6 + [3]
    assert "orders[2].tags[0]: " in str(refused.value)
    with pytest.raises(OrderValidationError) as batch:
        check_orders([*orders, *[orders[1]] * 25], areas={"a": FIELD.buffer(1)}, today=TODAY)
    assert batch.value.violations[0].index is None, "what concerns the batch comes first"
    assert "orders[3]: " in str(refused.value)
    assert "11 rules are broken" in str(refused.value)
    assert len(set(refused.value.violations)) == 11
    saved = pickle.loads(pickle.dumps(refused.value))  # noqa: S301 - our own
    assert saved.violations == refused.value.violations


def test_check_order() -> None:
    """``check_order`` checks one order, with or without its area."""
    check_order(wish("a"), area=FIELD, today=TODAY)
    with pytest.raises(OrderValidationError, match="1 rule is broken"):
        check_order(wish("a"), area=FIELD.buffer(1), today=TODAY)
    with pytest.raises(OrderValidationError, match="start_date"):
        check_order(wish("a", start_date=date(2020, 1, 1)))
    with pytest.raises(OrderValidationError, match="field required"):
        check_order({}, area=FIELD)


def test_batch_size_limits() -> None:
    """An empty batch and more than 25 orders are violations."""
    with pytest.raises(OrderValidationError, match="the batch is empty"):
        check_orders([])
    check_orders([wish("a")] * 25, today=TODAY)
    with pytest.raises(OrderValidationError, match="26 in one batch, 25 at most"):
        check_orders([wish("a")] * 26, today=TODAY)


def test_rules_can_be_replaced() -> None:
    """A modified copy works; the originals are frozen."""
    lenient = replace(
        CONTRACT_RULES,
        max_tags=20,
        fields=CONTRACT_RULES.fields | {"novelty"},
        products={**CONTRACT_RULES.products, "LSTnext": ProductRules(frequencies=("hourly",))},
    )
    order = wish("a", tags=[str(n) for n in range(20)], novelty=1)
    assert fields_of(order, lenient) == []
    assert fields_of(wish("a", product_name="LSTnext"), lenient) == ["frequency"]
    with pytest.raises(FrozenInstanceError):
        lenient.max_tags = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(lenient)) == lenient  # noqa: S301 - our own


def test_client_uses_given_rules() -> None:
    """Rules passed to the client are used."""
    rules = replace(NEWER_RULES, max_orders=1)
    with open_sandbox() as sandbox, client_of(sandbox, rules=rules) as client:
        area = client.create_aoi(new_name(), FIELD)
        assert client.rules is rules
        with pytest.raises(OrderValidationError, match="1 at most"):
            client.create([wish(area)] * 2, duplicate_ok=True)


# The client's check against the server


class Versions:
    """Sandboxes of both API versions, each with a client and areas of all sizes."""

    def __init__(self) -> None:
        self.sandboxes = {False: open_sandbox(), True: open_sandbox(newer=True)}
        self.clients: dict[bool, OrdersClient] = {}
        self.areas: dict[bool, list[AreaOfInterest]] = {}
        for newer, sandbox in self.sandboxes.items():
            sandbox.start()
            client = self.clients[newer] = client_of(sandbox)
            self.areas[newer] = [client.create_aoi(new_name(), square(side)) for side in SIDES]

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        for sandbox in self.sandboxes.values():
            sandbox.stop()


NEWER_FIELDS = NEWER_RULES.fields - CONTRACT_RULES.fields
"""Fields that the older server ignores and the check refuses."""
SIDES = (40.0, 59.9, 61.0, 1000.0, 14_999.9, 15_000.1, 109_999.0, 110_001.0)


def square(side: float) -> shapely.Polygon:
    """Return a polygon whose bounding box is at most ``side`` metres, as the API measures it."""
    drawn = shapely.box(8.845, 49.9, 9.155, 50.1)
    for _ in range(4):
        size = measure(drawn)
        factor = side / max(size.bbox_width, size.bbox_height)
        drawn = scale(drawn, factor, factor)
    return drawn


@pytest.fixture(scope="module")
def ages() -> Iterator[Versions]:
    """Both API versions."""
    ages = Versions()
    yield ages
    ages.close()


NOT_THE_SERVERS = {
    "a misspelt field",  # ignored there
    "a product in small letters",  # 404, as any unknown product
    "another product",
    "no area",
    "placed already",
}


@pytest.mark.parametrize("case", sorted(CASES.keys() - NOT_THE_SERVERS))
@pytest.mark.parametrize("age", ["older", "newer"])
def test_server_agrees_on_every_case(ages: Versions, case: str, age: str) -> None:
    """The server accepts and refuses the same orders."""
    newer = age == "newer"
    order, *broken = CASES[case]
    expected = [field for field in broken[newer] if newer or field not in NEWER_FIELDS]
    area = next(area for area in ages.areas[newer] if same_area(area.geometry, square(1000.0)))
    order = {**order, "area_of_interest_id": area.id}
    if expected:
        with pytest.raises((BadRequestError, ValidationError)):
            ages.clients[newer].create(order, check=False)
    else:
        assert ages.clients[newer].create(order, check=False, duplicate_ok=True)


@pytest.mark.parametrize("age", ["older", "newer"])
@pytest.mark.parametrize("product", ["LSTprecision", "LSTzoom", "LSTfusion"])
def test_server_agrees_on_every_size(ages: Versions, product: str, age: str) -> None:
    """The server accepts and refuses the same sizes."""
    newer = age == "newer"
    client = ages.clients[newer]
    frequency = "daily" if product == "LSTfusion" else "monthly"
    for area in ages.areas[newer]:
        order = wish(area, product_name=product, frequency=frequency)
        if refusal(client.check_order, order):
            with pytest.raises(BadRequestError, match="bounding box"):
                client.create(order, check=False)
        else:
            assert client.create(order, duplicate_ok=True)


def moment(days: int, seconds: int = 0) -> datetime:
    """Return a time, counted from the start of today."""
    return datetime(2026, 8, 1, tzinfo=UTC) + timedelta(days=days, seconds=seconds)


seconds = st.sampled_from([-1, 0, 1])
scenes = st.fixed_dictionaries(
    {
        "product_name": st.sampled_from(["LSTprecision", "LSTzoom"]),
        "frequency": st.sampled_from(["single-image", "max_frequency", "monthly"]),
        "number_of_area": st.integers(0, 4),
        "start": st.integers(8, 30).map(moment),
        "period": st.integers(7, 365).map(lambda days: timedelta(days=days)),
    }
)
daily = st.fixed_dictionaries(
    {
        "product_name": st.just("LSTfusion"),
        "frequency": st.just("daily"),
        "number_of_area": st.integers(2, 6),
        "start": st.integers(-3000, 30).map(moment),
        "period": st.integers(1, 3000).map(lambda days: timedelta(days=days)),
    }
)
deviations = st.one_of(
    *(
        st.fixed_dictionaries({name: values})
        for name, values in {
            "product_name": st.sampled_from(["LSTprecision", "LSTfusion"]),
            "frequency": st.sampled_from(
                ["single_image", "once_every_two_weeks", "weekly", "daily", "hourly"]
            ),
            "number_of_area": st.integers(0, len(SIDES) - 1),
            "start": st.builds(moment, st.sampled_from([0, 7, 8]), seconds),
            "period": st.builds(
                lambda days, seconds: timedelta(days=days, seconds=seconds),
                st.sampled_from([-1, 0, 7, 365, 366]),
                seconds,
            ),
            "tags": st.lists(st.sampled_from(["a", "b", "ä" * 50, "c" * 51]), max_size=3)
            | st.sampled_from([[str(n) for n in range(many)] for many in (10, 11)]),
            "illumination_constraint": st.sampled_from([None, "day", "night", "dusk"]),
            "comment": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            "maximum_number_of_images": st.integers(-1, 3),
            "product_options": st.just({"sharpened_10m": True}),
        }.items()
    )
)
wishes = st.builds(
    lambda fields, changes: {
        name: value for part in [fields, *changes] for name, value in part.items()
    },
    scenes | daily,
    st.lists(deviations, max_size=2),
)


def refusal(check: Callable[[Any], Any], value: Any) -> str:
    """Return the error message for a value, or an empty string."""
    try:
        check(value)
    except (OrderValidationError, InvalidAreaError) as refused:
        return str(refused)
    return ""


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(orders=st.lists(wishes, min_size=1, max_size=2), newer=st.booleans())
def test_check_and_server_agree(
    ages: Versions, *, orders: list[dict[str, Any]], newer: bool
) -> None:
    """An order that passes the check is placed unchanged; any other is refused by the server."""
    client = ages.clients[newer]
    batch = []
    for order in orders:
        fields = {name: value for name, value in order.items() if newer or name not in NEWER_FIELDS}
        fields["area_of_interest_id"] = ages.areas[newer][fields.pop("number_of_area")].id
        fields["start_date"] = fields.pop("start").isoformat()
        fields["end_date"] = (order["start"] + fields.pop("period")).isoformat()
        batch.append(fields)
    if refusal(client.check_orders, batch):
        with pytest.raises((BadRequestError, ValidationError)):
            client.create(batch, check=False, duplicate_ok=True)
    else:
        placed = client.create(batch, duplicate_ok=True)
        for sent, there in zip(client.create(batch, dry_run=True)["orders"], placed, strict=True):
            kept = there.draft().payload()
            assert {name: kept.get(name) for name in sent} == sent


coordinates = st.tuples(
    st.floats(-179, 179) | st.sampled_from([-180.0, 180.0, 180.5]),
    st.floats(-89, 89) | st.sampled_from([-90.0, 90.0, 91.0]),
)
near = st.tuples(st.floats(8.5, 8.7), st.floats(49.8, 49.9))
rings = st.lists(coordinates | near, max_size=6).flatmap(
    lambda ring: st.sampled_from([ring, [*ring, *ring[:1]], [*ring, *ring[:1]]])
)
geometries = st.one_of(
    st.lists(rings, max_size=2).map(lambda rings: {"type": "Polygon", "coordinates": rings}),
    st.lists(near, min_size=3, max_size=8, unique=True).map(
        lambda points: shapely.geometry.mapping(shapely.MultiPoint(points).convex_hull)
    ),
)


def find_end(geometry: dict[str, Any]) -> None:
    """Refuse an area so far from its UTM zone that its size is infinite."""
    size = measure(geometry)
    if math.inf in (size.bbox_width, size.bbox_height, size.area):
        raise InvalidAreaError("endless")


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(geometry=geometries, newer=st.booleans())
def test_server_agrees_on_areas_and_sizes(
    ages: Versions, *, geometry: dict[str, Any], newer: bool
) -> None:
    """The server accepts every valid geometry, and measures it as we do.

    Areas across the antimeridian are only refused locally: the server would take the complement.
    """
    client = ages.clients[newer]
    refused = refusal(measure, geometry) or refusal(find_end, geometry)
    if refused:
        form = "geojson" if newer else "geometry"
        body = {"name": str(uuid4()), form: geometry}
        response = client._api.send("POST", "/areas-of-interest", json=body)
        assert "antimeridian" in refused or response.status_code in (400, 422), refused
        return
    ours = measure(geometry)
    area = client.create_aoi(new_name(), geometry)
    reported = client.geometry_info(geometry)
    for server in (area, reported):
        assert server.bbox_width == pytest.approx(ours.bbox_width, abs=0.051)
        assert server.bbox_height == pytest.approx(ours.bbox_height, abs=0.051)
    assert reported.area == pytest.approx(ours.area, abs=0.051, rel=1e-9)
