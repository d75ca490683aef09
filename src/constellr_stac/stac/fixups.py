"""What the API's documents leave out, so that pystac-client can use them.

The documented landing page names no conformance classes and no search, the documented links
lead to another host, and the list of collections has pages but no links between them. Here a
document goes in as the server sent it and comes out whole. Nothing here sends a request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from pystac_client.conformance import ConformanceClasses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Fixups"]

_DOT_STEP = re.compile(r"/\.{1,2}(?:/|$)|%2e|\\", re.IGNORECASE)

_SUPPLIED = {
    # What the API's documentation describes, whatever its conformance page leaves out.
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

    A link that lies below the address which the landing page gives as its own leads to the same
    place below ours, and so does a relative one. Every other link is left as it is, and
    :meth:`covers` says that it is none of the API's.

    Args:
        stac_url: Where the landing page is, without a trailing slash.
    """

    def __init__(self, stac_url: str) -> None:
        self.stac_url = stac_url
        self.search_url = f"{stac_url}/search"
        self.collections_url = f"{stac_url}/collections"
        self._advertised: str | None = None

    def covers(self, url: str) -> bool:
        """Say whether ``url`` is the landing page or below it, where the credential may go."""
        return _below(url, self.stac_url) is not None

    def is_items_url(self, url: str) -> bool:
        """Say whether ``url`` is a collection's list of items, which the API does not have."""
        return re.fullmatch(re.escape(self.collections_url) + r"/[^/?]+/items/?", url) is not None

    def own_url(self, href: str, found_at: str) -> str:
        """Return where a link leads to.

        Args:
            href: The link.
            found_at: The URL of the document that it is in.
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
            document: What the server sent.
            url: What it was asked for, with the query.
            conformance: Gives the classes of the conformance page; asked if they are needed.

        Returns:
            ``document``.
        """
        path = url.partition("?")[0].rstrip("/")
        members = (*document.get("features", ()), *document.get("collections", ()))
        for linked in (document, *members):
            linked["links"] = linked.get("links") or []
        if path == self.stac_url:
            self._learn(document)
        for linked in (document, *members):
            self._lead_home(linked, url)
        if path == self.stac_url:
            self._complete_landing_page(document, conformance)
        elif path == self.collections_url:
            self._link_next_page(document, url)
        for collection in document.get("collections", (document,)):
            if collection.get("type") == "Collection":
                self._complete_collection(collection)
        return document

    def _learn(self, landing_page: dict[str, Any]) -> None:
        """Note the address that the landing page gives as its own."""
        links = landing_page["links"]
        for rel, tail in (("self", ""), ("root", ""), ("data", "/collections")):
            for link in links:
                if link.get("rel") == rel:
                    self._advertised = str(link["href"]).rstrip("/").removesuffix(tail)
                    return

    def _lead_home(self, document: dict[str, Any], url: str) -> None:
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
        for kind, uri in _SUPPLIED.items():
            if not any(kind.pattern.match(known) for known in classes):
                classes.append(uri)
        document["conformsTo"] = classes
        # Where these are is documented; what a landing page says of them may lead elsewhere, or
        # lack the media type without which pystac-client passes it over.
        search = _link("search", self.search_url, "application/geo+json")
        document["links"] = [
            *(link for link in document["links"] if link.get("rel") not in ("data", "search")),
            _link("data", self.collections_url),
            {**search, "method": "POST"},
        ]

    def _link_next_page(self, page: dict[str, Any], url: str) -> None:
        """Link the page that follows, as far as the server's count says that there is one."""
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
    """Return what follows ``base`` in ``url``, or ``None`` if that is elsewhere.

    Example:
        >>> _below("https://example.com/stac/search", "https://example.com/stac")
        '/search'
        >>> _below("https://example.com/stac.evil/search", "https://example.com/stac")
    """
    if not url.startswith(base) or _DOT_STEP.search(url.partition("?")[0]):
        return None
    rest = url[len(base) :]
    if rest in ("", "/"):
        return ""
    return rest if rest[0] in "/?#" else None
