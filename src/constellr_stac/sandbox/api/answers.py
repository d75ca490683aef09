"""Answers that endpoints share, and validation of requests, in FastAPI's format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "body_of",
    "handle_http_error",
    "handle_not_authenticated",
    "invalid",
    "listed",
    "media_type_of",
    "missing",
    "path_of",
    "query_of",
]

Form = TypeVar("Form", bound=BaseModel)


class _Page(BaseModel):
    limit: int = Field(10, ge=1, le=1000)
    offset: int = Field(0, ge=0)
    # An unencoded plus arrives as a space.
    sort: str | None = Field(None, pattern=r"^[-+ ]?created$")


async def handle_http_error(_request: Request, error: Exception) -> Response:
    """Answer with an error, also for unknown paths and methods."""
    http_error = cast("HTTPException", error)  # Starlette's handlers take any exception
    return JSONResponse({"detail": http_error.detail}, http_error.status_code, http_error.headers)


async def handle_not_authenticated(_request: Request, error: Exception) -> Response:
    """Answer 401."""
    return JSONResponse({"detail": str(error)}, 401, {"www-authenticate": "Bearer"})


def listed(request: Request, entries: list[dict[str, Any]]) -> Response:
    """Answer one page of ``entries``, given oldest first; ``count`` is of all pages."""
    page = query_of(request, _Page)
    newest_first = page.sort is not None and page.sort.startswith("-")
    in_order = entries[::-1] if newest_first else entries
    return JSONResponse(
        {"count": len(entries), "items": in_order[page.offset : page.offset + page.limit]}
    )


def media_type_of(request: Request) -> str:
    """Return the media type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, form: type[Form]) -> Form:
    """Return the validated JSON body, else raise :class:`HTTPException` (422)."""
    body: Any = await request.body()
    media_type = media_type_of(request)
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            body = json.loads(body, parse_constant=_refuse_constant)
        except ValueError as error:
            position = getattr(error, "pos", 0)
            message = f"JSON decode error: {error}"
            raise _unprocessable(_problem("json_invalid", ["body", position], message)) from error
    else:
        body = body.decode("utf-8", "replace")
    return _in_form(form, body, "body")


def query_of(request: Request, form: type[Form]) -> Form:
    """Return the validated query parameters, else raise :class:`HTTPException` (422)."""
    return _in_form(form, dict(request.query_params), "query")


def path_of(request: Request, form: type[Form]) -> Form:
    """Return the validated path parameters, else raise :class:`HTTPException` (422)."""
    return _in_form(form, dict(request.path_params), "path")


def missing(*names: str) -> HTTPException:
    """Return the error (422) for missing fields of the body."""
    return _unprocessable(
        *(_problem("missing", ["body", name], "Field required") for name in names)
    )


def invalid(location: list[str | int], message: str) -> HTTPException:
    """Return the error (422) for one invalid value."""
    return _unprocessable(_problem("value_error", location, message))


def _in_form(form: type[Form], content: Any, location: str) -> Form:
    try:
        return form.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise _unprocessable(
            *({**problem, "loc": [location, *problem["loc"]]} for problem in problems)
        ) from error


def _unprocessable(*problems: Mapping[str, Any]) -> HTTPException:
    return HTTPException(422, problems)  # type: ignore[arg-type]  # like FastAPI, any JSON


def _problem(kind: str, location: list[str | int], message: str) -> dict[str, Any]:
    return {"type": kind, "loc": location, "msg": message}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")
