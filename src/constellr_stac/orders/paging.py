"""Listings that change while they are read: every thing comes once, and none is left out.

A page is asked for by offset, so a thing that is created in between moves the others by one to
the right, and one that is deleted, to the left. Why nothing is lost:

*   Pages overlap. The list is sorted, so what lies between two things of one page lies in that
    page; a page that holds things of the page before leaves no gap to it. One that does not
    (things were deleted) is asked for again from further left, at the last from the very start,
    to the left of which there is nothing.
*   The overlap is as long as the longest batch: orders placed together have the same time of
    creation, and a database may sort equals differently for each page.
*   What was created since the first page stands at the list's head. It is read at the end, up to
    what is known, again and again until one page holds all of it.
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
    known: frozenset[str] = frozenset()
    pages = 0
    while pages != 1:  # what was one answer, nothing could change within
        for pages, page in enumerate(_walk(fetch, page_size), start=1):  # noqa: B007 - used above
            yield from _unseen(page, seen)
            if _known(page, known):
                break
        known = frozenset(seen)


def _walk(fetch: Callable[[int, int], Page], page_size: int) -> Iterator[Page]:
    """Yield pages from the start to the end, each overlapping the one before."""
    offset = 0
    page = fetch(offset, page_size)
    yield page
    while page.items and offset + len(page.items) < page.total:
        last = {item["id"] for item in page.items}
        overlap = min(OVERLAP, len(page.items) // 2)
        step = len(page.items) - overlap
        offset += step
        page = fetch(offset, page_size)
        while offset and _known(page, last) < overlap:
            offset = max(0, offset - step)
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
