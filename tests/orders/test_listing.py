"""Listings that change while they are read."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from constellr_stac.errors import APIError
from constellr_stac.orders.paging import Page, listing, page_from
from ordering import FIELD, client_of, new_name, open_sandbox, wish

BATCH = 25
"""Orders that may be placed together."""


@dataclass
class Shelf:
    """A list, the newest first, that is changed by others between two requests."""

    size: int
    changes: list[tuple[int, list[float]]]
    """Before each request: how many are created, and which are deleted (as shares of the list)."""
    cap: int = 100
    deleted: set[str] = field(default_factory=set)
    requests: int = 0

    def __post_init__(self) -> None:
        self.items = [f"old{n}" for n in range(self.size)]
        self.present = set(self.items)

    def fetch(self, offset: int, limit: int) -> Page:
        if self.requests and self.changes:
            created, doomed = self.changes.pop()
            for share in doomed:
                if self.items:
                    self.deleted.add(self.items.pop(int(share * (len(self.items) - 1))))
            for n in range(created):
                self.items.insert(0, f"new{self.requests}.{n}")
        self.requests += 1
        self.present |= set(self.items)
        ids: list[dict[str, Any]] = [{"id": name} for name in self.items]
        return Page(list(ids[offset : offset + min(limit, self.cap)]), len(self.items))


changes = st.lists(
    st.tuples(st.integers(0, 40), st.lists(st.floats(0, 1), max_size=40)), max_size=12
)
sizes = st.integers(2, 12) | st.integers(2, 100)


@settings(max_examples=200)
@example(size=4, changes=[(0, [0.0, 0.0]), (0, []), (0, []), (6, [])], page_size=3, cap=3)
@example(size=8, changes=[(1, []), (0, []), (3, []), (4, [])], page_size=7, cap=7)
@given(size=st.integers(0, 30) | st.integers(0, 300), changes=changes, page_size=sizes, cap=sizes)
def test_nothing_is_skipped_and_nothing_comes_twice(
    size: int, changes: list[tuple[int, list[float]]], page_size: int, cap: int
) -> None:
    """Whatever is created and deleted between pages, what is there is listed, once."""
    shelf = Shelf(size, changes, cap)
    listed = [item["id"] for item in listing(shelf.fetch, page_size=page_size)]
    assert len(listed) == len(set(listed))
    assert set(shelf.items) <= set(listed)
    assert set(listed) <= shelf.present


@given(size=st.integers(0, 400), seed=st.integers(0, 1000), page_size=st.integers(2 * BATCH, 100))
def test_a_batch_sorted_anew_for_each_page_is_whole(size: int, seed: int, page_size: int) -> None:
    """Orders of one batch have one time of creation, and any sequence: none is lost by it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    batches: list[list[str]] = []
    while sum(map(len, batches)) < size:
        start = sum(map(len, batches))
        batches.append([f"order{n}" for n in range(start, start + chance.randint(1, BATCH))])

    def fetch(offset: int, limit: int) -> Page:
        items = [{"id": name} for batch in batches for name in chance.sample(batch, len(batch))]
        return Page(list(items[offset : offset + limit]), len(items))

    listed = [item["id"] for item in listing(fetch, page_size=page_size)]
    assert sorted(listed) == sorted(name for batch in batches for name in batch)


@pytest.mark.parametrize(("size", "requests"), [(0, 1), (1, 1), (100, 1), (101, 3), (250, 4)])
def test_a_listing_that_fits_a_page_is_one_request(size: int, requests: int) -> None:
    """One page is one request; several cost one more, for what came in between."""
    shelf = Shelf(size, [])
    assert len(list(listing(shelf.fetch))) == size
    assert shelf.requests == requests


def test_an_order_of_the_last_second_comes_too() -> None:
    """What is created while the second page is read is listed, at the end."""
    shelf = Shelf(150, [(1, [])])
    listed = [item["id"] for item in listing(shelf.fetch)]
    assert listed == [*(f"old{n}" for n in range(150)), "new1.0"]


@pytest.mark.parametrize("seed", range(3))
def test_orders_that_come_and_go_at_the_server_are_neither_skipped_nor_repeated(seed: int) -> None:
    """While ``list`` turns its pages, a colleague places orders and deletes others."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    with open_sandbox(newer=True) as sandbox, client_of(sandbox) as client:
        area = client.create_aoi(new_name(), FIELD)
        wanted = wish(area)
        for _ in range(10):
            client.create([wanted] * 25, check=False)
        held = [order["id"] for order in sandbox.orders]
        listed: list[str] = []
        pages = client.list()
        while some := [str(order.id) for order in islice(pages, 60)]:
            listed += some
            if len(listed) > 250:
                continue  # the colleague goes home
            held += [str(order.id) for order in client.create([wanted] * chance.randint(1, 25))]
            for id_ in chance.sample(held, chance.randint(1, 25)):
                client.delete(id_)
                held.remove(id_)
        there = {order["id"] for order in sandbox.orders}
        assert len(listed) == len(set(listed))
        assert there == set(held)
        assert there <= set(listed)


def test_reading_stops_when_nobody_asks() -> None:
    """A listing is read as far as it is looked at."""
    shelf = Shelf(1000, [])
    assert next(iter(listing(shelf.fetch)))["id"] == "old0"
    assert shelf.requests == 1


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"count": 1}, {"count": 1, "items": [{}]}, {"count": "1", "items": []}]
)
def test_what_is_no_page_is_an_error(answer: Any) -> None:
    """An answer of another form is not taken for an empty list."""
    with pytest.raises(APIError, match="no page"):
        page_from(answer)
