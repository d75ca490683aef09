"""Bodies of responses, read within bounds of size, time and rate."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from requests.exceptions import ChunkedEncodingError, ReadTimeout
from urllib3.exceptions import HTTPError, ProtocolError

from constellr_stac.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from urllib3 import BaseHTTPResponse

    from constellr_stac.limits import Limits

__all__ = ["TooSlowError", "read_body", "steady"]

_RAW_PIECE = 256 << 10
_LEAST_RATE = 256  # bytes a second, below which a response counts as stuck
_FRAMING, _BODILESS = {"content-length", "transfer-encoding"}, (204, 304)
_PIECE = 8 << 10  # a small compressed piece cannot become more than a few megabytes


def read_body(response: requests.Response, limits: Limits) -> None:
    """Read the body of a streamed response, so that ``response.content`` holds it.

    Raises:
        APIError: It is larger, or takes longer, than the limits allow.
        ChunkedEncodingError: The connection broke off, or the encoding is wrong.
        ReadTimeout: As for :func:`steady`.
    """
    deadline = time.monotonic() + limits.answer_time
    pieces, size = [], 0
    try:
        for piece in steady(response.raw, limits, piece=_PIECE, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > limits.answer_bytes:
                raise _refused(response, f"more than {limits.answer_bytes:.0f} bytes", "bytes")
            if time.monotonic() > deadline:
                raise _refused(response, f"a body for over {limits.answer_time:g} s", "time")
    except HTTPError as error:
        response.close()
        raise ChunkedEncodingError(error) from error
    except TooSlowError:
        response.close()
        raise
    response._content = b"".join(pieces)  # noqa: SLF001 - as requests does when it reads a body
    response._content_consumed = True  # type: ignore[attr-defined] # noqa: SLF001
    response.raw.release_conn()


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
    while left > 0 and (data := answer.read1(int(min(left, piece)), decode_content=decode_content)):
        left -= len(data)
        yield data
        count += len(data)
        now = time.monotonic()
        if now - since >= limits.read_timeout:
            if count < _LEAST_RATE * (now - since):
                msg = f"only {count} bytes arrived in {now - since:.0f} s"
                raise TooSlowError(msg)
            since, count = now, 0
    # http.client takes headers that break off for all headers.
    is_framed = _FRAMING & {*map(str.lower, answer.headers)} or answer.status in _BODILESS
    if left == most and most > 0 and not is_framed:
        msg = "the answer broke off in its headers"
        raise ProtocolError(msg)


def _refused(response: requests.Response, what: str, bound: str) -> APIError:
    response.close()
    return APIError(
        f"{response.request.method} {response.url} answered with {what} (limits.answer_{bound}).",
        status_code=response.status_code,
        request_url=response.url,
    )
