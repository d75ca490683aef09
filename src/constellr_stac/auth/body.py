"""Responses, read within bounds of size, time and rate."""

from __future__ import annotations

import functools
import http.client
import io
import time
from typing import TYPE_CHECKING, Any

from requests.exceptions import ChunkedEncodingError, ReadTimeout
from urllib3.exceptions import HTTPError, ProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import requests
    from urllib3 import BaseHTTPResponse

    from constellr_stac.limits import Limits

__all__ = ["LimitError", "TooSlowError", "read_body", "steady", "timed"]

_RAW_PIECE = 256 << 10
_LEAST_RATE = 256  # bytes a second, below which a response counts as stuck
_TOO_SLOW = "the answer arrives too slowly (limits.answer_time)"
_PIECE = 8 << 10  # a small compressed piece cannot become more than a few megabytes


class LimitError(Exception):
    """A response exceeds a limit, so that it is not requested again."""


def read_body(response: requests.Response, limits: Limits) -> None:
    """Read the body of a streamed response, so that ``response.content`` holds it.

    Raises:
        LimitError: It has too many bytes, or takes too long.
        ChunkedEncodingError: The connection broke off, or the encoding is wrong.
        ReadTimeout: As for :func:`steady`.
    """
    pieces, size = [], 0
    try:
        for piece in steady(response.raw, limits, piece=_PIECE, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            _check_size(size, limits)
    except HTTPError as error:
        response.close()
        raise ChunkedEncodingError(error) from error
    except (LimitError, TooSlowError):
        response.close()
        raise
    response._content = b"".join(pieces)  # noqa: SLF001 - as requests does when it reads a body
    response._content_consumed = True  # type: ignore[attr-defined] # noqa: SLF001
    response.raw.release_conn()


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.answer_bytes:
        raise LimitError(
            f"the answer has more than {limits.answer_bytes:.0f} bytes (limits.answer_bytes)"
        )


class TooSlowError(ReadTimeout):
    """A body arrives at less than the minimum rate."""


def steady(
    answer: BaseHTTPResponse,
    limits: Limits,
    *,
    most: float = float("inf"),
    piece: int = _RAW_PIECE,
    decode_content: bool = False,
) -> Iterator[bytes]:
    """Yield the pieces of a body as they arrive.

    Args:
        answer: A response with an unread body.
        limits: Bounds on waiting.

    Keyword Args:
        most: The number of bytes to read at most.
        piece: The number of bytes of a piece at most.
        decode_content: Whether to decompress.

    Raises:
        HTTPError: The connection failed, also in the headers (urllib3).
        ReadTimeout: Less than 256 bytes a second arrived over ``limits.read_timeout`` (requests).
    """
    since, count, left = time.monotonic(), 0, most
    is_framed = answer.length_remaining is not None or getattr(answer, "chunked", False)
    while left > 0 and (data := answer.read1(int(min(left, piece)), decode_content=decode_content)):
        left -= len(data)
        yield data
        count += len(data)
        now = time.monotonic()
        if now - since >= limits.read_timeout:
            if count < _LEAST_RATE * (now - since):
                msg = f"only {count} bytes arrived within limits.read_timeout"
                raise TooSlowError(msg)
            since, count = now, 0
    # http.client takes headers that break off for all headers.
    if left == most and most > 0 and not is_framed:
        msg = "the answer broke off in its headers"
        raise ProtocolError(msg)


@functools.lru_cache(maxsize=16)
def timed(kind: Any, seconds: float, piece: float) -> Any:
    """Return a connection class whose responses raise :class:`LimitError` if they take too long.

    Time counts from the request's end, so that it bounds the status line and headers too.

    Args:
        kind: A connection class of urllib3.
        seconds: For each piece of a response.
        piece: Bytes of a piece; infinite for one deadline for the whole response.
    """
    if kind.response_class is not http.client.HTTPResponse:
        return kind
    response = functools.partial(_TimedResponse, seconds, piece)
    return type(kind.__name__, (kind,), {"response_class": staticmethod(response)})


class _TimedResponse(http.client.HTTPResponse):
    def __init__(
        self, seconds: float, piece: float, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = _TimedSocket(self.fp.detach(), sock, seconds, piece)
        self.fp = io.BufferedReader(raw)


class _TimedSocket(io.RawIOBase):
    """The reading side of a socket: a socket's own timeout starts anew with each byte."""

    def __init__(
        self, raw: io.RawIOBase, sock: socket.socket, seconds: float, piece: float
    ) -> None:
        self._raw, self._sock, self._seconds, self._piece = raw, sock, seconds, piece
        self._restart()

    def _restart(self) -> None:
        self._end, self._missing = time.monotonic() + self._seconds, self._piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left, timeout = self._end - time.monotonic(), self._sock.gettimeout()
        is_last = timeout is None or left < timeout
        if left <= 0:
            raise LimitError(_TOO_SLOW)
        if is_last:
            self._sock.settimeout(left)
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            if is_last:
                raise LimitError(_TOO_SLOW) from None
            raise
        finally:
            if is_last:
                self._sock.settimeout(timeout)
        self._missing -= count or 0
        if self._missing <= 0:
            self._restart()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
