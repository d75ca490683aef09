"""Paged listings, by ``limit``, ``offset`` and ``sort``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from .answers import query_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["listed"]


class _Page(BaseModel):
    limit: int = Field(10, ge=1, le=1000)
    offset: int = Field(0, ge=0)
    # An unencoded plus arrives as a space.
    sort: str | None = Field(None, pattern=r"^[-+ ]?created$")


def listed(request: Request, entries: list[dict[str, Any]]) -> Response:
    """Answer one page of ``entries``, given oldest first; ``count`` is of all pages."""
    page = query_of(request, _Page)
    newest_first = page.sort is not None and page.sort.startswith("-")
    in_order = entries[::-1] if newest_first else entries
    return JSONResponse(
        {"count": len(entries), "items": in_order[page.offset : page.offset + page.limit]}
    )
