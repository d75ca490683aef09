"""``GET /products``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from .auth_guard import guarded

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .auth_guard import Services

__all__ = ["routes"]

_PRODUCTS = [{"name": "LSTprecision"}, {"name": "LSTfusion"}]


def routes(services: Services) -> list[BaseRoute]:
    """Return the route."""

    async def products(_request: Request) -> Response:
        return JSONResponse(_PRODUCTS)

    return [Route("/products", guarded(services, "products", products), methods=["GET"])]
