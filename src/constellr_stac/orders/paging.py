"""Listings that change while they are read: every thing comes once, and none is left out.

A page is asked for by offset, so a thing that is created in between moves the others by one to
the right, and one that is deleted, to the left. Why nothing is lost:

*   What comes after the things seen so far is a contiguous stretch of the list, for the list is
    sorted. A page that begins among those seen leaves no gap. So each page overlaps the last one,
    and one that does not hold the overlap any more (things were deleted) is asked for again from
    further left, at the last from the very start.
*   The overlap is as long as the longest batch: orders placed together have the same time of
    creation, and a database may sort equals differently for each page.
*   What was created since the first page stands at the list's head. It is read at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from constellr_stac.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

__all__ = ["Page", "listing", "page_from"]

PAGE_SIZE = 100
OVERLAP = 25


class Page(NamedTuple):
    """A stretch of a list."""

    items: list[Mapping[str, Any]]
    """Each with an ``id``."""
    total: int
    """How many there are in the whole list."""


def page_from(content: Any) -> Page:
    """Return a page as the API answers it: ``{"count": ..., "items": [...]}``.

    Raises:
        APIError: It is none.
    """
    match content:
        case {"count": int(total), "items": [*items]} if all(_has_id(item) for item in items):
            return Page(items, total)
        case _:
            raise APIError("The API answered with no page of a list: count and items are missing.")


def listing(
    fetch: Callable[[int, int], Page], *, page_size: int = PAGE_SIZE
) -> Iterator[Mapping[str, Any]]:
    """Yield every item of a list once, page by page, while the list changes.

    Args:
        fetch: Returns the page at an offset and of a length.

    Keyword Args:
        page_size: How many items to ask for at a time; the server may send fewer.
    """
    seen: set[str] = set()
    pages = 0
    for page in _walk(fetch, page_size, seen):
        pages += 1
        yield from _unseen(page, seen)
    if pages == 1:
        return  # it was one answer, and nothing could change within it
    before = frozenset(seen)
    for page in _walk(fetch, page_size, seen):
        yield from _unseen(page, seen)
        if _known(page, before):
            return


def _walk(
    fetch: Callable[[int, int], Page], page_size: int, seen: AbstractSet[str]
) -> Iterator[Page]:
    """Yield pages from the start to the end, each overlapping what was ``seen`` by then."""
    offset = 0
    page = fetch(offset, page_size)
    yield page
    while page.items and offset + len(page.items) < page.total:
        overlap = min(OVERLAP, len(page.items) // 2)
        offset += len(page.items) - overlap
        page = fetch(offset, page_size)
        while offset and _known(page, seen) < overlap:
            offset = max(0, offset - page_size + overlap)
            page = fetch(offset, page_size)
        yield page


def _unseen(page: Page, seen: set[str]) -> Iterator[Mapping[str, Any]]:
    for item in page.items:
        if item["id"] not in seen:
            seen.add(item["id"])
            yield item


def _known(page: Page, seen: AbstractSet[str]) -> int:
    return sum(item["id"] in seen for item in page.items)


def _has_id(item: Any) -> bool:
    match item:
        case {"id": str()}:
            return True
        case _:
            return False
