"""``OrdersClient``: orders, areas of interest and products."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, Self, overload

from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.errors import BadRequestError, ForbiddenError, NotFoundError, ValidationError

from .areas import Areas
from .checks import rule_violations, tag_violations
from .lookup import Batch, OrderLookup
from .payloads import AreaOfInterest, Order, Product
from .placed_orders import PlacedOrders, parse_order
from .placement import OrderPlacer
from .records import RecordList
from .rules import CONTRACT_RULES, NEWER_RULES
from .violation import parse_orders, raise_violations
from .wire import AREAS, ORDERS, Api, concerns, parse_list, path_of

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable
    from typing import ParamSpec, TypeAlias, TypeVar

    import requests

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits

    from .rules import OrderRules
    from .violation import Violation

    Given: TypeAlias = Order | Mapping[str, Any]
    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["OrdersClient"]


def _of(
    component: str, method: Callable[Concatenate[Any, P], R]
) -> Callable[Concatenate[OrdersClient, P], R]:
    """Return a method of one of the client's components as a method of the client."""

    @wraps(method)
    def call(self: OrdersClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(getattr(self, component), *args, **kwargs)

    return call


class OrdersClient:
    """Orders, areas of interest and products of an organization.

    Args:
        auth: An auth or a credential; default :func:`constellr_stac.default_credential`.

    Keyword Args:
        base_url: The API's URL; default that of ``auth``, else ``CONSTELLR_API_URL``.
        rules: The rules for orders; default :data:`NEWER_RULES` or :data:`CONTRACT_RULES`,
            depending on the API's responses about areas.
        today: Returns the current date; default in UTC.
        session: A session to use; it is not closed and must not retry POSTs.
        timeout: Connect and read timeout, in seconds; default those of ``limits``.
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

    def __init__(
        self,
        auth: ConstellrAuth | Credential | None = None,
        *,
        base_url: str | None = None,
        rules: OrderRules | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        session: requests.Session | None = None,
        timeout: tuple[float, float] | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.auth = as_auth(auth, base_url=base_url, limits=limits)
        self.base_url = self.auth.base_url
        self._api = Api(self.auth, session=session, timeout=timeout, limits=limits)
        self.session, self.limits = self._api.session, self._api.limits
        self._rules = rules
        self._today = today
        self._areas = Areas(self._api)
        self._orders = PlacedOrders(self._api, sleep=sleep, clock=clock)
        self._placer = OrderPlacer(self._api, OrderLookup(self.base_url, self.list, sleep))

    def close(self) -> None:
        """Close the session, unless it was passed in."""
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.auth!r})"

    create_aoi = _of("_areas", Areas.create_aoi)
    get_aoi = _of("_areas", Areas.get_aoi)
    list_aois = _of("_areas", Areas.list_aois)
    delete_aoi = _of("_areas", Areas.delete_aoi)
    geometry_info = _of("_areas", Areas.geometry_info)
    convert_aoi = _of("_areas", Areas.convert_aoi)

    list = _of("_orders", PlacedOrders.list)
    get = _of("_orders", PlacedOrders.get)
    wait = _of("_orders", PlacedOrders.wait)
    delete = _of("_orders", PlacedOrders.delete)
    use_cases = _of("_orders", PlacedOrders.use_cases)

    def products(self) -> builtins.list[Product]:
        """Return the products that the organization may order."""
        return RecordList(self._api.call(partial(parse_list, Product), "GET", "/products"))

    @property
    def rules(self) -> OrderRules:
        """The rules that orders are checked against."""
        if self._rules is not None:
            return self._rules
        return NEWER_RULES if self._areas.field == "geojson" else CONTRACT_RULES

    @overload
    def create(
        self,
        orders: Given | Iterable[Given],
        *,
        use_case: str | None = ...,
        comment: str | None = ...,
        check: bool = ...,
        exist_ok: bool = ...,
        duplicate_ok: bool = ...,
        dry_run: Literal[False] = ...,
    ) -> builtins.list[Order]: ...

    @overload
    def create(
        self,
        orders: Given | Iterable[Given],
        *,
        use_case: str | None = ...,
        comment: str | None = ...,
        check: bool = ...,
        exist_ok: bool = ...,
        duplicate_ok: bool = ...,
        dry_run: Literal[True],
    ) -> dict[str, Any]: ...

    def create(
        self,
        orders: Given | Iterable[Given],
        *,
        use_case: str | None = None,
        comment: str | None = None,
        check: bool = True,
        exist_ok: bool = False,
        duplicate_ok: bool = False,
        dry_run: bool = False,
    ) -> builtins.list[Order] | dict[str, Any]:
        """Place a batch of orders, all or none. This costs money.

        Args:
            orders: One or more orders, or their fields.

        Keyword Args:
            use_case: One of :meth:`use_cases` (older API).
            comment: A comment on the batch.
            check: Check the orders against :attr:`rules` first.
            exist_ok: Return an equal active order instead of placing another one.
            duplicate_ok: Place an order even if an equal one is active, or twice in the batch.
                With ``exist_ok``, it only allows equal orders in the batch.
            dry_run: Return the payload instead of sending it.

        Returns:
            The orders, with ``id`` and ``state``; the payload with ``dry_run``.

        Raises:
            OrderExistsError: An equal order, in ``existing``, is active; nothing was sent.
            OrderValidationError: Nothing was sent; ``violations`` holds every broken rule.
            APIError: The API refused (400, 401, 403, 404, 422), or the orders could not be
                listed; nothing was placed.
            APIConnectionError: The API could not be reached; nothing was placed.
            OrderOutcomeUnknown: Whether the orders were placed is unknown; see :meth:`look_again`.
        """
        given = [orders] if isinstance(orders, (Order, Mapping)) else orders
        valid, malformed = parse_orders(given)
        raise_violations(self._violations(valid, malformed) if check else malformed)
        batch = Batch(tuple(valid.values()), comment, use_case)
        if dry_run:
            return batch.payload()
        placed = self._placer.place(batch, exist_ok=exist_ok, duplicate_ok=duplicate_ok)
        return RecordList(placed)

    def look_again(self, unknown: BaseException) -> builtins.list[Order]:
        """Look up orders whose outcome was unknown; only sends GET requests.

        Args:
            unknown: The error from :meth:`create`, or an exception that interrupted it, such as
                ``KeyboardInterrupt``. Both carry the orders as ``payload`` and ``before``.

        Returns:
            The orders as placed.

        Raises:
            OrderOutcomeUnknown: Fewer or more matching orders exist than were sent.
            ValueError: The exception carries no orders: none were sent.
        """
        return RecordList(self._placer.look_again(unknown))

    def check_order(self, order: Given) -> None:
        """Check an order as :meth:`create` does, including its area's size; places nothing.

        Raises:
            OrderValidationError: ``violations`` holds every broken rule.
        """
        self.check_orders([order])

    def check_orders(self, orders: Iterable[Given]) -> None:
        """Check a batch of orders as :meth:`create` does; places nothing.

        Raises:
            OrderValidationError: ``violations`` holds every broken rule of every order.
        """
        raise_violations(self._violations(*parse_orders(orders)))

    def _violations(
        self, valid: Mapping[int, Order], malformed: Iterable[Violation]
    ) -> builtins.list[Violation]:
        areas: dict[str, AreaOfInterest] = {}
        for id_ in {order.area_of_interest_id for order in valid.values()} - {""}:
            # An area that this account cannot see may still be orderable: the server decides.
            try:
                areas[id_] = self.get_aoi(id_)
            except (BadRequestError, ForbiddenError, NotFoundError, ValidationError) as refusal:
                if not concerns(refusal, path_of(AREAS, id_)):
                    raise
        return rule_violations(valid, malformed, areas=areas, rules=self.rules, today=self._today())

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
        return self._api.call(parse_order, "PATCH", path_of(ORDERS, id), json={"tags": names})
