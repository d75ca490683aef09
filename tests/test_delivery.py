"""Searching, loading and following the scenes of an order."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import shapely

from constellr_stac import (
    ConstellrError,
    NotFoundError,
    Password,
    ServerError,
    follow,
    load_order,
    open_client,
    search_order,
)
from constellr_stac.orders import OrderEndedError, OrdersClient
from constellr_stac.sandbox import Fault, Sandbox
from ordering import new_name, wish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from constellr_stac.orders import Order

HARBOUR = shapely.box(-118.26, 33.76, -118.18, 33.84)
SCENES = 15
TODAY = date(2023, 6, 1)


class Account:
    """An account of a sandbox with a given delivery time."""

    def __init__(self, sandbox: Sandbox, delivery: timedelta) -> None:
        self.sandbox = sandbox
        self.delivery = delivery
        credential = Password(sandbox.username, sandbox.password)
        self.orders = OrdersClient(credential, base_url=sandbox.api_url, today=lambda: TODAY)
        client = open_client(sandbox.api_url, auth=credential)
        self.clients: dict[str, Any] = {"client": client, "orders": self.orders}

    def order(self, **changes: Any) -> Order:
        """Place an order for all scenes of the summer."""
        area = self.orders.create_aoi(new_name(), HARBOUR)
        dates = {"start_date": "2023-06-20", "end_date": "2023-08-31"}
        [order] = self.orders.create(wish(area, **dates, **changes))
        return order

    def advance_hour(self, _seconds: float = 0.0) -> None:
        """Advance the server's clock."""
        self.sandbox.advance(timedelta(hours=1))

    def deliver_all(self) -> None:
        """Advance the server's clock until all orders are closed."""
        self.sandbox.advance(self.delivery)


@contextmanager
def open_account(
    *, newer: bool, delivery: timedelta = timedelta(hours=10), **knobs: Any
) -> Iterator[Account]:
    """Open an account."""
    with Sandbox(newer=newer, delivery=delivery, today=TODAY, **knobs) as sandbox:
        account = Account(sandbox, delivery)
        with account.orders:
            yield account


@pytest.fixture
def account() -> Iterator[Account]:
    """An account of the newer API, whose items have ``order:id``."""
    with open_account(newer=True) as account:
        yield account


def test_search_order_finds_scenes_by_order_id(account: Account) -> None:
    """Two orders of one place have separate scenes."""
    first, second = account.order(), account.order(illumination_constraint="day")
    account.deliver_all()
    found = list(search_order(first, **account.clients).items())
    assert len(found) == SCENES
    assert {item.properties["order:id"] for item in found} == {first.id}
    by_day = list(search_order(str(second.id), **account.clients).items())
    assert 0 < len(by_day) < SCENES
    assert {item.properties["order:id"] for item in by_day} == {second.id}
    assert len(list(search_order(first, max_items=3, **account.clients).items())) == 3


@pytest.mark.parametrize("newer", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        {"filter": {"op": "<", "args": [{"property": "datetime"}, "2023-08-01"]}},
        {
            "filter": '{"op": "<", "args": [{"property": "datetime"}, "2023-08-01"]}',
            "filter_lang": "cql2-json",
        },
        {"filter": "datetime < '2023-08-01'", "filter_lang": "cql2-text"},
        {"datetime": "2023-06/2023-07"},
        {"bbox": [-118.3, 33.7, -118.1, 33.9], "datetime": "2023-06/2023-07"},
        {"intersects": shapely.box(-118.3, 33.7, -118.1, 33.9), "datetime": "2023-06/2023-07"},
    ],
    ids=["JSON", "JSON as text", "text", "time", "box", "place"],
)
def test_search_order_combines_other_criteria(words: dict[str, Any], *, newer: bool) -> None:
    """Filters, times and boxes are combined, with and without ``order:id``."""
    with open_account(newer=newer) as account:
        order = account.order()
        account.deliver_all()
        found = list(search_order(order, **words, **account.clients).items())
        assert 0 < len(found) < SCENES
        assert all(str(item.datetime) < "2023-08" for item in found)


