"""A file that is on its way, and how it appears under its name: whole, or not at all.

Its bytes gather beside the name it will have, in ``<name>.part``; ``<name>.part.json`` notes
what they are of, so that another run can go on. Which bytes come is none of this room's
business.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from .checks import Digests, Promise, promised_by_store

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence
    from io import FileIO
    from pathlib import Path

    from constellr_stac.transfers import Source

    from .progress import Meter

__all__ = ["PartFile", "StoppedError"]


class StoppedError(Exception):
    """The run was told to stop; what is there can be gone on with."""


class PartFile:
    """A file's bytes up to here: a :class:`~constellr_stac.transfers.Receiver`.

    Args:
        target: The name it will have.
        meter: Is told of progress.
        stop: Once it is set, no byte is written any more.

    Keyword Args:
        promises: What the item says of the file.
        kinds: What to work out of it in any case; see :class:`Digests`.
    """

    def __init__(
        self,
        target: Path,
        meter: Meter,
        stop: threading.Event,
        *,
        promises: Sequence[Promise] = (),
        kinds: Iterable[str] = (),
    ) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._meter = meter
        self._stop = stop
        self._said_by_item = tuple(promises)
        self._said_by_store: tuple[Promise, ...] = ()
        self._kinds = frozenset(kinds)
        self._size: int | None = None
        self._open: tuple[FileIO, Digests] | None = None
        self.version: str | None = None
        self.held = 0
        self._remember()

    def begin(self, source: Source) -> None:
        """Start with an empty file, and note what it will be (for Transfer.stream)."""
        self._check_stop()
        self.close()
        file = self.path.open("wb", buffering=0)
        self.held = 0
        self.version, self._size = source.version, source.size
        self._said_by_store = promised_by_store(source)
        self._open = file, self._new_digests()
        self._write_note()
        self._meter.begin(self._size, 0)

    def take(self, piece: bytes) -> None:
        """Append bytes (for Transfer.stream)."""
        self._check_stop()
        file, digests = self._opened()
        digests.update(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]
        self.held += len(piece)
        self._meter.advance(len(piece))

    @property
    def promises(self) -> tuple[Promise, ...]:
        """What the item and the store say of the file."""
        return (*self._said_by_item, *self._said_by_store)

    @property
    def digests(self) -> Digests:
        """What the bytes up to here are."""
        return self._opened()[1]

    def land(self) -> None:
        """Give the file its name: on the disk first, then in one step.

        Raises:
            OSError: It cannot be; the part stays.
        """
        os.fsync(self._opened()[0].fileno())
        self.close()
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget the bytes: they are not what they should be."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.version, self.held = None, 0

    def close(self) -> None:
        """Let go of the file; what is there stays."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _remember(self) -> None:
        """Find what an earlier run has left, if it left a word about it."""
        try:
            note = json.loads(self._note.read_bytes())
            version, size = note["version"], note["size"]
            promises = tuple(Promise(**promise) for promise in note["promises"])
            held = self.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return
        if size is not None and held >= size:
            held = max(size - 1, 0)  # one byte is asked for: is the object the same still?
            os.truncate(self.path, held)
        self.version, self.held, self._size = version, held, size
        self._said_by_store = promises

    def _opened(self) -> tuple[FileIO, Digests]:
        """Return the file and its digests; open what an earlier run has left."""
        if self._open is None:
            digests = self._new_digests()
            digests.update_from(self.path)
            self._open = self.path.open("ab", buffering=0), digests
            self._meter.begin(self._size, self.held)
        return self._open

    def _new_digests(self) -> Digests:
        return Digests({*self._kinds, *(promise.kind for promise in self.promises)})

    def _write_note(self) -> None:
        if self.version is None:
            self._note.unlink(missing_ok=True)
            return
        note = {
            "version": self.version,
            "size": self._size,
            "promises": [asdict(promise) for promise in self._said_by_store],
        }
        self._note.write_text(json.dumps(note))

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError
