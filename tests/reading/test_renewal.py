"""Renewal of signed URLs: many items with one search."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from constellr_stac import APIError, ConstellrAuth, Password
from constellr_stac.errors import APIConnectionError
from constellr_stac.limits import Limits
from constellr_stac.reading import renewal
from constellr_stac.reading.renewal import Batches, ItemRenewer
from constellr_stac.sandbox import Fault, Sandbox
from kept_frames import frames_with
from renewals import items_renewed, searches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.reading.renewal import ItemName, SignedItem


@pytest.fixture(scope="module")
def presigned() -> Iterator[Sandbox]:
    """An API that signs URLs itself."""
    with Sandbox(presigned=True) as sandbox:
        yield sandbox


@pytest.fixture
def api(presigned: Sandbox) -> Iterator[Sandbox]:
    """The same without what earlier tests did."""
    presigned.clear_requests()
    yield presigned
    presigned.clear_faults()


def renewer(api: Sandbox) -> ItemRenewer:
    """Return one with the account's password."""
    auth = ConstellrAuth(Password(api.username, api.password), base_url=api.api_url)
    return ItemRenewer(auth, Limits(retry_deadline=1))


def names(api: Sandbox) -> list[ItemName]:
    """Return the names of all items."""
    return [(item["collection"], item["id"]) for item in api.items]


def renewed_together(api: Sandbox, wanted: list[ItemName]) -> list[SignedItem | Exception]:
    """Renew items in a thread each, at the same time, however slowly threads start."""
    items, start = renewer(api), threading.Barrier(len(wanted))
    items._wanted._most = len(wanted)

    def renew(name: ItemName) -> SignedItem | Exception:
        start.wait()
        try:
            return items.get(name)
        except Exception as error:  # noqa: BLE001 - the result
            return error

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(wanted)) as pool:
        patch.setattr(renewal, "_GATHER", 10.0)
        return list(pool.map(renew, wanted))


def assert_renewed(found: list[SignedItem | Exception], wanted: list[ItemName]) -> None:
    """Each item got URLs of its own."""
    for item, (_, name) in zip(found, wanted, strict=True):
        assert not isinstance(item, Exception), item
        assert name in item.urls["lst"]
        assert "X-Amz-Signature=" in item.urls["lst"]


def test_threads_share_a_search(api: Sandbox) -> None:
    """Items that are wanted at the same time take one request, an item alone a GET."""
    wanted = names(api)
    assert_renewed(renewed_together(api, wanted), wanted)
    assert sorted(items_renewed(api)) == sorted(item for _, item in wanted)
    assert searches(api) == 1
    api.clear_requests()
    assert renewer(api).get(wanted[0]).urls
    assert (searches(api), len(items_renewed(api))) == (0, 1)


SIGNED = {"lst": {"href": "https://b.example/lst.tiff?X-Amz-Signature=1f"}}
REFUSED = [Fault("/search", status=status, times=None) for status in (400, 404, 422, 501)]
UNFILTERED = [
    Fault("/search", status=200, body=page, times=None)
    for page in (
        b'{"features": [{"id": "another", "collection": "lstprecision", "assets": {}}]}',
        b'{"features": [1, {"id": []}, {"collection": {}, "id": "x", "assets": {"lst": 1}}]}',
        b'{"features": []}',
        b'{"message": "not a page"}',
    )
]


@pytest.mark.parametrize("fault", [*REFUSED, *UNFILTERED], ids=lambda fault: str(fault.status))
def test_items_are_fetched_one_by_one_without_such_searches(api: Sandbox, fault: Fault) -> None:
    """Where the API refuses the filter, ignores it or answers with something else."""
    api.fail(fault)
    wanted = names(api)[:4]
    assert_renewed(renewed_together(api, wanted), wanted)


def test_short_pages_are_continued(api: Sandbox) -> None:
    """The items that a search left out are searched for again."""
    wanted = names(api)[:6]
    collection, ids = wanted[0][0], [item for _, item in wanted]
    items = renewer(api)
    page = items._search(collection, ids[:2])
    answer = [
        {"id": i, "collection": collection, "assets": {"lst": {"href": page[i].urls["lst"]}}}
        for i in ids[:2]
    ]
    api.fail(Fault("/search", status=200, body=json.dumps({"features": answer}).encode()))
    api.clear_requests()
    assert items.search(wanted).keys() == set(wanted)
    assert searches(api) == 2


@pytest.mark.parametrize("status", [403, 503])
def test_a_passing_failure_of_a_search_ends_with_its_batch(api: Sandbox, status: int) -> None:
    """Its items are fetched one by one, and the next ones with a search again."""
    items, wanted = renewer(api), names(api)[:2]
    api.fail(Fault("/search", status=status, times=None))
    assert items.search(wanted) == {}
    assert items.all_of(wanted).keys() == set(wanted)
    api.clear_faults()
    assert items.search(wanted).keys() == set(wanted)


@pytest.mark.parametrize(
    "another", [{"id": "another"}, {"collection": "another"}, {"assets": {**SIGNED, "bad": {}}}]
)
def test_another_item_is_not_taken(api: Sandbox, another: dict[str, Any]) -> None:
    """Its pixels would appear under this item's name; and no frame of the error holds its URLs."""
    wanted = names(api)[0]
    answer = {"id": wanted[1], "collection": wanted[0], "assets": SIGNED} | another
    api.fail(Fault("/items/", status=200, body=json.dumps(answer).encode()))
    api.fail(Fault("/search", status=200, body=json.dumps({"features": [answer]}).encode()))
    if "assets" not in another:
        assert renewer(api).search(names(api)[:2]) == {}
    with pytest.raises(APIError, match="did not return this STAC item") as caught:
        renewer(api).one(wanted)
    assert frames_with(caught.value, "X-Amz-Signature") == []


def test_a_process_without_threads_left_waits_for_none(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error reaches who waits, and later items are renewed."""
    items, wanted = renewer(api), names(api)[0]

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            items.get(wanted)
    assert wanted[1] in items.get(wanted).urls["lst"]


def test_missing_item_is_named(api: Sandbox) -> None:
    """It does not cost the other items of the search."""
    wanted = [*names(api)[:3], ("lstprecision", "deleted")]
    *found, missing = renewed_together(api, wanted)
    assert_renewed(found, wanted[:3])
    assert isinstance(missing, APIError)
    assert missing.status_code == 404
    assert "deleted" in str(missing)


def test_unreachable_api_is_told_to_all(api: Sandbox) -> None:
    """An API that does not answer is not asked again for each item."""
    api.fail(Fault("/search", kind="reset", times=None))
    found = renewed_together(api, names(api)[:4])
    assert all(isinstance(error, APIConnectionError) for error in found)
    assert not any("/items/" in each.path for each in api.requests)


def test_batches_are_bounded_and_complete() -> None:
    """What is added while a batch is under way is handled together, in batches of bounded size."""
    batches: list[list[int]] = []
    begun, proceed, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def handle(batch: list[Any], _failure: Exception | None) -> None:
        batches.append(batch)
        begun.set()
        proceed.wait(60)
        for _ in batch:
            done.release()

    together: Batches[int] = Batches(handle, most=10, threads=1)
    together.add([0])
    begun.wait(60)
    for number in range(1, 20 + 1):
        together.add([number])
    proceed.set()
    for _ in range(20 + 1):
        assert done.acquire(timeout=60)
    assert [len(batch) for batch in batches] == [1, 10, 10]
    assert sorted(number for batch in batches for number in batch) == list(range(20 + 1))
