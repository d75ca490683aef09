"""One GET of some bytes, tried again where that can help.

A 403 asks for a new URL, once; a dropped connection, a short body, 429 and 5xx wait and try
again; a 404 is final. What is raised names item, asset and cause, and shows no signature.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from requests.adapters import HTTPAdapter

from .errors import AssetReadError, ConstellrError
from .transport import TIMEOUT

if TYPE_CHECKING:
    from .locations import Locations
    from .references import Reference

__all__ = ["Transfer"]

_ATTEMPTS = 4
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 20.0
_WHOLE, _PART, _BEYOND = 200, 206, 416
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_REFUSALS = {400, 401, 403}  # S3 says 400 for an ended session token
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")


class Transfer:
    """Brings bytes of assets, over http(s) or from disk. Shared by all threads.

    Args:
        locations: Turns references into URLs, and gets new ones.
        connections: How many connections to a host are kept.
    """

    def __init__(self, locations: Locations, connections: int) -> None:
        self._locations = locations
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def get(self, reference: Reference, start: int, stop: int) -> tuple[bytes, int]:
        """Return the bytes from ``start`` up to ``stop``, fewer at the end, and the file's size.

        Raises:
            AssetReadError: They cannot be had; the message says which and why.
        """
        cause, status, renewed = "", None, False
        attempt = 0
        while attempt < _ATTEMPTS:
            attempt += 1
            url = self._url(reference)
            path = _local_path(url)
            if path is not None:
                return _from_disk(reference, path, start, stop)
            pause = _FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
            try:
                answer = self._session.get(
                    url,
                    headers={"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"},
                    auth=_unchanged,  # .netrc has nothing to say to a bucket
                    timeout=TIMEOUT,
                )
            except requests.RequestException as error:
                cause, status = f"{type(error).__name__}: the connection failed", None
                time.sleep(pause)
                continue
            status = answer.status_code
            if status in (_WHOLE, _PART, _BEYOND):
                return _body(answer, start, stop)
            cause = _said(answer)
            if status in _REFUSALS and not renewed and self._locations.refused(reference, url):
                renewed, attempt = True, attempt - 1
            elif status in _TRANSIENT:
                time.sleep(_asked_pause(answer, pause))
            else:
                break
        raise AssetReadError(
            f"{reference.label} cannot be read: {cause}. {_hint(status)}",
            status_code=status,
            request_url=reference.href,
        )

    def _url(self, reference: Reference) -> str:
        try:
            return self._locations.url(reference)
        except ConstellrError as error:
            raise AssetReadError(
                f"{reference.label} cannot be read: there is no URL for it. {error}",
                status_code=error.status_code,
                request_url=error.request_url,
            ) from error


def _body(answer: requests.Response, start: int, stop: int) -> tuple[bytes, int]:
    total = _TOTAL.match(answer.headers.get("Content-Range", ""))
    if answer.status_code == _BEYOND:
        return b"", int(total[1]) if total else start
    if answer.status_code == _PART and total is not None:
        return answer.content, int(total[1])
    return answer.content[start:stop], len(answer.content)  # a server that knows no ranges


def _from_disk(reference: Reference, path: Path, start: int, stop: int) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start), path.stat().st_size
    except OSError as error:
        raise AssetReadError(
            f"{reference.label} cannot be read: {error.strerror or error}. "
            "Check that the file is there and readable."
        ) from error


def _local_path(url: str) -> Path | None:
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return Path(url2pathname(urlsplit(url).path))
    return None if scheme in ("http", "https") else Path(url)


def _asked_pause(answer: requests.Response, pause: float) -> float:
    """Honour Retry-After in seconds, within reason."""
    asked = answer.headers.get("Retry-After", "")
    return min(max(pause, float(asked)) if asked.isdigit() else pause, _LONGEST_PAUSE)


def _said(answer: requests.Response) -> str:
    code = _CODE.search(answer.content[:1000])
    reason = code[1].decode() if code else answer.reason or ""
    return f"{answer.status_code} {reason}".rstrip()


def _hint(status: int | None) -> str:
    if status in _REFUSALS:
        return "Check that your credentials may read this bucket, and that they have not ended."
    if status is None or status in _TRANSIENT:
        return f"Tried {_ATTEMPTS} times; try again later."
    return "The object may have been moved or deleted; search again."


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
