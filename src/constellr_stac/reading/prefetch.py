"""Prefetching of assets' bytes.

Starting a fetch does not block, so all scenes of a chunk are fetched in parallel, also for a
single reading thread. Prefetching is bounded in requests and bytes; a reader that needs its bytes
now does not wait for the queue.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from constellr_stac._process import STATE
from constellr_stac.errors import AssetReadError

from .asset_file import AssetFile, HeadFetch
from .http import Transfer
from .lengths import HEADER_BYTES, Lengths
from .local import version_of
from .store_answer import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from .asset_file import Block, Fetch, Sender
    from .asset_ref import AssetRef
    from .resolver import AssetResolver

__all__ = ["MAX_BYTES", "Fetcher", "shared_fetcher"]

T = TypeVar("T")

MAX_REQUESTS = 32
"""Maximum parallel prefetch requests per process."""

MAX_BYTES = 256 << 20
"""Maximum prefetched bytes per process."""

_MAX_FETCHERS = 8
_IDLE = 10.0  # seconds without a new reader, after which nothing stays for more of them


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
        self.limits = resolver.limits
        self.transfer = Transfer(resolver, max_requests)
        self.lengths = Lengths()
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._queue: deque[weakref.ref[Fetch[Any]]] = deque()
        self._live: weakref.WeakValueDictionary[AssetRef, HeadFetch] = weakref.WeakValueDictionary()
        self._kept: OrderedDict[AssetRef, dict[Hashable, Any]] = OrderedDict()
        self._requests = 0
        self._bytes = 0
        # Filled by finalizers, which must not take a lock.
        self._freed: deque[tuple[int, AssetRef | None]] = deque()
        self._process = os.getpid()
        self._used = 0.0
        self._sweeper: threading.Timer | None = None

    def here(self) -> Fetcher:
        """Return this fetcher, or in a forked process the shared fetcher of that process.

        Threads are not forked, and connections must not be shared.
        """
        if self._process == os.getpid():
            return self
        return shared_fetcher(self.resolver.fresh())

    def start(
        self,
        reference: AssetRef,
        *,
        pixel_bytes: int = 0,
        reader: Hashable = None,
        readers: int = 1,
    ) -> HeadFetch:
        """Start to fetch an asset, or queue it; does not block.

        Args:
            reference: The asset.

        Keyword Args:
            pixel_bytes: The bytes of its pixels, uncompressed; 0 if unknown.
            reader: Who reads it, such as a band.
            readers: How many of them there are. The bytes stay until all of them have come, unless
                the room is needed.
        """
        version = version_of(reference)
        self._used = time.monotonic()
        with self._lock:
            fetch = self._live.get(reference)
            if fetch is None or fetch.version != version:
                self._kept.pop(reference, None)
                expected = self.lengths.head_bytes(reference, pixel_bytes)
                fetch = HeadFetch(reference, pixel_bytes, expected, version)
                self._live[reference] = fetch
                self._queue.append(weakref.ref(fetch))
            fetch.joined = fetch.joined or fetch.started
            if readers > 1:
                fetch.readers.add(reader)
                if len(fetch.readers) < readers:
                    self._keep(reference, {"head": fetch})
                else:
                    self._kept.pop(reference, None)
        self._proceed()
        return fetch

    def add(self, fetches: Iterable[Fetch[Any]]) -> None:
        """Start fetches, or queue them; does not block."""
        with self._lock:
            self._queue.extend(map(weakref.ref, fetches))
        self._proceed()

    def keep(self, reference: AssetRef, blocks: Iterable[Block]) -> None:
        """Keep blocks of a file that somebody reads, as long as there is room."""
        with self._lock:
            self._keep(reference, {block.span: block for block in blocks})

    def _keep(self, reference: AssetRef, values: dict[Hashable, Any]) -> None:
        self._kept.setdefault(reference, {}).update(values)
        self._kept.move_to_end(reference)
        self._used = time.monotonic()
        if self._sweeper is None:
            self._sweep_in(_IDLE)

    def _sweep_in(self, seconds: float) -> None:
        self._sweeper = threading.Timer(seconds, self._sweep)
        self._sweeper.daemon = True
        self._sweeper.start()

    def _sweep(self) -> None:
        """Drop what is kept if no reader has come for a while."""
        with self._lock:
            left = self._used + _IDLE - time.monotonic()
            if left > 0 or self._requests:
                self._sweep_in(max(left, _IDLE / 2))
                return
            kept, self._kept, self._sweeper = self._kept, OrderedDict(), None
        del kept  # outside the lock

    @property
    def is_full(self) -> bool:
        """Whether nothing more is prefetched until bytes are freed."""
        return self._bytes >= self._max_bytes

    def wait(self, fetch: Fetch[T]) -> T:
        """Return the result of a fetch; fetch it in this thread if still queued.

        A refusal of a fetch that began before this reader came is not final: the credentials may
        have been replaced since.

        Raises:
            AssetReadError: The bytes cannot be read.
        """
        is_earlier = fetch.result.done()
        try:
            return self._awaited(fetch)
        except AssetReadError as error:
            if error.status_code not in REFUSALS or not (is_earlier or fetch.joined):
                raise
        return self._awaited(fetch.again(self))

    def _awaited(self, fetch: Fetch[T]) -> T:
        with self._lock:
            queued = not fetch.started
            if queued:
                self._mark_started(fetch)
        if queued:
            self._run(fetch)
        self._proceed()
        return fetch.result.result()

    def header(self, reference: AssetRef, length: int = HEADER_BYTES) -> AssetFile:
        """Return the first ``length`` bytes of an asset, without prefetching.

        Raises:
            AssetReadError: They cannot be read.
        """
        head, size, version = self.transfer.part(reference, 0, length)
        self.lengths.remember(reference, size)
        return AssetFile(reference, head, size, self, version)

    def holds(self, reference: AssetRef) -> bool:
        """Return whether a file was kept for another reader, so that reading causes no request."""
        with self._lock:
            return "head" in self._kept.get(reference, {})

    def again(self, fetch: HeadFetch) -> HeadFetch:
        """Fetch a refused or damaged file again; later readers get the new fetch."""
        self.drop(fetch)
        return self.start(fetch.reference, pixel_bytes=fetch.pixel_bytes)

    def drop(self, fetch: HeadFetch) -> None:
        """Let later readers fetch a file anew."""
        with self._lock:
            if self._live.get(fetch.reference) is fetch:
                del self._live[fetch.reference]
                self._kept.pop(fetch.reference, None)

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
                self._account()
                if not self._queue or self._requests >= self._max_requests:
                    return
                fetch = self._queue[0]()
                if fetch is not None and not fetch.started:
                    while self._kept and self._bytes + fetch.expected > self._max_bytes:
                        self._kept.popitem(last=False)
                        self._account()
                    if self._bytes + fetch.expected > self._max_bytes:
                        return
                    self._mark_started(fetch)
                    self._pool.submit(self._run, fetch)
                self._queue.popleft()

    def _account(self) -> None:
        """Subtract what has been freed."""
        while self._freed:
            held, reference = self._freed.popleft()
            self._bytes -= held
            if reference is not None and reference not in self._live:
                self._kept.pop(reference, None)

    def _mark_started(self, fetch: Fetch[Any]) -> None:
        fetch.started = True
        self._requests += 1
        self._bytes += fetch.expected  # an estimate, corrected when fetched

    def _run(self, fetch: Fetch[Any]) -> None:
        held = 0
        try:
            result, held = fetch.run(self)
            reference = fetch.reference if isinstance(fetch, HeadFetch) else None
            weakref.finalize(fetch, self._freed.append, (held, reference)).atexit = False
            fetch.result.set_result(result)
        except BaseException as error:
            with self._lock:
                if self._live.get(fetch.reference) is fetch:
                    del self._live[fetch.reference]  # the next reader tries again
                    self._kept.pop(fetch.reference, None)
            fetch.result.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._requests -= 1
                self._bytes += held - fetch.expected
            self._proceed()


def shared_fetcher(resolver: AssetResolver) -> Fetcher:
    """Return the process-wide fetcher of equal resolvers, with its connections and limits."""
    key = (resolver, os.getpid())
    return STATE.shared("fetcher", key, lambda: Fetcher(resolver), most=_MAX_FETCHERS)


_: type[Sender] = Fetcher
