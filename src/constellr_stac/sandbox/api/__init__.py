"""The API as one Starlette application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from constellr_stac.sandbox.accounts import NotAuthenticated

from . import areas, catalog, orders, products, search, token
from .answers import handle_http_error, handle_not_authenticated

if TYPE_CHECKING:
    from .auth_guard import Services

__all__ = ["build_api"]


def build_api(services: Services) -> Starlette:
    """Return the API's application."""
    application = Starlette(
        routes=[
            route
            for module in (token, orders, areas, products, search, catalog)
            for route in module.routes(services)
        ],
        exception_handlers={
            HTTPException: handle_http_error,
            NotAuthenticated: handle_not_authenticated,
        },
    )
    application.router.redirect_slashes = False
    return application
