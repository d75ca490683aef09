"""An href becomes bytes, whenever it is read.

Starting to fetch is apart from waiting for the bytes: all scenes of a chunk are under way
together, on one thread or on many. What is fetched ahead is bounded in requests and in bytes;
a reader that needs its bytes now never waits for a place in that line.

Nothing here knows what a pixel is.
"""

from __future__ import annotations

import functools
import os
import threading
import warnings
import weakref
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from constellr_stac._process import STATE
from constellr_stac.errors import SceneLeftEmptyWarning

from .http import Transfer
from .resolver import AssetResolver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constellr_stac.errors import AssetReadError

    from .asset_ref import AssetRef

__all__ = [
    "HEAD_BYTES",
    "AssetFile",
    "Fetch",
    "Fetcher",
    "shared_fetcher",
]

HEAD_BYTES = 1 << 20
"""Bytes of the first request: a classic scene comes whole with it, a long file's header does."""

MAX_REQUESTS = 32
"""Requests under way ahead of the readers, per process."""

MAX_BYTES = 256 << 20
"""Bytes held for readers that have not come yet, per process."""

_MOST_FETCHERS = 8
_WORTH_BRIDGING = 64 << 10  # a gap shorter than this costs less than another round trip


@dataclass(frozen=True)
class AssetFile:
    """One asset's bytes: all of them, or the beginning and a way to get the rest."""

    reference: AssetRef
    head: bytes
    """The first :data:`HEAD_BYTES` bytes, or all if there are no more."""
    size: int
    """Length of the whole in bytes."""
    transfer: Transfer

    @property
    def whole(self) -> bool:
        """Whether :attr:`head` is all there is."""
        return len(self.head) == self.size

    def patched(self, spans: Sequence[tuple[int, int]]) -> bytes:
        """Return the file with ``spans`` filled in, and zeros where nothing was asked for.

        Args:
            spans: Offsets of the first byte and of the one after the last; in any order, they
                may overlap. Neighbours closer than 64 KiB come with one request, all requests
                side by side.

        Raises:
            AssetReadError: They cannot be read.
        """
        pieces = [self.head]
        at = len(self.head)
        wanted = _joined(spans, at, self.size)
        for (start, stop), part in zip(
            wanted, self.transfer.parts(self.reference, wanted), strict=True
        ):
            pieces += [bytes(start - at), part]
            at = stop
        pieces.append(bytes(self.size - at))
        return b"".join(pieces)


class Fetch:
    """An asset on its way. The bytes are let go when the last reader lets go of this."""

    def __init__(self, reference: AssetRef) -> None:
        self.reference = reference
        self.taken = False
        self.result: Future[AssetFile] = Future()


class Fetcher:
    """Fetches assets ahead of their readers, once for all readers of an asset.

    It pickles to the fetcher that the other process shares among its tasks.

    Args:
        resolver: Turns references into URLs that can be read.

    Keyword Args:
        max_requests: Requests under way at once.
        max_bytes: Bytes held for readers; one that waits is served all the same.
    """

    def __init__(
        self,
        resolver: AssetResolver,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.resolver = resolver
        self._transfer = Transfer(resolver, max_requests)
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._waiting: deque[weakref.ref[Fetch]] = deque()
        self._live: weakref.WeakValueDictionary[AssetRef, Fetch] = weakref.WeakValueDictionary()
        self._requests = 0
        self._bytes = 0
        self._reported: set[str] = set()
        self._let_go: deque[int] = deque()  # a finalizer runs anywhere: it may not take a lock
        self._process = os.getpid()

    def here(self) -> Fetcher:
        """Return this, or in a process that was forked since, the one that its tasks share.

        The threads that read ahead have not come along, and connections have one reader.
        """
        if self._process == os.getpid():
            return self
        return shared_fetcher(AssetResolver(self.resolver.auth, self.resolver.signer))

    def start(self, reference: AssetRef) -> Fetch:
        """Begin to fetch an asset, now or when there is room; never blocks."""
        with self._lock:
            fetch = self._live.get(reference)
            if fetch is None:
                fetch = self._live[reference] = Fetch(reference)
                self._waiting.append(weakref.ref(fetch))
        self._proceed()
        return fetch

    def file(self, fetch: Fetch) -> AssetFile:
        """Wait for an asset's bytes; fetch them here if nobody has begun.

        Raises:
            AssetReadError: They cannot be read.
        """
        with self._lock:
            mine = not fetch.taken
            if mine:
                self._take(fetch)
        if mine:
            self._run(fetch)
        self._proceed()
        return fetch.result.result()

    def header(self, reference: AssetRef, length: int) -> AssetFile:
        """Return the first ``length`` bytes of an asset, without counting it as read ahead.

        Raises:
            AssetReadError: They cannot be read.
        """
        head, size = self._transfer.get(reference, 0, length)
        return AssetFile(reference, head, size, self._transfer)

    def again(self, fetch: Fetch) -> Fetch:
        """Fetch anew what turned out to be damaged; whoever comes later gets the new one."""
        with self._lock:
            if self._live.get(fetch.reference) is fetch:
                del self._live[fetch.reference]
        return self.start(fetch.reference)

    def reset_warnings(self) -> None:
        """Warn again about scenes that stay empty: another cube is being built."""
        with self._lock:
            self._reported.clear()

    def report(self, reference: AssetRef, error: AssetReadError) -> None:
        """Warn about a scene that stays empty; once for each scene of a cube."""
        scene = reference.item or reference.label
        with self._lock:
            if scene in self._reported:
                return
            self._reported.add(scene)
        warnings.warn(f"Left empty: {error}", SceneLeftEmptyWarning, stacklevel=2)

    def __reduce__(self) -> tuple[Any, ...]:
        return shared_fetcher, (self.resolver,)

    def __dask_tokenize__(self) -> str:
        return type(self).__qualname__  # it says how to read, not what

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._max_requests, thread_name_prefix="constellr-fetch")

    def _proceed(self) -> None:
        """Begin what may begin."""
        while True:
            with self._lock:
                while self._let_go:
                    self._bytes -= self._let_go.popleft()
                if (
                    not self._waiting
                    or self._requests >= self._max_requests
                    or self._bytes + HEAD_BYTES > self._max_bytes
                ):
                    return
                fetch = self._waiting.popleft()()
                if fetch is None or fetch.taken:
                    continue
                self._take(fetch)
                self._pool.submit(self._run, fetch)

    def _take(self, fetch: Fetch) -> None:
        fetch.taken = True
        self._requests += 1
        self._bytes += HEAD_BYTES  # a guess, put right when the bytes are there

    def _run(self, fetch: Fetch) -> None:
        held = 0
        try:
            head, size = self._transfer.get(fetch.reference, 0, HEAD_BYTES)
            held = len(head)
            weakref.finalize(fetch, self._let_go.append, held).atexit = False
            fetch.result.set_result(AssetFile(fetch.reference, head, size, self._transfer))
        except BaseException as error:
            with self._lock:
                if self._live.get(fetch.reference) is fetch:
                    del self._live[fetch.reference]  # the next reader may be luckier
            fetch.result.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._requests -= 1
                self._bytes += held - HEAD_BYTES
            self._proceed()


def shared_fetcher(resolver: AssetResolver) -> Fetcher:
    """Return the fetcher that all tasks of this process share.

    Args:
        resolver: Resolvers with equal settings share a fetcher, and so its connections, bounds,
            credentials and the items it has asked for again.
    """
    key = (resolver, os.getpid())
    return STATE.shared("fetcher", key, lambda: Fetcher(resolver), most=_MOST_FETCHERS)


def _joined(spans: Sequence[tuple[int, int]], at: int, size: int) -> list[tuple[int, int]]:
    """Sort ``spans``, clip them to what is missing, and join those that are close."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        start, stop = max(start, at), min(stop, size)  # noqa: PLW2901 - the clipped ones
        if start >= stop:
            continue
        if joined and start - joined[-1][1] <= _WORTH_BRIDGING:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
