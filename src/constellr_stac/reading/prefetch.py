"""Prefetching of assets' bytes.

Starting a fetch does not block, so all scenes of a chunk are fetched in parallel, also for a
single reading thread. Prefetching is bounded in requests and bytes; a reader that needs its bytes
now does not wait for the queue.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from constellr_stac._process import STATE
from constellr_stac.errors import AssetReadError

from .http import Transfer
from .store_answer import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constellr_stac.limits import Limits

    from .asset_ref import AssetRef
    from .resolver import AssetResolver

__all__ = [
    "HEADER_BYTES",
    "HEAD_BYTES",
    "AssetFile",
    "Fetch",
    "Fetcher",
    "shared_fetcher",
]

HEAD_BYTES = 1 << 20
"""Bytes of the first request: enough for a whole scene of usual size, or a long file's header."""

HEADER_BYTES = 1 << 15
"""Bytes of a request for a header."""

MAX_REQUESTS = 32
"""Maximum parallel prefetch requests per process."""

MAX_BYTES = 256 << 20
"""Maximum prefetched bytes per process."""

_MAX_FETCHERS = 8
_MAX_GAP = 64 << 10  # fetching a shorter gap costs less than another round trip


@dataclass(frozen=True)
class AssetFile:
    """The bytes of an asset: all of them, or the head and access to the rest."""

    reference: AssetRef
    head: bytes
    """The first :data:`HEAD_BYTES` bytes, or the whole file if shorter."""
    size: int
    """Size of the file in bytes."""
    transfer: Transfer

    @property
    def limits(self) -> Limits:
        """Bounds on opening it."""
        return self.transfer.limits

    @property
    def whole(self) -> bool:
        """Whether :attr:`head` is the whole file."""
        return len(self.head) == self.size

    def regions(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, bytes]]:
        """Return the head and the bytes of ``spans``, with their offsets.

        Args:
            spans: Half-open byte ranges in any order; may overlap. Ranges closer than 64 KiB
                share a request; requests run in parallel.

        Raises:
            AssetReadError: They cannot be read.
        """
        missing = _joined(spans, len(self.head), self.size)
        parts = self.transfer.parts(self.reference, missing) if missing else []
        fetched = [(start, part) for (start, _), part in zip(missing, parts, strict=True)]
        return [(0, self.head), *fetched]


class Fetch:
    """A fetch in progress. The bytes are freed when the last reader drops it."""

    def __init__(self, reference: AssetRef) -> None:
        self.reference = reference
        self.started = False
        self.joined = False
        """Whether another reader came once it was under way."""
        self.result: Future[AssetFile] = Future()


class Fetcher:
    """Prefetches assets, once for all readers of an asset.

    It unpickles to the shared fetcher of the other process.

    Args:
        resolver: Resolves references to URLs.

    Keyword Args:
        max_requests: Maximum parallel requests.
        max_bytes: Maximum prefetched bytes; does not apply to a waiting reader.
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
        self._queue: deque[weakref.ref[Fetch]] = deque()
        self._live: weakref.WeakValueDictionary[AssetRef, Fetch] = weakref.WeakValueDictionary()
        self._requests = 0
        self._bytes = 0
        self._freed: deque[int] = deque()  # filled by finalizers, which must not take a lock
        self._process = os.getpid()

    def here(self) -> Fetcher:
        """Return this fetcher, or in a forked process the shared fetcher of that process.

        Threads are not forked, and connections must not be shared.
        """
        if self._process == os.getpid():
            return self
        return shared_fetcher(self.resolver.fresh())

    def start(self, reference: AssetRef) -> Fetch:
        """Start to fetch an asset, or queue it; does not block."""
        with self._lock:
            fetch = self._live.get(reference)
            if fetch is None:
                fetch = self._live[reference] = Fetch(reference)
                self._queue.append(weakref.ref(fetch))
            fetch.joined = fetch.joined or fetch.started
        self._proceed()
        return fetch

    def file(self, fetch: Fetch) -> AssetFile:
        """Wait for an asset's bytes; fetch them in this thread if still queued.

        A refusal of a fetch that began before this reader came is not final: the credentials may
        have been replaced since.

        Raises:
            AssetReadError: They cannot be read.
        """
        is_earlier = fetch.result.done()
        try:
            return self._awaited(fetch)
        except AssetReadError as error:
            if error.status_code not in REFUSALS or not (is_earlier or fetch.joined):
                raise
        return self._awaited(self.again(fetch))

    def _awaited(self, fetch: Fetch) -> AssetFile:
        with self._lock:
            queued = not fetch.started
            if queued:
                self._mark_started(fetch)
        if queued:
            self._run(fetch)
        self._proceed()
        return fetch.result.result()

    def header(self, reference: AssetRef, length: int) -> AssetFile:
        """Return the first ``length`` bytes of an asset, without prefetching.

        Raises:
            AssetReadError: They cannot be read.
        """
        head, size = self._transfer.get(reference, 0, length)
        return AssetFile(reference, head, size, self._transfer)

    def again(self, fetch: Fetch) -> Fetch:
        """Fetch damaged bytes again; later readers get the new fetch."""
        with self._lock:
            if self._live.get(fetch.reference) is fetch:
                del self._live[fetch.reference]
        return self.start(fetch.reference)

    def __reduce__(self) -> tuple[Any, ...]:
        return shared_fetcher, (self.resolver,)

    def __dask_tokenize__(self) -> str:
        return type(self).__qualname__  # all fetchers read the same bytes

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._max_requests, thread_name_prefix="constellr-fetch")

    def _proceed(self) -> None:
        """Start queued fetches, within the limits."""
        while True:
            with self._lock:
                while self._freed:
                    self._bytes -= self._freed.popleft()
                if (
                    not self._queue
                    or self._requests >= self._max_requests
                    or self._bytes + HEAD_BYTES > self._max_bytes
                ):
                    return
                fetch = self._queue.popleft()()
                if fetch is None or fetch.started:
                    continue
                self._mark_started(fetch)
                self._pool.submit(self._run, fetch)

    def _mark_started(self, fetch: Fetch) -> None:
        fetch.started = True
        self._requests += 1
        self._bytes += HEAD_BYTES  # an estimate, corrected when fetched

    def _run(self, fetch: Fetch) -> None:
        held = 0
        try:
            head, size = self._transfer.get(fetch.reference, 0, HEAD_BYTES)
            held = len(head)
            weakref.finalize(fetch, self._freed.append, held).atexit = False
            fetch.result.set_result(AssetFile(fetch.reference, head, size, self._transfer))
        except BaseException as error:
            with self._lock:
                if self._live.get(fetch.reference) is fetch:
                    del self._live[fetch.reference]  # the next reader tries again
            fetch.result.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._requests -= 1
                self._bytes += held - HEAD_BYTES
            self._proceed()


def shared_fetcher(resolver: AssetResolver) -> Fetcher:
    """Return the process-wide fetcher.

    Args:
        resolver: Equal resolvers share a fetcher, with its connections, limits, credentials and
            renewed items.
    """
    key = (resolver, os.getpid())
    return STATE.shared("fetcher", key, lambda: Fetcher(resolver), most=_MAX_FETCHERS)


def _joined(spans: Sequence[tuple[int, int]], at: int, size: int) -> list[tuple[int, int]]:
    """Sort ``spans``, clip them to ``[at, size)``, and join close ones."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        start, stop = max(start, at), min(stop, size)  # noqa: PLW2901 - clipped
        if start >= stop:
            continue
        if joined and start - joined[-1][1] <= _MAX_GAP:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
