"""Place orders exactly once: a batch whose outcome is unknown is looked up, never sent again.

The newest orders are noted before sending. A 4xx response and a connection that was never
established are certain: nothing was placed. After 429 the batch is sent again, since the server did
nothing. Anything else (a timeout, a broken connection, 5xx, an unreadable response) leaves the
outcome open: the orders created since are compared with those sent.
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

from .matching import match_orders
from .payloads import Order
from .wire import concerns, error_context, json_of, parse, parse_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from .paging import Page

__all__ = ["BATCH", "ORDERS", "OrderPlacer", "Snapshot", "never_sent"]

ORDERS = "/orders"
BATCH = "/orders/batch"
"""The endpoint that places orders."""

_LOOKUP_DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each lookup: the server may still be processing the batch."""
_SNAPSHOT_SIZE = 50
_RETRIES = 5
_MAX_PAUSE = 120.0
_TOO_MANY = 429
_REFUSED = range(400, 500)
_REQUEST_TIMEOUT = 408
_PLACED = (200, 201)
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # A connection that was idle since the last order may be dead without notice.
    "Connection": "close",
}


@dataclass(frozen=True)
class Snapshot:
    """The newest orders before a batch is sent, by the server's ids and clock."""

    ids: frozenset[str]
    oldest: datetime | None
    """Creation time of the oldest; ``None`` if these are all orders."""

    def is_new(self, order: Order) -> bool:
        """Return whether an order was created since."""
        if order.id in self.ids:
            return False
        return self.oldest is None or order.created is None or order.created > self.oldest


