"""The object store: GET and HEAD of S3's path-style API, for signed requests."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from .options import BUCKET
from .s3_errors import S3Error
from .signatures import check_signature
from .sigv4_request import Received

if TYPE_CHECKING:
    from .access_keys import Keyring
    from .catalog import Catalogue
    from .objects import StoredObject
    from .options import Clock
    from .wire import Receive, Send

__all__ = ["ObjectStore"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class ObjectStore:
    """The store as an ASGI application; without Starlette, since benchmarks measure it."""

    def __init__(self, catalogue: Catalogue, keyring: Keyring, clock: Clock) -> None:
        self._catalogue = catalogue
        self._keyring = keyring
        self._clock = clock
        self._count = count(1)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Received(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            (await receive())["body"],
        )
        request_id = f"{next(self._count):016X}"
        try:
            answer = self._answer(request)
        except S3Error as error:
            answer = _Answer(
                error.status, {"content-type": "application/xml"}, error.xml(request_id)
            )
        headers = {"x-amz-request-id": request_id, **answer.headers}
        if answer.status != HTTPStatus.NOT_MODIFIED:
            headers.setdefault("content-length", str(len(answer.body)))
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        body = b"" if request.method == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    def _answer(self, request: Received) -> _Answer:
        check_signature(request, self._keyring, self._clock.now())
        bucket, _, key = request.path.removeprefix("/").partition("/")
        if bucket != BUCKET:
            raise S3Error(
                404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket
            )
        if request.method not in ("GET", "HEAD"):
            raise S3Error(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                Method=request.method,
            )
        if not key:
            raise S3Error(403, "AccessDenied", "Access Denied")  # listing is not allowed
        stored = self._catalogue.objects.get(key)
        if stored is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)
        return _deliver(stored, request)


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def _deliver(stored: StoredObject, request: Received) -> _Answer:
    headers = {
        "accept-ranges": "bytes",
        "content-type": stored.media_type,
        "etag": stored.etag,
        "last-modified": format_datetime(stored.modified, usegmt=True),
    }
    if _condition_fails(stored, request):
        raise S3Error(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
    if _is_unchanged(stored, request):
        return _Answer(304, headers, b"")
    start, stop = _range(stored, request)
    status = 206 if stop is not None else 200
    if stop is None:
        stop = stored.size
    else:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{stored.size}"
    if request.method == "HEAD":
        return _Answer(status, {**headers, "content-length": str(stop - start)}, b"")
    return _Answer(status, headers, stored.read(start, stop))


def _range(stored: StoredObject, request: Received) -> tuple[int, int | None]:
    """Return start and stop of the requested range; stop is ``None`` for the whole object.

    Multiple or invalid ranges are ignored, as by S3.
    """
    matched = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if matched is None or matched[0] == "bytes=-" or not _if_range_holds(stored, request):
        return 0, None
    first, last = matched.groups()
    if first and last and int(last) < int(first):
        return 0, None
    start = int(first) if first else max(0, stored.size - int(last))
    stop = min(stored.size, int(last) + 1) if first and last else stored.size
    if start >= stop:
        raise S3Error(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            RangeRequested=matched[0],
            ActualObjectSize=str(stored.size),
        )
    return start, stop


def _if_range_holds(stored: StoredObject, request: Received) -> bool:
    given = request.headers.get("if-range")
    if given is None:
        return True
    return given == stored.etag if '"' in given else _date(given) == stored.modified


def _condition_fails(stored: StoredObject, request: Received) -> bool:
    match = request.headers.get("if-match")
    if match is not None:
        return not _matches_etag(match, stored.etag)
    since = _date(request.headers.get("if-unmodified-since"))
    return since is not None and stored.modified > since


def _is_unchanged(stored: StoredObject, request: Received) -> bool:
    none_match = request.headers.get("if-none-match")
    if none_match is not None:
        return _matches_etag(none_match, stored.etag)
    since = _date(request.headers.get("if-modified-since"))
    return since is not None and stored.modified <= since


def _matches_etag(tags: str, etag: str) -> bool:
    given = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
    return bool(given & {"*", etag, etag.strip('"')})


def _date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
