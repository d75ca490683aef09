"""GETs of byte ranges and resumable GETs of files, with retries.

A 403 renews the URL, once; a dropped connection, a short body, 429 and 5xx are retried with
backoff; a 404 is final. Errors name item, asset and cause, without signatures.
"""

from __future__ import annotations

import functools
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from requests import RequestException
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from constellr_stac.errors import AssetReadError, ConstellrError

from .connections import Connections
from .local import file_part, file_pieces, is_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from urllib3 import BaseHTTPResponse

    from constellr_stac.limits import Limits

    from .asset_ref import AssetRef
    from .resolver import AssetResolver

__all__ = ["Receiver", "Source", "Transfer"]

T = TypeVar("T")

_ATTEMPTS = 4
_PIECE = 256 << 10
_FIRST_PAUSE = 0.25
_MAX_PAUSE = 20.0
_WHOLE, _PART, _BEYOND_END = _USABLE = 200, 206, 416
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_REFUSALS = {400, 401, 403}  # S3 answers 400 for an expired session token
_START = re.compile(r"bytes (\d+)-")
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")


class _LimitError(Exception):
    """A response exceeds a limit, so that it is not requested again."""


@dataclass(frozen=True)
class Source:
    """The size and headers of a file."""

    size: int | None = None
    """Size in bytes; ``None`` if unknown."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The response headers; case-insensitive."""

    @property
    def version(self) -> str | None:
        """The version of the file: a strong ETag, else ``Last-Modified``."""
        etag = self.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            return etag
        return None if etag else self.headers.get("Last-Modified")


class Receiver(Protocol):
    """Receives the bytes of one file in order; it may already hold some from an earlier transfer.

    Called by one thread. Exceptions of its methods abort the transfer and propagate.
    """

    @property
    def held(self) -> int:
        """The number of bytes held."""

    @property
    def version(self) -> str | None:
        """The :attr:`Source.version` of the bytes held; ``None`` if not resumable."""

    def begin(self, source: Source) -> None:
        """Discard the bytes held and restart at offset 0."""

    def take(self, piece: bytes) -> None:
        """Append the next bytes."""


