"""Write the folder's static STAC catalog, extended by every run.

Hrefs are relative and contain no signatures.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from pystac.extensions.file import FileExtension
from pystac.stac_io import DefaultStacIO

from constellr_stac._files import write_atomically
from constellr_stac._text import redact
from constellr_stac.errors import AssetReadError, DownloadError
from constellr_stac.layers.describe import complete_items
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.reading.prefetch import shared_fetcher
from constellr_stac.reading.raster import header_of
from constellr_stac.reading.resolver import AssetResolver

from .selection import CATALOG, collection_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

    from constellr_stac.layers.header import Header

    from .manifest import Manifest
    from .selection import SelectedItem

__all__ = ["CatalogWriter"]

_DROPPED_LINKS = {"self", "root", "parent", "collection", "child", "item", "items", "canonical"}
_GEOJSON = "application/geo+json"
_INVALID_STAC = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    pystac.STACError,
    pystac.STACTypeError,
)
"""Raised by pystac for documents that are not STAC."""

_DESCRIPTION = "Scenes downloaded from Constellr's API by constellr_stac."


class CatalogWriter:
    """Writes STAC documents into a folder with a manifest."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder.resolve()
        self._manifest = manifest
        self._io = _AtomicStacIO()
        self._root = self._read(pystac.Catalog, CATALOG) or pystac.Catalog(
            id=self._folder.name or "downloads", description=_DESCRIPTION
        )
        self._root.catalog_type = pystac.CatalogType.SELF_CONTAINED
        self._set_href(self._root, CATALOG)

    def write_item(self, selected: SelectedItem) -> bool:
        """Write an item's JSON with its downloaded assets; return whether there are any.

        Thread-safe.
        """
        item = selected.item.clone()
        source, links = selected.item.get_self_href(), selected.item.links
        item.clear_links()
        paths = self._manifest.files_of(item)
        item.assets = {key: asset for key, asset in item.assets.items() if key in paths}
        if not item.assets:
            return False
        for key, asset in item.assets.items():
            asset.href = str(self._folder / paths[key])
            asset.extra_fields.pop("alternate", None)
            record = self._manifest.get(paths[key])
            if record is not None:
                asset.extra_fields |= {"file:size": record.size, "file:checksum": record.checksum}
        self._set_href(item, selected.document)
        item.set_root(self._root)
        complete_items(item, copy=False, headers=_header)
        item.make_asset_hrefs_relative()
        FileExtension.add_to(item)
        parent = CATALOG
        if item.collection_id:
            parent = collection_document(item.collection_id)
            self._link(item, "collection", parent)
        self._link(item, "parent", parent)
        document = item.to_dict(include_self_link=False)
        # Added as dicts: pystac would resolve them by reading the whole catalog.
        document["links"] += [
            {**link.to_dict(transform_href=False), "href": link.absolute_href}
            for link in links
            if link.rel not in _DROPPED_LINKS
        ]
        if source and source.startswith(("http:", "https:")):
            document["links"].append({"rel": "canonical", "href": source, "type": _GEOJSON})
        self._io.save_json(str(self._folder / selected.document), document)
        return True

    def finish(self, written: Iterable[SelectedItem]) -> None:
        """Write the collections and the catalog with links to the written items."""
        by_collection: dict[str | None, list[SelectedItem]] = {}
        for selected in written:
            by_collection.setdefault(selected.item.collection_id, []).append(selected)
        collections: dict[str, PurePosixPath] = {}
        for name, group in by_collection.items():
            documents = {selected.item.id: selected.document for selected in group}
            if name is None:
                self._link_children(self._root, "item", documents)
                continue
            collections[name] = collection_document(name)
            self._write_collection(name, [selected.item for selected in group], documents)
        self._link_children(self._root, "child", collections)
        self._root.save_object(include_self_link=False, stac_io=self._io)

    def _write_collection(
        self, name: str, items: Sequence[pystac.Item], documents: Mapping[str, PurePosixPath]
    ) -> None:
        collection = self._read(pystac.Collection, collection_document(name))
        extent = _extent(items, None if collection is None else collection.extent)
        if collection is None:
            collection = pystac.Collection(
                id=name, description=f"{name}: {_DESCRIPTION}", extent=extent, license="other"
            )
        collection.extent = extent
        self._set_href(collection, collection_document(name))
        collection.set_root(self._root)
        collection.set_parent(self._root)
        self._link_children(collection, "item", documents)
        collection.save_object(include_self_link=False, stac_io=self._io)

    def _read(self, kind: type[Any], document: PurePosixPath) -> Any:
        """Read a document of an earlier run, if it exists.

        Raises:
            DownloadError: It is damaged.
        """
        path = self._folder / document
        try:
            return kind.from_file(str(path), stac_io=self._io) if path.exists() else None
        except _INVALID_STAC as error:
            raise DownloadError(
                f"{str(path)!r} is not a valid STAC {kind.__name__.lower()}. Move it away and run "
                "the download again: it is rewritten, and existing files are kept."
            ) from error

    def _set_href(self, thing: pystac.STACObject, document: PurePosixPath) -> None:
        thing.set_self_href(str(self._folder / document))

    def _link(self, owner: pystac.STACObject, rel: str, document: PurePosixPath) -> None:
        owner.add_link(pystac.Link(rel, str(self._folder / document), pystac.MediaType.JSON))

    def _link_children(
        self, owner: pystac.Catalog, rel: str, documents: Mapping[str, PurePosixPath]
    ) -> None:
        """Link to documents by id, replacing links with the same id."""
        owner.links = [
            link for link in owner.links if not (link.rel == rel and link.title in documents)
        ]
        kind = _GEOJSON if rel == "item" else pystac.MediaType.JSON
        for name, document in documents.items():
            owner.add_link(pystac.Link(rel, str(self._folder / document), kind, name))


