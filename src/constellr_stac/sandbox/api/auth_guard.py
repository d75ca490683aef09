"""The way in: who asks, and whether that account may. Only ``/token`` is in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from constellr_stac.sandbox.accounts import NotAuthenticated

from .answers import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from constellr_stac.sandbox.accounts import Accounts
    from constellr_stac.sandbox.catalog import Catalogue
    from constellr_stac.sandbox.options import Clock, Options
    from constellr_stac.sandbox.order_store import Bookings

    Endpoint = Callable[[Request], Awaitable[Response]]

__all__ = ["Endpoint", "World", "guarded"]


@dataclass(frozen=True)
class World:
    """What the API's endpoints work on."""

    options: Options
    clock: Clock
    accounts: Accounts
    catalogue: Catalogue
    bookings: Bookings
    presign: Callable[[str], str]
    """Signs one ``s3://`` href afresh."""


def guarded(world: World, permission: str, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint, for those only who are known (else 401) and may (else 403)."""

    async def behind_the_door(request: Request) -> Response:
        headers = request.headers
        try:
            account = world.accounts.authenticate(
                headers.get("authorization"), headers.get("x-api-key")
            )
        except NotAuthenticated as error:
            raise Refused(
                HTTPStatus.UNAUTHORIZED, str(error), {"www-authenticate": "Bearer"}
            ) from error
        if permission not in account.permissions:
            raise Refused(HTTPStatus.FORBIDDEN, f"User is not authorized to access {permission}")
        world.bookings.deliver()
        return await endpoint(request)

    return behind_the_door
