"""``OrdersClient``: orders, areas of interest and products."""

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
from .checks import parse_orders, raise_violations, tag_violations, violations
from .payloads import AreaOfInterest, Order
from .placement import BATCH, ORDERS, OrderPlacer
from .rules import CONTRACT_RULES, NEWER_RULES
from .waiting import wait_for
from .wire import concerns, ignore_body, parse, path_of

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Collection, Iterable, Iterator

    import requests

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.errors import OrderOutcomeUnknown
    from constellr_stac.limits import Limits

    from .rules import OrderRules

__all__ = ["OrdersClient"]


class OrdersClient(AreasClient):
    """Orders, areas of interest and products of an organization.

    Args:
        auth: An auth or a credential; default :func:`constellr_stac.default_credential`.

    Keyword Args:
        base_url: The API's URL; default that of ``auth``, else ``CONSTELLR_API_URL``.
        rules: The rules for orders; default :data:`NEWER_RULES` or :data:`CONTRACT_RULES`,
            depending on the API's responses about areas.
        today: Returns the current date; default in UTC.
        session: A session to use; it is not closed and must not retry POSTs.
        timeout: Connect and read timeout, in seconds.
        limits: Bounds on waiting and sizes; default from the environment.
        sleep: Waits for a number of seconds.
        clock: Returns monotonic seconds.

    Raises:
        InsecureURLError: ``base_url`` is plain http and not loopback.
        ValueError: ``session`` may retry a POST, or ``auth`` is for another API.

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

    _no_retry_paths = (BATCH,)

    def __init__(
        self,
        auth: ConstellrAuth | Credential | None = None,
        *,
        base_url: str | None = None,
        rules: OrderRules | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        session: requests.Session | None = None,
        timeout: tuple[float, float] = TIMEOUT,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(auth, base_url=base_url, session=session, timeout=timeout, limits=limits)
        self._rules = rules
        self._today = today
        self._sleep = sleep
        self._clock = clock
        self._placer = OrderPlacer(
            self._send, partial(self._fetch_page, ORDERS, sort="-created"), self.list, sleep=sleep
        )

    @property
    def rules(self) -> OrderRules:
        """The rules that orders are checked against."""
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
        """Place a batch of orders, all or none. This costs money.

        Args:
            orders: One or more orders, or their fields.

        Keyword Args:
            use_case: One of :meth:`use_cases` (older API).
            comment: A comment on the batch.
            check: Check the orders against :attr:`rules` first.
            dry_run: Return the payload instead of sending it.

        Returns:
            The orders as placed, with ``id`` and ``state``; the payload with ``dry_run``.

        Raises:
            OrderValidationError: Nothing was sent; ``violations`` holds every broken rule.
            BadRequestError: The API refused the values of an order; nothing was placed.
            NotFoundError: The area or the product does not exist; nothing was placed.
            APIError: The API refused for another reason; nothing was placed.
            APIConnectionError: The API could not be reached; nothing was placed.
            OrderOutcomeUnknown: The orders were sent once, and whether they were placed is
                unknown. See :meth:`look_again`.
        """
        batch = [orders] if isinstance(orders, (Order, Mapping)) else list(orders)
        if check:
            self.check_orders(batch)
        valid, malformed = parse_orders(batch)
        raise_violations(malformed)
        payload: dict[str, Any] = {"orders": [order.payload() for order in valid.values()]}
        if comment is not None:
            payload["comment"] = comment
        if use_case is not None:
            payload["use_case"] = use_case
        return payload if dry_run else self._placer.place(payload)

    def look_again(self, unknown: OrderOutcomeUnknown) -> builtins.list[Order]:
        """Look up orders whose outcome was unknown; only sends GET requests.

        Args:
            unknown: The error from :meth:`create`.

        Returns:
            The orders as placed.

        Raises:
            OrderOutcomeUnknown: Fewer or more matching orders exist than were sent.
        """
        return self._placer.look_again(unknown)

    def check_order(self, order: Order | Mapping[str, Any]) -> None:
        """Check an order as :meth:`create` does, including its area's size; places nothing.

        Raises:
            OrderValidationError: ``violations`` holds every broken rule.
        """
        self.check_orders([order])

    def check_orders(self, orders: Iterable[Order | Mapping[str, Any]]) -> None:
        """Check a batch of orders as :meth:`create` does; places nothing.

        Raises:
            OrderValidationError: ``violations`` holds every broken rule of every order.
        """
        orders = list(orders)
        valid, _ = parse_orders(orders)
        areas: dict[str, AreaOfInterest] = {}
        for id_ in {order.area_of_interest_id for order in valid.values()} - {""}:
            # An area that this account cannot see may still be orderable: the server decides.
            try:
                areas[id_] = self.get_aoi(id_)
            except (BadRequestError, ForbiddenError, NotFoundError, ValidationError) as refusal:
                if not concerns(refusal, path_of(AREAS, id_)):
                    raise
        raise_violations(violations(orders, areas=areas, rules=self.rules, today=self._today()))

    def list(self, limit: int | None = None, sort: str | None = "-created") -> Iterator[Order]:
        """Iterate over the organization's orders, each once.

        Orders placed meanwhile are included; if there are several pages, they come last.

        Args:
            limit: Maximum number of orders; default all.
            sort: ``-created`` (newest first), or ``None`` for the server's default.
        """
        return self._iterate(_parse_order, ORDERS, limit, sort)

    def get(self, id: str | Order) -> Order:  # noqa: A002 - the API's own word
        """Fetch an order.

        Args:
            id: Its id, or an :class:`Order` to fetch again.

        Raises:
            NotFoundError: There is no order with this id.
        """
        return self._call(_parse_order, "GET", path_of(ORDERS, id))

    def update(
        self,
        id: str | Order,  # noqa: A002 - the API's own word
        *,
        tags: Iterable[str],
    ) -> Order:
        """Replace an order's tags and return the order.

        Raises:
            OrderValidationError: The tags break a rule; nothing was sent.
            NotFoundError: There is no order with this id.
            APIConnectionError: The API did not answer. It is safe to retry.
        """
        names = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
        raise_violations(tag_violations(names, self.rules))
        return self._call(_parse_order, "PATCH", path_of(ORDERS, id), json={"tags": names})

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
        self._call(ignore_body, "DELETE", path_of(ORDERS, id), hints=hints)

    def use_cases(self) -> builtins.list[str]:
        """Return the valid values of ``use_case`` (older API).

        Raises:
            NotFoundError: The newer API has no use cases.
        """
        hints = {404: "The newer API has no use cases: omit use_case."}
        return self._call(_parse_use_cases, "GET", f"{ORDERS}/meta/use-cases", hints=hints)

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
        return wait_for(
            partial(self.get, id),
            {until} if isinstance(until, str) else set(until),
            timeout=timeout,
            interval=interval,
            on_change=on_change or (lambda _order: None),
            sleep=self._sleep,
            clock=self._clock,
        )


_parse_order = partial(parse, Order)


def _parse_use_cases(content: Any) -> list[str]:
    match content:
        case [*names] if all(isinstance(name, str) for name in names):
            return names
        case _:
            raise APIError("The API did not answer with a list of use cases.")
