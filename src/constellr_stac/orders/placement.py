"""An order is placed once: it is sent once, and where the outcome is unknown, looked for.

What is there is noted before an order is sent. A refusal (4xx) is certain, and so is a
connection that never came to be; after 429 the server says that it did nothing, so it is waited
and sent then. Everything else (a timeout, a connection that broke off, 5xx, an answer that
cannot be read) leaves open whether the order was placed: those that have appeared since are
compared with it field by field. It is never sent again from here.
"""

from __future__ import annotations

import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import requests
from urllib3 import exceptions as urllib3_errors

from constellr_stac.errors import (
    APIConnectionError,
    APIError,
    ConstellrError,
    ForbiddenError,
    OrderOutcomeUnknown,
)

from .matching import paired
from .payloads import Order
from .wire import about, concerns, content_of, each_of, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from .paging import Page

__all__ = ["BATCH", "ORDERS", "Before", "Placing", "never_sent"]

ORDERS = "/orders"
BATCH = "/orders/batch"
"""Where orders are placed; what is sent there costs money."""

_LOOKS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look for orders whose outcome is unknown: the server may still be at it."""
_SNAPSHOT = 50
_RETRIES = 5
_LONGEST_PAUSE = 120.0
_TOO_MANY = 429
_REFUSED = range(400, 500)
_GATEWAY_GAVE_UP = 408
_PLACED = (200, 201)
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # A connection that lay idle since the last order may be dead without anybody's knowing.
    "Connection": "close",
}


@dataclass(frozen=True)
class Before:
    """What was there before an order was sent, by the server's own ids and clock."""

    ids: frozenset[str]
    """The newest orders."""
    oldest: datetime | None
    """When the oldest of them was created; ``None`` if they were all there are."""

    def is_new(self, order: Order) -> bool:
        """Say whether an order has appeared since."""
        if order.id in self.ids:
            return False
        return self.oldest is None or order.created is None or order.created > self.oldest


