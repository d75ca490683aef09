"""Read a paged list that changes meanwhile: each item once, none skipped.

Pages are requested by offset, so a created item shifts the others right and a deleted one left.

*   Pages overlap. A page that shares items with the previous one leaves no gap to it. One that
    does not (items were deleted) is requested again further left, down to offset 0.
*   The overlap is as long as the largest batch: orders of one batch have the same creation time,
    and a database may sort equal keys differently for each page.
*   Items created since the first page are at the head of the list. It is read again at the end,
    up to the known items, until one page holds all new ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from constellr_stac.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

__all__ = ["Page", "listing", "parse_page"]

PAGE_SIZE = 100
OVERLAP = 25
_MOST_STALE = 1000
"""Pages without new items before a list counts as endless; items may be created meanwhile."""


class Page(NamedTuple):
    """One page of a list."""

    items: list[Mapping[str, Any]]
    """Each with an ``id``."""
    total: int
    """Number of items in the whole list."""


def parse_page(content: Any) -> Page:
    """Parse a page of the API: ``{"count": ..., "items": [...]}``.

    Raises:
        APIError: It has another form.
    """
    match content:
        case {"count": int(total), "items": [*items]} if all(
            isinstance(item, dict) and isinstance(item.get("id"), str) for item in items
        ):
            return Page(items, total)
        case _:
            raise APIError("The API did not answer with a page: count and items are missing.")


def listing(
    fetch: Callable[[int, int], Page], *, page_size: int = PAGE_SIZE
) -> Iterator[Mapping[str, Any]]:
    """Yield every item of a list once.

    Args:
        fetch: Returns the page at an offset, with a limit.

    Keyword Args:
        page_size: The limit; the server may send fewer.

    Raises:
        APIError: The server sends pages without new items, and no end.
    """
    seen: set[str] = set()
    known: frozenset[str] = frozenset()
    pages = stale = 0
    while pages != 1:  # a list that fits one page could not change while it was read
        for pages, page in enumerate(_walk(fetch, page_size), start=1):  # noqa: B007 - used above
            stale += 1
            for item in page.items:
                if item["id"] not in seen:
                    stale = 0
                    seen.add(item["id"])
                    yield item
            if stale > _MOST_STALE:
                raise APIError(f"The list does not end: {stale} pages brought nothing new.")
            if _shared(page, known):
                break
        known = frozenset(seen)


def _walk(fetch: Callable[[int, int], Page], page_size: int) -> Iterator[Page]:
    """Yield pages from start to end, each overlapping the previous one."""
    offset = 0
    page = fetch(offset, page_size)
    yield page
    while page.items and offset + len(page.items) < page.total:
        previous = {item["id"] for item in page.items}
        overlap = min(OVERLAP, len(page.items) // 2)
        step = len(page.items) - overlap
        offset += step
        page = fetch(offset, page_size)
        while offset and _shared(page, previous) < overlap:
            offset = max(0, offset - step)
            page = fetch(offset, page_size)
        yield page


def _shared(page: Page, ids: AbstractSet[str]) -> int:
    return sum(item["id"] in ids for item in page.items)
