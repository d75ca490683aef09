"""``POST /token``: a token for a user name and password."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.routing import Route

from constellr_stac.sandbox.accounts import NotAuthenticated

from .answers import ApiError, missing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .auth_guard import Services

__all__ = ["routes"]


def routes(services: Services) -> list[BaseRoute]:
    """Return the route."""

    async def log_in(request: Request) -> Response:
        form: dict[str, list[str]] = {}
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/x-www-form-urlencoded":
            body = await request.body()
            form = parse_qs(body.decode("utf-8", "replace"))
        absent = [name for name in ("username", "password") if name not in form]
        if absent:
            raise missing(*absent)
        try:
            token = services.accounts.log_in(form["username"][-1], form["password"][-1])
        except NotAuthenticated as error:
            raise ApiError(
                HTTPStatus.UNAUTHORIZED, str(error), {"www-authenticate": "Bearer"}
            ) from error
        return JSONResponse({"access_token": token})

    return [Route("/token", log_in, methods=["POST"])]
