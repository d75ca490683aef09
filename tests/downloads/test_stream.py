"""A file's bytes go on where they stopped, and begin anew when the file is another."""

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


class Kept:
    """Keeps what it takes in memory."""

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


_: type[Receiver] = Kept


def ranges(sandbox: Sandbox) -> list[str | None]:
    """What part each request to the store asked for."""
    return [asked.headers.get("range") for asked in store(sandbox)]


def store(sandbox: Sandbox) -> list[Exchange]:
    """The requests to the store."""
    return [exchange for exchange in sandbox.requests if exchange.server == "store"]


def arrived(reference: AssetRef, kept: Kept | None = None) -> Kept:
    """Bring a file."""
    kept = kept or Kept()
    Transfer(AssetResolver(), 1).stream(reference, kept)
    return kept


def test_a_file_comes_whole(sandbox: Sandbox) -> None:
    """One request brings a file, and says how long it is before it comes."""
    kept = arrived(AssetRef(sandbox.put("a b+c.bin", CONTENT)))
    assert kept.content == CONTENT
    assert kept.begun == [len(CONTENT)]
    assert ranges(sandbox) == [None]


def test_an_empty_file_comes(sandbox: Sandbox) -> None:
    """Nothing is something, too."""
    reference = AssetRef(sandbox.put("empty", b""))
    assert arrived(reference).begun == [0]
    assert Transfer(AssetResolver(), 1).source(reference).size == 0


def test_bytes_that_break_off_are_gone_on_with(sandbox: Sandbox) -> None:
    """Half a body is half the work done, if the file is the same still (If-Range)."""
    href = sandbox.put("long", CONTENT)
    sandbox.fail(Fault("long", kind="truncate", times=2))
    kept = arrived(AssetRef(href))
    assert kept.content == CONTENT
    assert kept.begun == [len(CONTENT)]
    first, second = 350_000, 350_000 + 175_000
    assert ranges(sandbox) == [None, f"bytes={first}-", f"bytes={second}-"]
    assert {asked.headers.get("if-range") for asked in store(sandbox)[1:]} == {kept.version}


def test_what_breaks_off_again_and_again_arrives(sandbox: Sandbox) -> None:
    """Patience is counted from the last bytes that came."""
    href = sandbox.put("long", CONTENT)
    sandbox.fail(Fault("long", kind="truncate", times=5))
    assert arrived(AssetRef(href)).content == CONTENT
    assert len(store(sandbox)) == 6


def test_another_file_begins_anew(sandbox: Sandbox) -> None:
    """What is held of a file that is no more is worth nothing."""
    href = sandbox.put("changing", CONTENT)
    kept = Kept(b"old bytes", '"version 1"')
    arrived(AssetRef(href), kept)
    assert kept.content == CONTENT
    assert ranges(sandbox) == ["bytes=9-"]


def test_a_server_deaf_to_if_range_is_seen_through(sandbox: Sandbox) -> None:
    """A part of another version is not taken, whatever the server makes of If-Range."""
    href = sandbox.put("deaf", CONTENT)
    part = {"Content-Range": f"bytes 9-11/{len(CONTENT)}", "ETag": '"version 2"'}
    sandbox.fail(Fault("deaf", status=206, headers=part, body=b"new"))
    kept = Kept(b"old bytes", '"version 1"')
    arrived(AssetRef(href), kept)
    assert kept.content == CONTENT
    assert ranges(sandbox) == ["bytes=9-", None]


@pytest.mark.parametrize(
    "headers",
    [{"Content-Range": "bytes 0-2/700001"}, {}, {"Content-Range": "nonsense"}],
    ids=["another part", "no word", "nonsense"],
)
def test_another_part_is_not_taken(sandbox: Sandbox, headers: dict[str, str]) -> None:
    """A part that does not follow what is held is not put there."""
    href = sandbox.put("other", CONTENT)
    sandbox.fail(Fault("other", status=206, headers=headers, body=b"new"))
    kept = Kept(b"old bytes", '"version 1"')
    arrived(AssetRef(href), kept)
    assert kept.content == CONTENT


