"""The folder as a static STAC catalogue, which grows from run to run.

Items lie beside their files, with relative hrefs, so that the folder can be moved and decoded
without a network; nothing in it names a signed URL. pystac writes it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from pystac.extensions.file import FileExtension
from pystac.stac_io import DefaultStacIO

from constellr_stac._files import write_atomically
from constellr_stac._text import redact
from constellr_stac.errors import DownloadError

from .selection import CATALOG, collection_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

    from .manifest import Manifest
    from .selection import WantedItem

__all__ = ["Catalogue"]

_LEFT_OUT = {"self", "root", "parent", "collection", "child", "item", "items", "canonical"}
_GEOJSON = "application/geo+json"
_NOT_STAC = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    pystac.STACError,
    pystac.STACTypeError,
)
"""What pystac raises where there is something else."""

_DESCRIPTION = "Scenes downloaded from Constellr's API by constellr_stac."


class Catalogue:
    """Writes STAC documents into a folder.

    Args:
        folder: The folder.
        manifest: Tells which files are there.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder.resolve()
        self._manifest = manifest
        self._io = _WholeFiles()
        self._root = self._read(pystac.Catalog, CATALOG) or pystac.Catalog(
            id=self._folder.name or "downloads", description=_DESCRIPTION
        )
        self._root.catalog_type = pystac.CatalogType.SELF_CONTAINED
        self._place(self._root, CATALOG)

    def write_item(self, wanted: WantedItem) -> bool:
        """Write an item's JSON, with the assets that are there; say whether there are any.

        May be called from several threads at once.
        """
        item = wanted.item.clone()
        source, links = wanted.item.get_self_href(), wanted.item.links
        item.clear_links()
        paths = self._manifest.files_of(item)
        item.assets = {
            key: self._asset(asset, paths[key])
            for key, asset in item.assets.items()
            if key in paths
        }
        for asset in item.assets.values():
            asset.set_owner(item)
        if not item.assets:
            return False
        self._place(item, wanted.document)
        item.set_root(self._root)
        item.make_asset_hrefs_relative()
        FileExtension.add_to(item)
        parent = CATALOG
        if item.collection_id:
            parent = collection_document(item.collection_id)
            self._link(item, "collection", parent)
        self._link(item, "parent", parent)
        document = item.to_dict(include_self_link=False)
        # pystac would look for what they lead to in the whole catalogue, file by file.
        document["links"] += [
            {**link.to_dict(transform_href=False), "href": link.absolute_href}
            for link in links
            if link.rel not in _LEFT_OUT
        ]
        if source and source.startswith(("http:", "https:")):
            document["links"].append({"rel": "canonical", "href": source, "type": _GEOJSON})
        self._io.save_json(str(self._folder / wanted.document), document)
        return True

    def finish(self, written: Iterable[WantedItem]) -> None:
        """Let collections and the catalogue itself name the items that were written."""
        by_collection: dict[str | None, list[WantedItem]] = {}
        for wanted in written:
            by_collection.setdefault(wanted.item.collection_id, []).append(wanted)
        collections: dict[str, PurePosixPath] = {}
        for name, group in by_collection.items():
            places = {wanted.item.id: wanted.document for wanted in group}
            if name is None:
                self._name(self._root, "item", places)
                continue
            collections[name] = collection_document(name)
            self._write_collection(name, [wanted.item for wanted in group], places)
        self._name(self._root, "child", collections)
        self._root.save_object(include_self_link=False, stac_io=self._io)

    def _write_collection(
        self, name: str, items: Sequence[pystac.Item], places: Mapping[str, PurePosixPath]
    ) -> None:
        collection = self._read(pystac.Collection, collection_document(name))
        extent = _extent(items, None if collection is None else collection.extent)
        if collection is None:
            collection = pystac.Collection(
                id=name, description=f"{name}: {_DESCRIPTION}", extent=extent, license="other"
            )
        collection.extent = extent
        self._place(collection, collection_document(name))
        collection.set_root(self._root)
        collection.set_parent(self._root)
        self._name(collection, "item", places)
        collection.save_object(include_self_link=False, stac_io=self._io)

    def _asset(self, asset: pystac.Asset, path: str) -> pystac.Asset:
        """Return an asset that is a file of ours, with what is known of it."""
        record = self._manifest.get(path)
        fields = {key: value for key, value in asset.extra_fields.items() if key != "alternate"}
        if record is not None:
            fields |= {"file:size": record.size, "file:checksum": record.checksum}
        return pystac.Asset(
            href=str(self._folder / path),
            title=asset.title,
            description=asset.description,
            media_type=asset.media_type,
            roles=asset.roles,
            extra_fields=fields,
        )

    def _read(self, kind: type[Any], document: PurePosixPath) -> Any:
        """Read what an earlier run has written, if it has.

        Raises:
            DownloadError: It is damaged.
        """
        path = self._folder / document
        try:
            return kind.from_file(str(path), stac_io=self._io) if path.exists() else None
        except _NOT_STAC as error:
            raise DownloadError(
                f"{str(path)!r} holds no STAC {kind.__name__.lower()} any more. Move it away, and "
                "run the downloads into this folder again: files that are there are not brought "
                "again, and it is written anew."
            ) from error

    def _place(self, thing: pystac.STACObject, document: PurePosixPath) -> None:
        thing.set_self_href(str(self._folder / document))

    def _link(self, owner: pystac.STACObject, rel: str, document: PurePosixPath) -> None:
        owner.add_link(pystac.Link(rel, str(self._folder / document), pystac.MediaType.JSON))

    def _name(self, owner: pystac.Catalog, rel: str, places: Mapping[str, PurePosixPath]) -> None:
        """Link to documents by their ids, in place of the links that there were."""
        owner.links = [
            link for link in owner.links if not (link.rel == rel and link.title in places)
        ]
        kind = _GEOJSON if rel == "item" else pystac.MediaType.JSON
        for name, document in places.items():
            owner.add_link(pystac.Link(rel, str(self._folder / document), kind, name))


class _WholeFiles(DefaultStacIO):
    """Writes files that are never there in part, and no signature into any."""

    def write_text_to_href(self, href: str, txt: str) -> None:
        """Write a document, unless it is there as it should be."""
        path, text = Path(href), redact(txt)
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_atomically(path, text)


def _extent(items: Sequence[pystac.Item], before: pystac.Extent | None) -> pystac.Extent:
    """Return what covers the items, and what was covered before."""
    boxes = [item.bbox for item in items if item.bbox]
    starts, ends = [], []
    for item in items:
        words = item.common_metadata
        starts.append(words.start_datetime or item.datetime)
        ends.append(words.end_datetime or item.datetime)
    if before is not None:
        boxes += before.spatial.bboxes
        starts += [start for start, _ in before.temporal.intervals]
        ends += [end for _, end in before.temporal.intervals]
    flat = [(*box[:2], *box[len(box) // 2 :][:2]) for box in boxes] or [(-180, -90, 180, 90)]
    west, south, east, north = zip(*flat, strict=True)
    return pystac.Extent(
        pystac.SpatialExtent([[min(west), min(south), max(east), max(north)]]),
        pystac.TemporalExtent([[_first(min, starts), _first(max, ends)]]),
    )


def _first(
    choose: Callable[[list[datetime]], datetime], times: Iterable[datetime | None]
) -> datetime | None:
    """Return the first or last of times, or ``None``, which is no bound, if one is not known."""
    known = [time if time is None or time.tzinfo else time.replace(tzinfo=UTC) for time in times]
    return None if None in known else choose([time for time in known if time is not None])