class Placing:
    """Sends batches of orders, and finds out what became of them.

    Args:
        ask: Sends one request to the API, once, and returns the answer.
        page: Returns a page of orders, the newest first.
        newest: Yields all orders, the newest first.

    Keyword Args:
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        ask: Callable[..., requests.Response],
        page: Callable[[int, int], Page],
        newest: Callable[[], Iterator[Order]],
        *,
        sleep: Callable[[float], None],
    ) -> None:
        self._ask = ask
        self._page = page
        self._newest = newest
        self._sleep = sleep

    def place(self, payload: Mapping[str, Any]) -> list[Order]:
        """Place a batch of orders and return them as the server has them.

        Args:
            payload: The body of the request.

        Raises:
            APIError: The server refused; nothing was placed.
            APIConnectionError: The server could not be reached; nothing was placed.
            OrderOutcomeUnknown: It was sent, and not found.
        """
        body = json.dumps(payload, allow_nan=False).encode()
        for attempt in itertools.count():
            before = self._snapshot()
            with _interruptions_marked():
                try:
                    response = self._sent(body)
                except APIConnectionError as error:
                    if never_sent(error):
                        raise
                    return self._found(payload, before, error)
                status = response.status_code
                if status not in _REFUSED or status == _GATEWAY_GAVE_UP:
                    return self._answered(payload, before, response)
            pause = _pause(response, attempt)
            if status != _TOO_MANY or pause > _LONGEST_PAUSE or attempt == _RETRIES:
                break
            self._sleep(pause)
        raise APIError.from_response(response)

    def look_again(self, unknown: OrderOutcomeUnknown) -> list[Order]:
        """Look once more for orders whose outcome was unknown.

        Raises:
            OrderOutcomeUnknown: They are still not there.
        """
        if unknown.payload is None or not isinstance(unknown.before, Before):
            raise unknown
        return self._found(unknown.payload, unknown.before, unknown, looks=(0.0,))

    def _sent(self, body: bytes) -> requests.Response:
        return self._ask("POST", BATCH, data=body, headers=_HEADERS, allow_redirects=False)

    def _snapshot(self) -> Before | None:
        """Note what is there; ``None`` where the account may order, but not list."""
        try:
            page = self._page(0, _SNAPSHOT)
        except ForbiddenError as refusal:
            if concerns(refusal, ORDERS):
                return None
            raise
        orders = [parsed(Order, item) for item in page.items]
        created = [order.created for order in orders if order.created is not None]
        is_all = page.total <= len(orders)
        return Before(
            frozenset(order.id for order in orders if order.id is not None),
            None if is_all or not created else min(created),
        )

    def _answered(
        self, payload: Mapping[str, Any], before: Before | None, response: requests.Response
    ) -> list[Order]:
        """Return the orders of an answer, if that is what it holds."""
        if response.status_code not in _PLACED:
            return self._found(payload, before, APIError.from_response(response))
        try:
            return _placed(response, len(payload["orders"]))
        except APIError as error:
            return self._found(payload, before, error)

    def _found(
        self,
        payload: Mapping[str, Any],
        before: Before | None,
        cause: ConstellrError,
        looks: Iterable[float] = _LOOKS,
    ) -> list[Order]:
        """Return the orders that were sent, if all of them, and only they, have appeared."""
        sent = [parsed(Order, order) for order in payload["orders"]]
        candidates: list[Order] = []
        obstacle: ConstellrError | None = None
        for pause in looks:
            if before is None:
                break
            self._sleep(pause)
            try:
                appeared = self._appeared(before)
                obstacle = None
            except ConstellrError as error:
                obstacle = error
                continue
            candidates, own = paired(sent, appeared, batch_comment=payload.get("comment"))
            placed = [order for order in own if order is not None]
            if len(candidates) == len(sent) == len(placed):
                return placed
            if len(candidates) > len(sent):
                break  # somebody placed the same: which are these, nobody can say
        raise _unknown(payload, before, candidates, cause, obstacle) from cause

    def _appeared(self, before: Before) -> list[Order]:
        """Return the orders that were not there before, reading no further than needed."""
        recent = itertools.takewhile(
            lambda order: order.id in before.ids or before.is_new(order), self._newest()
        )
        return [order for order in recent if before.is_new(order)]


def never_sent(error: APIConnectionError) -> bool:
    """Say whether it is certain that no order left this machine."""
    if not concerns(error, BATCH):
        return True  # the token was asked for, and did not come
    cause: Any = error.__cause__
    if isinstance(cause, requests.ConnectTimeout):
        return True
    if not isinstance(cause, requests.ConnectionError) or not cause.args:
        return False
    reason = getattr(cause.args[0], "reason", None)
    if isinstance(reason, urllib3_errors.ProxyError):
        reason = reason.original_error
    return isinstance(reason, urllib3_errors.NewConnectionError)


def _pause(response: requests.Response, attempt: int) -> float:
    """Return the seconds that the server asks for, by its own clock; else more each time."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
        return max(0.0, (until - parsedate_to_datetime(response.headers["Date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 2.0**attempt


def _placed(response: requests.Response, count: int) -> list[Order]:
    """Return the orders of an answer that says yes; an error where they are not all there."""
    status = response.status_code
    with about("POST", response.url, status):
        orders = each_of(Order, content_of(response))
        placed = [order for order in orders if order.id is not None]
        if len(orders) != count or len(placed) != count:
            raise APIError(
                f"POST {response.url} answered {status}, but with {len(placed)} placed orders, "
                f"not {count}."
            )
        return placed


@contextmanager
def _interruptions_marked() -> Iterator[None]:
    """Let Ctrl-C say, on its way out, that an order is on its way."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as interruption:
        interruption.add_note("Orders were just being placed: look at the newest ones.")
        raise


def _unknown(
    payload: Mapping[str, Any],
    before: Before | None,
    found: Sequence[Order],
    cause: ConstellrError,
    obstacle: ConstellrError | None,
) -> OrderOutcomeUnknown:
    sent = len(payload["orders"])
    if before is None:
        seen = "This account may not list orders, so they could not be looked for"
    elif obstacle is not None:
        seen = f"They could not be looked for ({obstacle})"
    else:
        seen = f"{len(found)} orders like these have appeared on the server since"
    # What was found out before is in the cause's own message.
    so_far = "still unknown." if isinstance(cause, OrderOutcomeUnknown) else f"unknown. {cause}"
    error = OrderOutcomeUnknown(
        f"Whether the {sent} order{'s were' if sent > 1 else ' was'} placed is {so_far} "
        f"{seen}. Nothing was sent again. Before you place them again, look at the newest orders, "
        "or let look_again(error) do it: an order costs money.",
        status_code=cause.status_code,
        request_url=cause.request_url,
    )
    error.payload, error.found, error.before = payload, tuple(found), before
    return error
