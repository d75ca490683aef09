"""The API as one Starlette application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from constellr_stac.sandbox.accounts import NotAuthenticated

from . import areas, catalog, orders, search, token
from .answers import handle_http_error, handle_not_authenticated
from .auth_guard import guarded

if TYPE_CHECKING:
    from .auth_guard import Endpoints, Services

__all__ = ["build_api"]


def build_api(services: Services) -> Starlette:
    """Return the API's application."""
    by_permission: dict[str, Endpoints] = {
        "orders": orders.endpoints(services),
        "areas": areas.endpoints(services),
        "products": [("GET", "/products", orders.products)],
        "stac": [("POST", "/stac/search", search.endpoint(services)), *catalog.endpoints(services)],
    }
    application = Starlette(
        routes=[
            Route("/token", token.endpoint(services), methods=["POST"]),
            *(
                Route(path, guarded(services, permission, endpoint), methods=[method])
                for permission, endpoints in by_permission.items()
                for method, path, endpoint in endpoints
            ),
        ],
        exception_handlers={
            HTTPException: handle_http_error,
            NotAuthenticated: handle_not_authenticated,
        },
    )
    application.router.redirect_slashes = False
    return application
