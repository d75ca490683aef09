"""The bytes of one file: all of a short one; of a long one the header and the blocks in use."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from concurrent.futures import Future
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .directories import MissingBytesError, Span, read_directories
from .geotiff import RefusedFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from constellr_stac.limits import Limits

    from .asset_ref import AssetRef
    from .directories import Directory
    from .http import Transfer
    from .lengths import Lengths

__all__ = ["AssetFile", "Block", "Fetch", "HeadFetch", "RangeFetch", "Sender", "ranges_of"]

T = TypeVar("T")

_SPARE = 8  # a range may have one part in so many that nobody asked for, to save requests


class Sender(Protocol):
    """Sends GETs within its limits; thread-safe."""

    limits: Limits
    lengths: Lengths
    transfer: Transfer

    def add(self, fetches: Iterable[Fetch[Any]], /) -> None:
        """Start fetches, or queue them; does not block."""

    def keep(self, reference: AssetRef, blocks: Iterable[Block], /) -> None:
        """Keep blocks of a file that somebody reads, as long as there is room."""

    def wait(self, fetch: Fetch[T], /) -> T:
        """Return the result of a fetch."""

    def again(self, fetch: HeadFetch, /) -> HeadFetch:
        """Fetch a file again."""


class Fetch(ABC, Generic[T]):
    """A GET that is queued, under way or done. Its bytes are freed when the last reader drops it.

    Args:
        reference: The asset.
        expected: The bytes that it will probably bring.
    """

    def __init__(self, reference: AssetRef, expected: int) -> None:
        self.reference = reference
        self.expected = expected
        self.started = False
        self.joined = False
        """Whether another reader came once it was under way."""
        self.result: Future[T] = Future()

    @abstractmethod
    def run(self, fetcher: Sender) -> tuple[T, int]:
        """Send the GET; return the result and the number of bytes that it holds."""

    @abstractmethod
    def again(self, fetcher: Sender) -> Fetch[T]:
        """Return a fetch of the same bytes that has not begun."""


class RangeFetch(Fetch[bytes]):
    """A fetch of a part of a file, whose size and version are known."""

    def __init__(self, reference: AssetRef, span: Span, stamp: tuple[int, Hashable]) -> None:
        super().__init__(reference, span[1] - span[0])
        self.span, self.stamp = span, stamp

    def run(self, fetcher: Sender) -> tuple[bytes, int]:
        """Send the GET; return the bytes and their number.

        Raises:
            RefusedFileError: They are those of another version of the file.
        """
        content, *stamp = fetcher.transfer.part(self.reference, *self.span)
        if tuple(stamp) != self.stamp:
            raise RefusedFileError("it was rewritten while it was read")
        return content, len(content)

    def again(self, fetcher: Sender) -> RangeFetch:  # noqa: ARG002 - as the other kind
        """Return a fetch of the same bytes that has not begun."""
        return RangeFetch(self.reference, self.span, self.stamp)


class HeadFetch(Fetch["AssetFile"]):
    """A fetch of a file, or of the head of a long one.

    Args:
        reference: The asset.
        pixel_bytes: The bytes of its pixels, uncompressed; 0 if unknown.
        expected: The bytes that it will probably bring.
        version: Numbers that change when the file is rewritten, as far as that is known.
    """

    def __init__(
        self,
        reference: AssetRef,
        pixel_bytes: int,
        expected: int,
        version: tuple[int, ...] = (),
    ) -> None:
        super().__init__(reference, expected)
        self.version = version
        self.pixel_bytes = pixel_bytes
        self.readers: set[Hashable] = set()
        """The readers that have come."""
        self._lock = threading.Lock()
        self._file: AssetFile | None = None
        self._actions: list[Callable[[AssetFile], None]] = []

    def then(self, action: Callable[[AssetFile], None]) -> None:
        """Call a function with the file before anybody reads it, or now if it is there.

        A failed fetch drops it.
        """
        with self._lock:
            if self._file is None:
                self._actions.append(action)
                return
        action(self._file)

    def run(self, fetcher: Sender) -> tuple[AssetFile, int]:
        """Send the GET; return the file and the number of bytes that it holds."""
        length = fetcher.lengths.head_bytes(self.reference, self.pixel_bytes)
        try:
            head, size, version = fetcher.transfer.part(self.reference, 0, length)
        except BaseException:
            with self._lock:
                self._actions.clear()  # they hold the readers, which hold this fetch
            raise
        fetcher.lengths.learn(self.reference, self.pixel_bytes, size)
        file = AssetFile(self.reference, head, size, fetcher, version)
        with self._lock:
            self._file, actions, self._actions = file, self._actions, []
        for action in actions:
            action(file)
        return file, len(head)

    def again(self, fetcher: Sender) -> HeadFetch:
        """Return a fetch of the same file that has not begun."""
        return fetcher.again(self)


class Block:
    """A part of a file that a window needs; keeps the range that it comes in."""

    def __init__(self, span: Span, fetch: RangeFetch) -> None:
        self.span, self.fetch = span, fetch

    @property
    def failed(self) -> bool:
        """Whether it could not be fetched."""
        result = self.fetch.result
        return result.done() and result.exception() is not None


class AssetFile:
    """The bytes of a file; thread-safe.

    Args:
        reference: The asset.
        head: The first bytes, or the whole file.
        size: The size of the file in bytes.
        fetcher: Fetches the other bytes.
        version: What other bytes must come with, such as an ETag.
    """

    def __init__(
        self,
        reference: AssetRef,
        head: bytes,
        size: int,
        fetcher: Sender,
        version: Hashable = "",
    ) -> None:
        self.reference = reference
        self.head = head
        self.size = size
        self.version = version
        self.limits = fetcher.limits
        """Bounds on opening it."""
        self.windows: dict[Hashable, Any] = {}
        """Its windows that are about to be read."""
        self.layouts: dict[int, Any] = {}
        """How it keeps its bands, by their numbers, as far as they were read."""
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._blocks: weakref.WeakValueDictionary[Span, Block] = weakref.WeakValueDictionary()
        self._header_lock = threading.Lock()
        self._header: list[Block] = []
        self._directories: list[Directory] | None = None

    @property
    def whole(self) -> bool:
        """Whether :attr:`head` is the whole file."""
        return len(self.head) == self.size

    def directories(self) -> list[Directory]:
        """Return the file's directories; fetches what of them is not in the head.

        Raises:
            AssetReadError: They cannot be fetched.
            RefusedFileError: They are implausible.
        """
        with self._header_lock:
            while self._directories is None:
                try:
                    self._directories = read_directories(self.regions(), self.size)
                except MissingBytesError as missing:
                    self._header += self.claim(missing.spans)
        return self._directories

    def claim(self, spans: Iterable[Span], *, keep: bool = False) -> list[Block]:
        """Start to fetch the parts of a file that are not there; does not block.

        Args:
            spans: The parts.

        Keyword Args:
            keep: Whether others will read them too, so that they stay while there is room.
        """
        with self._lock:
            found = {span: self._blocks.get(span) for span in self.outside(spans)}
            missing = [span for span, block in found.items() if block is None or block.failed]
            new = []
            for together in ranges_of(missing):
                span = together[0][0], together[-1][1]
                new.append(fetch := RangeFetch(self.reference, span, (self.size, self.version)))
                for span in together:
                    found[span] = self._blocks[span] = Block(span, fetch)
        blocks = [block for block in found.values() if block is not None]
        self._fetcher.add(new)
        if keep:
            self._fetcher.keep(self.reference, blocks)
        return blocks

    def outside(self, spans: Iterable[Span]) -> list[Span]:
        """Return the parts that are not in the head, within the file."""
        clipped = [(max(0, start), min(stop, self.size)) for start, stop in spans]
        return [span for span in clipped if span[1] > max(span[0], len(self.head))]

    @property
    def header_ranges(self) -> set[Span]:
        """The ranges of the header that are not in the head, once :meth:`directories` is read."""
        return {block.fetch.span for block in self._header}

    def regions(self, blocks: Iterable[Block] = ()) -> list[tuple[int, bytes]]:
        """Return the header and the ranges of some blocks, with their offsets; waits for them.

        Raises:
            AssetReadError: They cannot be fetched.
        """
        fetches = {each.fetch.span: each.fetch for each in (*self._header, *blocks)}
        return [
            (0, self.head),
            *((span[0], self._fetcher.wait(fetch)) for span, fetch in fetches.items()),
        ]


def ranges_of(spans: Iterable[Span]) -> list[list[Span]]:
    """Group spans into ranges that are fetched with one request each.

    Neighbours share one. So do spans with small gaps, as long as the gaps are an eighth of what is
    asked for in all.

    Args:
        spans: Half-open byte ranges in any order.
    """
    ordered = sorted(spans)
    gaps = [after[0] - before[1] for before, after in pairwise(ordered)]
    room = sum(stop - start for start, stop in ordered) // _SPARE
    joined = set()
    for number in sorted(range(len(gaps)), key=gaps.__getitem__):
        room -= max(0, gaps[number])
        if room < 0:
            break
        joined.add(number)
    ranges: list[list[Span]] = []
    for number, span in enumerate(ordered):
        if number and number - 1 in joined:
            ranges[-1].append(span)
        else:
            ranges.append([span])
    return ranges