class Transfer:
    """Fetches bytes of assets over http(s) or from disk; thread-safe.

    Args:
        resolver: Resolves references to URLs and renews them.
        connections: The maximum number of pooled connections per host.
    """

    def __init__(self, resolver: AssetResolver, connections: int) -> None:
        self._resolver = resolver
        self._most = connections
        self._connections = Connections(connections)

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._most, thread_name_prefix="constellr-parts")

    def get(self, reference: AssetRef, start: int, stop: int) -> tuple[bytes, int]:
        """Return the bytes in ``[start, stop)``, fewer at the end, and the file's size.

        Raises:
            AssetReadError: They cannot be read.
        """
        if is_on_disk(reference):
            return file_part(reference, start, stop)
        limits = self._resolver.limits
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        return self._get(
            reference, lambda: headers, lambda answer: _body(answer, start, stop, limits)
        )

    def parts(self, reference: AssetRef, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several parts of a file, fetched in parallel.

        Args:
            reference: The asset.
            spans: The half-open byte range of each part.

        Raises:
            AssetReadError: One of them cannot be read.
        """
        begun = [self._pool.submit(self.get, reference, *span) for span in spans]
        parts = []
        try:
            for span, part in zip(spans, begun, strict=True):
                # Parts that have not started, since all threads are busy, are fetched here.
                mine = part.cancel()
                parts.append(self.get(reference, *span)[0] if mine else part.result()[0])
        finally:
            for part in begun:
                part.cancel()
        return parts

    def stream(self, reference: AssetRef, receiver: Receiver) -> None:
        """Stream a file to ``receiver``, starting after the bytes it holds.

        After a dropped connection, the transfer resumes if the file is unchanged, else it
        restarts. Retries are unlimited as long as each makes progress.

        Raises:
            AssetReadError: The file cannot be read.
        """
        if is_on_disk(reference):
            receiver.begin(self.source(reference))
            for piece in file_pieces(reference):
                receiver.take(piece)
            return

        def range_headers() -> Mapping[str, str]:
            version = receiver.version
            if not receiver.held or version is None:
                return {}
            return {"Range": f"bytes={receiver.held}-", "If-Range": version}

        self._get(
            reference,
            range_headers,
            lambda answer: _receive(answer, receiver, self._resolver.limits),
            progress=lambda: receiver.held,
        )

    def source(self, reference: AssetRef) -> Source:
        """Return the size and headers of a file.

        Raises:
            AssetReadError: The file cannot be read.
        """
        if is_on_disk(reference):
            return Source(file_part(reference, 0, 0)[1])
        # A URL signed for GET is not valid for HEAD; the body is not read.
        return self._get(reference, dict, _source)

    def _get(
        self,
        reference: AssetRef,
        headers: Callable[[], Mapping[str, str]],
        use: Callable[[BaseHTTPResponse], T | None],
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """GET with retries, until ``use`` returns something other than ``None``."""
        cause, status, renewed = "", None, False
        attempt, pause, reached = 0, 0.0, progress()
        while attempt < _ATTEMPTS:
            if pause:
                time.sleep(pause)
            pause = _FIRST_PAUSE * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311
            attempt += 1
            url = self._url(reference)
            try:
                sent = {"Accept-Encoding": "identity", **headers()}
                with self._connections.get(url, sent) as answer:
                    status = answer.status
                    if status in _USABLE:
                        self._resolver.accepted(reference)
                        used = use(answer)
                        if used is not None:
                            return used
                        cause = "the server sent bytes other than those requested"
                        continue
                    cause = _status_text(answer, self._resolver.limits)
            except _LimitError as error:
                cause = str(error)
                break
            except (RequestException, HTTPError) as error:
                cause, status = f"{type(error).__name__}: the connection failed", None
                if progress() > reached:
                    attempt, reached, renewed = 0, progress(), False
                continue
            if status in _REFUSALS and not renewed and self._resolver.refused(reference, url):
                renewed, attempt, pause = True, attempt - 1, 0.0
            elif status in _TRANSIENT:
                pause = _retry_after(answer, pause)
            else:
                break
        url = ""  # errors keep their frames, and it is signed
        raise AssetReadError(
            f"{reference.label} cannot be read: {cause}. {_hint(status)}",
            status_code=status,
            request_url=reference.href,
        )

    def _url(self, reference: AssetRef) -> str:
        try:
            return self._resolver.url(reference)
        except ConstellrError as error:
            raise AssetReadError(
                f"{reference.label} cannot be read: no URL was obtained. {error}",
                status_code=error.status_code,
                request_url=error.request_url,
            ) from error


def _body(
    answer: BaseHTTPResponse, start: int, stop: int, limits: Limits
) -> tuple[bytes, int] | None:
    """Return the requested bytes and the file's size; ``None`` if wrong or incomplete."""
    total = _TOTAL.match(answer.headers.get("Content-Range", ""))
    if answer.status == _BEYOND_END:
        return b"", int(total[1]) if total else start
    if answer.status == _PART:
        first = _START.match(answer.headers.get("Content-Range", ""))
        if total is None or first is None or int(first[1]) != start:
            return None
        size = int(total[1])
        _check_size(size, limits)
        content = b"".join(_pieces(answer, limits, stop - start))
        return (content, size) if len(content) == min(stop, size) - start else None
    content, size = b"", 0  # the server does not support ranges
    for piece in _pieces(answer, limits):
        content += piece[max(0, start - size) : max(0, stop - size)]
        size += len(piece)
        if size >= stop and answer.length_remaining is not None:
            return content, size + answer.length_remaining
    return content, size


def _pieces(answer: BaseHTTPResponse, limits: Limits, most: float | None = None) -> Iterator[bytes]:
    """Yield the raw body, at most so many bytes, within the limits of time and size."""
    deadline = time.monotonic() + limits.answer_time
    left = limits.asset_bytes if most is None else most
    while left > 0 and (piece := answer.read1(int(min(left, _PIECE)), decode_content=False)):
        left -= len(piece)
        yield piece
        if time.monotonic() > deadline:
            raise _LimitError("its bytes arrive too slowly (limits.answer_time)")


def _source(answer: BaseHTTPResponse) -> Source:
    length = answer.headers.get("Content-Length", "")
    whole = answer.status == _WHOLE and length.isdigit()
    return Source(int(length) if whole else None, answer.headers)


def _receive(answer: BaseHTTPResponse, receiver: Receiver, limits: Limits) -> bool | None:
    """Stream the body to ``receiver``; ``None`` if it does not continue at the right offset."""
    source = _source(answer)
    _check_size(source.size, limits)
    if answer.status == _WHOLE:
        receiver.begin(source)
    elif not _continues(answer, source, receiver):
        receiver.begin(Source())
        return None
    since, missing = time.monotonic(), _PIECE
    while piece := answer.read1(_PIECE, decode_content=False):
        receiver.take(piece)
        missing -= len(piece)
        if missing <= 0:
            since, missing = time.monotonic(), _PIECE
        elif time.monotonic() > since + limits.answer_time:
            raise _LimitError("its bytes arrive too slowly (limits.answer_time)")
        _check_size(receiver.held, limits)
    return True


def _check_size(size: int | None, limits: Limits) -> None:
    if size is not None and size > limits.asset_bytes:
        raise _LimitError(f"it has more than {limits.asset_bytes:.0f} bytes (limits.asset_bytes)")


def _continues(answer: BaseHTTPResponse, source: Source, receiver: Receiver) -> bool:
    """Return whether a partial response is the requested one; some servers ignore If-Range."""
    start = _START.match(answer.headers.get("Content-Range", ""))
    return (
        answer.status == _PART
        and receiver.held > 0
        and start is not None
        and int(start[1]) == receiver.held
        and source.version in (None, receiver.version)
    )


def _retry_after(answer: BaseHTTPResponse, pause: float) -> float:
    """Honour Retry-After, in seconds or as a date, up to a limit."""
    try:
        requested = Retry().get_retry_after(answer) or 0.0
    except HTTPError:
        requested = 0.0  # an invalid header
    return min(max(pause, requested), _MAX_PAUSE)


def _status_text(answer: BaseHTTPResponse, limits: Limits) -> str:
    code = _CODE.search(b"".join(_pieces(answer, limits, 1000)))
    reason = code[1].decode() if code else answer.reason or ""
    return f"{answer.status} {reason}".rstrip()


def _hint(status: int | None) -> str:
    if status in _REFUSALS:
        return (
            "Check that your credentials for the bucket are correct, have not expired and allow "
            "reading it."
        )
    if status is None or status in _TRANSIENT or status in _USABLE:
        return f"Tried {_ATTEMPTS} times; try again later."
    return "The object may have been moved or deleted; search again."
