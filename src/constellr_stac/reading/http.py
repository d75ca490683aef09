"""GETs of byte ranges and resumable GETs of files; :mod:`.asset_get` retries them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from constellr_stac.auth.body import LimitError, steady

from .asset_get import BEYOND_END, PART, WHOLE, AssetGetter
from .local import file_part, file_pieces, is_on_disk, version_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from urllib3 import BaseHTTPResponse

    from constellr_stac.limits import Limits

    from .asset_ref import AssetRef
    from .resolver import AssetResolver

__all__ = ["Receiver", "Source", "Transfer"]

T = TypeVar("T")

_START = re.compile(r"bytes (\d+)-")
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


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
        self.limits = resolver.limits
        self._assets = AssetGetter(resolver, connections)

    def get(self, reference: AssetRef, start: int, stop: int) -> tuple[bytes, int]:
        """Return the bytes in ``[start, stop)``, fewer at the end, and the file's size.

        Raises:
            AssetReadError: They cannot be read.
        """
        return self.part(reference, start, stop)[:2]

    def part(self, reference: AssetRef, start: int, stop: int) -> tuple[bytes, int, Hashable]:
        """Return what :meth:`get` does, and what changes when the file is rewritten, if known."""
        if is_on_disk(reference):
            version = version_of(reference)
            return *file_part(reference, start, stop), version
        limits = self.limits
        headers = {"Range": f"bytes={start}-{stop - 1}"}

        def use(answer: BaseHTTPResponse) -> tuple[bytes, int, Hashable] | None:
            body = _body(answer, start, stop, limits)
            etag = answer.headers.get("ETag", "")
            return None if body is None else (*body, "" if etag.startswith("W/") else etag)

        return self._assets.get(reference, lambda: headers, use)

    def stream(self, reference: AssetRef, receiver: Receiver) -> None:
        """Stream a file to ``receiver``, starting after the bytes it holds.

        After a dropped connection, the transfer resumes if the file is unchanged, else it
        restarts. It is retried as long as bytes arrive.

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

        self._assets.get(
            reference,
            range_headers,
            lambda answer: _receive(answer, receiver, self.limits),
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
        return self._assets.get(reference, dict, _source)


def _body(
    answer: BaseHTTPResponse, start: int, stop: int, limits: Limits
) -> tuple[bytes, int] | None:
    """Return the requested bytes and the file's size; ``None`` if wrong or incomplete."""
    total = _TOTAL.match(answer.headers.get("Content-Range", ""))
    if answer.status == BEYOND_END:
        return b"", int(total[1]) if total else start
    if answer.status == PART:
        first = _START.match(answer.headers.get("Content-Range", ""))
        if total is None or first is None or int(first[1]) != start:
            return None
        size = int(total[1])
        _check_size(size, limits)
        content = b"".join(steady(answer, limits, most=stop - start))
        return (content, size) if len(content) == min(stop, size) - start else None
    content, size = b"", 0  # the server does not support ranges
    for piece in steady(answer, limits, most=limits.asset_bytes):
        content += piece[max(0, start - size) : max(0, stop - size)]
        size += len(piece)
        if size >= stop and answer.length_remaining is not None:
            return content, size + answer.length_remaining
    return content, size


def _source(answer: BaseHTTPResponse) -> Source:
    length = answer.headers.get("Content-Length", "")
    whole = answer.status == WHOLE and length.isdigit()
    return Source(int(length) if whole else None, answer.headers)


def _receive(answer: BaseHTTPResponse, receiver: Receiver, limits: Limits) -> bool | None:
    """Stream the body to ``receiver``; ``None`` if it does not continue at the right offset."""
    source = _source(answer)
    _check_size(source.size, limits)
    if answer.status == WHOLE:
        receiver.begin(source)
    elif not _continues(answer, source, receiver):
        receiver.begin(Source())
        return None
    for piece in steady(answer, limits):
        receiver.take(piece)
        _check_size(receiver.held, limits)
    return True


def _check_size(size: int | None, limits: Limits) -> None:
    if size is not None and size > limits.asset_bytes:
        raise LimitError(f"it has more than {limits.asset_bytes:.0f} bytes (limits.asset_bytes)")


def _continues(answer: BaseHTTPResponse, source: Source, receiver: Receiver) -> bool:
    """Return whether a partial response is the requested one; some servers ignore If-Range."""
    start = _START.match(answer.headers.get("Content-Range", ""))
    return (
        answer.status == PART
        and receiver.held > 0
        and start is not None
        and int(start[1]) == receiver.held
        and source.version in (None, receiver.version)
    )
