"""``/orders``: place a batch, list, get, tag; use cases in the older form, delete in the newer."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - pydantic reads annotations
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID  # noqa: TC003 - the same

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from constellr_stac.sandbox.orders import Draft
from constellr_stac.sandbox.rules import MOST_ORDERS, PRODUCTS, Wish, broken_rules, broken_tag_rules

from .answers import Refused, body_of, invalid, path_of
from .auth_guard import guarded
from .listing import listed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from constellr_stac.sandbox.orders import Order

    from .auth_guard import Endpoint, World

__all__ = ["routes"]

_USE_CASES = [
    "Unknown",
    "Adoption of regenerative ag",
    "Algae/Bacteria bloom",
    "Cover crop monitoring",
    "Drought Stress",
    "Yield Prediction",
]


class _NewOrder(BaseModel):
    area_of_interest_id: UUID
    start_date: datetime
    end_date: datetime
    product_name: str
    comment: str | None = None
    tags: list[str] | None = None
    illumination_constraint: Literal["day", "night"] | None = None


class _OlderOrder(_NewOrder):
    frequency: Literal[
        "single_image", "single-image", "max_frequency", "once_every_two_weeks", "monthly", "daily"
    ]


class _Options(BaseModel):
    sharpened_10m: bool = False


class _NewerOrder(_NewOrder):
    frequency: Literal[
        "single_image", "max_frequency", "weekly", "once_every_two_weeks", "monthly", "daily"
    ]
    maximum_number_of_images: int | None = Field(None, ge=1)
    product_options: _Options | None = None


class _Batch(BaseModel):
    comment: str | None = None
    orders: Sequence[_NewOrder]


class _OlderBatch(_Batch):
    use_case: str | None = None
    orders: list[_OlderOrder] = Field(min_length=1)


class _NewerBatch(_Batch):
    orders: list[_NewerOrder] = Field(min_length=1, max_length=MOST_ORDERS)


class _Update(BaseModel):
    tags: list[str] | None = None


class _OrderPath(BaseModel):
    order_id: UUID


def routes(world: World) -> list[BaseRoute]:
    """Return the routes of orders."""
    endpoints = _Endpoints(world)
    one = "/orders/{order_id}"
    doors: list[tuple[str, str, Endpoint]] = [
        ("POST", "/orders/batch", endpoints.create),
        ("GET", "/orders", endpoints.list_all),
        ("GET", one, endpoints.get),
        ("PATCH", one, endpoints.update),
    ]
    if world.options.newer:
        doors.append(("DELETE", one, endpoints.delete))
    else:
        doors.append(("GET", "/orders/meta/use-cases", endpoints.use_cases))
    return [
        Route(path, guarded(world, "orders", endpoint), methods=[method])
        for method, path, endpoint in doors
    ]


class _Endpoints:
    def __init__(self, world: World) -> None:
        self._world = world
        self._newer = world.options.newer

    async def create(self, request: Request) -> Response:
        """Place all orders or none."""
        form: type[_Batch] = _NewerBatch if self._newer else _OlderBatch
        batch = await body_of(request, form)
        use_case = getattr(batch, "use_case", None)
        if use_case is not None and use_case not in _USE_CASES:
            raise Refused(HTTPStatus.BAD_REQUEST, f"use_case {use_case!r} does not exist")
        bookings = self._world.bookings
        with bookings.lock:  # no area goes away between the check and the booking
            drafts = [self._draft(order, number) for number, order in enumerate(batch.orders)]
            placed = [self._told(bookings.book(draft)) for draft in drafts]
        return JSONResponse(placed, HTTPStatus.CREATED)

    async def list_all(self, request: Request) -> Response:
        return listed(request, self._world.bookings.told_orders())

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._told(self._order(request)))

    async def update(self, request: Request) -> Response:
        order = self._order(request)
        asked = await body_of(request, _Update)
        if asked.tags is not None:
            for problem in broken_tag_rules(asked.tags):
                raise invalid(["body", "tags"], problem)
            order.tags = self._world.bookings.tags(asked.tags)
        return JSONResponse(self._told(order))

    async def delete(self, request: Request) -> Response:
        order = self._order(request)
        if not self._world.bookings.remove_order(order):
            state = self._told(order)["state"]
            raise Refused(HTTPStatus.CONFLICT, f"An order that is {state} cannot be deleted")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def use_cases(self, _request: Request) -> Response:
        return JSONResponse(_USE_CASES)

    def _draft(self, asked: _NewOrder, number: int) -> Draft:
        """Check one order of a batch.

        Raises:
            Refused: Its area or product does not exist (404), or it breaks a rule (400).
        """
        area = self._world.bookings.area(str(asked.area_of_interest_id))
        if area is None:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"orders[{number}]: Area of Interest {asked.area_of_interest_id} does not exist",
            )
        if asked.product_name not in PRODUCTS:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"orders[{number}]: product {asked.product_name!r} does not exist",
            )
        fields = asked.model_dump(exclude={"area_of_interest_id", "start_date", "end_date", "tags"})
        wish = Wish(
            product=asked.product_name,
            frequency=fields["frequency"],
            starts=_utc(asked.start_date),
            ends=_utc(asked.end_date),
            tags=asked.tags or [],
            most_images=fields.get("maximum_number_of_images"),
        )
        today = self._world.options.today or self._world.clock.now().date()
        broken = broken_rules(wish, area.size, today, newer=self._newer)
        if broken:
            raise Refused(HTTPStatus.BAD_REQUEST, f"orders[{number}]: {'; '.join(broken)}")
        if self._newer and wish.frequency == "single_image":
            fields["maximum_number_of_images"] = 1
        return Draft(area, fields, wish.starts, wish.ends, wish.tags)

    def _order(self, request: Request) -> Order:
        order_id = str(path_of(request, _OrderPath).order_id)
        order = self._world.bookings.order(order_id)
        if order is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"Order {order_id} does not exist")
        return order

    def _told(self, order: Order) -> dict[str, Any]:
        return order.answer(self._world.clock.now(), newer=self._newer)


def _utc(when: datetime) -> datetime:
    """Times without a zone are in UTC."""
    try:
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except OverflowError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{when} is not a time in UTC") from error
