"""``/orders``: place, list, get, tag; use cases in the older API, delete in the newer.

Also ``GET /products``.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - pydantic reads annotations
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID  # noqa: TC003 - likewise

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from constellr_stac.sandbox.orders import Draft
from constellr_stac.sandbox.rules import (
    MOST_ORDERS,
    PRODUCTS,
    OrderRequest,
    broken_rules,
    broken_tag_rules,
)

from .answers import body_of, invalid, listed, path_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from constellr_stac.sandbox.orders import Order

    from .auth_guard import Endpoints, Services

__all__ = ["endpoints", "products"]

_LISTED_PRODUCTS = [{"name": "LSTprecision"}, {"name": "LSTfusion"}]

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


def endpoints(services: Services) -> Endpoints:
    """Return the endpoints of orders."""
    order = _Endpoints(services)
    one = "/orders/{order_id}"
    return [
        ("POST", "/orders/batch", order.create),
        ("GET", "/orders", order.list_all),
        ("GET", one, order.get),
        ("PATCH", one, order.update),
        ("DELETE", one, order.delete)
        if services.options.newer
        else ("GET", "/orders/meta/use-cases", order.use_cases),
    ]


async def products(_request: Request) -> Response:
    """Answer ``GET /products``."""
    return JSONResponse(_LISTED_PRODUCTS)


class _Endpoints:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._newer = services.options.newer

    async def create(self, request: Request) -> Response:
        """Place all orders or none."""
        form: type[_Batch] = _NewerBatch if self._newer else _OlderBatch
        batch = await body_of(request, form)
        use_case = getattr(batch, "use_case", None)
        if use_case is not None and use_case not in _USE_CASES:
            raise HTTPException(400, f"use_case {use_case!r} does not exist")
        order_store = self._services.order_store
        with order_store.lock:  # no area is deleted between check and placement
            drafts = [self._draft(order, number) for number, order in enumerate(batch.orders)]
            placed = [self._answer(order_store.place(draft)) for draft in drafts]
        return JSONResponse(placed, 201)

    async def list_all(self, request: Request) -> Response:
        return listed(request, self._services.order_store.list_orders())

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._answer(self._order(request)))

    async def update(self, request: Request) -> Response:
        order = self._order(request)
        body = await body_of(request, _Update)
        if body.tags is not None:
            for problem in broken_tag_rules(body.tags):
                raise invalid(["body", "tags"], problem)
            order.tags = self._services.order_store.tags(body.tags)
        return JSONResponse(self._answer(order))

    async def delete(self, request: Request) -> Response:
        order = self._order(request)
        if not self._services.order_store.remove_order(order):
            state = self._answer(order)["state"]
            raise HTTPException(409, f"An order that is {state} cannot be deleted")
        return Response(status_code=204)

    async def use_cases(self, _request: Request) -> Response:
        return JSONResponse(_USE_CASES)

    def _draft(self, body: _NewOrder, number: int) -> Draft:
        """Validate one order of a batch, else raise :class:`HTTPException` (404 or 400)."""
        area = self._services.order_store.areas.get(str(body.area_of_interest_id))
        if area is None:
            raise HTTPException(
                404, f"orders[{number}]: Area of Interest {body.area_of_interest_id} does not exist"
            )
        if body.product_name not in PRODUCTS:
            raise HTTPException(
                404, f"orders[{number}]: product {body.product_name!r} does not exist"
            )
        fields = body.model_dump(exclude={"area_of_interest_id", "start_date", "end_date", "tags"})
        requested = OrderRequest(
            product=body.product_name,
            frequency=fields["frequency"],
            starts=_utc(body.start_date),
            ends=_utc(body.end_date),
            tags=body.tags or [],
            most_images=fields.get("maximum_number_of_images"),
        )
        today = self._services.options.today or self._services.clock.now().date()
        broken = broken_rules(requested, area.size, today, newer=self._newer)
        if broken:
            raise HTTPException(400, f"orders[{number}]: {'; '.join(broken)}")
        if self._newer and requested.frequency == "single_image":
            fields["maximum_number_of_images"] = 1
        return Draft(area, fields, requested.starts, requested.ends, requested.tags)

    def _order(self, request: Request) -> Order:
        order_id = str(path_of(request, _OrderPath).order_id)
        order = self._services.order_store.orders.get(order_id)
        if order is None:
            raise HTTPException(404, f"Order {order_id} does not exist")
        return order

    def _answer(self, order: Order) -> dict[str, Any]:
        return order.answer(self._services.clock.now(), newer=self._newer)


def _utc(when: datetime) -> datetime:
    """Return a time in UTC, the default zone."""
    try:
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except OverflowError as error:
        raise HTTPException(400, f"{when} is not a time in UTC") from error
