"""One GET of some bytes, or of a file from where it stopped, tried again where that can help.

A 403 asks for a new URL, once; a dropped connection, a short body, 429 and 5xx wait and try
again; a 404 is final. What is raised names item, asset and cause, and shows no signature.
"""

from __future__ import annotations

import functools
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from requests import RequestException
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from constellr_stac.errors import AssetReadError, ConstellrError

from .connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from urllib3 import BaseHTTPResponse

    from .asset_ref import AssetRef
    from .resolver import AssetResolver

__all__ = ["Receiver", "Source", "Transfer"]

T = TypeVar("T")

_ATTEMPTS = 4
_PIECE = 256 << 10
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 20.0
_WHOLE, _PART, _BEYOND = _SENT = 200, 206, 416
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_REFUSALS = {400, 401, 403}  # S3 says 400 for an ended session token
_START = re.compile(r"bytes (\d+)-")
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")


@dataclass(frozen=True)
class Source:
    """What a server says of a file whose bytes it sends."""

    size: int | None = None
    """Bytes in all; ``None`` where it does not say."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The answer's headers, whatever the case of their names."""

    @property
    def version(self) -> str | None:
        """What tells these bytes from later ones: a strong ETag, else the date of change."""
        etag = self.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            return etag
        return None if etag else self.headers.get("Last-Modified")


class Receiver(Protocol):
    """Takes the bytes of one file in order; it may hold the first of them from before.

    It is called by one thread. What a method raises ends the transfer and is passed on.
    """

    @property
    def held(self) -> int:
        """How many bytes it holds."""

    @property
    def version(self) -> str | None:
        """The :attr:`Source.version` they are of; ``None``: they cannot be gone on with."""

    def begin(self, source: Source) -> None:
        """Let go of what is held: the file comes from its first byte."""

    def take(self, piece: bytes) -> None:
        """Hold the next bytes, too."""


