"""``POST /stac/search``."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from shapely.errors import ShapelyError
from shapely.geometry import shape
from starlette.responses import JSONResponse
from starlette.routing import Route

from constellr_stac.sandbox.scenes import DOCUMENTED_HOST

from .answers import Refused, body_of
from .auth_guard import guarded
from .matching import SortKey, box, filter_of, interval, ordered, overlaps
from .signed import signed_item

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from constellr_stac.sandbox.catalog import HeldItem

    from .auth_guard import World

__all__ = ["routes"]

_PLACE = "next:"
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


def routes(world: World) -> list[BaseRoute]:
    """Return the one route; GET is not among its methods."""

    async def search(request: Request) -> Response:
        asked = await body_of(request, _Search)
        found = _found(world.catalogue.items(), asked)
        offset = _offset(asked.token)
        page = found[offset : offset + asked.limit]
        links: list[dict[str, Any]] = [
            {"rel": "root", "href": f"{DOCUMENTED_HOST}/"},
            {"rel": "self", "href": f"{DOCUMENTED_HOST}/search"},
        ]
        if offset + len(page) < len(found):
            following = {**await request.json(), "token": f"{_PLACE}{offset + len(page)}"}
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
                "features": [signed_item(world, item) for item in page],
                "numberMatched": len(found),
                "numberReturned": len(page),
            },
            media_type="application/geo+json",
        )

    return [Route("/stac/search", guarded(world, "stac", search), methods=["POST"])]


def _found(items: list[HeldItem], asked: _Search) -> list[dict[str, Any]]:
    """Return the items that match everything that is asked, sorted."""
    if asked.query is not None:
        raise Refused(HTTPStatus.BAD_REQUEST, "query is not supported, use filter")
    if asked.bbox is not None and asked.intersects is not None:
        raise Refused(HTTPStatus.BAD_REQUEST, "bbox and intersects exclude each other")
    if asked.collections is not None:
        items = [held for held in items if held.key[0] in asked.collections]
    if asked.ids is not None:
        items = [held for held in items if held.key[1] in asked.ids]
    if asked.datetime is not None:
        wanted = interval(asked.datetime)
        items = [held for held in items if overlaps(wanted, held.interval)]
    place = _place(asked)
    if place is not None:
        items = [held for held in items if held.geometry and held.geometry.intersects(place)]
    found = [held.item for held in items]
    if asked.filter is not None:
        matches = filter_of(asked.filter, asked.filter_lang)
        found = [item for item in found if matches(item)]
    keys = [SortKey(by.field, by.direction == "desc") for by in asked.sortby or ()]
    return ordered(found, [*keys, *_NEWEST_FIRST])


def _place(asked: _Search) -> Any:
    if asked.bbox is not None:
        return box(asked.bbox)
    if asked.intersects is None:
        return None
    try:
        place = shape(asked.intersects.model_dump())
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"intersects is no geometry: {error}") from error
    if place.is_empty or not place.is_valid:
        raise Refused(HTTPStatus.BAD_REQUEST, "intersects is empty or crosses itself")
    return place


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    number = token.removeprefix(_PLACE)
    if number == token or not number.isdecimal():
        raise Refused(HTTPStatus.BAD_REQUEST, "unknown token")
    return int(number)
