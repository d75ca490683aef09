"""Select the files to download, and their paths, before anything is requested or written."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from constellr_stac._text import shown
from constellr_stac.errors import DownloadError
from constellr_stac.layers.table import layer_of
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.stac.items import items_of

from .naming import check_path, destination, item_document

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
    "SelectedFile",
    "SelectedItem",
    "Selection",
    "select_files",
]

CATALOG = PurePosixPath("catalog.json")
MANIFEST = PurePosixPath("manifest.json")
JOURNAL = PurePosixPath("manifest.jsonl")


@dataclass(frozen=True, eq=False)
class SelectedFile:
    """A file to download."""

    path: PurePosixPath
    """Relative to the folder."""
    reference: AssetRef
    keys: tuple[str, ...]
    """Keys of its assets; several may share one href."""
    item: pystac.Item

    @property
    def label(self) -> str:
        """A short name for progress bars."""
        name = self.path.name
        return shown(name if self.item.id in name else f"{name} {self.item.id}")

    @property
    def asset(self) -> pystac.Asset:
        """The first of its assets."""
        return self.item.assets[self.keys[0]]


@dataclass(frozen=True, eq=False)
class SelectedItem:
    """An item and its files to download."""

    item: pystac.Item
    document: PurePosixPath
    """Path of its JSON, relative to the folder."""
    files: tuple[SelectedFile, ...]


@dataclass(frozen=True)
class Selection:
    """Everything to download."""

    items: tuple[SelectedItem, ...]

    @property
    def files(self) -> list[SelectedFile]:
        """All files, item by item."""
        return [file for item in self.items for file in item.files]


def select_files(
    items: Items,
    assets: str | Sequence[str] | None,
    layout: Layout,
    *,
    local_files: bool = False,
) -> Selection:
    """Select the files of items; for the arguments see :func:`.download`.

    Raises:
        DownloadError: A path would leave the folder, or two files have the same one.
        TypeError: ``items`` does not hold items.
        ValueError: No item has a requested asset, or the layout is unknown.
    """
    unique: dict[tuple[str | None, str], pystac.Item] = {}
    for item in items_of(items):
        unique.setdefault((item.collection_id, item.id), item)
    scenes = list(unique.values())
    selection = Selection(
        tuple(
            _select_item(item, keys, layout, local_files=local_files)
            for item, keys in zip(scenes, _asset_keys(scenes, assets), strict=True)
            if keys
        )
    )
    _check_for_clashes(selection)
    return selection


def collection_document(name: str) -> PurePosixPath:
    """Return the path of a collection's JSON, relative to the folder."""
    return check_path(f"{name}.json", f"collection {name!r}")


def _asset_keys(
    items: Sequence[pystac.Item], assets: str | Sequence[str] | None
) -> list[tuple[str, ...]]:
    """Return the selected asset keys of each item, by key or layer name."""
    if assets is None:
        return [tuple(item.assets) for item in items]
    requested = {assets} if isinstance(assets, str) else set(assets)
    selected, missing = [], set(requested)
    for item in items:
        names = {key: _names(key, asset) for key, asset in item.assets.items()}
        keys = tuple(key for key in names if names[key] & requested)
        missing -= set().union(*(names[key] for key in keys))
        selected.append(keys)
    if items and missing:
        known = sorted({key for item in items for key in item.assets})
        raise ValueError(
            f"No item has an asset {', '.join(map(repr, sorted(missing)))}; "
            f"available: {', '.join(known)}."
        )
    return selected


def _names(key: str, asset: pystac.Asset) -> set[str]:
    layer = layer_of(key, asset.href)
    return {key} if layer is None else {key, layer.name}


def _select_item(
    item: pystac.Item, keys: Sequence[str], layout: Layout, *, local_files: bool
) -> SelectedItem:
    files: dict[tuple[PurePosixPath, AssetRef], list[str]] = {}
    by_href: dict[str, AssetRef] = {}
    for key in keys:
        named = asset_ref(item, key, local_files=local_files)
        ref = by_href.setdefault(item.assets[key].href, named)
        files.setdefault((destination(item, key, layout), ref), []).append(key)
    return SelectedItem(
        item,
        item_document(item, next(iter(files))[0]),
        tuple(SelectedFile(path, ref, tuple(keys), item) for (path, ref), keys in files.items()),
    )


def _check_for_clashes(selection: Selection) -> None:
    """Raise if two files have one path, also on file systems that ignore case."""
    reserved = {CATALOG: "the catalog", MANIFEST: "the manifest", JOURNAL: "the journal"}
    owners = {_folded(path): owner for path, owner in reserved.items()}
    folders: dict[str, str] = {}
    collections = dict.fromkeys(one.item.collection_id for one in selection.items)
    paths = [(collection_document(name), f"collection {name!r}") for name in collections if name]
    paths += [(one.document, f"the JSON of item {one.item.id!r}") for one in selection.items]
    paths += [
        (file.path, f"asset {file.keys[0]!r} of item {file.item.id!r}") for file in selection.files
    ]
    for path, owner in paths:
        other = owners.setdefault(_folded(path), owner)
        if other is not owner:
            raise _clash(path, other, owner)
        for folder in path.parents:
            folders.setdefault(_folded(folder), owner)
    for path, owner in paths:
        if _folded(path) in folders:
            raise _clash(path, owner, folders[_folded(path)])


def _clash(path: PurePosixPath, one: str, other: str) -> DownloadError:
    return DownloadError(
        f"{one} and {other} would both be written to {str(path)!r}. "
        'Choose another layout=, such as "provider", or a function with distinct paths.'
    )


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
