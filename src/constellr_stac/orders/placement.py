"""Place a batch of orders once: what exists is looked at before the batch is sent.

An active order that is equal refuses the batch. Only the answers that the contract documents as
refusals count as refusals. After any other answer, or none, the orders created since are compared
with those sent; after 401 and 429 the batch is sent again if there are none.
"""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from constellr_stac.auth.failures import failure_of
from constellr_stac.auth.retry import retry_after
from constellr_stac.auth.transport import without_frames
from constellr_stac.errors import APIError, ConstellrError, OrderExistsError, OrderOutcomeUnknown

from .lookup import Batch, Snapshot
from .matching import match_orders, matches
from .payloads import Order
from .wire import BATCH, concerns, error_context, json_of, parse_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import requests

    from .lookup import Look, OrderLookup
    from .wire import Api

__all__ = ["OrderPlacer", "never_sent"]

_LOOKUP_DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each lookup: the server may still be processing the batch."""
_RETRIES = 5
_MAX_PAUSE = 120.0
_PLACED = (200, 201)
_REFUSED = (400, 403, 404, 422)
"""Documented refusals. 401 is one as well, but is looked into first: a new token may help."""
_UNAUTHORIZED = 401
_TOO_MANY = 429
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # A connection that was idle since the last order may be dead without notice.
    "Connection": "close",
}


class OrderPlacer:
    """Sends batches of orders and determines their outcome."""

    def __init__(self, api: Api, lookup: OrderLookup) -> None:
        self._api = api
        self._lookup = lookup

    def place(self, batch: Batch, *, exist_ok: bool, duplicate_ok: bool) -> list[Order]:
        """Place a batch and return its orders with the server's fields.

        Raises:
            OrderExistsError: An equal order is active or in the batch; nothing was sent.
            APIError: The server refused; nothing was placed.
            APIConnectionError: The server could not be reached; nothing was placed.
            OrderOutcomeUnknown: The batch was sent, and its orders were not found.
        """
        there = self._lookup.existing()
        before = Snapshot(None if there is None else frozenset(str(order.id) for order in there))
        active = [order for order in there or () if not order.is_final]
        _, existing = match_orders(
            batch.orders, active, batch_comment=batch.comment, may_have_more_tags=True
        )
        if not duplicate_ok:
            _refuse_equal(batch, () if exist_ok else existing)
            if there is None:
                warnings.warn(
                    "This account may not list orders: if an equal order is active, another one "
                    "is placed.",
                    stacklevel=3,
                )
        if not exist_ok or not any(existing):
            return self._send(batch, before)
        missing = [order for order, found in zip(batch.orders, existing, strict=True) if not found]
        placed = iter(self._send(replace(batch, orders=missing), before) if missing else ())
        return [found or next(placed) for found in existing]

    def look_again(self, unknown: BaseException) -> list[Order]:
        """Look up orders whose outcome was unknown.

        Raises:
            OrderOutcomeUnknown: They are still not found.
            ValueError: The exception carries no orders.
        """
        payload, before = getattr(unknown, "payload", None), getattr(unknown, "before", None)
        if payload is None or not isinstance(before, Snapshot):
            msg = f"This {type(unknown).__name__} carries no orders: none were being placed."
            raise ValueError(msg)
        look = self._lookup.look(Batch.from_payload(payload), before, (0.0,))
        if look.placed:
            return list(look.placed)
        raise _unknown_error(payload, before, look, unknown) from unknown

    def _send(self, batch: Batch, before: Snapshot) -> list[Order]:
        """Send a batch until its outcome is known, or cannot be known."""
        payload = batch.payload()
        body = json.dumps(payload, allow_nan=False).encode()
        attempt = 0
        with _carried_by_interruptions(payload, before):
            while True:
                answer = self._post(body, len(batch.orders), before, attempt)
                error = answer.error
                if error is None:
                    return answer.placed
                if error.status_code in _REFUSED or (attempt == 0 and never_sent(error)):
                    raise error
                look = self._lookup.look(batch, before, answer.delays)
                if look.placed:
                    return look.placed
                if look.is_empty and answer.again:
                    attempt += 1
                elif error.status_code == _UNAUTHORIZED and not look.matching:
                    raise error
                else:
                    raise _unknown_error(payload, before, look, error) from error

    def _post(self, body: bytes, count: int, before: Snapshot, attempt: int) -> _Answer:
        """Send a batch once."""
        try:
            response = self._api.send(
                "POST", BATCH, data=body, headers=_HEADERS, allow_redirects=False
            )
            if response.status_code in _PLACED:
                return _Answer(self._placed(response, count, before))
        except ConstellrError as failure:
            return _Answer(error=without_frames(failure))  # would keep its connection alive
        error = APIError.from_response(response)
        if response.status_code == _UNAUTHORIZED:
            return _Answer(error=error, delays=(0.0,), again=attempt == 0)
        asked = retry_after(response.headers)
        pause = 2.0**attempt if asked is None else asked
        if response.status_code == _TOO_MANY and attempt < _RETRIES and pause <= _MAX_PAUSE:
            return _Answer(error=error, delays=(pause,), again=True)
        return _Answer(error=error)

    def _placed(self, response: requests.Response, count: int, before: Snapshot) -> list[Order]:
        """Return the placed orders of a response.

        Raises:
            APIError: They are not ``count`` new orders, or were given to another call.
        """
        status = response.status_code
        with error_context("POST", response.url, status):
            orders = parse_list(Order, json_of(response))
            new = {order.id for order in orders} - {None} - (before.ids or frozenset())
            if not len(orders) == len(new) == count or not self._lookup.claim(orders, before):
                raise APIError(
                    f"POST {response.url} answered {status} with {len(new)} new orders instead "
                    f"of {count}."
                )
            return orders


class _Answer(NamedTuple):
    """The answer to a batch."""

    placed: list[Order] = []  # noqa: RUF012 - never changed
    error: ConstellrError | None = None
    """Why the orders are not in the answer."""
    delays: tuple[float, ...] = _LOOKUP_DELAYS
    """Seconds before each look for the orders."""
    again: bool = False
    """Whether the batch may be sent again if there are none."""


def never_sent(error: ConstellrError) -> bool:
    """Return whether it is certain that no order was sent."""
    if not concerns(error, BATCH):
        return True  # the token request failed
    cause, url = error.__cause__, error.request_url or ""
    return cause is not None and failure_of(cause, url).nothing_sent


@contextmanager
def _carried_by_interruptions(payload: Mapping[str, Any], before: Snapshot) -> Iterator[None]:
    """Add what :meth:`OrderPlacer.look_again` needs to an exception that is not about the order."""
    try:
        yield
    except ConstellrError:
        raise
    except BaseException as interruption:
        vars(interruption).update(payload=payload, before=before)
        interruption.add_note("Orders were being placed: check the newest orders.")
        raise


def _refuse_equal(batch: Batch, existing: Sequence[Order | None]) -> None:
    """Refuse a batch with two equal orders, or with an order that is active.

    ``existing`` has for each order of the batch an active one that is equal, if any.

    Raises:
        OrderExistsError: There are equal orders.
    """
    equal = {
        f"orders[{index}] is equal to order {order.id} ({order.state})": order
        for index, order in enumerate(existing)
        if order is not None
    }
    match = partial(matches, batch_comment=batch.comment)
    for index, order in enumerate(batch.orders):
        for first, other in enumerate(batch.orders[:index]):
            if match(order, other) and match(other, order):
                equal[f"orders[{index}] is equal to orders[{first}]"] = other
                break
    if not equal:
        return
    lines = "".join(f"\n  - {line}" for line in equal)
    error = OrderExistsError(
        f"Nothing was sent: equal orders are active, or in the batch.{lines}\n"
        "Pass duplicate_ok=True to place them all, or exist_ok=True to use the active ones and "
        "place only the others."
    )
    error.existing = tuple(equal.values())
    raise error


def _unknown_error(
    payload: Mapping[str, Any], before: Snapshot, look: Look, cause: BaseException
) -> OrderOutcomeUnknown:
    sent = len(payload["orders"])
    if look.failure:
        seen = f"They could not be looked up ({look.failure})"
    else:
        seen = f"{len(look.matching)} matching orders were created on the server since"
        if look.taken:
            seen += f"; another call in this process was given {look.taken} of them"
    # The previous lookup's result is in the cause's own message.
    so_far = "still unknown." if isinstance(cause, OrderOutcomeUnknown) else f"unknown. {cause}"
    error = OrderOutcomeUnknown(
        f"Whether the {sent} order{'s were' if sent > 1 else ' was'} placed is {so_far} "
        f"{seen}. Nothing was sent again. Before you order again, check the newest orders or call "
        "look_again(error): an order costs money.",
        status_code=getattr(cause, "status_code", None),
        request_url=getattr(cause, "request_url", None),
    )
    error.payload, error.found, error.before = payload, tuple(look.matching), before
    return error