def test_more_than_there_is(sandbox: Sandbox) -> None:
    """Whoever holds more than the file is long gets the file."""
    href = sandbox.put("short", b"short")
    version = arrived(AssetRef(href)).version
    kept = Kept(b"short and more", version)
    arrived(AssetRef(href), kept)
    assert kept.content == b"short"


def test_without_a_version_nothing_is_gone_on_with(sandbox: Sandbox) -> None:
    """A weak ETag does not vouch for bytes (RFC 9110, 13.1.5)."""
    href = sandbox.put("weak", CONTENT)
    kept = Kept(b"old bytes", None)
    assert arrived(AssetRef(href), kept).content == CONTENT
    assert ranges(sandbox) == [None]
    assert Source(3, {"ETag": 'W/"1"', "Last-Modified": "x"}).version is None
    assert Source(3, {"Last-Modified": "x"}).version == "x"


def test_a_signature_that_ends_on_the_way_is_renewed() -> None:
    """A URL that ends mid-file is asked for again, each time, and the transfer goes on."""
    with Sandbox(presigned=True) as sandbox:
        item = sandbox.items[0]
        path = item["assets"]["lst"]["href"].removeprefix("s3:/")
        sandbox.put(path.split("/", 2)[2], CONTENT)
        password = Password(sandbox.username, sandbox.password)

        class Breaking(AssetResolver):
            def ask(self, collection: str, item: str) -> Any:
                if len(store(sandbox)) < 3:  # the first two good answers break off
                    sandbox.fail(Fault("lst.tiff", server="store", kind="truncate"))
                return super().ask(collection, item)

        resolver = Breaking(ConstellrAuth(password, base_url=sandbox.api_url))
        reference = AssetRef(
            sandbox.s3_url + path.replace(" ", "%20").replace("+", "%2B"),
            item["collection"],
            item["id"],
            "lst",
        )

        class Slow(Kept):
            def take(self, piece: bytes) -> None:
                if self.held in (0, len(CONTENT) // 2):
                    sandbox.advance(timedelta(hours=2))  # in the middle of two answers
                super().take(piece)

        kept = Slow()
        Transfer(resolver, 1).stream(reference, kept)
        assert kept.content == CONTENT
        assert [asked.status for asked in store(sandbox)] == [200, 403, 206, 403, 206]
        assert len(kept.begun) == 1


def test_a_missing_file_is_not_asked_for_twice(sandbox: Sandbox) -> None:
    """A 404 is final, and named."""
    with pytest.raises(AssetReadError, match=r"s3://.*/nothing cannot be read: 404 NoSuchKey"):
        arrived(AssetRef(f"s3://{sandbox.bucket}/nothing"))
    assert len(store(sandbox)) == 1


def test_a_server_that_never_gets_on_is_left(sandbox: Sandbox) -> None:
    """Without a byte of progress it is four attempts, as for every read."""
    href = sandbox.put("stuck", CONTENT)
    sandbox.fail(Fault("stuck", kind="reset", times=None))
    with pytest.raises(AssetReadError, match="the connection failed"):
        arrived(AssetRef(href))
    assert len(store(sandbox)) == 4


@pytest.mark.parametrize("scheme", ["{}", "file://{}"])
def test_a_file_on_disk_is_a_file(tmp_path: Path, scheme: str) -> None:
    """A path and a file URL are read as they are."""
    (tmp_path / "on disk").write_bytes(CONTENT)
    href = scheme.format(tmp_path / "on disk").replace(" ", "%20" if "file" in scheme else " ")
    kept = Kept(b"old", "version")
    assert arrived(AssetRef(href), kept).content == CONTENT
    assert kept.begun == [len(CONTENT)]


def test_what_the_receiver_raises_is_its_own(sandbox: Sandbox) -> None:
    """A full disk is no fault of the connection, and is not tried again."""

    class Full(Kept):
        def take(self, piece: bytes) -> None:
            raise OSError(errno.ENOSPC, f"No space left for {len(piece)} bytes")

    with pytest.raises(OSError, match="No space left"):
        arrived(AssetRef(sandbox.put("any", CONTENT)), Full())
    assert len(store(sandbox)) == 1
