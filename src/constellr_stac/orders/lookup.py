"""Look up which of the organization's orders are new, equal to those sent, and whose they are.

An equal order that appeared after a batch was sent belongs to that batch, unless another call in
this process was given it: each id is claimed once per process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from constellr_stac._process import STATE
from constellr_stac.errors import ConstellrError, ForbiddenError

from .matching import match_orders
from .payloads import Order
from .wire import ORDERS, concerns, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["Batch", "Look", "OrderLookup", "Snapshot"]

_KNOWN_ENOUGH = 50
"""Known orders after which the rest of the list, newest first, is known too."""


@dataclass(frozen=True)
class Batch:
    """Orders to be placed together."""

    orders: Sequence[Order]
    comment: str | None = None
    use_case: str | None = None

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Batch:
        """Return the batch of a request body."""
        orders = [parse(Order, order) for order in payload["orders"]]
        return cls(orders, payload.get("comment"), payload.get("use_case"))

    def payload(self) -> dict[str, Any]:
        """Return the request body."""
        words = {"comment": self.comment, "use_case": self.use_case}
        return {
            "orders": [order.payload() for order in self.orders],
            **{name: value for name, value in words.items() if value is not None},
        }


@dataclass(frozen=True)
class Snapshot:
    """The organization's orders before a batch is sent."""

    ids: frozenset[str] | None
    """Their ids; ``None`` if this account may not list orders."""
    call: str = field(default_factory=lambda: uuid4().hex)
    """Identifies the call that places the batch, also after pickling."""


class Look(NamedTuple):
    """The result of looking for the orders of a batch."""

    placed: list[Order]
    """The orders of the batch, as sent; empty if these were not found, or more than these."""
    matching: list[Order]
    """All new orders that are equal to one of the batch."""
    taken: int = 0
    """How many of these were given to another call in this process."""
    failure: str = ""
    """Why the orders could not be listed, if so."""

    @property
    def is_empty(self) -> bool:
        """Whether it is seen that there is no such order."""
        return not self.matching and not self.failure


class OrderLookup:
    """Lists orders, newest first, and compares them with a batch."""

    def __init__(
        self,
        base_url: str,
        list_orders: Callable[[], Iterator[Order]],
        sleep: Callable[[float], None],
    ) -> None:
        self._base_url = base_url
        self._list_orders = list_orders
        self._sleep = sleep

    def existing(self) -> list[Order] | None:
        """Return all orders, or ``None`` if this account may not list orders."""
        try:
            return list(self._list_orders())
        except ForbiddenError as refusal:
            if concerns(refusal, ORDERS):
                return None
            raise

    def look(self, batch: Batch, before: Snapshot, delays: Iterable[float]) -> Look:
        """Look for the orders of a batch until they are all found.

        Args:
            batch: The batch that was sent.
            before: The orders before it was sent.
            delays: Seconds to wait before each look.
        """
        if before.ids is None:
            return Look([], [], failure="this account may not list orders")
        found = Look([], [])
        for delay in delays:
            self._sleep(delay)
            try:
                created = self._created_since(before.ids)
            except ConstellrError as error:
                found = Look([], [], failure=str(error))
                continue
            match = partial(match_orders, batch.orders, batch_comment=batch.comment)
            matching, _ = match(created)
            claimed = self._claimed()
            free, own = match(
                [order for order in matching if claimed.get(order.id, before.call) == before.call]
            )
            placed = [order for order in own if order is not None]
            if len(free) == len(batch.orders) == len(placed) and self.claim(placed, before):
                return Look(placed, matching)
            found = Look([], matching, taken=len(matching) - len(free))
            if len(free) > len(batch.orders):
                break  # someone else placed the same orders: ours cannot be told apart
        return found

    def claim(self, orders: Iterable[Order], before: Snapshot) -> bool:
        """Claim orders for a call; return whether no other call in this process has any of them."""
        claimed = self._claimed()
        return all(claimed.setdefault(order.id, before.call) == before.call for order in orders)

    def _claimed(self) -> dict[str | None, str]:
        """Return the call that each order of this process was given to, by order id."""
        return STATE.shared("placed orders", self._base_url, dict)

    def _created_since(self, known: frozenset[str]) -> list[Order]:
        """Return the orders that are not known, reading no more pages than needed."""
        created, seen = [], 0
        for order in self._list_orders():
            if order.id not in known:
                created.append(order)
                continue
            seen += 1
            if seen == _KNOWN_ENOUGH:
                break
        return created
