"""``OrdersClient``: orders, and with :class:`.AreasClient`, areas of interest and products.

Thin over the API: each method is one request and its meaning. What is checked before stands in
:mod:`.checks`, how an order is placed once in :mod:`.placement`, how listings are read in
:mod:`.paging`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from constellr_stac.auth.transport import TIMEOUT
from constellr_stac.errors import (
    APIError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    ValidationError,
)

from .areas import AREAS, AreasClient
from .checks import orders_from, refuse, tag_violations, violations
from .payloads import AreaOfInterest, Order
from .placement import BATCH, ORDERS, Placing
from .rules import CONTRACT_RULES, NEWER_RULES
from .waiting import wait_for
from .wire import concerns, nothing, parsed, path_of

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Collection, Iterable, Iterator

    import requests

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.errors import OrderOutcomeUnknown

    from .rules import OrderRules

__all__ = ["OrdersClient"]


class OrdersClient(AreasClient):
    """Orders, areas of interest and products of an organization.

    Args:
        auth: Adds the credential; a credential will do. Default what
            :func:`constellr_stac.default_credential` finds.

    Keyword Args:
        base_url: The API; default ``auth``'s, else ``CONSTELLR_API_URL``.
        rules: What orders have to fulfil; default those of the API's age, which shows in how it
            answers about areas: :data:`CONTRACT_RULES`, or :data:`NEWER_RULES`.
        today: Returns the date that counts as today; default today in UTC.
        session: A session of your own, which stays open; it must not retry POSTs.
        timeout: Seconds to wait for a connection, and between two bytes of an answer.
        sleep: Waits for some seconds.
        clock: Returns seconds that only grow, to measure waiting.

    Raises:
        InsecureURLError: ``base_url`` is plain http and not on this machine.
        ValueError: ``session`` might send a POST again, or ``auth`` is for another API.

    Example:
        >>> import constellr_stac
        >>> from constellr_stac.orders import Order, OrdersClient
        >>> client = OrdersClient(constellr_stac.ApiKey("secret"))
        >>> client.create(
        ...     Order(
        ...         area_of_interest_id="1c53eaa-9b26-4c3d-8998-bfc8e9ac1770",
        ...         product_name="LSTfusion",
        ...         frequency="daily",
        ...         start_date="2026-06-01",
        ...         end_date="2026-08-31",
        ...     ),
        ...     check=False,
        ...     dry_run=True,
        ... )["orders"][0]["start_date"]
        '2026-06-01T00:00:00Z'
    """

    _never_resent = (BATCH,)

    def __init__(
        self,
        auth: ConstellrAuth | Credential | None = None,
        *,
        base_url: str | None = None,
        rules: OrderRules | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        session: requests.Session | None = None,
        timeout: tuple[float, float] = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(auth, base_url=base_url, session=session, timeout=timeout)
        self._rules = rules
        self._today = today
        self._sleep = sleep
        self._clock = clock
        self._placing = Placing(
            self._ask, partial(self._page, ORDERS, sort="-created"), self.list, sleep=sleep
        )

    @property
    def rules(self) -> OrderRules:
        """What orders are checked against now."""
        if self._rules is not None:
            return self._rules
        return NEWER_RULES if self._area_field == "geojson" else CONTRACT_RULES

    @overload
    def create(
        self,
        orders: Order | Mapping[str, Any] | Iterable[Order | Mapping[str, Any]],
        *,
        use_case: str | None = ...,
        comment: str | None = ...,
        check: bool = ...,
        dry_run: Literal[False] = ...,
    ) -> builtins.list[Order]: ...

    @overload
    def create(
        self,
        orders: Order | Mapping[str, Any] | Iterable[Order | Mapping[str, Any]],
        *,
        use_case: str | None = ...,
        comment: str | None = ...,
        check: bool = ...,
        dry_run: Literal[True],
    ) -> dict[str, Any]: ...

    def create(
        self,
        orders: Order | Mapping[str, Any] | Iterable[Order | Mapping[str, Any]],
        *,
        use_case: str | None = None,
        comment: str | None = None,
        check: bool = True,
        dry_run: bool = False,
    ) -> builtins.list[Order] | dict[str, Any]:
        """Place a batch of orders, once; all of them or none. This costs money.

        Args:
            orders: Orders, or their fields; a single one will do.

        Keyword Args:
            use_case: One of :meth:`use_cases` (older API).
            comment: A comment on the batch.
            check: Whether to check the orders against :attr:`rules` first.
            dry_run: Whether to return the payload instead of sending it.

        Returns:
            The orders as placed, with ``id`` and ``state``; the payload with ``dry_run``.

        Raises:
            OrderValidationError: Nothing was sent; ``violations`` holds every broken rule.
            BadRequestError: The API refused the values of an order; nothing was placed.
            NotFoundError: The area or the product does not exist; nothing was placed.
            APIError: The API refused for another reason; nothing was placed.
            APIConnectionError: The API could not be reached; nothing was placed.
            OrderOutcomeUnknown: The orders were sent, nobody can say whether they were placed,
                and they were not sent again. See :meth:`look_again`.
        """
        batch = [orders] if isinstance(orders, (Order, Mapping)) else list(orders)
        if check:
            self.check_orders(batch)
        readable, malformed = orders_from(batch)
        refuse(malformed)
        payload: dict[str, Any] = {"orders": [order.payload() for order in readable.values()]}
        if comment is not None:
            payload["comment"] = comment
        if use_case is not None:
            payload["use_case"] = use_case
        return payload if dry_run else self._placing.place(payload)

    def look_again(self, unknown: OrderOutcomeUnknown) -> builtins.list[Order]:
        """Look for orders whose outcome was unknown; nothing is sent but a GET.

        Args:
            unknown: What :meth:`create` raised.

        Returns:
            The orders as placed: they had arrived.

        Raises:
            OrderOutcomeUnknown: They are not there, or not all of them, or more than were sent.
        """
        return self._placing.look_again(unknown)

    def check_order(self, order: Order | Mapping[str, Any]) -> None:
        """Check an order as :meth:`create` does, its area's size included; nothing is placed.

        Raises:
            OrderValidationError: ``violations`` holds every broken rule.
        """
        self.check_orders([order])

    def check_orders(self, orders: Iterable[Order | Mapping[str, Any]]) -> None:
        """Check a batch of orders as :meth:`create` does; nothing is placed.

        Raises:
            OrderValidationError: ``violations`` holds every broken rule of every order.
        """
        orders = list(orders)
        readable, _ = orders_from(orders)
        areas: dict[str, AreaOfInterest] = {}
        for id_ in {order.area_of_interest_id for order in readable.values()} - {""}:
            # Whether an area that cannot be seen can be ordered is for the server to say.
            try:
                areas[id_] = self.get_aoi(id_)
            except (BadRequestError, ForbiddenError, NotFoundError, ValidationError) as refusal:
                if not concerns(refusal, path_of(AREAS, id_)):
                    raise
        refuse(violations(orders, areas=areas, rules=self.rules, today=self._today()))

    def list(self, limit: int | None = None, sort: str | None = "-created") -> Iterator[Order]:
        """Return an iterator over the organization's orders, each once.

        Orders that are placed while it runs are not left out: where the list takes several
        pages, they come last.

        Args:
            limit: How many at most; default all.
            sort: ``-created``, the newest first; ``None`` leaves it to the server.
        """
        return self._listed(_order, ORDERS, limit, sort)

    def get(self, id: str | Order) -> Order:  # noqa: A002 - the API's own word
        """Return an order, given its id, or as it was, as it is now.

        Raises:
            NotFoundError: There is none of this id.
        """
        return self._told(_order, "GET", path_of(ORDERS, id))

    def update(
        self,
        id: str | Order,  # noqa: A002 - the API's own word
        *,
        tags: Iterable[str],
    ) -> Order:
        """Give an order other tags, in place of those it has; returns it.

        Raises:
            OrderValidationError: The tags break a rule; nothing was sent.
            NotFoundError: There is no order of this id.
            APIConnectionError: The API did not answer. Repeating the update does no harm.
        """
        names = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
        refuse(tag_violations(names, self.rules))
        return self._told(_order, "PATCH", path_of(ORDERS, id), json={"tags": names})

    def delete(self, id: str | Order) -> None:  # noqa: A002 - the API's own word
        """Delete an order that has not been begun, or was rejected (newer API).

        Raises:
            ConflictError: It is in progress, or closed.
            NotFoundError: There is none of this id.
            APIError: 405, where the API is older than this.
        """
        hints = {
            405: "The older API deletes no orders.",
            409: "Only an order that is pending_validation or rejected can be deleted.",
        }
        self._told(nothing, "DELETE", path_of(ORDERS, id), hints=hints)

    def use_cases(self) -> builtins.list[str]:
        """Return what may be given as ``use_case`` (older API).

        Raises:
            NotFoundError: The API is newer than use cases.
        """
        hints = {404: "The newer API has no use cases: leave use_case out."}
        return self._told(_use_cases, "GET", f"{ORDERS}/meta/use-cases", hints=hints)

    def wait(
        self,
        id: str | Order,  # noqa: A002 - the API's own word
        until: str | Collection[str] = ("closed", "rejected"),
        timeout: float | None = None,
        interval: float = 60.0,
        on_change: Callable[[Order], object] | None = None,
    ) -> Order:
        """Wait until an order comes to one of some states, and return it.

        Args:
            id: The order or its id.
            until: A state, or several.
            timeout: Seconds to wait at most; default without end.
            interval: Seconds between two looks; they grow to ten times that as long as nothing
                happens, and shrink again when something does.
            on_change: Called with the order when it is first seen, and on every new state.

        Raises:
            OrderWaitTimeout: The time is over; ``order`` is as it was last seen.
            OrderEndedError: The order is closed or rejected, which was not waited for.
            APIError, APIConnectionError: The API has failed five times in a row.
        """
        return wait_for(
            partial(self.get, id),
            {until} if isinstance(until, str) else set(until),
            timeout=timeout,
            interval=interval,
            on_change=on_change or (lambda _order: None),
            sleep=self._sleep,
            clock=self._clock,
        )


_order = partial(parsed, Order)


def _use_cases(content: Any) -> list[str]:
    match content:
        case [*names] if all(isinstance(name, str) for name in names):
            return names
        case _:
            raise APIError("The API answered with no list of use cases.")
