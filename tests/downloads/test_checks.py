"""Verification of files: stated sizes and checksums, and damaged GeoTIFFs."""

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

from constellr_stac import Limits
from constellr_stac.downloads.checks import (
    Digests,
    Expected,
    expected_by_item,
    expected_by_store,
    mismatch,
    multihash,
)
from constellr_stac.downloads.kinds import decode_error
from constellr_stac.reading.http import Source

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = b"pixels"
MD5 = hashlib.md5(PIXELS, usedforsecurity=False).hexdigest()
STORE = {"X-Amz-Request-Id": "1", "ETag": f'"{MD5}"'}


def stated(**headers: str) -> set[tuple[str, str]]:
    """What the store promises, by these headers besides its usual ones."""
    given = CaseInsensitiveDict(STORE | {name.replace("_", "-"): v for name, v in headers.items()})
    return {(one.source, one.kind) for one in expected_by_store(Source(None, given))}


def encoded(digest: bytes) -> str:
    """Return a digest as in S3's headers."""
    return base64.b64encode(digest).decode()


@given(st.lists(st.binary(max_size=50)))
def test_digests_do_not_depend_on_chunks(pieces: list[bytes]) -> None:
    """Digests of any chunks equal those of the whole."""
    whole = b"".join(pieces)
    digests = Digests({"sha256", "md5", "crc32", "length"})
    for piece in pieces:
        digests.update(piece)
    assert digests["sha256"] == hashlib.sha256(whole).hexdigest()
    assert digests["md5"] == hashlib.md5(whole, usedforsecurity=False).hexdigest()
    assert digests["crc32"] == f"{zlib.crc32(whole):08x}"
    assert digests["length"] == str(len(whole))


def test_mismatch_is_named() -> None:
    """The first mismatch is reported, with both values."""
    digests = Digests({"md5", "length"})
    digests.update(PIXELS)
    buffer = Expected("ETag", "md5", MD5)
    assert mismatch([buffer, Expected("Content-Length", "length", "6")], digests) is None
    reported = mismatch([buffer, Expected("file:size", "length", "7")], digests)
    assert reported == "file:size states length 7, found 6"


# Stated by an item


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
def test_multihashes_are_parsed(code: str, kind: str) -> None:
    """A multihash is a varint code, a length and the digest."""
    digest = hashlib.new(kind, PIXELS).hexdigest()
    text = f"{code}{len(digest) // 2:02x}{digest}"
    assert expected_by_item({"file:checksum": text}) == (Expected("file:checksum", kind, digest),)
    assert expected_by_item({"file:checksum": text.upper()})[0].value == digest
    assert multihash(kind, digest) == text


def test_multihash_from_another_tool() -> None:
    """The output of md5sum for ``Hello``."""
    (expected,) = expected_by_item({"file:checksum": "d50110" + "8b1a9953c4611296a827abf8c47804d7"})
    digests = Digests({expected.kind})
    digests.update(b"Hello")
    assert mismatch([expected], digests) is None


@pytest.mark.parametrize(
    "checksum",
    ["", "12", "1220", "1220ff", "no hex", "1e20" + 32 * "ab", "ffffffffffffffffffff01", 7, None],
)
def test_unknown_multihash_is_ignored(checksum: object) -> None:
    """An unknown function or a malformed value cannot be checked."""
    assert expected_by_item({"file:checksum": checksum}) == ()


def test_file_size() -> None:
    """``file:size`` is checked."""
    assert expected_by_item({"file:size": 6}) == (Expected("file:size", "length", "6"),)


# Stated by a store


def test_content_length() -> None:
    """The length of a whole response is checked."""
    assert expected_by_store(Source(6)) == (Expected("Content-Length", "length", "6"),)


@pytest.mark.parametrize(
    ("name", "kind", "digest"),
    [
        ("x_amz_checksum_sha256", "sha256", hashlib.sha256(PIXELS).digest()),
        ("x_amz_checksum_sha1", "sha1", hashlib.sha1(PIXELS, usedforsecurity=False).digest()),
        ("x_amz_checksum_crc32", "crc32", zlib.crc32(PIXELS).to_bytes(4)),
    ],
)
def test_s3_checksums(name: str, kind: str, digest: bytes) -> None:
    """S3's full-object checksums are checked; composite ones are not."""
    header = name.replace("_", "-")
    assert stated(**{name: encoded(digest)}) == {(header, kind), ("ETag", "md5")}
    assert stated(**{name: encoded(digest) + "-2"}) == {("ETag", "md5")}
    of_parts = stated(**{name: encoded(digest), "x_amz_checksum_type": "COMPOSITE"})
    assert of_parts == {("ETag", "md5")}
    source = Source(None, CaseInsensitiveDict({header: encoded(digest)}))
    digests = Digests({kind})
    digests.update(PIXELS)
    assert mismatch(expected_by_store(source), digests) is None


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
def test_only_md5_etags_are_checked(headers: dict[str, str], is_md5: bool) -> None:  # noqa: FBT001 - a row
    """An ETag is an MD5 only under S3's conditions."""
    assert (("ETag", "md5") in stated(**headers)) == is_md5


def test_etags_of_other_servers_are_ignored() -> None:
    """Another server's ETag may look like an MD5."""
    assert expected_by_store(Source(None, {"ETag": f'"{MD5}"'})) == ()


# GeoTIFF structure


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    """A tiled GeoTIFF of three bands, without georeferencing."""
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


def test_valid_tiff_has_no_error(tiff: Path) -> None:
    """No error and no warning."""
    assert decode_error(tiff, Limits()) is None


@pytest.mark.parametrize("keep", [8, 1000, -5000])
def test_truncated_tiff_cannot_be_decoded(tiff: Path, keep: int) -> None:
    """Truncation is detected anywhere in the file."""
    tiff.write_bytes(tiff.read_bytes()[:keep])
    assert "cannot be decoded" in str(decode_error(tiff, Limits()))


def test_modified_tiff_cannot_be_decoded(tiff: Path) -> None:
    """Compressed blocks have their own checksums."""
    content = bytearray(tiff.read_bytes())
    content[len(content) // 2] ^= 0xFF
    tiff.write_bytes(content)
    assert "cannot be decoded" in str(decode_error(tiff, Limits()))


def test_other_content_cannot_be_decoded(tiff: Path) -> None:
    """An error page named as a TIFF is detected."""
    tiff.write_bytes(b"<html>Service unavailable</html>")
    assert "cannot be decoded" in str(decode_error(tiff, Limits()))
