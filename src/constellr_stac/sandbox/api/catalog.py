"""``/stac`` except the search: landing page, conformance, collections, single items."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from constellr_stac.sandbox.scenes import DOCUMENTED_HOST

from .answers import invalid, path_of, query_of
from .collections import collections
from .matching import SortKey, box, filter_of, interval, ordered, overlaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from .auth_guard import Endpoints, Services

__all__ = ["endpoints"]

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


def endpoints(services: Services) -> Endpoints:
    """Return the endpoints below ``/stac``."""
    stac = _Endpoints(services)
    return [
        ("GET", "/stac", stac.landing_page),
        ("GET", "/stac/", stac.landing_page),
        ("GET", "/stac/conformance", stac.conformance),
        ("GET", "/stac/collections", stac.list_collections),
        ("GET", "/stac/collections/{collection_id}", stac.collection),
        ("GET", "/stac/collections/{collection_id}/items/{item_id}", stac.item),
    ]


class _Endpoints:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def landing_page(self, _request: Request) -> Response:
        return JSONResponse(_LANDING_PAGE)

    async def conformance(self, _request: Request) -> Response:
        return JSONResponse(_CONFORMANCE)

    async def list_collections(self, request: Request) -> Response:
        query = query_of(request, _CollectionSearch)
        found = _filtered(collections(self._services.catalogue), query)
        page = found[query.offset : query.offset + query.limit]
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
        for found in collections(self._services.catalogue):
            if found["id"] == name:
                link = {"rel": "self", "href": f"{DOCUMENTED_HOST}/collections/{name}"}
                return JSONResponse({**found, "links": [*found["links"], link]})
        raise HTTPException(404, f"Collection {name} does not exist")

    async def item(self, request: Request) -> Response:
        path = path_of(request, _ItemPath)
        entry = self._services.catalogue.items.get((path.collection_id, path.item_id))
        if entry is None:
            raise HTTPException(
                404, f"Item {path.item_id} in collection {path.collection_id} does not exist"
            )
        return JSONResponse(self._services.served(entry.item), media_type="application/geo+json")


def _filtered(found: list[dict[str, Any]], query: _CollectionSearch) -> list[dict[str, Any]]:
    """Apply the query to the collections."""
    if query.bbox is not None:
        with _parameter("bbox"):
            area = box([float(number) for number in query.bbox.split(",")])
        found = [
            collection
            for collection in found
            if box(collection["extent"]["spatial"]["bbox"][0]).intersects(area)
        ]
    if query.datetime is not None:
        with _parameter("datetime"):
            times = interval(query.datetime)
        found = [collection for collection in found if overlaps(times, _times(collection))]
    if query.filter is not None:
        with _parameter("filter"):
            matches = filter_of(query.filter, query.filter_lang)
        found = [collection for collection in found if matches(collection)]
    return ordered(found, _sort_keys(query.sortby)) if query.sortby else found


@contextmanager
def _parameter(name: str) -> Iterator[None]:
    """Turn invalid values into 422: unlike the search, this endpoint documents no 400."""
    try:
        yield
    except (HTTPException, ValueError) as error:
        raise invalid(["query", name], str(getattr(error, "detail", error))) from error


def _times(collection: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    start, end = (
        None if text is None else datetime.fromisoformat(text)
        for text in collection["extent"]["temporal"]["interval"][0]
    )
    return start, end


def _sort_keys(text: str) -> list[SortKey]:
    """Parse ``+id,-title``; an unencoded plus arrives as a space."""
    keys = []
    for part in text.split(","):
        name = part.strip().lstrip("+-")
        if name not in ("id", "title", "description", "license"):
            raise invalid(["query", "sortby"], f"collections cannot be sorted by {name!r}")
        keys.append(SortKey(name, descending=part.strip().startswith("-")))
    return keys
