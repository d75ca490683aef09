"""What is said of a file is compared with it, and a damaged one is seen."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from constellr_stac.downloads.checks import (
    Digests,
    Promise,
    broken,
    damage,
    multihash,
    promised_by_asset,
    promised_by_store,
)
from constellr_stac.reading.http import Source

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = b"pixels"
MD5 = hashlib.md5(PIXELS, usedforsecurity=False).hexdigest()
STORE = {"X-Amz-Request-Id": "1", "ETag": f'"{MD5}"'}


def said(**headers: str) -> set[tuple[str, str]]:
    """What the store promises, by these headers besides its usual ones."""
    given = CaseInsensitiveDict(STORE | {name.replace("_", "-"): v for name, v in headers.items()})
    return {(one.said_by, one.kind) for one in promised_by_store(Source(None, given))}


def encoded(digest: bytes) -> str:
    """A digest as S3's headers have it."""
    return base64.b64encode(digest).decode()


@given(st.lists(st.binary(max_size=50)))
def test_digests_are_those_of_the_whole(pieces: list[bytes]) -> None:
    """However the bytes come, it is the whole that counts."""
    whole = b"".join(pieces)
    digests = Digests({"sha256", "md5", "crc32", "length"})
    for piece in pieces:
        digests.update(piece)
    assert digests["sha256"] == hashlib.sha256(whole).hexdigest()
    assert digests["md5"] == hashlib.md5(whole, usedforsecurity=False).hexdigest()
    assert digests["crc32"] == f"{zlib.crc32(whole):08x}"
    assert digests["length"] == str(len(whole))


def test_broken_promises_are_named() -> None:
    """The first promise that is not kept is told, with both values."""
    digests = Digests({"md5", "length"})
    digests.update(PIXELS)
    kept = Promise("ETag", "md5", MD5)
    assert broken([kept, Promise("Content-Length", "length", "6")], digests) is None
    told = broken([kept, Promise("file:size", "length", "7")], digests)
    assert told == "file:size says length 7, and it is 6"


# What an item says


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("11", "sha1"),
        ("12", "sha256"),
        ("13", "sha512"),
        ("14", "sha3_512"),
        ("20", "sha384"),
        ("d501", "md5"),
        ("9320", "sha224"),
        ("c0e402", "blake2b"),
        ("e0e402", "blake2s"),
    ],
)
def test_multihashes_are_read(code: str, kind: str) -> None:
    """A multihash is its function's code (a varint), its length and the digest."""
    digest = hashlib.new(kind, PIXELS).hexdigest()
    text = f"{code}{len(digest) // 2:02x}{digest}"
    assert promised_by_asset({"file:checksum": text}) == (Promise("file:checksum", kind, digest),)
    assert promised_by_asset({"file:checksum": text.upper()})[0].value == digest
    assert multihash(kind, digest) == text


def test_a_multihash_made_elsewhere() -> None:
    """What md5sum says of ``Hello``."""
    (promise,) = promised_by_asset({"file:checksum": "d50110" + "8b1a9953c4611296a827abf8c47804d7"})
    digests = Digests({promise.kind})
    digests.update(b"Hello")
    assert broken([promise], digests) is None


@pytest.mark.parametrize(
    "checksum",
    ["", "12", "1220", "1220ff", "no hex", "1e20" + 32 * "ab", "ffffffffffffffffffff01", 7, None],
)
def test_what_is_no_known_multihash_is_no_promise(checksum: object) -> None:
    """A function that is not known here, or nonsense, cannot be compared with."""
    assert promised_by_asset({"file:checksum": checksum}) == ()


def test_file_size() -> None:
    """The item's word on the length counts."""
    assert promised_by_asset({"file:size": 6}) == (Promise("file:size", "length", "6"),)


# What a store says


def test_content_length() -> None:
    """A whole answer's length is that of the file."""
    assert promised_by_store(Source(6)) == (Promise("Content-Length", "length", "6"),)


@pytest.mark.parametrize(
    ("name", "kind", "digest"),
    [
        ("x_amz_checksum_sha256", "sha256", hashlib.sha256(PIXELS).digest()),
        ("x_amz_checksum_sha1", "sha1", hashlib.sha1(PIXELS, usedforsecurity=False).digest()),
        ("x_amz_checksum_crc32", "crc32", zlib.crc32(PIXELS).to_bytes(4)),
    ],
)
def test_s3_checksums(name: str, kind: str, digest: bytes) -> None:
    """S3's checksum of a full object is compared with; one of its parts' checksums is not."""
    header = name.replace("_", "-")
    assert said(**{name: encoded(digest)}) == {(header, kind), ("ETag", "md5")}
    assert said(**{name: encoded(digest) + "-2"}) == {("ETag", "md5")}
    of_parts = said(**{name: encoded(digest), "x_amz_checksum_type": "COMPOSITE"})
    assert of_parts == {("ETag", "md5")}
    source = Source(None, CaseInsensitiveDict({header: encoded(digest)}))
    digests = Digests({kind})
    digests.update(PIXELS)
    assert broken(promised_by_store(source), digests) is None


@pytest.mark.parametrize(
    ("headers", "is_md5"),
    [
        ({}, True),
        ({"x_amz_server_side_encryption": "AES256"}, True),
        ({"x_amz_server_side_encryption": "aws:kms"}, False),
        ({"x_amz_server_side_encryption": "aws:kms:dsse"}, False),
        ({"x_amz_server_side_encryption_customer_algorithm": "AES256"}, False),
        ({"ETag": f'"{MD5}-2"'}, False),
        ({"ETag": f'W/"{MD5}"'}, False),
        ({"ETag": '"version 1"'}, False),
    ],
)
def test_etags_that_are_md5s(headers: dict[str, str], is_md5: bool) -> None:  # noqa: FBT001 - a row
    """An ETag is an MD5 where S3 says that it is one, and nowhere else."""
    assert (("ETag", "md5") in said(**headers)) == is_md5


def test_etags_of_others_are_no_md5s() -> None:
    """A web server's ETag may look like one by chance."""
    assert promised_by_store(Source(None, {"ETag": f'"{MD5}"'})) == ()


# A GeoTIFF's own structure


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    """A picture of three bands in tiles, which is nowhere on Earth."""
    path = tmp_path / "picture.tiff"
    values = np.random.default_rng(0).integers(0, 255, (3, 600, 600), "uint8")
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=600,
            height=600,
            count=3,
            dtype="uint8",
            compress="deflate",
            tiled=True,
        ) as file,
    ):
        file.write(values)
    return path


def test_a_good_tiff_has_no_damage(tiff: Path) -> None:
    """Nothing is wrong with it, and nobody is warned of anything."""
    assert damage(tiff) is None


@pytest.mark.parametrize("keep", [8, 1000, -5000])
def test_a_short_tiff_is_damaged(tiff: Path, keep: int) -> None:
    """A file that breaks off, wherever it does, is seen."""
    tiff.write_bytes(tiff.read_bytes()[:keep])
    assert "it cannot be decoded" in str(damage(tiff))


def test_a_changed_tiff_is_damaged(tiff: Path) -> None:
    """Compressed blocks bear a checksum of their own."""
    content = bytearray(tiff.read_bytes())
    content[len(content) // 2] ^= 0xFF
    tiff.write_bytes(content)
    assert "it cannot be decoded" in str(damage(tiff))


def test_what_is_no_tiff_is_damaged(tiff: Path) -> None:
    """An error page under the name of a scene is no scene."""
    tiff.write_bytes(b"<html>Service unavailable</html>")
    assert "it cannot be decoded" in str(damage(tiff))
