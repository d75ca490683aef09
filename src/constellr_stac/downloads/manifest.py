"""What a folder holds, and where it came from: ``manifest.json``.

A file is written down once it has its name, as a line of ``manifest.jsonl``, so that a run
that is killed leaves nothing that another has to guess at. One run at a time works on a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from constellr_stac.errors import DownloadError

from .disk import write_whole
from .wanted import CATALOG, JOURNAL, MANIFEST

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

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Record:
        """Read one as JSON gives it.

        Raises:
            TypeError: It is something else.
        """
        lists = {name: tuple(fields[name]) for name in ("checked", "assets") if name in fields}
        return cls(**{**fields, **lists})


class Manifest:
    """The records of a folder; see :func:`open_manifest`. Shared by all threads of a run."""

    def __init__(self, folder: Path, layout: str, records: dict[str, Record]) -> None:
        self._folder = folder
        self._layout = layout
        self._records = records
        self._by_item: dict[tuple[str | None, str], dict[str, None]] = {}
        for path, record in records.items():
            self._index(path, record)
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

    def add(self, path: str, record: Record) -> None:
        """Write a file down, for good: a run that is killed right after has done so."""
        line = json.dumps({path: asdict(record)}) + "\n"
        with self._lock:
            if self._journal is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._journal = os.open(self._folder / JOURNAL, flags, 0o666)
                line = "\n" + line  # after what a run that was killed may have left
            os.write(self._journal, line.encode())
            self._records[path] = record
            self._index(path, record)

    def save(self) -> None:
        """Write ``manifest.json``, of the files that are still there."""
        with self._lock:
            here = {
                path: asdict(record)
                for path, record in sorted(self._records.items())
                if (self._folder / path).is_file()
            }
            document = {"type": _TYPE, "version": _VERSION, "layout": self._layout, "files": here}
            text = json.dumps(document, indent=2) + "\n"
            if _text(self._folder / MANIFEST) != text:
                write_whole(self._folder / MANIFEST, text, sync=True)
            self._close()
            (self._folder / JOURNAL).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the journal; what is in it stays."""
        with self._lock:
            self._close()

    def _index(self, path: str, record: Record) -> None:
        self._by_item.setdefault((record.collection, record.item), {})[path] = None

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
        known = (folder / MANIFEST).exists()
        manifest = Manifest(folder, layout, _read(folder, layout) if known else {})
        if not known:
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


def _read(folder: Path, layout: str) -> dict[str, Record]:
    """Read what earlier runs have written down."""
    document = _json(_text(folder / MANIFEST) or "")
    try:
        kind, version, before = (document[name] for name in ("type", "version", "layout"))
        if (kind, version) != (_TYPE, _VERSION):
            raise ValueError(kind)  # noqa: TRY301 - one answer to whatever is wrong
        records = {path: Record.read(fields) for path, fields in document["files"].items()}
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
            records.update({path: Record.read(fields) for path, fields in _json(line).items()})
    return records


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
