"""Orders that were sent, found among those that are there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellr_stac.orders import Order
from constellr_stac.orders.matching import is_like, paired


def make_order(**changes: Any) -> Order:
    """Return an order, with changes."""
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
def test_an_order_that_differs_in_a_field_is_another(change: dict[str, Any]) -> None:
    """Every field that was sent counts."""
    assert is_like(make_order(), make_order())
    assert not is_like(make_order(), make_order(**change))
    assert not is_like(make_order(**change), make_order())


@pytest.mark.parametrize(
    "filled_in",
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
def test_what_the_server_fills_in_makes_no_other_order(filled_in: dict[str, Any]) -> None:
    """What was not sent may be anything; tags have no sequence."""
    assert is_like(make_order(), make_order(**filled_in))


def test_what_was_sent_of_the_newer_fields_counts() -> None:
    """A limit or an option that was sent has to be there."""
    sent = make_order(maximum_number_of_images=3, product_options={"sharpened_10m": True}, x=1)
    assert is_like(sent, sent)
    assert not is_like(sent, sent.draft(maximum_number_of_images=4))
    assert not is_like(sent, sent.draft(product_options={"sharpened_10m": False}))
    assert not is_like(sent, sent.draft(x=2))


def test_the_batchs_comment_may_become_the_orders() -> None:
    """An order without a comment may be given its batch's; one with a comment keeps it."""
    assert is_like(make_order(), make_order(comment="batch"), batch_comment="batch")
    assert is_like(make_order(), make_order(), batch_comment="batch")
    own = make_order(comment="own")
    assert not is_like(own, make_order(comment="batch"), batch_comment="batch")


def test_two_equal_orders_need_two() -> None:
    """What was sent twice is there only if it is there twice."""
    sent = [make_order(), make_order()]
    candidates, own = paired(sent, [make_order(id="1")])
    assert [order.id for order in candidates] == ["1"]
    assert [order and order.id for order in own] == ["1", None]
    _, own = paired(sent, [make_order(id="1"), make_order(id="2")])
    assert {order.id for order in own if order} == {"1", "2"}


def test_an_order_with_wishes_does_not_lose_its_own_to_one_without() -> None:
    """A vague order takes what is left, not what the exact one needs."""
    vague, exact = make_order(), make_order(maximum_number_of_images=3)
    there = [make_order(id="3", maximum_number_of_images=3), make_order(id="1")]
    _, own = paired([vague, exact], there)
    assert [order and order.id for order in own] == ["1", "3"]


kinds = st.sampled_from(["daily", "monthly", "weekly"])


@given(sent=st.lists(kinds, max_size=8), there=st.lists(kinds, max_size=12), seed=st.randoms())
def test_pairs_are_those_of_multisets(sent: list[str], there: list[str], seed: Any) -> None:
    """Each order that was sent has its own exactly where the multiset there has enough."""
    stock = [make_order(id=str(n), frequency=kind) for n, kind in enumerate(there)]
    seed.shuffle(stock)
    candidates, own = paired([make_order(frequency=kind) for kind in sent], stock)
    found = [order for order in own if order is not None]
    assert len({order.id for order in found}) == len(found)
    assert sorted(order.frequency for order in found) == sorted(
        kind for kind in set(sent) for _ in range(min(sent.count(kind), there.count(kind)))
    )
    assert all(
        order is None or order.frequency == kind for order, kind in zip(own, sent, strict=True)
    )
    assert len(candidates) == sum(kind in sent for kind in there)