def test_search_before_delivery_finds_scenes_later(account: Account) -> None:
    """If other items have ``order:id``, the search uses it although nothing is delivered yet."""
    account.order()
    account.deliver_all()
    search = search_order(account.order(), **account.clients)
    assert list(search.items()) == []
    account.deliver_all()
    assert len(list(search.items())) == SCENES


def test_search_order_falls_back_to_area_and_dates() -> None:
    """In the older API, product, area and dates find the scenes."""
    with open_account(newer=False) as account:
        order = account.order()
        account.deliver_all()
        assert len(list(search_order(order, **account.clients).items())) == SCENES
        july = order.model_copy(
            update={
                "start_date": datetime(2023, 7, 1, tzinfo=UTC),
                "end_date": datetime(2023, 7, 31, tzinfo=UTC),
            }
        )
        in_july = list(search_order(july, **account.clients).items())
        assert {item.datetime.month for item in in_july if item.datetime} == {7}
        far = account.orders.create_aoi(new_name(), shapely.box(8, 49, 8.1, 49.1))
        elsewhere = order.model_copy(update={"area_of_interest_id": far.id})
        assert list(search_order(elsewhere, **account.clients).items()) == []


@pytest.mark.parametrize("status", [400, 422])
def test_refused_order_id_falls_back_to_area_and_dates(account: Account, status: int) -> None:
    """An error status for a filter on ``order:id`` has the same fallback."""
    order = account.order()
    account.deliver_all()
    for item in account.sandbox.items:
        account.sandbox.remove_item(item["collection"], item["id"])
        del item["properties"]["order:id"]
        account.sandbox.add_item(item)
    account.sandbox.fail(Fault("/stac/search", status=status))
    assert len(list(search_order(order, **account.clients).items())) == SCENES


@pytest.mark.fails
def test_other_search_errors_are_raised(account: Account) -> None:
    """A server failure is not taken for an unknown property."""
    order = account.order()
    account.sandbox.fail(Fault("/stac/search", status=500, times=None))
    with pytest.raises(ServerError):
        search_order(order, **account.clients)
    account.sandbox.clear_faults()
    with pytest.raises(NotFoundError):
        search_order("00000000-0000-4000-8000-000000000000", **account.clients)
    with pytest.raises(ValueError, match="not placed yet"):
        search_order(order.draft(), **account.clients)


def test_load_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """``load_order`` returns one time step per scene, with clients from the environment."""
    # Short: signatures use this machine's clock.
    with open_account(newer=True, delivery=timedelta(minutes=10)) as account:
        order = account.order()
        with pytest.raises(ValueError, match="No scenes have been delivered"):
            load_order(order, **account.clients)
        account.deliver_all()
        for name, value in account.sandbox.environment().items():
            monkeypatch.setenv(name, value)
        cube = load_order(order, "lst")
        assert cube.sizes["time"] == SCENES
        assert float(cube.lst.isel(time=0).mean()) > 200


def test_load_order_renews_urls_with_the_clients_credential() -> None:
    """Expired URLs are renewed with the credential of ``orders``."""
    with open_account(newer=True, delivery=timedelta(minutes=10), presigned=True) as account:
        order = account.order()
        account.deliver_all()
        cube = load_order(order, "lst", **account.clients)
        account.sandbox.advance(timedelta(hours=2))
        assert float(cube.lst.isel(time=0).mean()) > 200


def test_follow_yields_each_scene_once(account: Account) -> None:
    """Scenes are yielded as they are delivered, until the order is closed."""
    order = account.order()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        account.advance_hour()

    following = follow(order, interval=60.0, sleep=pause, **account.clients)
    seen = [(item.id, len(pauses)) for item in following]
    assert len({name for name, _ in seen}) == len(seen) == SCENES
    assert len({hour for _, hour in seen}) > 5, "they were not delivered over time"
    assert set(pauses) == {60.0}
    assert account.orders.get(order).state == "closed"


