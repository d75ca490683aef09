"""Waiting for what becomes of an order, through outages that pass.

The API sends no messages: it is asked, less and less often as long as nothing happens.
"""

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
_SLOWEST = 10.0
_PATIENCE = 5


def wait_for(
    look: Callable[[], Order],
    states: Collection[str],
    *,
    timeout: float | None,
    interval: float,
    on_change: Callable[[Order], object],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Order:
    """Look at an order again and again until it is in one of ``states``.

    Args:
        look: Returns the order as it is now.
        states: Those that are waited for.

    Keyword Args:
        timeout: Seconds to wait at most, or ``None``.
        interval: Seconds between two looks at first.
        on_change: Called with the order when it is first seen, and on every new state.
        sleep: Waits for some seconds.
        clock: Returns seconds that only grow.

    Raises:
        OrderWaitTimeout: The time is over.
        OrderEndedError: The order is in a state that it does not leave.
        ConstellrError: Five looks in a row have failed.
    """
    deadline = None if timeout is None else clock() + timeout
    order: Order | None = None
    seen: Order | None
    failures, pause = 0, interval
    while True:
        try:
            seen = look()
            failures = 0
        except (APIConnectionError, RateLimitError, ServerError):
            failures += 1
            if failures == _PATIENCE:
                raise
            seen = order
        if seen is not None and (order is None or seen.state != order.state):
            order, pause = seen, interval
            on_change(order)
            if order.state in states:
                return order
            if order.is_final:
                raise _ended(order, states)
        if deadline is not None and clock() >= deadline:
            raise _late(order, states, timeout)
        sleep(pause if deadline is None else min(pause, max(0.0, deadline - clock())))
        pause = min(pause * _GROWTH, interval * _SLOWEST)


def _ended(order: Order, states: Collection[str]) -> OrderEndedError:
    reason = f": {order.rejection_reason}" if order.rejection_reason else ""
    error = OrderEndedError(
        f"The order {order.id} is {order.state}{reason}. It will not be {_either(states)}."
    )
    error.order = order
    return error


def _late(order: Order | None, states: Collection[str], timeout: float | None) -> OrderWaitTimeout:
    now = "was not seen" if order is None else f"is {order.state}"
    error = OrderWaitTimeout(
        f"After {timeout:g} seconds the order {now}, not {_either(states)}. It goes on by itself: "
        "wait again, or look later."
    )
    error.order = order
    return error


def _either(states: Collection[str]) -> str:
    return " or ".join(sorted(states))
