"""Bodies of API responses, read within bounds of size and time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import HTTPError

from constellr_stac.errors import APIError

if TYPE_CHECKING:
    import requests

    from constellr_stac.limits import Limits

__all__ = ["read_body"]

_PIECE = 8 << 10  # a small compressed piece cannot become more than a few megabytes


def read_body(response: requests.Response, limits: Limits) -> None:
    """Read the body of a streamed response, so that ``response.content`` holds it.

    Raises:
        APIError: It is larger, or takes longer, than the limits allow.
        ChunkedEncodingError: The connection broke off, or the encoding is wrong.
    """
    deadline = time.monotonic() + limits.answer_time
    pieces, size = [], 0
    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > limits.answer_bytes:
                raise _refused(response, f"more than {limits.answer_bytes:.0f} bytes", "bytes")
            if time.monotonic() > deadline:
                raise _refused(response, f"a body for over {limits.answer_time:g} s", "time")
    except HTTPError as error:
        raise ChunkedEncodingError(error) from error
    response._content = b"".join(pieces)  # noqa: SLF001 - as requests does when it reads a body
    response._content_consumed = True  # type: ignore[attr-defined] # noqa: SLF001
    response.raw.release_conn()


def _refused(response: requests.Response, what: str, bound: str) -> APIError:
    response.close()
    return APIError(
        f"{response.request.method} {response.url} answered with {what} (limits.answer_{bound}).",
        status_code=response.status_code,
        request_url=response.url,
    )