def test_follow_misses_no_scene_of_a_closing_order(account: Account) -> None:
    """The last scenes are yielded even if the order closes during a poll."""

    class Slow(OrdersClient):
        """While it asks for an order, everything happens to it."""

        def get(self, id: str | Order) -> Order:  # noqa: A002 - the API's own word
            account.deliver_all()
            return super().get(id)

    order = account.order()
    account.sandbox.advance(account.delivery / 2)
    with Slow(account.orders.auth) as slow:
        items = list(follow(order, client=account.clients["client"], orders=slow))
    assert len(items) == SCENES


def test_follow_resumes_from_its_state_file(account: Account, tmp_path: Path) -> None:
    """Yielded scenes are not yielded again after any number of restarts."""
    order, state = account.order(), tmp_path / "order.json"
    seen: list[str] = []
    for _ in range(SCENES + 1):
        following = follow(
            str(order.id), state=state, sleep=account.advance_hour, **account.clients
        )
        item = next(following, None)
        seen += [] if item is None else [item.id]
        del following
        written = json.loads(state.read_text())
        assert written["order"] == order.id
        assert len(written["delivered"]) == len(seen)
    assert len(seen) == len(set(seen)) == SCENES
    assert [path.name for path in tmp_path.iterdir()] == ["order.json"]


def test_follow_since(account: Account) -> None:
    """``since`` skips scenes created, or else observed, until then."""
    order = account.order()
    account.deliver_all()
    since = datetime(2023, 8, 1, tzinfo=UTC)
    items = list(follow(order, since=since, **account.clients))
    assert 0 < len(items) < SCENES
    assert all(item.datetime is not None and item.datetime > since for item in items)
    for said in (since.replace(tzinfo=None), since.date(), "2023-08-01", "2023-08-01T02:00+02:00"):
        again = follow(order, 60.0, said, **account.clients)
        assert [item.id for item in again] == [item.id for item in items]
    with pytest.raises(ValueError, match="valid date"):
        next(follow(order, since="yesterday", **account.clients))


def test_follow_raises_for_a_rejected_order(account: Account) -> None:
    """A rejected order raises with its reason."""
    order = account.order()
    account.sandbox.settle_order(str(order.id), "rejected", reason="too many clouds")
    with pytest.raises(OrderEndedError, match="rejected: too many clouds") as ended:
        list(follow(order, **account.clients))
    assert ended.value.order is not None
    assert ended.value.order.state == "rejected"


def test_follow_tolerates_outages(account: Account) -> None:
    """Four failures in a row are tolerated, the fifth raises; a 403 raises at once."""
    order = account.order()
    account.deliver_all()
    account.sandbox.fail(Fault("/orders/", status=501, times=4))
    pauses: list[float] = []
    assert len(list(follow(order, sleep=pauses.append, **account.clients))) == SCENES
    assert len(pauses) == 4
    account.sandbox.fail(Fault("/orders/", status=501, times=5))
    with pytest.raises(ServerError):
        list(follow(order, sleep=pauses.append, **account.clients))
    assert len(pauses) == 8
    account.sandbox.fail(Fault("/stac/search", status=403))
    with pytest.raises(ConstellrError, match="403"):
        list(follow(order, sleep=pauses.append, **account.clients))
    assert len(pauses) == 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "does not contain the state"),
        ("[]", "does not contain the state"),
        ('{"order": "another", "delivered": []}', "state of order another"),
    ],
)
def test_invalid_state_file_is_refused(
    account: Account, tmp_path: Path, content: str, reason: str
) -> None:
    """A broken state file, or another order's, is refused and kept."""
    order, state = account.order(), tmp_path / "state.json"
    state.write_text(content)
    with pytest.raises(ConstellrError, match=reason):
        next(follow(order, state=state, **account.clients))
    assert state.read_text() == content


def test_unwritable_state_yields_nothing(account: Account, tmp_path: Path) -> None:
    """A scene that cannot be recorded is not yielded."""
    order = account.order()
    account.deliver_all()
    with pytest.raises(FileNotFoundError):
        next(follow(order, state=tmp_path / "missing" / "state.json", **account.clients))
