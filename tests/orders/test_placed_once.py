"""The same order is not bought twice by running a script again, and belongs to one caller."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from requests.adapters import HTTPAdapter

from broken_line import Break, BreakingProxy
from constellr_stac import APIError, OrderOutcomeUnknown
from constellr_stac._process import STATE
from constellr_stac.orders import Order, OrderExistsError, OrdersClient
from constellr_stac.sandbox import Fault
from ordering import FIELD, batches_sent, client_of, new_name, open_sandbox, wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

BATCH = "/orders/batch"


@pytest.fixture(scope="module", params=["older", "newer"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """One API version."""
    with open_sandbox(newer=request.param == "newer") as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[OrdersClient]:
    """A client of the sandbox."""
    sandbox.clear_faults()
    with client_of(sandbox) as client:
        yield client


@pytest.fixture
def area(client: OrdersClient, sandbox: Sandbox) -> str:
    """An area without orders; requests are recorded from here."""
    area = client.create_aoi(new_name(), FIELD)
    sandbox.clear_requests()
    return str(area.id)


def ids_of(sandbox: Sandbox, area: str) -> list[str]:
    """Return the ids of an area's orders on the server."""
    return [each["id"] for each in sandbox.orders if each["area_of_interest_id"] == area]


# Existing orders


