"""Transfers resume where they stopped, and restart if the object has changed."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from constellr_stac import AssetReadError, ConstellrAuth, Password
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.http import Receiver, Source, Transfer
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Exchange, Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = os.urandom(700_001)


class Buffer:
    """A receiver in memory."""

    def __init__(self, content: bytes = b"", version: str | None = None) -> None:
        self.content = bytearray(content)
        self.version = version
        self.begun: list[int | None] = []

    @property
    def held(self) -> int:
        return len(self.content)

    def begin(self, source: Source) -> None:
        self.content.clear()
        self.version = source.version
        self.begun.append(source.size)

    def take(self, piece: bytes) -> None:
        self.content += piece


_: type[Receiver] = Buffer


def ranges(sandbox: Sandbox) -> list[str | None]:
    """Return the range header of each request to the store."""
    return [request.headers.get("range") for request in store_requests(sandbox)]


def store_requests(sandbox: Sandbox) -> list[Exchange]:
    """The requests to the store."""
    return [exchange for exchange in sandbox.requests if exchange.server == "store"]


def fetch(reference: AssetRef, buffer: Buffer | None = None) -> Buffer:
    """Fetch a file."""
    buffer = buffer or Buffer()
    Transfer(AssetResolver(), 1).stream(reference, buffer)
    return buffer


def test_file_is_one_request(sandbox: Sandbox) -> None:
    """One request fetches a file, and states its size first."""
    buffer = fetch(AssetRef(sandbox.put("a b+c.bin", CONTENT)))
    assert buffer.content == CONTENT
    assert buffer.begun == [len(CONTENT)]
    assert ranges(sandbox) == [None]


def test_empty_file(sandbox: Sandbox) -> None:
    """An empty file is fetched."""
    reference = AssetRef(sandbox.put("empty", b""))
    assert fetch(reference).begun == [0]
    assert Transfer(AssetResolver(), 1).source(reference).size == 0


def test_broken_transfer_is_resumed(sandbox: Sandbox) -> None:
    """A broken transfer is resumed if the object is unchanged (If-Range)."""
    href = sandbox.put("long", CONTENT)
    sandbox.fail(Fault("long", kind="truncate", times=2))
    buffer = fetch(AssetRef(href))
    assert buffer.content == CONTENT
    assert buffer.begun == [len(CONTENT)]
    first, second = 350_000, 350_000 + 175_000
    assert ranges(sandbox) == [None, f"bytes={first}-", f"bytes={second}-"]
    assert {request.headers.get("if-range") for request in store_requests(sandbox)[1:]} == {
        buffer.version
    }


def test_transfer_with_progress_is_always_resumed(sandbox: Sandbox) -> None:
    """Retries are counted from the last bytes received."""
    href = sandbox.put("long", CONTENT)
    sandbox.fail(Fault("long", kind="truncate", times=5))
    assert fetch(AssetRef(href)).content == CONTENT
    assert len(store_requests(sandbox)) == 6


def test_changed_object_restarts(sandbox: Sandbox) -> None:
    """Bytes of an older version are discarded."""
    href = sandbox.put("changing", CONTENT)
    buffer = Buffer(b"old bytes", '"version 1"')
    fetch(AssetRef(href), buffer)
    assert buffer.content == CONTENT
    assert ranges(sandbox) == ["bytes=9-"]


def test_ignored_if_range_is_detected(sandbox: Sandbox) -> None:
    """A part of another version is not used, even if the server ignores If-Range."""
    href = sandbox.put("deaf", CONTENT)
    part = {"Content-Range": f"bytes 9-11/{len(CONTENT)}", "ETag": '"version 2"'}
    sandbox.fail(Fault("deaf", status=206, headers=part, body=b"new"))
    buffer = Buffer(b"old bytes", '"version 1"')
    fetch(AssetRef(href), buffer)
    assert buffer.content == CONTENT
    assert ranges(sandbox) == ["bytes=9-", None]


@pytest.mark.parametrize(
    "headers",
    [{"Content-Range": "bytes 0-2/700001"}, {}, {"Content-Range": "nonsense"}],
    ids=["another part", "no word", "nonsense"],
)
def test_wrong_range_is_not_used(sandbox: Sandbox, headers: dict[str, str]) -> None:
    """A part that does not continue the bytes held is not used."""
    href = sandbox.put("other", CONTENT)
    sandbox.fail(Fault("other", status=206, headers=headers, body=b"new"))
    buffer = Buffer(b"old bytes", '"version 1"')
    fetch(AssetRef(href), buffer)
    assert buffer.content == CONTENT


def test_too_many_bytes_held(sandbox: Sandbox) -> None:
    """If more bytes are held than the object has, it restarts."""
    href = sandbox.put("short", b"short")
    version = fetch(AssetRef(href)).version
    buffer = Buffer(b"short and more", version)
    fetch(AssetRef(href), buffer)
    assert buffer.content == b"short"


def test_weak_etag_is_not_resumable(sandbox: Sandbox) -> None:
    """A weak ETag does not identify bytes (RFC 9110, 13.1.5)."""
    href = sandbox.put("weak", CONTENT)
    buffer = Buffer(b"old bytes", None)
    assert fetch(AssetRef(href), buffer).content == CONTENT
    assert ranges(sandbox) == [None]
    assert Source(3, {"ETag": 'W/"1"', "Last-Modified": "x"}).version is None
    assert Source(3, {"Last-Modified": "x"}).version == "x"


def test_expired_url_is_renewed_during_a_transfer() -> None:
    """A URL that expires during a transfer is renewed each time, and the transfer resumes."""
    with Sandbox(presigned=True) as sandbox:
        item = sandbox.items[0]
        path = item["assets"]["lst"]["href"].removeprefix("s3:/")
        sandbox.put(path.split("/", 2)[2], CONTENT)
        password = Password(sandbox.username, sandbox.password)

        class Breaking(AssetResolver):
            def _renew(self, key: Any) -> Any:
                if len(store_requests(sandbox)) < 3:  # truncate the first two responses
                    sandbox.fail(Fault("lst.tiff", server="store", kind="truncate"))
                return super()._renew(key)

        resolver = Breaking(ConstellrAuth(password, base_url=sandbox.api_url))
        reference = AssetRef(
            sandbox.s3_url + path.replace(" ", "%20").replace("+", "%2B"),
            item["collection"],
            item["id"],
            "lst",
        )

        class Slow(Buffer):
            def take(self, piece: bytes) -> None:
                if self.held in (0, len(CONTENT) // 2):
                    sandbox.advance(timedelta(hours=2))  # in the middle of two responses
                super().take(piece)

        buffer = Slow()
        Transfer(resolver, 1).stream(reference, buffer)
        assert buffer.content == CONTENT
        assert [request.status for request in store_requests(sandbox)] == [200, 403, 206, 403, 206]
        assert len(buffer.begun) == 1


def test_missing_file_is_not_retried(sandbox: Sandbox) -> None:
    """A 404 is final and names the file."""
    with pytest.raises(AssetReadError, match=r"s3://.*/nothing cannot be read: 404 NoSuchKey"):
        fetch(AssetRef(f"s3://{sandbox.bucket}/nothing"))
    assert len(store_requests(sandbox)) == 1


@pytest.mark.fails
def test_transfer_without_progress_is_given_up(sandbox: Sandbox) -> None:
    """Without progress there are four attempts, as for every read."""
    href = sandbox.put("stuck", CONTENT)
    sandbox.fail(Fault("stuck", kind="reset", times=None))
    with pytest.raises(AssetReadError, match="Connection reset"):
        fetch(AssetRef(href))
    assert len(store_requests(sandbox)) <= 8


@pytest.mark.parametrize("scheme", ["{}", "file://{}"])
def test_local_file(tmp_path: Path, scheme: str) -> None:
    """Paths and file URLs are read."""
    (tmp_path / "on disk").write_bytes(CONTENT)
    href = scheme.format(tmp_path / "on disk").replace(" ", "%20" if "file" in scheme else " ")
    buffer = Buffer(b"old", "version")
    assert fetch(AssetRef(href), buffer).content == CONTENT
    assert buffer.begun == [len(CONTENT)]


def test_receiver_errors_are_not_retried(sandbox: Sandbox) -> None:
    """A full disk is not a connection error."""

    class Full(Buffer):
        def take(self, piece: bytes) -> None:
            raise OSError(errno.ENOSPC, f"No space left for {len(piece)} bytes")

    with pytest.raises(OSError, match="No space left"):
        fetch(AssetRef(sandbox.put("any", CONTENT)), Full())
    assert len(store_requests(sandbox)) == 1
