"""A file that is on its way, and how it appears under its name: whole, or not at all.

Its bytes gather beside the name it will have, in ``<name>.part``. Which bytes come, and where it
is noted what they are of, is none of this room's business.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checks import Digests, Promise, promised_by_store

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence
    from io import FileIO
    from pathlib import Path

    from constellr_stac.reading.http import Source

    from .progress import Meter

__all__ = ["Note", "PartFile", "StoppedError"]


class StoppedError(Exception):
    """The run was told to stop; what is there can be gone on with."""


@dataclass(frozen=True)
class Note:
    """What the bytes of a part are of, so that another run can go on."""

    version: str
    """The :attr:`~constellr_stac.reading.http.Source.version`."""
    size: int | None
    """Bytes of the whole."""
    promises: tuple[Promise, ...]
    """What the store says of it."""


class PartFile:
    """A file's bytes up to here: a :class:`~constellr_stac.reading.http.Receiver`.

    Args:
        target: The name it will have.
        meter: Is told of progress.
        stop: Once it is set, no byte is written any more.

    Keyword Args:
        note: What an earlier run has noted of the bytes that are there.
        noted: Is told what is to be noted for a later one, before there are bytes.
        promises: What the item says of the file.
        kinds: What to work out of it in any case; see :class:`Digests`.
    """

    def __init__(
        self,
        target: Path,
        meter: Meter,
        stop: threading.Event,
        *,
        note: Note | None,
        noted: Callable[[Note | None], None],
        promises: Sequence[Promise] = (),
        kinds: Iterable[str] = (),
    ) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._noted = noted
        self._meter = meter
        self._stop = stop
        self._said_by_item = tuple(promises)
        self._said_by_store: tuple[Promise, ...] = ()
        self._kinds = frozenset(kinds)
        self._size: int | None = None
        self._open: tuple[FileIO, Digests] | None = None
        self.version: str | None = None
        self.held = 0
        if note is not None:
            self._remember(note)

    def begin(self, source: Source) -> None:
        """Start with an empty file, and note what it will be (for Transfer.stream)."""
        self._check_stop()
        self.close()
        file = self.path.open("wb", buffering=0)
        self.held = 0
        self.version, self._size = source.version, source.size
        self._said_by_store = promised_by_store(source)
        self._open = file, self._new_digests()
        note = None
        if self.version is not None:
            note = Note(self.version, self._size, self._said_by_store)
        self._noted(note)
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

    def discard(self) -> None:
        """Forget the bytes: they are not what they should be."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.version, self.held = None, 0

    def close(self) -> None:
        """Let go of the file; what is there stays."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _remember(self, note: Note) -> None:
        """Go on with what an earlier run has left, if it is there still."""
        try:
            held = self.path.stat().st_size
        except FileNotFoundError:
            return
        if note.size is not None and held >= note.size:
            held = max(note.size - 1, 0)  # one byte is asked for: is the object the same still?
            os.truncate(self.path, held)
        self.version, self.held, self._size = note.version, held, note.size
        self._said_by_store = note.promises

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

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError
