"""Stable names of assets, which a graph holds instead of signed URLs.

A reference is an href without its signature, followed by the ids of the collection and the item
and the key of the asset. As a string it passes through odc-stac, stackstac and dask like an href.
:mod:`.resolver` turns it into a URL that can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from constellr_stac._text import redact_url

if TYPE_CHECKING:
    import pystac

__all__ = ["AssetRef", "asset_ref", "is_signed"]

_MARK = "#constellr/"
_SIGNATURES = {"x-amz-signature", "signature", "sig"}


def is_signed(href: str) -> bool:
    """Say whether ``href`` is an http(s) URL with a signature in its query.

    Example:
        >>> is_signed("https://b.s3.amazonaws.com/lst.tiff?X-Amz-Signature=1f")
        True
    """
    parts = urlsplit(href)
    if parts.scheme not in ("http", "https"):
        return False
    return any(name.lower() in _SIGNATURES for name, _ in parse_qsl(parts.query))


@dataclass(frozen=True)
class AssetRef:
    """An asset, named so that the name is still good tomorrow.

    Example:
        >>> ref = AssetRef("s3://b/lst.tiff", "lstprecision", "scene 1", "lst")
        >>> str(ref)
        's3://b/lst.tiff#constellr/lstprecision/scene%201/lst'
        >>> AssetRef.parse(str(ref)) == ref
        True
    """

    href: str
    """Where the bytes are; without its signature if the item can be asked for a new one."""
    collection: str = ""
    """The id of the item's collection; empty when the item is not known."""
    item: str = ""
    """The item's id."""
    asset: str = ""
    """The asset's key in the item."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read a reference back; any other href is a reference without an item."""
        href, mark, names = uri.rpartition(_MARK)
        parts = names.split("/")
        if not mark or len(parts) != 3:  # noqa: PLR2004 - collection, item, asset
            return cls(uri)
        return cls(href, *map(unquote, parts))

    @property
    def renewable(self) -> bool:
        """Whether a URL for it comes from asking the API for the item."""
        return bool(self.collection and self.item) and self.href.startswith(("http:", "https:"))

    @property
    def label(self) -> str:
        """What to call it in a message; without a signature."""
        href = redact_url(self.href) if "://" in self.href else self.href
        return f"asset {self.asset!r} of item {self.item!r} ({href})" if self.item else href

    def __str__(self) -> str:
        if not self.item:
            return self.href
        names = (quote(name, safe="") for name in (self.collection, self.item, self.asset))
        return f"{self.href}{_MARK}{'/'.join(names)}"


def asset_ref(item: pystac.Item, key: str) -> AssetRef:
    """Return the reference of one asset of an item.

    The signature of a pre-signed https URL is left out, since the API gives a new one for the
    asking. A URL that was never signed, an ``s3://`` href, a path and what is a reference already
    stay as they are.

    Args:
        item: An item of the API, or of a catalogue on disk.
        key: The key of one of its assets.
    """
    href = item.assets[key].get_absolute_href() or item.assets[key].href
    if _MARK in href:
        return AssetRef.parse(href)
    collection = item.collection_id or ""
    if is_signed(href) and collection:
        return AssetRef(redact_url(href), collection, item.id, key)
    if urlsplit(href).scheme in ("http", "https"):
        collection = ""  # nobody signed it, so nobody is asked to sign it again
    return AssetRef(href, collection, item.id, key)
