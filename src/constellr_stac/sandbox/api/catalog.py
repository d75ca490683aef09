"""``/stac`` without the search: landing page, conformance, collections, single items."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import JSONResponse
from starlette.routing import Route

from constellr_stac.sandbox.scenes import DOCUMENTED_HOST

from .answers import Refused, invalid, path_of, query_of
from .collections import collections
from .door import guarded
from .matching import SortKey, box, filter_of, interval, ordered, overlaps
from .signed import signed_item

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .door import World

__all__ = ["routes"]

_LANDING_PAGE = {
    "type": "Catalog",
    "id": "constellr-stacapi",
    "title": "Constellr STAC API",
    "description": "Constellr STAC API",
    "stac_version": "1.0.0",
    "links": [
        {
            "rel": "self",
            "type": "application/json",
            "title": "This document",
            "href": f"{DOCUMENTED_HOST}/",
        },
        {
            "rel": "data",
            "type": "application/json",
            "title": "Collections available for this Catalog",
            "href": f"{DOCUMENTED_HOST}/collections",
        },
    ],
    "stac_extensions": [],
}
_CONFORMANCE = {
    "conformsTo": [
        "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
        "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
        "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text",
        "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
    ]
}

_Id = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=255)]


class _CollectionPath(BaseModel):
    collection_id: _Id


class _ItemPath(_CollectionPath):
    item_id: _Id


class _CollectionSearch(BaseModel):
    limit: int = Field(10, ge=1, le=1000)
    offset: int = Field(0, ge=0)
    bbox: str | None = None
    datetime: str | None = None
    sortby: str | None = None
    filter: str | None = None
    filter_lang: str | None = Field(None, alias="filter-lang")


def routes(world: World) -> list[BaseRoute]:
    """Return the routes below ``/stac`` that are read with GET."""
    endpoints = _Endpoints(world)
    return [
        Route(path, guarded(world, "stac", endpoint), methods=["GET"])
        for path, endpoint in {
            "/stac": endpoints.landing_page,
            "/stac/": endpoints.landing_page,
            "/stac/conformance": endpoints.conformance,
            "/stac/collections": endpoints.list_collections,
            "/stac/collections/{collection_id}": endpoints.collection,
            "/stac/collections/{collection_id}/items/{item_id}": endpoints.item,
        }.items()
    ]


class _Endpoints:
    def __init__(self, world: World) -> None:
        self._world = world

    async def landing_page(self, _request: Request) -> Response:
        return JSONResponse(_LANDING_PAGE)

    async def conformance(self, _request: Request) -> Response:
        return JSONResponse(_CONFORMANCE)

    async def list_collections(self, request: Request) -> Response:
        asked = query_of(request, _CollectionSearch)
        found = _chosen(collections(self._world.catalogue), asked)
        page = found[asked.offset : asked.offset + asked.limit]
        return JSONResponse(
            {
                "collections": page,
                "links": [{"rel": "root", "href": f"{DOCUMENTED_HOST}/"}],
                "numberMatched": len(found),
                "numberReturned": len(page),
            }
        )

    async def collection(self, request: Request) -> Response:
        name = path_of(request, _CollectionPath).collection_id
        for found in collections(self._world.catalogue):
            if found["id"] == name:
                link = {"rel": "self", "href": f"{DOCUMENTED_HOST}/collections/{name}"}
                return JSONResponse({**found, "links": [*found["links"], link]})
        raise Refused(HTTPStatus.NOT_FOUND, f"Collection {name} does not exist")

    async def item(self, request: Request) -> Response:
        path = path_of(request, _ItemPath)
        held = self._world.catalogue.item(path.collection_id, path.item_id)
        if held is None:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"Item {path.item_id} in collection {path.collection_id} does not exist",
            )
        return JSONResponse(signed_item(self._world, held.item), media_type="application/geo+json")


def _chosen(found: list[dict[str, Any]], asked: _CollectionSearch) -> list[dict[str, Any]]:
    """Apply the query; this endpoint documents 422 alone for values that make no sense."""
    where = "bbox"
    try:
        if asked.bbox is not None:
            found = _in_box(found, asked.bbox)
        where = "datetime"
        if asked.datetime is not None:
            wanted = interval(asked.datetime)
            found = [collection for collection in found if overlaps(wanted, _times(collection))]
        where = "filter"
        if asked.filter is not None:
            matches = filter_of(asked.filter, asked.filter_lang)
            found = [collection for collection in found if matches(collection)]
    except Refused as refused:
        raise invalid(["query", where], str(refused.detail)) from refused
    return ordered(found, _sort_keys(asked.sortby)) if asked.sortby else found


def _in_box(found: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    try:
        wanted = box([float(number) for number in text.split(",")])
    except ValueError as error:
        raise invalid(["query", "bbox"], f"bbox is no list of numbers: {error}") from error
    return [
        collection
        for collection in found
        if box(collection["extent"]["spatial"]["bbox"][0]).intersects(wanted)
    ]


def _times(collection: dict[str, Any]) -> Any:
    from datetime import datetime

    start, end = collection["extent"]["temporal"]["interval"][0]
    return (
        datetime.fromisoformat(start) if start else None,
        datetime.fromisoformat(end) if end else None,
    )


def _sort_keys(text: str) -> list[SortKey]:
    """Read ``+id,-title``; a plus arrives as a space where a client did not encode it."""
    keys = []
    for part in text.split(","):
        name = part.strip().lstrip("+-")
        if name not in ("id", "title", "description", "license"):
            raise invalid(["query", "sortby"], f"collections cannot be sorted by {name!r}")
        keys.append(SortKey(name, descending=part.strip().startswith("-")))
    return keys