class OrderPlacer:
    """Sends batches of orders and determines their outcome.

    Args:
        send: Sends one request to the API, without retries, and returns the response.
        fetch_page: Returns a page of orders, newest first.
        list_orders: Yields all orders, newest first.

    Keyword Args:
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        send: Callable[..., requests.Response],
        fetch_page: Callable[[int, int], Page],
        list_orders: Callable[[], Iterator[Order]],
        *,
        sleep: Callable[[float], None],
    ) -> None:
        self._send = send
        self._fetch_page = fetch_page
        self._list_orders = list_orders
        self._sleep = sleep

    def place(self, payload: Mapping[str, Any]) -> list[Order]:
        """Place a batch of orders and return them with the server's fields.

        Args:
            payload: The body of the request.

        Raises:
            APIError: The server refused; nothing was placed.
            APIConnectionError: The server could not be reached; nothing was placed.
            OrderOutcomeUnknown: The batch was sent, and its orders were not found.
        """
        body = json.dumps(payload, allow_nan=False).encode()
        for attempt in itertools.count():
            before = self._snapshot()
            with _note_on_interrupt():
                try:
                    response = self._send(
                        "POST", BATCH, data=body, headers=_HEADERS, allow_redirects=False
                    )
                except APIConnectionError as error:
                    if never_sent(error):
                        raise
                    return self._look_up(payload, before, error)
                status = response.status_code
                if status not in _REFUSED or status == _REQUEST_TIMEOUT:
                    return self._read_response(payload, before, response)
            pause = _retry_after(response, attempt)
            if status != _TOO_MANY or pause > _MAX_PAUSE or attempt == _RETRIES:
                break
            self._sleep(pause)
        raise APIError.from_response(response)

    def look_again(self, unknown: OrderOutcomeUnknown) -> list[Order]:
        """Look up orders whose outcome was unknown.

        Raises:
            OrderOutcomeUnknown: They are still not found.
        """
        if unknown.payload is None or not isinstance(unknown.before, Snapshot):
            raise unknown
        return self._look_up(unknown.payload, unknown.before, unknown, delays=(0.0,))

    def _snapshot(self) -> Snapshot | None:
        """Note the newest orders; ``None`` if the account may not list orders."""
        try:
            page = self._fetch_page(0, _SNAPSHOT_SIZE)
        except ForbiddenError as refusal:
            if concerns(refusal, ORDERS):
                return None
            raise
        orders = [parse(Order, item) for item in page.items]
        created = [order.created for order in orders if order.created is not None]
        is_all = page.total <= len(orders)
        return Snapshot(
            frozenset(order.id for order in orders if order.id is not None),
            None if is_all or not created else min(created),
        )

    def _read_response(
        self, payload: Mapping[str, Any], before: Snapshot | None, response: requests.Response
    ) -> list[Order]:
        """Return the orders in a response; if there are none, look them up."""
        if response.status_code not in _PLACED:
            return self._look_up(payload, before, APIError.from_response(response))
        try:
            return _parse_placed(response, len(payload["orders"]))
        except APIError as error:
            return self._look_up(payload, before, error)

    def _look_up(
        self,
        payload: Mapping[str, Any],
        before: Snapshot | None,
        cause: ConstellrError,
        delays: Iterable[float] = _LOOKUP_DELAYS,
    ) -> list[Order]:
        """Return the orders that were sent, if exactly these were created since."""
        sent = [parse(Order, order) for order in payload["orders"]]
        matching: list[Order] = []
        failure: ConstellrError | None = None
        for delay in delays:
            if before is None:
                break
            self._sleep(delay)
            try:
                created = self._created_since(before)
                failure = None
            except ConstellrError as error:
                failure = error
                continue
            matching, assigned = match_orders(sent, created, batch_comment=payload.get("comment"))
            placed = [order for order in assigned if order is not None]
            if len(matching) == len(sent) == len(placed):
                return placed
            if len(matching) > len(sent):
                break  # someone else placed the same orders: ours cannot be told apart
        raise _unknown_error(payload, before, matching, cause, failure) from cause

    def _created_since(self, before: Snapshot) -> list[Order]:
        """Return the orders created since the snapshot, reading no more pages than needed."""
        recent = itertools.takewhile(
            lambda order: order.id in before.ids or before.is_new(order), self._list_orders()
        )
        return [order for order in recent if before.is_new(order)]


def never_sent(error: APIConnectionError) -> bool:
    """Return whether it is certain that no order was sent."""
    if not concerns(error, BATCH):
        return True  # the token request failed
    cause: Any = error.__cause__
    if isinstance(cause, requests.ConnectTimeout):
        return True
    if not isinstance(cause, requests.ConnectionError) or not cause.args:
        return False
    reason = getattr(cause.args[0], "reason", None)
    if isinstance(reason, urllib3_errors.ProxyError):
        reason = reason.original_error
    return isinstance(reason, urllib3_errors.NewConnectionError)


def _retry_after(response: requests.Response, attempt: int) -> float:
    """Return the seconds of ``Retry-After`` (a date by the server's clock), else 2**attempt."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max(0.0, (until - parsedate_to_datetime(response.headers["Date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 2.0**attempt


def _parse_placed(response: requests.Response, count: int) -> list[Order]:
    """Return the placed orders of a response.

    Raises:
        APIError: They are not ``count`` orders with ids.
    """
    status = response.status_code
    with error_context("POST", response.url, status):
        orders = parse_list(Order, json_of(response))
        placed = [order for order in orders if order.id is not None]
        if len(orders) != count or len(placed) != count:
            raise APIError(
                f"POST {response.url} answered {status} with {len(placed)} placed orders instead "
                f"of {count}."
            )
        return placed


@contextmanager
def _note_on_interrupt() -> Iterator[None]:
    """Add a note to Ctrl-C while orders are being placed."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as interruption:
        interruption.add_note("Orders were being placed: check the newest orders.")
        raise


def _unknown_error(
    payload: Mapping[str, Any],
    before: Snapshot | None,
    matching: Sequence[Order],
    cause: ConstellrError,
    failure: ConstellrError | None,
) -> OrderOutcomeUnknown:
    sent = len(payload["orders"])
    if before is None:
        seen = "They could not be looked up: this account may not list orders"
    elif failure is not None:
        seen = f"They could not be looked up ({failure})"
    else:
        seen = f"{len(matching)} matching orders were created on the server since"
    # The previous lookup's result is in the cause's own message.
    so_far = "still unknown." if isinstance(cause, OrderOutcomeUnknown) else f"unknown. {cause}"
    error = OrderOutcomeUnknown(
        f"Whether the {sent} order{'s were' if sent > 1 else ' was'} placed is {so_far} "
        f"{seen}. Nothing was sent again. Before you order again, check the newest orders or call "
        "look_again(error): an order costs money.",
        status_code=cause.status_code,
        request_url=cause.request_url,
    )
    error.payload, error.found, error.before = payload, tuple(matching), before
    return error
