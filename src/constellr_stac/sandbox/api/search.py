"""``POST /stac/search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from shapely.errors import ShapelyError
from shapely.geometry import shape
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from constellr_stac.sandbox.scenes import DOCUMENTED_HOST

from .answers import body_of
from .matching import SortKey, box, filter_of, interval, ordered, overlaps

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from constellr_stac.sandbox.catalog import CatalogueItem

    from .auth_guard import Endpoint, Services

__all__ = ["endpoint"]

_PAGE_PREFIX = "next:"
_NEWEST_FIRST = [SortKey("datetime", descending=True), SortKey("id", descending=False)]


class _SortBy(BaseModel):
    field: str = Field(min_length=1)
    direction: Literal["asc", "desc"] = "asc"


class _Geometry(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: Literal[
        "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
        "GeometryCollection",
    ]  # fmt: skip


class _Search(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    collections: list[str] | None = None
    ids: list[str] | None = None
    bbox: list[float] | None = None
    datetime: str | None = None
    intersects: _Geometry | None = None
    filter: dict[str, Any] | str | None = None
    filter_lang: str | None = Field(None, alias="filter-lang")
    sortby: list[_SortBy] | None = None
    limit: int = Field(10, ge=1, le=1000)
    token: str | None = None
    query: Any = None


def endpoint(services: Services) -> Endpoint:
    """Return the endpoint; GET is not supported."""

    async def search(request: Request) -> Response:
        query = await body_of(request, _Search)
        found = _found(list(services.catalogue.items.values()), query)
        offset = _offset(query.token)
        page = found[offset : offset + query.limit]
        links: list[dict[str, Any]] = [
            {"rel": "root", "href": f"{DOCUMENTED_HOST}/"},
            {"rel": "self", "href": f"{DOCUMENTED_HOST}/search"},
        ]
        if offset + len(page) < len(found):
            following = {**await request.json(), "token": f"{_PAGE_PREFIX}{offset + len(page)}"}
            links.append(
                {
                    "rel": "next",
                    "type": "application/geo+json",
                    "method": "POST",
                    "href": f"{DOCUMENTED_HOST}/search",
                    "body": following,
                }
            )
        return JSONResponse(
            {
                "type": "FeatureCollection",
                "links": links,
                "features": [services.served(item) for item in page],
                "numberMatched": len(found),
                "numberReturned": len(page),
            },
            media_type="application/geo+json",
        )

    return search


def _found(items: list[CatalogueItem], query: _Search) -> list[dict[str, Any]]:
    """Return the matching items, sorted."""
    if query.query is not None:
        raise HTTPException(400, "query is not supported, use filter")
    if query.bbox is not None and query.intersects is not None:
        raise HTTPException(400, "bbox and intersects exclude each other")
    if query.collections is not None:
        items = [entry for entry in items if entry.key[0] in query.collections]
    if query.ids is not None:
        items = [entry for entry in items if entry.key[1] in query.ids]
    if query.datetime is not None:
        times = interval(query.datetime)
        items = [entry for entry in items if overlaps(times, entry.interval)]
    area = _area(query)
    if area is not None:
        items = [entry for entry in items if entry.geometry and entry.geometry.intersects(area)]
    found = [entry.item for entry in items]
    if query.filter is not None:
        matches = filter_of(query.filter, query.filter_lang)
        found = [item for item in found if matches(item)]
    keys = [SortKey(by.field, by.direction == "desc") for by in query.sortby or ()]
    return ordered(found, [*keys, *_NEWEST_FIRST])


def _area(query: _Search) -> Any:
    if query.bbox is not None:
        return box(query.bbox)
    if query.intersects is None:
        return None
    try:
        area = shape(query.intersects.model_dump())
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise HTTPException(400, f"intersects is not a geometry: {error}") from error
    if area.is_empty or not area.is_valid:
        raise HTTPException(400, "intersects is empty or crosses itself")
    return area


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    number = token.removeprefix(_PAGE_PREFIX)
    if number == token or not number.isdecimal():
        raise HTTPException(400, "unknown token")
    return int(number)