def test_active_order_is_not_placed_again(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """An equal active order refuses the whole batch, and the error has it."""
    [first] = client.create(wish(area))
    other = wish(area, frequency="monthly")
    for _ in range(2):
        with pytest.raises(OrderExistsError, match=str(first.id)) as refused:
            client.create([other, wish(area)])
        assert [order.id for order in refused.value.existing] == [first.id]
        assert "exist_ok=True" in str(refused.value)
        assert "duplicate_ok=True" in str(refused.value)
    assert ids_of(sandbox, area) == [first.id]
    assert len(batches_sent(sandbox)) == 1


def test_exist_ok_places_only_the_missing(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """``exist_ok`` returns the existing orders and places the others, in the order given."""
    frequencies = ["max_frequency", "monthly", "single_image", "once_every_two_weeks"]
    wishes = [wish(area, frequency=each) for each in frequencies]
    existing = client.create(wishes[1::2])
    for _ in range(2):
        orders = client.create(wishes, exist_ok=True)
        assert [order.frequency for order in orders] == frequencies
        assert [order.id for order in orders[1::2]] == [order.id for order in existing]
        assert sorted(str(order.id) for order in orders) == sorted(ids_of(sandbox, area))
    assert len(batches_sent(sandbox)) == 2


def test_duplicate_ok_places_again(client: OrdersClient, sandbox: Sandbox, area: str) -> None:
    """``duplicate_ok`` places an equal order on purpose."""
    [first] = client.create(wish(area))
    [second] = client.create(wish(area), duplicate_ok=True)
    assert ids_of(sandbox, area) == [first.id, second.id]


@pytest.mark.parametrize(
    "change",
    [
        {"product_name": "LSTfusion", "frequency": "daily"},
        {"frequency": "monthly"},
        {"start_date": "2026-09-01T10:30:08.005Z"},
        {"end_date": "2026-10-01"},
        {"comment": "another"},
        {"tags": ["another"]},
        {"illumination_constraint": "day"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_order_with_another_field_is_another_order(
    client: OrdersClient, sandbox: Sandbox, area: str, change: dict[str, Any]
) -> None:
    """Every field that is given is compared."""
    client.create(wish(area))
    client.create(wish(area, **change))
    assert len(ids_of(sandbox, area)) == 2


@pytest.mark.parametrize("state", ["in_progress", "closing", "some_new_state"])
def test_order_is_active_until_it_is_final(
    client: OrdersClient, sandbox: Sandbox, area: str, state: str
) -> None:
    """Only a closed or rejected order does not count."""
    [order] = client.create(wish(area))
    sandbox.settle_order(str(order.id), state)
    with pytest.raises(OrderExistsError, match=state):
        client.create(wish(area))
    for final in ("closed", "rejected"):
        sandbox.settle_order(str(order.id), final)
        [order] = client.create(wish(area))
    assert len(ids_of(sandbox, area)) == 3


def test_added_tag_does_not_make_another_order(client: OrdersClient, area: str) -> None:
    """A script that places an order and then adds a tag can run again."""
    [order] = client.create(wish(area, tags=["a"]))
    client.update(order, tags=["a", "b"])
    with pytest.raises(OrderExistsError):
        client.create(wish(area, tags=["a"]))


def test_equal_orders_in_a_batch_need_duplicate_ok(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """Two equal orders in one batch are refused, also with ``exist_ok``."""
    twins: list[Any] = [wish(area), wish(area, frequency="monthly"), Order(**wish(area))]
    for exist_ok in (False, True):
        with pytest.raises(OrderExistsError, match=r"orders\[2\] is equal to orders\[0\]"):
            client.create(twins, exist_ok=exist_ok)
    assert ids_of(sandbox, area) == []
    placed = client.create(twins, duplicate_ok=True)
    again = client.create(twins, duplicate_ok=True, exist_ok=True)
    assert {order.id for order in again} == {order.id for order in placed}
    assert len(ids_of(sandbox, area)) == 3


def test_account_that_may_not_list_gets_a_warning_and_its_order(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """The warning comes before the batch is sent, so it cannot hide a placed order."""
    sandbox.fail(Fault("/orders$", method="GET", status=403, times=None))
    with pytest.warns(UserWarning, match="may not list") as warned:
        [order] = client.create(wish(area))
    assert warned[0].filename == __file__
    assert ids_of(sandbox, area) == [order.id]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning):
            client.create(wish(area))
    assert len(batches_sent(sandbox)) == 1


def test_unreadable_order_book_sends_nothing(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """If the existing orders cannot be read, nothing is sent."""
    for body in (b"{}", b'{"count": 1, "items": [{"id": "1", "tags": 7}]}'):
        sandbox.fail(Fault("/orders$", method="GET", status=200, body=body))
        with pytest.raises(APIError):
            client.create(wish(area))
    assert batches_sent(sandbox) == []


SCRIPT = """
import sys
from constellr_stac import Password
from constellr_stac.orders import OrdersClient
url, username, password, area = sys.argv[1:]
with OrdersClient(Password(username, password), base_url=url) as client:
    client.create(
        {"area_of_interest_id": area, "product_name": "LSTprecision", "frequency": "monthly",
         "start_date": "2026-09-01", "end_date": "2026-09-30"}, check=False)
"""


@pytest.mark.parametrize(
    "killed",
    [Break("request", 0.5, "hang"), Break("answer", 0.0, "hang"), Break("answer", 0.5, "hang")],
    ids=["while sending", "after the work", "during the answer"],
)
def test_killed_script_can_run_again(killed: Break) -> None:
    """Killed at any point and run again, a script buys once."""
    with open_sandbox() as sandbox, client_of(sandbox) as colleague:
        owner = sandbox.accounts["owner"]
        area = str(colleague.create_aoi(new_name(), FIELD).id)
        with BreakingProxy(sandbox.api_url, f"POST {BATCH}", "GET /orders?") as proxy:
            arguments = [proxy.url, owner.username, owner.password, area]
            command = [sys.executable, "-c", SCRIPT, *arguments]
            sent = threading.Event()
            proxy.before, proxy.next_break = sent.set, killed
            with subprocess.Popen(command) as process:
                assert sent.wait(60)
                until = time.monotonic() + 60
                while killed.part == "answer" and not sandbox.orders and time.monotonic() < until:
                    time.sleep(0.01)
                process.kill()
            again = subprocess.run(command, capture_output=True, check=False, text=True)
        assert len(sandbox.orders) == 1
        assert ("OrderExistsError" in again.stderr) is (killed.part == "answer")


# Whose order it is


def test_order_found_for_one_call_is_not_given_to_another(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """Of two calls with unknown outcomes, one gets the order that appears, also later."""
    sandbox.fail(Fault(BATCH, kind="reset"))
    with pytest.raises(OrderOutcomeUnknown) as first:
        client.create(wish(area))
    sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
    with client_of(sandbox) as other:
        [order] = other.create(wish(area))
    for unknown in (first.value, pickle.loads(pickle.dumps(first.value))):  # noqa: S301 - ours
        with pytest.raises(OrderOutcomeUnknown, match="another call in this process") as again:
            client.look_again(unknown)
        assert [found.id for found in again.value.found] == [order.id]


def test_placed_order_is_not_taken_for_a_lost_one(
    client: OrdersClient, sandbox: Sandbox, area: str
) -> None:
    """An order that was confirmed to one call does not confuse the search of another."""
    sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
    sandbox.fail(Fault("/orders$", method="GET", skip=1, status=400, times=5))
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        client.create(wish(area))
    sandbox.clear_faults()
    [confirmed] = client.create(wish(area), duplicate_ok=True)
    [found] = client.look_again(unknown.value)
    assert client.look_again(unknown.value) == [found]
    assert {confirmed.id, found.id} == {*ids_of(sandbox, area)}


@pytest.mark.parametrize("known", ["listed before", "given to another call"])
def test_answer_with_a_known_order_is_not_believed(
    client: OrdersClient, sandbox: Sandbox, area: str, known: str
) -> None:
    """An answer with an id that is known already does not confirm an order."""
    [order] = client.create(wish(area))
    if known == "listed before":
        STATE.clear("placed orders")  # it was placed by another process
    else:
        sandbox.fail(Fault("/orders$", method="GET", status=403, times=None))
    sandbox.fail(Fault(BATCH, status=201, body=f"[{order.model_dump_json()}]".encode()))
    with pytest.raises(OrderOutcomeUnknown):
        client.create(wish(area), duplicate_ok=True)


class Meeting(HTTPAdapter):
    """Sends a request once two callers want to send one."""

    barrier = threading.Barrier(2)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Wait for the other caller, then send."""
        self.barrier.wait(60)
        return super().send(*args, **kwargs)


def test_order_of_two_waiting_callers_is_given_to_one(sandbox: Sandbox, area: str) -> None:
    """Both lose the answer, one order was placed: one gets it, the other an unknown outcome."""
    sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
    sandbox.fail(Fault(BATCH, kind="reset"))

    def place() -> str | None:
        with client_of(sandbox) as client:
            client.session.mount(f"{client.base_url}{BATCH}", Meeting())
            try:
                [order] = client.create(wish(area))
            except OrderOutcomeUnknown:
                return None
            return order.id

    with ThreadPoolExecutor(2) as threads:
        results = [each.result() for each in [threads.submit(place) for _ in range(2)]]
    assert sorted(results, key=str) == sorted([None, *ids_of(sandbox, area)], key=str)


# Interruptions


class Halt(BaseException):
    """An interruption that this package does not know."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError, Halt])
def test_interruption_carries_what_look_again_needs(
    client: OrdersClient, sandbox: Sandbox, area: str, kind: type[BaseException]
) -> None:
    """Whatever interrupts the call, ``look_again`` finds the order afterwards."""

    class Interrupted(HTTPAdapter):
        """Sends a request, and is interrupted before the answer."""

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            super().send(*args, **kwargs).close()
            raise kind

    url = f"{client.base_url}{BATCH}"
    client.session.mount(url, Interrupted())
    with pytest.raises(kind) as interrupted:
        client.create(wish(area), comment="Urgent")
    error: Any = interrupted.value
    assert error.payload == client.create(wish(area), comment="Urgent", dry_run=True)
    assert error.__notes__ == ["Orders were being placed: check the newest orders."]
    [order] = client.look_again(error)
    assert client.look_again(pickle.loads(pickle.dumps(error))) == [order]  # noqa: S301 - ours
    assert ids_of(sandbox, area) == [order.id]


@pytest.mark.parametrize("fault", [{"kind": "commit_then_reset"}, {"status": 429}])
def test_interrupted_pause_carries_the_orders(
    sandbox: Sandbox, area: str, fault: dict[str, Any]
) -> None:
    """An interruption while the client waits carries the orders, too."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    sandbox.fail(Fault(BATCH, **fault))
    with (
        client_of(sandbox, sleep=interrupt) as client,
        pytest.raises(KeyboardInterrupt) as interrupted,
    ):
        client.create(wish(area))
    found: list[str | None] = []
    with client_of(sandbox) as client, suppress(OrderOutcomeUnknown):
        found += [order.id for order in client.look_again(interrupted.value)]
    assert found == ids_of(sandbox, area)


def test_look_again_needs_orders(client: OrdersClient) -> None:
    """An exception from before anything was sent carries no orders."""
    with pytest.raises(ValueError, match="no orders"):
        client.look_again(KeyboardInterrupt())
