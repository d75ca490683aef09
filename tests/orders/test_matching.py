"""Matching sent orders with orders on the server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellr_stac.orders import Order
from constellr_stac.orders.matching import match_orders, matches


def make_order(**changes: Any) -> Order:
    """Return an order with changes."""
    fields: dict[str, Any] = {
        "area_of_interest_id": "1c53eaa-9b26",
        "product_name": "LSTprecision",
        "frequency": "monthly",
        "start_date": "2026-06-01T10:30:08.004Z",
        "end_date": "2026-08-31",
        "tags": ["a", "b"],
    }
    return Order.model_validate(fields | changes)


@pytest.mark.parametrize(
    "change",
    [
        {"area_of_interest_id": "another"},
        {"product_name": "LSTzoom"},
        {"frequency": "max_frequency"},
        {"start_date": "2026-06-01T10:30:08.004001Z"},
        {"end_date": "2026-09-01"},
        {"tags": ["a"]},
        {"tags": ["a", "b", "c"]},
        {"tags": ["a", "b", "b"]},
        {"comment": "another"},
        {"illumination_constraint": "day"},
    ],
)
def test_different_field_does_not_match(change: dict[str, Any]) -> None:
    """Every sent field is compared."""
    assert matches(make_order(), make_order())
    assert not matches(make_order(), make_order(**change))
    assert not matches(make_order(**change), make_order())


@pytest.mark.parametrize(
    "server_fields",
    [
        {"id": "1", "state": "initial_state", "created": "2026-05-01"},
        {"tags": [{"name": "b", "id": "2"}, {"name": "a", "id": "1"}]},
        {"comment": ""},
        {"area_of_interest_id": "1C53EAA-9B26"},
        {"area_of_interest_id": "urn:uuid:1c53eaa9b26"},
        {"maximum_number_of_images": 5, "product_options": {"sharpened_10m": False}},
        {"novelty": 1},
    ],
)
def test_fields_set_by_the_server_are_ignored(server_fields: dict[str, Any]) -> None:
    """Fields that were not sent may have any value; tags are unordered."""
    assert matches(make_order(), make_order(**server_fields))


def test_sent_optional_fields_are_compared() -> None:
    """A limit or option that was sent must be present."""
    sent = make_order(maximum_number_of_images=3, product_options={"sharpened_10m": True}, x=1)
    assert matches(sent, sent)
    assert not matches(sent, sent.draft(maximum_number_of_images=4))
    assert not matches(sent, sent.draft(product_options={"sharpened_10m": False}))
    assert not matches(sent, sent.draft(x=2))


def test_batch_comment_may_be_copied_to_the_order() -> None:
    """An order without a comment may get the batch's; one with a comment keeps it."""
    assert matches(make_order(), make_order(comment="batch"), batch_comment="batch")
    assert matches(make_order(), make_order(), batch_comment="batch")
    own = make_order(comment="own")
    assert not matches(own, make_order(comment="batch"), batch_comment="batch")


def test_equal_orders_need_one_match_each() -> None:
    """An order sent twice is found only if it exists twice."""
    sent = [make_order(), make_order()]
    candidates, own = match_orders(sent, [make_order(id="1")])
    assert [order.id for order in candidates] == ["1"]
    assert [order and order.id for order in own] == ["1", None]
    _, own = match_orders(sent, [make_order(id="1"), make_order(id="2")])
    assert {order.id for order in own if order} == {"1", "2"}


def test_less_specific_order_leaves_the_only_match_to_the_other() -> None:
    """The pairing reassigns matches where needed."""
    vague, exact = make_order(), make_order(maximum_number_of_images=3)
    there = [make_order(id="3", maximum_number_of_images=3), make_order(id="1")]
    _, own = match_orders([vague, exact], there)
    assert [order and order.id for order in own] == ["1", "3"]


kinds = st.sampled_from(["daily", "monthly", "weekly"])


@given(sent=st.lists(kinds, max_size=8), there=st.lists(kinds, max_size=12), seed=st.randoms())
def test_pairing_equals_multiset_intersection(sent: list[str], there: list[str], seed: Any) -> None:
    """Each sent order is paired exactly if the server's multiset suffices."""
    stock = [make_order(id=str(n), frequency=kind) for n, kind in enumerate(there)]
    seed.shuffle(stock)
    candidates, own = match_orders([make_order(frequency=kind) for kind in sent], stock)
    found = [order for order in own if order is not None]
    assert len({order.id for order in found}) == len(found)
    assert sorted(order.frequency for order in found) == sorted(
        kind for kind in set(sent) for _ in range(min(sent.count(kind), there.count(kind)))
    )
    assert all(
        order is None or order.frequency == kind for order, kind in zip(own, sent, strict=True)
    )
    assert len(candidates) == sum(kind in sent for kind in there)
