"""A file being downloaded: written to ``<name>.part`` and renamed once it is complete."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from constellr_stac._files import open_to_write
from constellr_stac.errors import DownloadError

from .checks import Expected, digests_for, expected_by_store

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

    from constellr_stac.reading.http import Source

    from .checks import Digests
    from .progress import Meter

__all__ = ["PartFile", "PartInfo", "StoppedError"]


class StoppedError(Exception):
    """The run was stopped; the part can be resumed."""


@dataclass(frozen=True)
class PartInfo:
    """The object that a part belongs to, so that another run can resume it."""

    version: str
    """The :attr:`~constellr_stac.reading.http.Source.version`."""
    size: int | None
    """Size of the whole object, in bytes."""
    expected: tuple[Expected, ...]
    """What the store states about the object."""


class PartFile:
    """The bytes received so far: a :class:`~constellr_stac.reading.http.Receiver`.

    Args:
        target: The final path.
        meter: Counts progress.
        stop: When set, no more bytes are written.

    Keyword Args:
        info: The object of the part left by an earlier run.
        on_begin: Called with the new object before its first byte is written; ``None`` if it
            cannot be resumed.
        expected: What the item states about the file.
    """

    def __init__(
        self,
        target: Path,
        meter: Meter,
        stop: threading.Event,
        *,
        info: PartInfo | None,
        on_begin: Callable[[PartInfo | None], None],
        expected: tuple[Expected, ...],
    ) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._on_begin = on_begin
        self._meter = meter
        self._stop = stop
        self._expected_by_item = expected
        self._expected_by_store: tuple[Expected, ...] = ()
        self._size: int | None = None
        self._open: tuple[FileIO, Digests] | None = None
        self.version: str | None = None
        self.held = 0
        if info is not None:
            self._resume(info)

    def begin(self, source: Source) -> None:
        """Start with an empty file (for Transfer.stream)."""
        self._check_stop()
        self.close()
        file = open_to_write(self.path)
        self.held = 0
        self.version, self._size = source.version, source.size
        self._expected_by_store = expected_by_store(source)
        self._open = file, digests_for(self.expected)
        info = None
        if self.version is not None:
            info = PartInfo(self.version, self._size, self._expected_by_store)
        self._on_begin(info)
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
        announced = [int(each.value) for each in self.expected if each.kind == "length"]
        if self.held > min(announced, default=self.held):
            raise DownloadError(
                f"{str(self.target)!r} was not downloaded: the server sends more bytes than the "
                f"{min(announced)} that were announced. Try again later, or search again."
            )
        self._meter.advance(len(piece))

    @property
    def expected(self) -> tuple[Expected, ...]:
        """What the item and the store state about the file."""
        return (*self._expected_by_item, *self._expected_by_store)

    @property
    def digests(self) -> Digests:
        """Digests of the bytes received so far."""
        return self._opened()[1]

    def commit(self) -> None:
        """Sync the file to disk and rename it to its final path.

        Raises:
            OSError: The disk failed; the part stays.
        """
        os.fsync(self._opened()[0].fileno())
        self.close()
        self.path.replace(self.target)

    def discard(self) -> None:
        """Delete the part."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.version, self.held = None, 0

    def close(self) -> None:
        """Close the part and keep it."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _resume(self, info: PartInfo) -> None:
        """Resume the part of an earlier run, if it still exists."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            return
        held = found.st_size
        if info.size is not None and held >= info.size:
            # Request the last byte again: the response shows whether the object has changed.
            held = max(info.size - 1, 0)
            os.truncate(self.path, held)
        self.version, self.held, self._size = info.version, held, info.size
        self._expected_by_store = info.expected

    def _opened(self) -> tuple[FileIO, Digests]:
        """Return the open file and its digests; open the part of an earlier run."""
        if self._open is None:
            digests = digests_for(self.expected)
            digests.update_from(self.path)
            self._open = open_to_write(self.path, append=True), digests
            self._meter.begin(self._size, self.held)
        return self._open

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError
