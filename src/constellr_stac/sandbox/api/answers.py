"""Errors of the API and validation of requests, in FastAPI's format."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "ApiError",
    "body_of",
    "handle_api_error",
    "handle_http_error",
    "invalid",
    "missing",
    "path_of",
    "query_of",
]

Form = TypeVar("Form", bound=BaseModel)


class ApiError(Exception):
    """An answer other than a success.

    Args:
        status: The HTTP status.
        detail: A sentence, or a list of located problems.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: HTTPStatus, detail: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = status.phrase if detail is None else detail
        self.headers = headers


async def handle_api_error(_request: Request, error: Exception) -> Response:
    """Answer with an error raised by a handler."""
    api_error = cast("ApiError", error)  # Starlette's handlers take any exception
    return JSONResponse({"detail": api_error.detail}, api_error.status, api_error.headers)


async def handle_http_error(_request: Request, error: Exception) -> Response:
    """Answer for unknown paths and methods."""
    http_error = cast("HTTPException", error)
    return JSONResponse({"detail": http_error.detail}, http_error.status_code, http_error.headers)


async def body_of(request: Request, form: type[Form]) -> Form:
    """Return the validated JSON body, else raise :class:`ApiError` (422)."""
    body: Any = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            body = json.loads(body, parse_constant=_refuse_constant)
        except ValueError as error:
            position = getattr(error, "pos", 0)
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                [_problem("json_invalid", ["body", position], f"JSON decode error: {error}")],
            ) from error
    else:
        body = body.decode("utf-8", "replace")
    return _in_form(form, body, "body")


def query_of(request: Request, form: type[Form]) -> Form:
    """Return the validated query parameters, else raise :class:`ApiError` (422)."""
    return _in_form(form, dict(request.query_params), "query")


def path_of(request: Request, form: type[Form]) -> Form:
    """Return the validated path parameters, else raise :class:`ApiError` (422)."""
    return _in_form(form, dict(request.path_params), "path")


def missing(*names: str) -> ApiError:
    """Return the error (422) for missing fields of the body."""
    problems = [_problem("missing", ["body", name], "Field required") for name in names]
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, problems)


def invalid(location: list[str | int], message: str) -> ApiError:
    """Return the error (422) for one invalid value."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, [_problem("value_error", location, message)])


def _in_form(form: type[Form], content: Any, location: str) -> Form:
    try:
        return form.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        located = [{**problem, "loc": [location, *problem["loc"]]} for problem in problems]
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, located) from error


def _problem(kind: str, location: list[str | int], message: str) -> dict[str, Any]:
    return {"type": kind, "loc": location, "msg": message}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")
