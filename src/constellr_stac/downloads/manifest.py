"""What a folder holds, and where it came from: ``manifest.json``.

While a run goes on, a line of ``manifest.jsonl`` is written for each file that is begun or there,
so that one that is killed leaves nothing that another has to guess at. One run at a time works on
a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from constellr_stac._files import write_atomically
from constellr_stac.errors import DownloadError

from .checks import Promise
from .part_file import Note
from .selection import CATALOG, JOURNAL, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pystac

__all__ = ["Manifest", "Record", "open_manifest"]

_TYPE = "constellr_stac.download"
_VERSION = 1
_LOCK = ".download.lock"


@dataclass(frozen=True)
class Record:
    """One file that is there, whole."""

    href: str
    """Where it came from, without its query."""
    size: int
    """In bytes."""
    checksum: str
    """SHA-256 as a multihash in hexadecimal, as ``file:checksum`` has it."""
    downloaded: str
    """When: ISO 8601, UTC."""
    checked: tuple[str, ...]
    """What it was compared with: ``size``, ``ETag``, ``file:checksum``, ``structure``, ..."""
    collection: str | None
    item: str
    assets: tuple[str, ...]
    """The keys of the assets that it is."""


class Manifest:
    """The records of a folder; see :func:`open_manifest`. Shared by all threads of a run."""

    def __init__(self, folder: Path, layout: str) -> None:
        self._folder = folder
        self._layout = layout
        self._records: dict[str, Record] = {}
        self._notes: dict[str, Note | None] = {}
        self._by_item: dict[tuple[str | None, str], dict[str, None]] = {}
        self._lock = threading.Lock()
        self._journal: int | None = None

    def get(self, path: str) -> Record | None:
        """Return the record of a file, by its path relative to the folder."""
        return self._records.get(path)

    def files_of(self, item: pystac.Item) -> dict[str, str]:
        """Return the files of an item that are there: paths by the keys of assets."""
        with self._lock:
            paths = tuple(self._by_item.get((item.collection_id, item.id), ()))
        return {
            key: path
            for path in paths
            if (self._folder / path).is_file()
            for key in self._records[path].assets
        }

    def note(self, path: str) -> Note | None:
        """Return what was noted of a file that was begun."""
        return self._notes.get(path)

    def begin(self, path: str, note: Note | None) -> None:
        """Note what a file that is begun is of; ``None`` if it cannot be gone on with."""
        self._write({"begun": {path: _plain(note)}})
        self._notes[path] = note

    def add(self, path: str, record: Record) -> None:
        """Write down a file that is there."""
        self._write({"files": {path: _plain(record)}})
        self._take(path, record)

    def read(self, lines: Mapping[str, Any]) -> None:
        """Take over what is written of files.

        Raises:
            AttributeError, KeyError, TypeError: It is something else.
        """
        for path, fields in lines.get("begun", {}).items():
            self._notes[path] = None if fields is None else _note(fields)
        for path, fields in lines.get("files", {}).items():
            self._take(path, _record(fields))

    def save(self) -> None:
        """Write ``manifest.json``, of the files that are still there."""
        with self._lock:
            document = {
                "type": _TYPE,
                "version": _VERSION,
                "layout": self._layout,
                "files": {
                    path: _plain(record)
                    for path, record in sorted(self._records.items())
                    if (self._folder / path).is_file()
                },
                "begun": {
                    path: _plain(note)
                    for path, note in sorted(self._notes.items())
                    if note is not None and (self._folder / f"{path}.part").is_file()
                },
            }
            text = json.dumps(document, indent=2) + "\n"
            if _text(self._folder / MANIFEST) != text:
                write_atomically(self._folder / MANIFEST, text, sync=True)
            self._close()
            (self._folder / JOURNAL).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the journal; what is in it stays."""
        with self._lock:
            self._close()

    def _take(self, path: str, record: Record) -> None:
        with self._lock:
            self._records[path] = record
            self._by_item.setdefault((record.collection, record.item), {})[path] = None
        self._notes.pop(path, None)

    def _write(self, line: Mapping[str, Any]) -> None:
        """Append to the journal, in one step: who is killed right after has written it."""
        text = json.dumps(line) + "\n"
        with self._lock:
            journal = self._journal
            if journal is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                journal = self._journal = os.open(self._folder / JOURNAL, flags, 0o666)
                text = "\n" + text  # after what a run that was killed may have left
            os.write(journal, text.encode())  # within the lock: it is not closed meanwhile

    def _close(self) -> None:
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None


@contextlib.contextmanager
def open_manifest(folder: Path, layout: str) -> Iterator[Manifest]:
    """Open the manifest of a folder, which is made if need be, for one run at a time.

    Args:
        folder: The folder.
        layout: The name of the layout that its files are to have.

    Raises:
        DownloadError: Another run is at work there; what is there was not made by downloads, or
            with another layout.
        OSError: The folder cannot be made, read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DownloadError(
            f"Another download is at work in {str(folder)!r}. Wait for it to end, or choose "
            "another folder."
        ) from None
    try:
        manifest = Manifest(folder, layout)
        if (folder / MANIFEST).exists():
            _read(manifest, folder, layout)
        else:
            _check_that_it_is_free(folder)
            manifest.save()
        try:
            yield manifest
        finally:
            manifest.close()
    finally:
        lock.release()


def _check_that_it_is_free(folder: Path) -> None:
    if (folder / CATALOG).exists():
        raise DownloadError(
            f"{str(folder)!r} has a {CATALOG} that no download has made. Choose another folder."
        )


def _read(manifest: Manifest, folder: Path, layout: str) -> None:
    """Read what earlier runs have written down."""
    document = _json(_text(folder / MANIFEST) or "")
    try:
        kind, version, before = (document[name] for name in ("type", "version", "layout"))
        if (kind, version) != (_TYPE, _VERSION):
            raise ValueError(kind)  # noqa: TRY301 - one answer to whatever is wrong
        manifest.read(document)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise DownloadError(
            f"{str(folder / MANIFEST)!r} is not a manifest that this version of constellr_stac has "
            "made. Move it away, or choose another folder."
        ) from None
    if before != layout:
        raise DownloadError(
            f"The files in {str(folder)!r} have the layout {before!r}, not {layout!r}. "
            "Stay with it, or choose another folder."
        )
    for line in (_text(folder / JOURNAL) or "").splitlines():
        with contextlib.suppress(TypeError, KeyError, ValueError, AttributeError):
            manifest.read(_json(line))


def _plain(value: Record | Note | None) -> dict[str, Any] | None:
    """Return a value as JSON has it; what :func:`dataclasses.asdict` does, at once."""
    if isinstance(value, Note):
        return {**vars(value), "promises": [vars(promise) for promise in value.promises]}
    return None if value is None else vars(value)


def _record(fields: Mapping[str, Any]) -> Record:
    lists = {name: tuple(fields[name]) for name in ("checked", "assets")}
    return Record(**{**fields, **lists})


def _note(fields: Mapping[str, Any]) -> Note:
    promises = tuple(Promise(**promise) for promise in fields["promises"])
    return Note(**{**fields, "promises": promises})


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