def _header(item: pystac.Item, key: str) -> Header | None:
    """Read the header of a downloaded file; ``None`` if it is not a GeoTIFF with a CRS."""
    with suppress(AssetReadError):
        reference = asset_ref(item, key, local_files=True)
        return header_of(shared_fetcher(AssetResolver()).header(reference))
    return None


class _AtomicStacIO(DefaultStacIO):
    """Writes files atomically, without signatures."""

    def write_text_to_href(self, href: str, txt: str) -> None:
        """Write a document, unless it is unchanged."""
        path, text = Path(href), redact(txt)
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_atomically(path, text)


def _extent(items: Sequence[pystac.Item], previous: pystac.Extent | None) -> pystac.Extent:
    """Return the extent of the items and the previous extent."""
    boxes = [item.bbox for item in items if item.bbox]
    starts, ends = [], []
    for item in items:
        metadata = item.common_metadata
        starts.append(metadata.start_datetime or item.datetime)
        ends.append(metadata.end_datetime or item.datetime)
    if previous is not None:
        boxes += previous.spatial.bboxes
        starts += [start for start, _ in previous.temporal.intervals]
        ends += [end for _, end in previous.temporal.intervals]
    flat = [(*box[:2], *box[len(box) // 2 :][:2]) for box in boxes] or [(-180, -90, 180, 90)]
    west, south, east, north = zip(*flat, strict=True)
    return pystac.Extent(
        pystac.SpatialExtent([[min(west), min(south), max(east), max(north)]]),
        pystac.TemporalExtent([[_bound(min, starts), _bound(max, ends)]]),
    )


def _bound(
    choose: Callable[[list[datetime]], datetime], times: Iterable[datetime | None]
) -> datetime | None:
    """Return the minimum or maximum, or ``None`` (unbounded) if a time is unknown."""
    known = [time if time is None or time.tzinfo else time.replace(tzinfo=UTC) for time in times]
    return None if None in known else choose([time for time in known if time is not None])
