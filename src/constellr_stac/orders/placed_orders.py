"""The placed orders of an organization: list, fetch, wait, delete."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import (
    APIConnectionError,
    APIError,
    OrderEndedError,
    OrderWaitTimeout,
    RateLimitError,
    ServerError,
)

from .payloads import Order
from .records import Listed
from .wire import ORDERS, ignore_body, parse, path_of

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Collection, Iterator

    from .wire import Api

__all__ = ["PlacedOrders", "parse_order"]

_GROWTH = 1.5
_MAX_FACTOR = 10.0
_MAX_FAILURES = 5


class PlacedOrders:
    """The placed orders of an organization; :class:`.OrdersClient` has the same methods."""

    def __init__(
        self, api: Api, *, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._sleep = sleep
        self._clock = clock

    def list(self, limit: int | None = None, sort: str | None = "-created") -> Iterator[Order]:
        """Iterate over the organization's orders, each once.

        Orders placed meanwhile are included; if there are several pages, they come last.

        Args:
            limit: Maximum number of orders; default all.
            sort: ``-created`` (newest first), or ``None`` for the server's default.
        """
        return Listed(self._api.iterate(parse_order, ORDERS, limit, sort))

    def get(self, id: str | Order) -> Order:  # noqa: A002 - the API's own word
        """Fetch an order.

        Args:
            id: Its id, or an :class:`Order` to fetch again.

        Raises:
            NotFoundError: There is no order with this id.
        """
        return self._api.call(parse_order, "GET", path_of(ORDERS, id))

    def delete(self, id: str | Order) -> None:  # noqa: A002 - the API's own word
        """Delete an order that is pending validation or rejected (newer API).

        Raises:
            ConflictError: It is in progress or closed.
            NotFoundError: There is no order with this id.
            APIError: 405 from the older API.
        """
        hints = {
            405: "The older API cannot delete orders.",
            409: "Only an order that is pending_validation or rejected can be deleted.",
        }
        self._api.call(ignore_body, "DELETE", path_of(ORDERS, id), hints=hints)

    def use_cases(self) -> builtins.list[str]:
        """Return the valid values of ``use_case`` (older API).

        Raises:
            NotFoundError: The newer API has no use cases.
        """
        hints = {404: "The newer API has no use cases: omit use_case."}
        return self._api.call(_parse_use_cases, "GET", f"{ORDERS}/meta/use-cases", hints=hints)

    def wait(
        self,
        id: str | Order,  # noqa: A002 - the API's own word
        until: str | Collection[str] = ("closed", "rejected"),
        timeout: float | None = None,
        interval: float = 60.0,
        on_change: Callable[[Order], object] | None = None,
    ) -> Order:
        """Poll an order until it is in one of some states, and return it.

        Args:
            id: The order or its id.
            until: One or more states.
            timeout: Maximum seconds to wait; default no limit.
            interval: Seconds between polls; grows up to tenfold while the state stays the same,
                and is reset when it changes.
            on_change: Called with the order when it is first fetched and on every new state.

        Raises:
            OrderWaitTimeout: The timeout is over; ``order`` is the last one fetched.
            OrderEndedError: The order is closed or rejected, and that is not in ``until``.
            APIError, APIConnectionError: Five polls in a row failed.
        """
        states = {until} if isinstance(until, str) else set(until)
        deadline = math.inf if timeout is None else self._clock() + timeout
        order: Order | None = None
        failures, pause = 0, interval
        while True:
            latest = order
            try:
                latest = self.get(id)
                failures = 0
            except (APIConnectionError, RateLimitError, ServerError):
                failures += 1
                if failures == _MAX_FAILURES:
                    raise
            if latest is not None and (order is None or latest.state != order.state):
                order, pause = latest, interval
                if on_change is not None:
                    on_change(order)
                if order.state in states:
                    return order
                if order.is_final:
                    raise _ended_error(order, states)
            if self._clock() >= deadline:
                raise _timeout_error(order, states, timeout)
            self._sleep(min(pause, max(0.0, deadline - self._clock())))
            pause = min(pause * _GROWTH, interval * _MAX_FACTOR)


parse_order = partial(parse, Order)


def _parse_use_cases(content: Any) -> list[str]:
    match content:
        case [*names] if all(isinstance(name, str) for name in names):
            return names
        case _:
            raise APIError("The API did not answer with a list of use cases.")


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
