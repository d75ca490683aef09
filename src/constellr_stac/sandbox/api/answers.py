"""How the API says no, and how it reads what it is sent: shaped as FastAPI does both."""

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
    "Refused",
    "answer_refused",
    "answer_unknown",
    "body_of",
    "invalid",
    "missing",
    "path_of",
    "query_of",
]

Form = TypeVar("Form", bound=BaseModel)


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the server
    """An answer that is not a success.

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


async def answer_refused(_request: Request, error: Exception) -> Response:
    """Answer with what a handler refused."""
    refused = cast("Refused", error)  # Starlette's handlers take any exception
    return JSONResponse({"detail": refused.detail}, refused.status, refused.headers)


async def answer_unknown(_request: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses: unknown paths and methods."""
    unknown = cast("HTTPException", error)
    return JSONResponse({"detail": unknown.detail}, unknown.status_code, unknown.headers)


async def body_of(request: Request, form: type[Form]) -> Form:
    """Return the request's JSON body in this form.

    Raises:
        Refused: It is no JSON (422), or not of this form (422, one problem per field).
    """
    body: Any = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            body = json.loads(body, parse_constant=_refuse_constant)
        except ValueError as error:
            position = getattr(error, "pos", 0)
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                [_problem("json_invalid", ["body", position], f"JSON decode error: {error}")],
            ) from error
    else:
        body = body.decode("utf-8", "replace")
    return _in_form(form, body, "body")


def query_of(request: Request, form: type[Form]) -> Form:
    """Return the request's query in this form.

    Raises:
        Refused: It is not of this form (422).
    """
    return _in_form(form, dict(request.query_params), "query")


def path_of(request: Request, form: type[Form]) -> Form:
    """Return the request's path parameters in this form.

    Raises:
        Refused: They are not of this form (422).
    """
    return _in_form(form, dict(request.path_params), "path")


def missing(*names: str) -> Refused:
    """Return the refusal of a body that lacks these fields."""
    problems = [_problem("missing", ["body", name], "Field required") for name in names]
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, problems)


def invalid(location: list[str | int], message: str) -> Refused:
    """Return the refusal of one value."""
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, [_problem("value_error", location, message)])


def _in_form(form: type[Form], content: Any, where: str) -> Form:
    try:
        return form.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        located = [{**problem, "loc": [where, *problem["loc"]]} for problem in problems]
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, located) from error


def _problem(kind: str, location: list[str | int], message: str) -> dict[str, Any]:
    return {"type": kind, "loc": location, "msg": message}


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON"
    raise ValueError(msg)
