"""Poll an order until it reaches a state, through temporary outages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from constellr_stac.errors import (
    APIConnectionError,
    OrderEndedError,
    OrderWaitTimeout,
    RateLimitError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .payloads import Order

__all__ = ["wait_for"]

_GROWTH = 1.5
_MAX_FACTOR = 10.0
_MAX_FAILURES = 5


def wait_for(
    fetch: Callable[[], Order],
    states: Collection[str],
    *,
    timeout: float | None,
    interval: float,
    on_change: Callable[[Order], object],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Order:
    """Poll an order until it is in one of ``states``; see :meth:`.OrdersClient.wait`.

    Raises:
        OrderWaitTimeout: The timeout is over.
        OrderEndedError: The order is in another final state.
        ConstellrError: Five polls in a row failed.
    """
    deadline = None if timeout is None else clock() + timeout
    order: Order | None = None
    latest: Order | None
    failures, pause = 0, interval
    while True:
        try:
            latest = fetch()
            failures = 0
        except (APIConnectionError, RateLimitError, ServerError):
            failures += 1
            if failures == _MAX_FAILURES:
                raise
            latest = order
        if latest is not None and (order is None or latest.state != order.state):
            order, pause = latest, interval
            on_change(order)
            if order.state in states:
                return order
            if order.is_final:
                raise _ended_error(order, states)
        if deadline is not None and clock() >= deadline:
            raise _timeout_error(order, states, timeout)
        sleep(pause if deadline is None else min(pause, max(0.0, deadline - clock())))
        pause = min(pause * _GROWTH, interval * _MAX_FACTOR)


def _ended_error(order: Order, states: Collection[str]) -> OrderEndedError:
    reason = f": {order.rejection_reason}" if order.rejection_reason else ""
    error = OrderEndedError(
        f"The order {order.id} is {order.state}{reason}. It will not become {_either(states)}."
    )
    error.order = order
    return error


def _timeout_error(
    order: Order | None, states: Collection[str], timeout: float | None
) -> OrderWaitTimeout:
    state = "in an unknown state" if order is None else order.state
    error = OrderWaitTimeout(
        f"After {timeout:g} seconds the order is {state}, not {_either(states)}. The server keeps "
        "processing it: wait again, or check later."
    )
    error.order = order
    return error


def _either(states: Collection[str]) -> str:
    return " or ".join(sorted(states))
