"""Lists that change while they are read."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from constellr_stac import Limits
from constellr_stac.errors import APIError
from constellr_stac.orders.paging import Page, listing, parse_page
from ordering import FIELD, client_of, new_name, open_sandbox, wish

BATCH = 25
"""Maximum orders per batch."""


@dataclass
class ChangingList:
    """A list, newest first, that changes between requests."""

    size: int
    changes: list[tuple[int, list[float]]]
    """Before each request: the number created, and those deleted (as fractions of the list)."""
    cap: int = 100
    deleted: set[str] = field(default_factory=set)
    requests: int = 0

    def __post_init__(self) -> None:
        self.items = [f"old{n}" for n in range(self.size)]
        self.present = set(self.items)

    def fetch(self, offset: int, limit: int) -> Page:
        if self.requests and self.changes:
            created, deleted_shares = self.changes.pop()
            for share in deleted_shares:
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


def shown(records: Any) -> str:
    """Return what a notebook shows."""
    page: str = records._repr_html_()
    return page


def test_notebooks_show_lists_as_tables() -> None:
    """Placed orders and listings, which lose nothing by being shown; values are escaped."""
    with open_sandbox() as sandbox, client_of(sandbox) as client:
        name = new_name()
        area = client.create_aoi(name, FIELD)
        wishes = [wish(area.id, tags=[f"<i>{number}"]) for number in range(25)]
        placed = client.create(wishes, duplicate_ok=True)
        page = shown(placed)
        assert page.count("<tr>") == 1 + 20 + 1
        assert page.count("LSTprecision") == 20
        assert "&lt;i&gt;0" in page
        assert "<i>" not in page
        sandbox.clear_requests()
        listed = client.list()
        assert not sandbox.requests
        assert shown(listed).count("<tr>") == 1 + 20 + 1
        assert {order.id for order in listed} == {order.id for order in placed}
        assert shown(listed) == "<p>None.</p>"
        assert name in shown(client.list_aois())
        assert shown(client.products()).startswith("<table>")


@settings(max_examples=200)
@example(size=4, changes=[(0, [0.0, 0.0]), (0, []), (0, []), (6, [])], page_size=3, cap=3)
@example(size=8, changes=[(1, []), (0, []), (3, []), (4, [])], page_size=7, cap=7)
@given(size=st.integers(0, 30) | st.integers(0, 300), changes=changes, page_size=sizes, cap=sizes)
def test_every_item_is_listed_once(
    size: int, changes: list[tuple[int, list[float]]], page_size: int, cap: int
) -> None:
    """Whatever is created and deleted between pages, remaining items are listed once."""
    changing = ChangingList(size, changes, cap)
    listed = [item["id"] for item in listing(changing.fetch, page_size=page_size)]
    assert len(listed) == len(set(listed))
    assert set(changing.items) <= set(listed)
    assert set(listed) <= changing.present


@given(size=st.integers(0, 400), seed=st.integers(0, 1000), page_size=st.integers(2 * BATCH, 100))
def test_batch_with_unstable_sort_is_complete(size: int, seed: int, page_size: int) -> None:
    """Orders of one batch have equal creation times and may be sorted differently for each page."""
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
def test_number_of_requests(size: int, requests: int) -> None:
    """One page is one request; several pages need one more, for new items."""
    changing = ChangingList(size, [])
    assert len(list(listing(changing.fetch))) == size
    assert changing.requests == requests


def test_item_created_meanwhile_comes_last() -> None:
    """An item created while the second page is read is listed at the end."""
    changing = ChangingList(150, [(1, [])])
    listed = [item["id"] for item in listing(changing.fetch)]
    assert listed == [*(f"old{n}" for n in range(150)), "new1.0"]


@pytest.mark.parametrize("seed", range(3))
def test_client_list_under_concurrent_changes(seed: int) -> None:
    """``list`` is correct while another client places and deletes orders."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    with open_sandbox(newer=True) as sandbox, client_of(sandbox) as client:
        area = client.create_aoi(new_name(), FIELD)
        requested = wish(area)
        for _ in range(10):
            client.create([requested] * 25, check=False, duplicate_ok=True)
        held = [order["id"] for order in sandbox.orders]
        listed: list[str] = []
        pages = client.list()
        while some := [str(order.id) for order in islice(pages, 60)]:
            listed += some
            if len(listed) > 250:
                continue  # no more changes
            more = client.create([requested] * chance.randint(1, 25), duplicate_ok=True)
            held += [str(order.id) for order in more]
            for id_ in chance.sample(held, chance.randint(1, 25)):
                client.delete(id_)
                held.remove(id_)
        there = {order["id"] for order in sandbox.orders}
        assert len(listed) == len(set(listed))
        assert there == set(held)
        assert there <= set(listed)


def test_endless_list_is_an_error() -> None:
    """A server that repeats a page for ever, or that sends more pages than allowed, is refused."""
    page = Page([{"id": "1"}, {"id": "2"}], 10**30)
    with pytest.raises(APIError, match="does not end"):
        list(listing(lambda _offset, _limit: page))
    with open_sandbox() as sandbox, client_of(sandbox) as client:
        area = client.create_aoi(new_name(), FIELD)
        for _ in range(5):
            client.create([wish(area)] * 25, check=False, duplicate_ok=True)
        with (
            client_of(sandbox, limits=Limits(pages=2)) as limited,
            pytest.raises(APIError, match="More than 2 pages"),
        ):
            list(limited.list())


def test_listing_is_lazy() -> None:
    """Only the pages that are iterated are requested."""
    changing = ChangingList(1000, [])
    assert next(iter(listing(changing.fetch)))["id"] == "old0"
    assert changing.requests == 1


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"count": 1}, {"count": 1, "items": [{}]}, {"count": "1", "items": []}]
)
def test_malformed_page_is_an_error(answer: Any) -> None:
    """A response of another form is not an empty list."""
    with pytest.raises(APIError, match="not answer with a page"):
        parse_page(answer)