class Transfer:
    """Brings bytes of assets, over http(s) or from disk. Shared by all threads.

    Args:
        resolver: Turns references into URLs, and gets new ones.
        connections: How many connections to a host are kept.
    """

    def __init__(self, resolver: AssetResolver, connections: int) -> None:
        self._locations = resolver
        self._most = connections
        self._connections = Connections(connections)

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._most, thread_name_prefix="constellr-parts")

    def get(self, reference: AssetRef, start: int, stop: int) -> tuple[bytes, int]:
        """Return the bytes from ``start`` up to ``stop``, fewer at the end, and the file's size.

        Raises:
            AssetReadError: They cannot be had; the message says which and why.
        """
        path = _local_path(reference.href)
        if path is not None:
            return _from_disk(reference, path, start, stop)
        wanted = {"Range": f"bytes={start}-{stop - 1}"}
        return self._ask(reference, lambda: wanted, lambda answer: _body(answer, start, stop))

    def parts(self, reference: AssetRef, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several parts of a file, fetched side by side.

        Args:
            reference: The asset.
            spans: Offsets of the first byte and of the one after the last of each.

        Raises:
            AssetReadError: One of them cannot be had.
        """
        begun = [self._pool.submit(self.get, reference, *span) for span in spans]
        parts = []
        try:
            for span, part in zip(spans, begun, strict=True):
                # What nobody has begun, since all are busy, is fetched here.
                mine = part.cancel()
                parts.append(self.get(reference, *span)[0] if mine else part.result()[0])
        finally:
            for part in begun:
                part.cancel()
        return parts

    def stream(self, reference: AssetRef, receiver: Receiver) -> None:
        """Hand a whole file to ``receiver``, from the first byte that it does not hold.

        Where the bytes break off they are gone on with, if the file is still the same; else it
        begins anew. However often they break off, as long as some come in between.

        Raises:
            AssetReadError: The file cannot be had; the message says which and why.
        """
        path = _local_path(reference.href)
        if path is not None:
            receiver.begin(self.source(reference))
            for piece in _pieces(reference, path):
                receiver.take(piece)
            return

        def wanted() -> Mapping[str, str]:
            version = receiver.version
            if not receiver.held or version is None:
                return {}
            return {"Range": f"bytes={receiver.held}-", "If-Range": version}

        self._ask(
            reference,
            wanted,
            lambda answer: _pour(answer, receiver),
            progress=lambda: receiver.held,
        )

    def source(self, reference: AssetRef) -> Source:
        """Return what is known of a file before its bytes.

        Raises:
            AssetReadError: Nothing is; the message says why.
        """
        path = _local_path(reference.href)
        if path is not None:
            return Source(_from_disk(reference, path, 0, 0)[1])
        # A URL signed for GET is not good for HEAD; the body is left unread.
        return self._ask(reference, dict, _source)

    def _ask(
        self,
        reference: AssetRef,
        headers: Callable[[], Mapping[str, str]],
        use: Callable[[BaseHTTPResponse], T | None],
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """GET, and try again as long as ``use`` makes nothing of the answers."""
        cause, status, renewed = "", None, False
        attempt, pause, reached = 0, 0.0, progress()
        while attempt < _ATTEMPTS:
            if pause:
                time.sleep(pause)
            pause = _FIRST_PAUSE * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311
            attempt += 1
            url = self._url(reference)
            try:
                wanted = {"Accept-Encoding": "identity", **headers()}
                with self._connections.get(url, wanted) as answer:
                    status = answer.status
                    if status in _SENT:
                        self._locations.accepted(reference)
                        used = use(answer)
                        if used is not None:
                            return used
                        cause = "the server sends other bytes than it was asked for"
                        continue
                    cause = _said(answer)
            except (RequestException, HTTPError) as error:
                cause, status = f"{type(error).__name__}: the connection failed", None
                if progress() > reached:
                    attempt, reached, renewed = 0, progress(), False
                continue
            if status in _REFUSALS and not renewed and self._locations.refused(reference, url):
                renewed, attempt, pause = True, attempt - 1, 0.0
            elif status in _TRANSIENT:
                pause = _asked_pause(answer, pause)
            else:
                break
        raise AssetReadError(
            f"{reference.label} cannot be read: {cause}. {_hint(status)}",
            status_code=status,
            request_url=reference.href,
        )

    def _url(self, reference: AssetRef) -> str:
        try:
            return self._locations.url(reference)
        except ConstellrError as error:
            raise AssetReadError(
                f"{reference.label} cannot be read: there is no URL for it. {error}",
                status_code=error.status_code,
                request_url=error.request_url,
            ) from error


def _body(answer: BaseHTTPResponse, start: int, stop: int) -> tuple[bytes, int] | None:
    """Return the bytes asked for and the file's size; nothing if they are others, or too few."""
    total = _TOTAL.match(answer.headers.get("Content-Range", ""))
    if answer.status == _BEYOND:
        return b"", int(total[1]) if total else start
    if answer.status == _PART:
        first = _START.match(answer.headers.get("Content-Range", ""))
        if total is None or first is None or int(first[1]) != start:
            return None
        content, size = answer.data, int(total[1])
        return (content, size) if len(content) == min(stop, size) - start else None
    return answer.data[start:stop], len(answer.data)  # a server that knows no ranges


def _source(answer: BaseHTTPResponse) -> Source:
    length = answer.headers.get("Content-Length", "")
    whole = answer.status == _WHOLE and length.isdigit()
    return Source(int(length) if whole else None, answer.headers)


def _pour(answer: BaseHTTPResponse, receiver: Receiver) -> bool | None:
    """Hand the body on; say nothing if it does not go on where the receiver stopped."""
    source = _source(answer)
    if answer.status == _WHOLE:
        receiver.begin(source)
    elif not _goes_on(answer, source, receiver):
        receiver.begin(Source())
        return None
    while piece := answer.read1(_PIECE, decode_content=False):
        receiver.take(piece)
    return True


def _goes_on(answer: BaseHTTPResponse, source: Source, receiver: Receiver) -> bool:
    """Say whether a part is what was asked for; not every server heeds If-Range."""
    start = _START.match(answer.headers.get("Content-Range", ""))
    return (
        answer.status == _PART
        and receiver.held > 0
        and start is not None
        and int(start[1]) == receiver.held
        and source.version in (None, receiver.version)
    )


def _pieces(reference: AssetRef, path: Path) -> Iterator[bytes]:
    """Read a file on disk; what goes wrong where the bytes end up is none of its business."""
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise _unreadable(reference, error) from error


def _from_disk(reference: AssetRef, path: Path, start: int, stop: int) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start), path.stat().st_size
    except OSError as error:
        raise _unreadable(reference, error) from error


def _unreadable(reference: AssetRef, error: OSError) -> AssetReadError:
    scheme, is_url, _ = reference.href.partition("://")
    if is_url and scheme != "file":
        why = f"{scheme}:// is not read here. There are s3://, https:// and files"
    else:
        why = f"{error.strerror or error}. Check that the file is there and readable"
    return AssetReadError(f"{reference.label} cannot be read: {why}.")


def _local_path(href: str) -> Path | None:
    scheme = urlsplit(href).scheme
    if scheme == "file":
        return Path(url2pathname(urlsplit(href).path))
    return None if scheme in ("http", "https", "s3") else Path(href)


def _asked_pause(answer: BaseHTTPResponse, pause: float) -> float:
    """Honour Retry-After, in seconds or as a date, within reason."""
    try:
        asked = Retry().get_retry_after(answer) or 0.0
    except HTTPError:
        asked = 0.0  # it is neither
    return min(max(pause, asked), _LONGEST_PAUSE)


def _said(answer: BaseHTTPResponse) -> str:
    code = _CODE.search(answer.data[:1000])
    reason = code[1].decode() if code else answer.reason or ""
    return f"{answer.status} {reason}".rstrip()


def _hint(status: int | None) -> str:
    if status in _REFUSALS:
        return (
            "Check that your credentials for the bucket are right and have not ended, and that "
            "they may read it."
        )
    if status is None or status in _TRANSIENT or status in _SENT:
        return f"Tried {_ATTEMPTS} times; try again later."
    return "The object may have been moved or deleted; search again."
