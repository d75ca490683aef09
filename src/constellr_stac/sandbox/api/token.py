"""``POST /token``: a token for a user name and password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import JSONResponse

from .answers import media_type_of, missing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .auth_guard import Endpoint, Services

__all__ = ["endpoint"]


def endpoint(services: Services) -> Endpoint:
    """Return the endpoint."""

    async def log_in(request: Request) -> Response:
        form: dict[str, list[str]] = {}
        if media_type_of(request) == "application/x-www-form-urlencoded":
            body = await request.body()
            form = parse_qs(body.decode("utf-8", "replace"))
        absent = [name for name in ("username", "password") if name not in form]
        if absent:
            raise missing(*absent)
        token = services.accounts.log_in(form["username"][-1], form["password"][-1])
        return JSONResponse({"access_token": token})

    return log_in
