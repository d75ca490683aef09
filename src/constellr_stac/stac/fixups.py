"""Fixes to the API's documents that pystac-client needs.

The documented landing page has no conformance classes and no search link, the documented links
point to another host, and the pages of the collection list have no ``next`` links. Nothing here
sends a request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from pystac_client.conformance import ConformanceClasses

from .members import drop_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Fixups"]

_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|$)|%2e|\\", re.IGNORECASE)

_DOCUMENTED = {
    # Documented features, which the conformance page may omit.
    ConformanceClasses.CORE: "https://api.stacspec.org/v1.0.0/core",
    ConformanceClasses.COLLECTIONS: "https://api.stacspec.org/v1.0.0/collections",
    ConformanceClasses.FEATURES: "https://api.stacspec.org/v1.0.0/ogcapi-features",
    ConformanceClasses.ITEM_SEARCH: "https://api.stacspec.org/v1.0.0/item-search",
    ConformanceClasses.SORT: "https://api.stacspec.org/v1.0.0/item-search#sort",
    ConformanceClasses.FILTER: "https://api.stacspec.org/v1.0.0/item-search#filter",
    ConformanceClasses.COLLECTION_SEARCH: "https://api.stacspec.org/v1.0.0-rc.1/collection-search",
}


class Fixups:
    """Completes the documents of one API.

    Relative links, and links below the URL that the landing page advertises as its own, are
    rewritten to ``stac_url``. All other links are unchanged, and :meth:`covers` is false for them.

    Args:
        stac_url: The landing page, without a trailing slash.
    """

    def __init__(self, stac_url: str) -> None:
        self.stac_url = stac_url
        self.search_url = f"{stac_url}/search"
        self.collections_url = f"{stac_url}/collections"
        self._advertised: str | None = None

    def covers(self, url: str) -> bool:
        """Return whether ``url`` is the landing page or below it, so that it may be requested."""
        return _below(url, self.stac_url) is not None

    def is_items_url(self, url: str) -> bool:
        """Return whether ``url`` is a collection's item list, which the API does not have."""
        return re.fullmatch(re.escape(self.collections_url) + r"/[^/?]+/items/?", url) is not None

    def kind_of(self, url: str) -> str | None:
        """Return the STAC type of the document at ``url``; ``None`` for pages and others."""
        if url == self.stac_url:
            return "Catalog"
        if not url.startswith(self.collections_url + "/"):
            return None
        names = url[len(self.collections_url) + 1 :].split("/")
        return {1: "Collection", 3: "Feature"}.get(len(names))

    def own_url(self, href: str, found_at: str) -> str:
        """Return the absolute, rewritten URL of a link.

        Args:
            href: The link.
            found_at: The URL of its document.
        """
        url = urljoin(found_at, href)
        if self.covers(url) or self._advertised is None:
            return url
        rest = _below(url, self._advertised)
        return url if rest is None else self.stac_url + rest

    def completed(
        self, document: dict[str, Any], url: str, conformance: Callable[[], Iterable[str]]
    ) -> dict[str, Any]:
        """Complete a document in place.

        Args:
            document: The response.
            url: The requested URL, with the query.
            conformance: Returns the classes of the conformance page; called if needed.

        Returns:
            ``document``.
        """
        path = url.partition("?")[0].rstrip("/")
        members = (*document.get("features", ()), *document.get("collections", ()))
        for linked in (document, *members):
            linked["links"] = linked.get("links") or []
        if path == self.stac_url:
            self._note_advertised(document)
        for linked in (document, *members):
            self._rewrite_links(linked, url)
        for item in document.get("features", (document,)):
            if item.get("type") == "Feature":
                drop_root(item)  # pystac follows it to write the item, and knows no credential
        if path == self.stac_url:
            self._complete_landing_page(document, conformance)
        elif path == self.collections_url:
            self._link_next_page(document, url)
        for collection in document.get("collections", (document,)):
            if collection.get("type") == "Collection":
                self._complete_collection(collection)
        return document

    def _note_advertised(self, landing_page: dict[str, Any]) -> None:
        """Store the URL that the landing page advertises as its own."""
        links = landing_page["links"]
        for rel, tail in (("self", ""), ("root", ""), ("data", "/collections")):
            for link in links:
                if link.get("rel") == rel:
                    self._advertised = str(link["href"]).rstrip("/").removesuffix(tail)
                    return

    def _rewrite_links(self, document: dict[str, Any], url: str) -> None:
        for link in document["links"]:
            if isinstance(link.get("href"), str):
                link["href"] = self.own_url(link["href"], url)
            if "body" in link:
                link["method"] = (link.get("method") or "POST").upper()

    def _complete_landing_page(
        self, document: dict[str, Any], conformance: Callable[[], Iterable[str]]
    ) -> None:
        classes = document.get("conformsTo")
        if classes is None:
            classes = list(conformance())
        for kind, uri in _DOCUMENTED.items():
            if not any(kind.pattern.match(known) for known in classes):
                classes.append(uri)
        document["conformsTo"] = classes
        # These URLs are documented. The landing page's own links may point elsewhere, or lack the
        # media type that pystac-client requires.
        search = _link("search", self.search_url, "application/geo+json")
        document["links"] = [
            *(link for link in document["links"] if link.get("rel") not in ("data", "search")),
            _link("data", self.collections_url),
            {**search, "method": "POST"},
        ]

    def _link_next_page(self, page: dict[str, Any], url: str) -> None:
        """Add a ``next`` link, if ``numberMatched`` says that more collections follow."""
        links, count = page["links"], len(page.get("collections", ()))
        if not count or any(link.get("rel") == "next" for link in links):
            return
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        seen = int(query.get("offset", 0)) + count
        if seen < int(page.get("numberMatched") or 0):
            following = urlencode({**query, "offset": seen})
            links.append(_link("next", urlunsplit(parts._replace(query=following))))

    def _complete_collection(self, collection: dict[str, Any]) -> None:
        links = collection["links"]
        own = f"{self.collections_url}/{quote(collection['id'], safe='')}"
        for rel, href in (("self", own), ("items", f"{own}/items")):
            if not any(link.get("rel") == rel for link in links):
                links.append(_link(rel, href))


def _link(rel: str, href: str, media_type: str = "application/json") -> dict[str, Any]:
    return {"rel": rel, "type": media_type, "href": href}


def _below(url: str, base: str) -> str | None:
    """Return the rest of ``url`` after ``base``, or ``None`` if it is not below ``base``.

    Example:
        >>> _below("https://example.com/stac/search", "https://example.com/stac")
        '/search'
        >>> _below("https://example.com/stac.evil/search", "https://example.com/stac")
    """
    if not url.startswith(base) or _DOT_SEGMENT.search(url.partition("?")[0]):
        return None
    rest = url[len(base) :]
    if rest in ("", "/"):
        return ""
    return rest if rest[0] in "/?#" else None
