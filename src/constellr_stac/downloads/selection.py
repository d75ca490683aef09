"""What is wanted: items become files to bring, each with a place of its own.

All of it is decided before the first byte is asked for. Nothing here touches the disk.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from constellr_stac.errors import DownloadError
from constellr_stac.layers.table import layer_of
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.stac.items import items_of

from .naming import checked, destination, item_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pystac

    from constellr_stac.reading.asset_ref import AssetRef
    from constellr_stac.stac.items import Items

    from .naming import Layout

__all__ = [
    "CATALOG",
    "JOURNAL",
    "MANIFEST",
    "Wanted",
    "WantedFile",
    "WantedItem",
    "wanted",
]

CATALOG = PurePosixPath("catalog.json")
MANIFEST = PurePosixPath("manifest.json")
JOURNAL = PurePosixPath("manifest.jsonl")


@dataclass(frozen=True, eq=False)
class WantedFile:
    """One file to bring."""

    path: PurePosixPath
    """Where it goes, relative to the folder."""
    reference: AssetRef
    keys: tuple[str, ...]
    """The assets that it is; two of them may have one href."""
    item: pystac.Item

    @property
    def label(self) -> str:
        """What to call it where there is little room."""
        name = self.path.name
        return name if self.item.id in name else f"{name} {self.item.id}"

    @property
    def asset(self) -> pystac.Asset:
        """What the item says of it."""
        return self.item.assets[self.keys[0]]


@dataclass(frozen=True, eq=False)
class WantedItem:
    """One item, and which of its files are wanted."""

    item: pystac.Item
    document: PurePosixPath
    """Where its JSON goes, relative to the folder."""
    files: tuple[WantedFile, ...]


@dataclass(frozen=True)
class Wanted:
    """Everything that is wanted."""

    items: tuple[WantedItem, ...]

    @property
    def files(self) -> list[WantedFile]:
        """All files, item by item."""
        return [file for item in self.items for file in item.files]

    @property
    def collections(self) -> dict[str, PurePosixPath]:
        """The items' collections, and where the JSON of each goes."""
        names = dict.fromkeys(wanted.item.collection_id for wanted in self.items)
        return {name: collection_document(name) for name in names if name}


def wanted(items: Items, assets: str | Sequence[str] | None, layout: Layout) -> Wanted:
    """Decide what to bring, and where it goes.

    Raises:
        DownloadError: A name would leave the folder, or two files would have the same one.
        TypeError: There are no items in ``items``.
        ValueError: No item has an asset that was asked for, or there is no such layout.
    """
    scenes = _items(items)
    keys = _selected(scenes, assets)
    found = Wanted(
        tuple(
            _wanted_item(item, chosen, layout)
            for item, chosen in zip(scenes, keys, strict=True)
            if chosen
        )
    )
    _check_for_clashes(found)
    return found


def collection_document(name: str) -> PurePosixPath:
    """Return where a collection's JSON goes, relative to the folder."""
    return checked(f"{name}.json", f"collection {name!r}")


def _items(items: Items) -> list[pystac.Item]:
    """Return the items that there are, each once."""
    unique: dict[tuple[str | None, str], pystac.Item] = {}
    for item in items_of(items):
        unique.setdefault((item.collection_id, item.id), item)
    return list(unique.values())


def _selected(
    items: Sequence[pystac.Item], assets: str | Sequence[str] | None
) -> list[tuple[str, ...]]:
    """Return the keys wanted of each item: by key, or by the name of the layer."""
    if assets is None:
        return [tuple(item.assets) for item in items]
    names = {assets} if isinstance(assets, str) else set(assets)
    chosen = [
        tuple(key for key, asset in item.assets.items() if names & _names(key, asset))
        for item in items
    ]
    met = {
        name
        for item, keys in zip(items, chosen, strict=True)
        for key in keys
        for name in _names(key, item.assets[key])
    }
    missing = sorted(names - met)
    if items and missing:
        known = sorted({key for item in items for key in item.assets})
        raise ValueError(
            f"No item has an asset {', '.join(map(repr, missing))}; there are {', '.join(known)}."
        )
    return chosen


def _names(key: str, asset: pystac.Asset) -> set[str]:
    layer = layer_of(key, asset.href)
    return {key} if layer is None else {key, layer.name}


def _wanted_item(item: pystac.Item, keys: Sequence[str], layout: Layout) -> WantedItem:
    files: dict[tuple[PurePosixPath, AssetRef], list[str]] = {}
    named: dict[str, AssetRef] = {}
    for key in keys:
        ref = named.setdefault(item.assets[key].href, asset_ref(item, key))
        files.setdefault((destination(item, key, layout), ref), []).append(key)
    return WantedItem(
        item,
        item_document(item, next(iter(files))[0]),
        tuple(WantedFile(path, ref, tuple(keys), item) for (path, ref), keys in files.items()),
    )


def _check_for_clashes(found: Wanted) -> None:
    """Refuse two files of one name, on systems too that take A and a for the same."""
    places = {CATALOG: "the catalogue", MANIFEST: "the manifest", JOURNAL: "the journal"}
    taken = {_folded(path): whose for path, whose in places.items()}
    folders: dict[str, str] = {}
    claims = [(path, f"collection {name!r}") for name, path in found.collections.items()]
    claims += [(one.document, f"the JSON of item {one.item.id!r}") for one in found.items]
    claims += [
        (file.path, f"asset {file.keys[0]!r} of item {file.item.id!r}") for file in found.files
    ]
    for path, whose in claims:
        other = taken.setdefault(_folded(path), whose)
        if other is not whose:
            raise _clash(path, other, whose)
        for folder in path.parents:
            folders.setdefault(_folded(folder), whose)
    for path, whose in claims:
        if _folded(path) in folders:
            raise _clash(path, whose, folders[_folded(path)])


def _clash(path: PurePosixPath, one: str, other: str) -> DownloadError:
    return DownloadError(
        f"{one} and {other} would both be {str(path)!r}. "
        'Choose another layout=, such as "provider", or a function that tells them apart.'
    )


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
