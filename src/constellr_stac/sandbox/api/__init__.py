"""The API: every documented endpoint, put together into one Starlette application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from . import areas, catalog, orders, products, search, token
from .answers import Refused, answer_refused, answer_unknown

if TYPE_CHECKING:
    from .auth_guard import World

__all__ = ["build_api"]


def build_api(world: World) -> Starlette:
    """Return the application that serves this world."""
    application = Starlette(
        routes=[
            route
            for room in (token, orders, areas, products, search, catalog)
            for route in room.routes(world)
        ],
        exception_handlers={Refused: answer_refused, HTTPException: answer_unknown},
    )
    application.router.redirect_slashes = False
    return application
