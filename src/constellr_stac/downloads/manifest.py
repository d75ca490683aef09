"""The folder's manifest: ``manifest.json``, and a journal during a run.

The journal ``manifest.jsonl`` gets a line for each file that is started or complete, so that a run
that is killed loses no records.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from constellr_stac._files import open_to_write, write_atomically
from constellr_stac.errors import DownloadError

from .checks import Expected
from .part_file import PartInfo
from .selection import CATALOG, JOURNAL, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO
    from pathlib import Path

    import pystac

__all__ = ["Manifest", "Record", "open_manifest"]

_TYPE = "constellr_stac.download"
_VERSION = 1
_LOCK = ".download.lock"


@dataclass(frozen=True)
class Record:
    """A complete file."""

    href: str
    """Its source, without the query."""
    size: int
    """In bytes."""
    checksum: str
    """SHA-256 as a multihash in hexadecimal, as ``file:checksum`` has it."""
    downloaded: str
    """ISO 8601, UTC."""
    checked: tuple[str, ...]
    """The checks it passed: ``size``, ``ETag``, ``file:checksum``, ``structure``, ..."""
    collection: str | None
    item: str
    assets: tuple[str, ...]
    """Its asset keys."""


class Manifest:
    """The records of a folder; see :func:`open_manifest`. Thread-safe."""

    def __init__(self, folder: Path, layout: str) -> None:
        self._folder = folder
        self._layout = layout
        self._records: dict[str, Record] = {}
        self._parts: dict[str, PartInfo | None] = {}
        self._by_item: dict[tuple[str | None, str], dict[str, None]] = {}
        self._lock = threading.RLock()
        self._journal: FileIO | None = None

    def get(self, path: str) -> Record | None:
        """Return a file's record, by its path relative to the folder."""
        return self._records.get(path)

    def files_of(self, item: pystac.Item) -> dict[str, str]:
        """Return an item's existing files: paths by asset key."""
        with self._lock:
            paths = tuple(self._by_item.get((item.collection_id, item.id), ()))
        return {
            key: path
            for path in paths
            if (self._folder / path).is_file()
            for key in self._records[path].assets
        }

    def part_info(self, path: str) -> PartInfo | None:
        """Return the object of a file's part."""
        return self._parts.get(path)

    def begin(self, path: str, part_info: PartInfo | None) -> None:
        """Record a file that is started; ``None`` if it cannot be resumed."""
        self._write({"begun": {path: _as_json(part_info)}})
        self._parts[path] = part_info

    def add(self, path: str, record: Record) -> None:
        """Record a complete file."""
        self._write({"files": {path: _as_json(record)}})
        self._store(path, record)

    def read(self, lines: Mapping[str, Any]) -> None:
        """Add the records of a document or of a journal line.

        Raises:
            AttributeError, KeyError, TypeError: It is malformed.
        """
        for path, fields in lines.get("begun", {}).items():
            self._parts[path] = None if fields is None else _part_info(fields)
        for path, fields in lines.get("files", {}).items():
            self._store(path, _record(fields))

    def save(self) -> None:
        """Write ``manifest.json`` with the files that still exist, and delete the journal."""
        with self._lock:
            document = {
                "type": _TYPE,
                "version": _VERSION,
                "layout": self._layout,
                "files": {
                    path: _as_json(record)
                    for path, record in sorted(self._records.items())
                    if (self._folder / path).is_file()
                },
                "begun": {
                    path: _as_json(part_info)
                    for path, part_info in sorted(self._parts.items())
                    if part_info is not None and (self._folder / f"{path}.part").is_file()
                },
            }
            text = json.dumps(document, indent=2) + "\n"
            if _text(self._folder / MANIFEST) != text:
                write_atomically(self._folder / MANIFEST, text, sync=True)
            self.close()
            (self._folder / JOURNAL).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal and keep it."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _store(self, path: str, record: Record) -> None:
        with self._lock:
            self._records[path] = record
            self._by_item.setdefault((record.collection, record.item), {})[path] = None
        self._parts.pop(path, None)

    def _write(self, line: Mapping[str, Any]) -> None:
        """Append a line to the journal with one write."""
        text = json.dumps(line) + "\n"
        with self._lock:
            journal = self._journal
            if journal is None:
                journal = self._journal = open_to_write(self._folder / JOURNAL, append=True)
                text = "\n" + text  # after an incomplete line of a killed run
            journal.write(text.encode())  # within the lock, so that it stays open


@contextlib.contextmanager
def open_manifest(folder: Path, layout: str) -> Iterator[Manifest]:
    """Open a folder's manifest, for one run at a time; the folder is created if missing.

    Raises:
        DownloadError: Another run uses the folder, it was not made by a download, or it has
            another layout.
        OSError: The folder cannot be created, read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    open_to_write(folder / _LOCK, append=True).close()  # not through a link
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        locked = lock.acquire()
    except Timeout:
        raise DownloadError(
            f"Another download is running in {str(folder)!r}. Wait for it to finish, or choose "
            "another folder."
        ) from None
    with locked, contextlib.closing(Manifest(folder, layout)) as manifest:
        if (folder / MANIFEST).exists():
            _load(manifest, folder, layout)
        elif (folder / CATALOG).exists():
            raise DownloadError(
                f"{str(folder)!r} has a {CATALOG} that is not from a download. Choose another "
                "folder."
            )
        else:
            manifest.save()
        yield manifest


def _load(manifest: Manifest, folder: Path, layout: str) -> None:
    """Read the manifest and the journal of earlier runs."""
    try:
        document = json.loads(_text(folder / MANIFEST) or "")
        kind, version, previous = (document[name] for name in ("type", "version", "layout"))
        if (kind, version) != (_TYPE, _VERSION):
            raise ValueError(kind)  # noqa: TRY301 - one error for all
        manifest.read(document)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise DownloadError(
            f"{str(folder / MANIFEST)!r} is not a manifest of this version of constellr_stac. Move "
            "it away, or choose another folder."
        ) from None
    if previous != layout:
        raise DownloadError(
            f"The files in {str(folder)!r} have the layout {previous!r}, not {layout!r}. "
            "Use the same layout, or choose another folder."
        )
    for line in (_text(folder / JOURNAL) or "").splitlines():
        with contextlib.suppress(TypeError, KeyError, ValueError, AttributeError):
            manifest.read(json.loads(line))


def _as_json(value: Record | PartInfo | None) -> dict[str, Any] | None:
    """Return a value as JSON; like :func:`dataclasses.asdict`, but faster."""
    if isinstance(value, PartInfo):
        expected = [
            {"said_by": each.source, "kind": each.kind, "value": each.value}
            for each in value.expected
        ]
        return {"version": value.version, "size": value.size, "promises": expected}
    return None if value is None else vars(value)


def _record(fields: Mapping[str, Any]) -> Record:
    lists = {name: tuple(fields[name]) for name in ("checked", "assets")}
    return Record(**{**fields, **lists})


def _part_info(fields: Mapping[str, Any]) -> PartInfo:
    expected = tuple(
        Expected(each["said_by"], each["kind"], each["value"]) for each in fields["promises"]
    )
    return PartInfo(fields["version"], fields["size"], expected)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
