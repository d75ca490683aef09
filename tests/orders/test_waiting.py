"""Waiting for an order's state."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from constellr_stac import ConstellrError, NotFoundError, ServerError
from constellr_stac.orders import OrderEndedError, OrdersClient, OrderWaitTimeout
from constellr_stac.sandbox import Fault
from ordering import FIELD, client_of, new_name, open_sandbox, wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.orders import Order
    from constellr_stac.sandbox import Sandbox


class FakeClock:
    """A clock that only advances by sleeping, here and on the server."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Advance both clocks."""
        self.pauses.append(seconds)
        self.now += seconds
        self.sandbox.advance(timedelta(seconds=seconds))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An API whose orders are closed after an hour."""
    with open_sandbox(newer=True, delivery=timedelta(hours=1)) as sandbox:
        yield sandbox


@pytest.fixture
def time(sandbox: Sandbox) -> FakeClock:
    """The fake clock."""
    return FakeClock(sandbox)


@pytest.fixture
def client(sandbox: Sandbox, time: FakeClock) -> Iterator[OrdersClient]:
    """A client with the fake clock."""
    with client_of(sandbox, sleep=time.sleep, clock=lambda: time.now) as client:
        yield client


@pytest.fixture
def order(client: OrdersClient) -> Order:
    """A new order."""
    [order] = client.create(wish(client.create_aoi(new_name(), FIELD)))
    return order


def test_polling_interval_grows_and_resets(
    client: OrdersClient, order: Order, time: FakeClock
) -> None:
    """Every state is reported once; intervals grow tenfold and reset on a change."""
    reported: list[Any] = []
    closed = client.wait(
        order, ("closed",), None, 10, on_change=lambda order: reported.append(order.state)
    )
    assert closed.state == "closed"
    assert reported == ["pending_validation", "in_progress", "closing", "closed"]
    assert time.pauses[:4] == [10, 15, 22.5, 33.75]
    assert max(time.pauses) <= 100
    changes = [n for n, pause in enumerate(time.pauses) if pause == 10]
    assert len(changes) == 3  # after each state but the last
    assert 3600 <= time.now < 3600 + 100


def test_until_accepts_one_or_several_states(client: OrdersClient, order: Order) -> None:
    """``until`` is one state or several."""
    assert client.wait(order, "in_progress").state == "in_progress"
    assert client.wait(str(order.id), ["closing"]).state == "closing"
    assert client.wait(order, ("closing", "closed")).state == "closing"


def test_timeout(client: OrdersClient, order: Order, time: FakeClock) -> None:
    """After exactly ``timeout`` seconds, the error has the last order fetched."""
    with pytest.raises(OrderWaitTimeout, match="After 1000 seconds") as late:
        client.wait(order, "closed", timeout=1000, interval=60)
    assert isinstance(late.value, TimeoutError)
    assert isinstance(late.value, ConstellrError)
    assert late.value.order is not None
    assert late.value.order.state == "in_progress"
    assert time.now == 1000
    with pytest.raises(OrderWaitTimeout):
        client.wait(order, "closed", timeout=0)


def test_other_final_state_is_an_error(
    client: OrdersClient, order: Order, sandbox: Sandbox, time: FakeClock
) -> None:
    """A rejected order raises at once, with the reason, when waiting for ``closed``."""
    sandbox.settle_order(str(order.id), "rejected", reason="clouds")
    with pytest.raises(OrderEndedError, match="rejected: clouds") as ended:
        client.wait(order, "closed")
    assert ended.value.order is not None
    assert ended.value.order.rejection_reason == "clouds"
    assert time.pauses == []
    assert client.wait(order).state == "rejected"


def test_outage_is_tolerated(client: OrdersClient, order: Order, sandbox: Sandbox) -> None:
    """Four failures in a row are tolerated, the fifth raises; a 404 raises at once."""
    sandbox.fail(Fault("/orders/", status=501, times=4))
    sandbox.fail(Fault("/orders/", status=501, times=4, skip=1))
    assert client.wait(order, "in_progress", interval=1).state == "in_progress"
    sandbox.fail(Fault("/orders/", status=501, times=5))
    with pytest.raises(ServerError):
        client.wait(order)
    sandbox.fail(Fault("/orders/", status=404))
    with pytest.raises(NotFoundError):
        client.wait(order)
    sandbox.fail(Fault("/orders/", status=501, times=2))
    with pytest.raises(OrderWaitTimeout, match="unknown state"):
        client.wait(order, timeout=60)
