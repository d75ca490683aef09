"""Stable references to assets, which a dask graph holds instead of signed URLs.

A reference is an href without signature, followed by the ids of collection and item and the asset
key. As a str it passes through odc-stac, stackstac and dask like an href. :mod:`.resolver`
resolves it to a readable URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from constellr_stac._local import catalog_of, is_local
from constellr_stac._text import redact_url

if TYPE_CHECKING:
    import pystac

__all__ = ["AssetRef", "asset_ref", "is_signed"]

_MARK = "#constellr/"
_SIGNATURES = {"x-amz-signature", "signature", "sig"}


def is_signed(href: str) -> bool:
    """Return whether ``href`` is an http(s) URL with a signature in its query.

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
    """A reference to an asset that does not expire.

    Example:
        >>> ref = AssetRef("s3://b/lst.tiff", "lstprecision", "scene 1", "lst")
        >>> str(ref)
        's3://b/lst.tiff#constellr/lstprecision/scene%201/lst'
        >>> AssetRef.parse(str(ref)) == ref
        True
    """

    href: str
    """The href; without its signature if the API can renew it."""
    collection: str = ""
    """The id of the item's collection; empty if unknown."""
    item: str = ""
    """The item's id."""
    asset: str = ""
    """The asset's key in the item."""
    catalog: str = ""
    """Base URL of the catalog that the item came from, if it may renew the URL, or the href is
    local and thus refused."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse a reference; any other href becomes a reference without an item."""
        href, mark, names = uri.rpartition(_MARK)
        parts = names.split("/")
        if not mark or len(parts) not in (3, 4):  # collection, item, asset, catalog
            return cls(uri)
        return cls(href, *map(unquote, parts))

    @property
    def renewable(self) -> bool:
        """Whether its URL is renewed by fetching the item from the API."""
        return bool(self.collection and self.item) and self.href.startswith(("http:", "https:"))

    @property
    def label(self) -> str:
        """A name for messages, without a signature."""
        href = redact_url(self.href) if "://" in self.href else self.href
        return f"asset {self.asset!r} of item {self.item!r} ({href})" if self.item else href

    def __str__(self) -> str:
        if not self.item:
            return self.href
        names = [self.collection, self.item, self.asset, *filter(None, [self.catalog])]
        return f"{self.href}{_MARK}{'/'.join(quote(name, safe='') for name in names)}"


def asset_ref(item: pystac.Item, key: str, *, local_files: bool = False) -> AssetRef:
    """Return the reference to one asset of an item.

    The signature of a pre-signed https URL is removed, since the API renews it. Unsigned URLs,
    ``s3://`` hrefs, paths and references are unchanged.

    Args:
        item: An item of the API, or of a catalogue on disk.
        key: The asset's key.

    Keyword Args:
        local_files: Whether an item that came from a server may name a local file.
    """
    href = item.assets[key].get_absolute_href() or item.assets[key].href
    collection = item.collection_id or ""
    if is_local(href) and not local_files and (catalog := catalog_of(item)):
        return AssetRef(href, collection, item.id, key, catalog)
    if _MARK in href:
        return AssetRef.parse(href)
    if is_signed(href) and collection:
        return AssetRef(redact_url(href), collection, item.id, key, catalog_of(item))
    if urlsplit(href).scheme in ("http", "https"):
        collection = ""  # unsigned, so not renewed
    return AssetRef(href, collection, item.id, key)
