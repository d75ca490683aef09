"""The items and collections of a client: their links are followed with its credential.

pystac follows a link with the I/O of the root catalog, or with one that knows no credential if the
root is not at hand: after pickling, copying, or in another catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import pystac
from pystac_client import Client, CollectionClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ApiCollection", "drop_root", "owned"]

T = TypeVar("T", bound="pystac.Item | pystac.ItemCollection | pystac.Collection")


class ApiLink(pystac.Link):
    """A link to a document of the API, which its client reads."""

    client: Any
    """The :class:`.ConstellrClient`."""

    def resolve_stac_object(self, root: pystac.Catalog | None = None) -> Self:
        """Read the document with the client's credential; a root is the client itself."""
        del root
        if self.rel == pystac.RelType.ROOT or self.target == self.client.get_self_href():
            self.target = self.client
        else:
            super().resolve_stac_object(self.client)
        return self

    def clone(self) -> Self:
        """Return a link with the same client."""
        link = cast("Self", super().clone())
        link.client = self.client
        return link


class ApiItem(pystac.Item):
    """An item whose links are followed with its client's credential."""

    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the item as JSON, without a link to the API's landing page as its root.

        pystac follows that link whenever it writes such an item again, and knows no credential.
        """
        document = super().to_dict(*args, **kwargs)
        root = self.get_root_link()
        if isinstance(root, ApiLink) or (root is not None and isinstance(root.target, Client)):
            drop_root(document)
        return document

    def full_copy(
        self, root: pystac.Catalog | None = None, parent: pystac.Catalog | None = None
    ) -> pystac.Item:
        """Copy the item, not its collection, which stays a link to the API."""
        copy = self.clone()
        if root is not None:
            copy.set_root(root)
        copy.set_parent(parent)
        return copy

    def __getstate__(self) -> dict[str, Any]:
        links = [link for link in self.links if isinstance(link, ApiLink)]
        client = links[0].client if links else None
        return {"item": super().__getstate__(), "client": client}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(state["item"])
        if state["client"] is not None:
            _follow(self, state["client"])


class ApiCollection(CollectionClient):
    """A collection whose items follow their links with its client's credential."""

    def get_items(self, *ids: str, recursive: bool = False) -> Iterator[pystac.Item]:
        """Return the items, or those of ``ids``."""
        client: Any = self.get_root()
        for item in super().get_items(*ids, recursive=recursive):
            yield owned(item, client)


def drop_root(item: dict[str, Any]) -> None:
    """Remove the link of an item's JSON to its root, if its own link says where it is from."""
    links = item["links"]
    own = (str(link.get("href")).lower() for link in links if link.get("rel") == "self")
    if any(href.startswith(("http:", "https:")) for href in own):
        item["links"] = [link for link in links if link.get("rel") != "root"]


def owned(found: T, client: Any) -> T:
    """Return an item, its ItemCollection or a collection as one of a client; changed in place."""
    members: Any = found.items if isinstance(found, pystac.ItemCollection) else [found]
    for member in members:  # pystac and pystac-client make their own classes
        if isinstance(member, CollectionClient):
            member.__class__ = ApiCollection
            vars(member)["modifier"] = client.modifier
        elif isinstance(member, pystac.Item):
            member.__class__ = ApiItem
            member.set_root(client)
            _follow(member, client)
    return found


def _follow(item: pystac.Item, client: Any) -> None:
    """Let links to the API be followed by the client."""
    for link in item.links:
        if link.rel != pystac.RelType.SELF and client.covers(link.get_target_str() or ""):
            link.__class__ = ApiLink
            vars(link)["client"] = client
