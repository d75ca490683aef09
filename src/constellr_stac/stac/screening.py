"""What of an answer is used: members that are STAC, and assets that are not local files.

A malformed member does not cost the page: it is skipped, with a warning.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pystac
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
)
from shapely.geometry import shape

from constellr_stac._local import is_local
from constellr_stac._text import MAX_DEPTH, is_deep, shown
from constellr_stac.errors import SkippedContentWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .fixups import Fixups

__all__ = ["new_pages", "screened"]

_MAX_COORDINATE_DEPTH = 4
_MAX_NAMED = 3

_Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]


def screened(document: dict[str, Any], url: str, fixups: Fixups) -> str | None:
    """Remove what is malformed from an answer; return why it cannot be used, if so.

    Args:
        document: The answer; changed in place.
        url: The requested URL.
        fixups: What is known of the API's documents.
    """
    if not screen_links(document):
        return "a malformed next link"
    path = url.partition("?")[0].rstrip("/")
    for page, name, kind in (
        (fixups.search_url, "features", "Feature"),
        (fixups.collections_url, "collections", "Collection"),
    ):
        if path == page:
            if not isinstance(document.get(name), list):
                return f"JSON without {name}"
            screen_members(document, name, kind)
            screen_counts(document)
            return None
    expected = fixups.kind_of(path)
    if expected is not None:
        if (problem := problem_of(document, expected)) is not None:
            return f"JSON that is not a STAC {expected} ({problem})"
        without_local_assets(document)
    return None


def screen_members(page: dict[str, Any], name: str, kind: str) -> None:
    """Remove the malformed members of a page, with a warning, and their local assets.

    Args:
        page: The page; changed in place.
        name: The field of its members, such as ``features``.
        kind: The members' STAC type, such as ``Feature``.
    """
    kept, problems = [], []
    for member in page[name]:
        problem = problem_of(member, kind)
        if problem is None:
            screen_links(member)
            without_local_assets(member)
            kept.append(member)
        else:
            problems.append(f"{_name(member)} ({problem})")
    if problems:
        more = "; ..." if len(problems) > _MAX_NAMED else ""
        warnings.warn(
            f"Skipped {len(problems)} of {len(page[name])} {name} of a response, since they are "
            f"not STAC: {'; '.join(problems[:_MAX_NAMED])}{more}.",
            SkippedContentWarning,
            stacklevel=2,
        )
    page[name] = kept


def new_pages(
    pages: Iterable[dict[str, Any]], limit: float, error: Callable[[str], Exception]
) -> Iterator[dict[str, Any]]:
    """Yield pages; too many, and one that holds members of earlier pages only, is an error.

    Args:
        pages: Pages of items or collections.
        limit: The number of pages that are too many.
        error: Returns the error for what is wrong.
    """
    seen: set[tuple[Any, Any]] = set()
    for number, page in enumerate(pages, 1):
        if number > limit:
            raise error(f"more than {limit:.0f} pages (limits.pages)")
        members = page.get("features") or page.get("collections") or ()
        ids = {(member.get("collection"), member["id"]) for member in members}
        if ids and ids <= seen:
            raise error("a page that brings nothing new")
        seen |= ids
        yield page


def screen_counts(page: dict[str, Any]) -> None:
    """Remove a page's counts that are not whole numbers."""
    for name in ("numberMatched", "numberReturned"):
        count = page.get(name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            page.pop(name, None)
    if not isinstance(page.get("context"), dict):
        page.pop("context", None)


def screen_links(document: dict[str, Any]) -> bool:
    """Remove a document's malformed links; return whether its ``next`` link was none of them."""
    links = document.get("links")
    links = links if isinstance(links, list) else []
    document["links"] = [link for link in links if _problem(_Link, link) is None]
    return len(_next(links)) == len(_next(document["links"]))


def without_local_assets(document: dict[str, Any]) -> None:
    """Remove the assets of a server's document that are neither http(s) nor ``s3://``."""
    assets = document.get("assets") or {}
    local = [key for key, asset in assets.items() if is_local(asset["href"])]
    for key in local:
        del assets[key]
    if local:
        warnings.warn(
            f"Skipped {len(local)} assets of {_name(document)}, since a server may only name "
            f"http(s) and s3:// URLs: {shown(', '.join(local[:_MAX_NAMED]))}.",
            SkippedContentWarning,
            stacklevel=2,
        )


def problem_of(document: Any, kind: str) -> str | None:
    """Return why a document is not STAC of a kind, or ``None``.

    Args:
        document: An item, collection or catalog as JSON.
        kind: Its type: ``Feature``, ``Collection`` or ``Catalog``.
    """
    if isinstance(document, dict) and document.get("type") != kind:
        return f"its type is not {kind}"
    model, reader = _KINDS[kind]
    if (problem := _problem(model, document)) is not None:
        return problem
    if is_deep(document):
        return f"nested deeper than {MAX_DEPTH} levels"
    try:
        reader({**document, "links": []}, preserve_dict=True)
        if document.get("geometry") is not None and shape(document["geometry"]).is_empty:
            return "its geometry is empty"
    except Exception as error:  # noqa: BLE001 - whatever pystac and shapely trip over
        return shown(f"{type(error).__name__}: {error}")
    return None


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


def _parsed(href: str) -> str:
    urlsplit(href).port  # noqa: B018 - raises a ValueError for an invalid host or port
    return href


_Href: TypeAlias = Annotated[str, AfterValidator(_parsed)]


class _Link(_Strict):
    rel: str
    href: _Href
    type: str | None = None
    title: str | None = None
    method: Annotated[Literal["GET", "POST"], BeforeValidator(lambda name: str(name).upper())] = (
        "GET"
    )
    body: dict[str, Any] | None = None
    headers: dict[str, str] | None = None


class _Asset(_Strict):
    href: _Href
    type: str | None = None
    title: str | None = None
    description: str | None = None
    roles: list[str] | None = None


def _flat(tree: Any) -> list[Any]:
    """Return the numbers of GeoJSON coordinates."""
    level = [tree]
    for _ in range(_MAX_COORDINATE_DEPTH + 1):
        if not any(isinstance(each, list) for each in level):
            return level
        level = [part for each in level for part in (each if isinstance(each, list) else [each])]
    raise ValueError("too deep")


class _Geometry(_Strict):
    type: str
    coordinates: Annotated[list[FiniteFloat], BeforeValidator(_flat)] = []
    geometries: list[_Geometry] = []


class _Document(_Strict):
    id: _Id
    stac_version: str = "1.0.0"
    stac_extensions: list[str] | None = None
    title: str | None = None
    description: str | None = None
    assets: dict[str, _Asset] | None = None
    conformsTo: list[str] | None = None  # noqa: N815 - a field of STAC


class _Item(_Document):
    geometry: _Geometry | None
    bbox: Annotated[list[FiniteFloat], Field(min_length=4, max_length=6)] | None = None
    properties: dict[str, Any]
    collection: _Id | None = None
    assets: dict[str, _Asset]


class _Collection(_Document):
    extent: dict[str, Any]
    license: str | None = None
    keywords: list[str] | None = None
    providers: list[dict[str, Any]] | None = None
    summaries: dict[str, Any] | None = None


_KINDS = {
    "Feature": (_Item, pystac.Item.from_dict),
    "Collection": (_Collection, pystac.Collection.from_dict),
    "Catalog": (_Document, pystac.Catalog.from_dict),
}


def _problem(model: Any, value: Any) -> str | None:
    try:
        model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return shown(f"{where}: {first['msg']}" if where else str(first["msg"]))[:200]
    return None


def _next(links: list[Any]) -> list[Any]:
    """Return the ``next`` links that lead somewhere."""
    return [
        link
        for link in links
        if isinstance(link, dict) and link.get("rel") == "next" and link.get("href") is not None
    ]


def _name(document: Any) -> str:
    identity = document.get("id") if isinstance(document, dict) else None
    return shown(repr(identity[:80])) if isinstance(identity, str) else "one without an id"
