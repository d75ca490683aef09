"""Verify files against the sizes and checksums stated by the item or the object store.

Missing and unsupported checksums are not checked.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from constellr_stac.reading.http import Source

__all__ = [
    "DIGEST",
    "Digests",
    "Expected",
    "digests_for",
    "expected_by_item",
    "expected_by_store",
    "mismatch",
    "multihash",
]

DIGEST = "sha256"
"""The :attr:`Expected.kind` of the manifest's checksums."""

_CHUNK = 1 << 20

_MULTIHASHES = {
    # Codes of the multicodec table that hashlib supports.
    0x11: "sha1",
    0x12: "sha256",
    0x13: "sha512",
    0x14: "sha3_512",
    0x15: "sha3_384",
    0x16: "sha3_256",
    0x17: "sha3_224",
    0x20: "sha384",
    0xD5: "md5",
    0x1013: "sha224",
    0xB240: "blake2b",
    0xB260: "blake2s",
}
_S3_CHECKSUMS = {
    # crc32c and crc64nvme are not in the standard library, and are only sent on request.
    "x-amz-checksum-sha256": "sha256",
    "x-amz-checksum-sha1": "sha1",
    "x-amz-checksum-crc32": "crc32",
}
_MD5 = re.compile(r'"([0-9a-f]{32})"')


@dataclass(frozen=True)
class Expected:
    """A size or checksum stated for a file."""

    source: str
    """Where it is stated, such as ``file:checksum`` or ``ETag``."""
    kind: str
    """A :mod:`hashlib` name, ``crc32``, or ``length``."""
    value: str
    """The digest in lower-case hexadecimal; the length in bytes, as decimal."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Digests:
    """Several digests of a stream of bytes.

    Args:
        kinds: The :attr:`Expected.kind` of each.

    Example:
        >>> digests = Digests({"crc32", "length"})
        >>> digests.update(b"pixels")
        >>> digests["crc32"], digests["length"]
        ('ce113ccb', '6')
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._running = {kind: _new_digest(kind) for kind in set(kinds)}

    def update(self, data: bytes) -> None:
        """Add bytes."""
        for digest in self._running.values():
            digest.update(data)

    def update_from(self, path: Path) -> None:
        """Add the bytes of a file."""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                self.update(chunk)

    def __getitem__(self, kind: str) -> str:
        return self._running[kind].hexdigest()


def digests_for(expected: Iterable[Expected]) -> Digests:
    """Return digests for what the manifest records and for what is expected."""
    return Digests({DIGEST, "length", *(each.kind for each in expected)})


def mismatch(expected: Iterable[Expected], digests: Digests) -> str | None:
    """Return the first mismatch as text, or ``None``."""
    for each in expected:
        found = digests[each.kind]
        if found != each.value:
            return f"{each.source} states {each.kind} {each.value}, found {found}"
    return None


def expected_by_item(fields: Mapping[str, Any]) -> tuple[Expected, ...]:
    """Return what ``file:size`` and ``file:checksum`` (a multihash) in an asset's fields state."""
    expected = []
    size, checksum = fields.get("file:size"), fields.get("file:checksum")
    if isinstance(size, int):
        expected.append(Expected("file:size", "length", str(size)))
    if isinstance(checksum, str):
        with contextlib.suppress(KeyError, ValueError, IndexError):
            kind, digest = _read_multihash(bytes.fromhex(checksum))
            expected.append(Expected("file:checksum", kind, digest.hex()))
    return tuple(expected)


def expected_by_store(source: Source) -> tuple[Expected, ...]:
    """Return what an object store's response for a whole object states.

    These are its length, S3's full-object checksums, and the ETag if it is an MD5: single-part
    uploads that are not encrypted with a customer's key (S3 user guide, "Checking object
    integrity").
    """
    expected = []
    headers = source.headers
    if source.size is not None:
        expected.append(Expected("Content-Length", "length", str(source.size)))
    composite = headers.get("x-amz-checksum-type", "").upper() == "COMPOSITE"  # of parts
    for name, kind in _S3_CHECKSUMS.items():
        try:
            digest = base64.b64decode(headers.get(name, ""), validate=True).hex()
        except binascii.Error:
            continue  # of parts: "<checksum>-<number of parts>"
        if len(digest) == len(_new_digest(kind).hexdigest()) and not composite:
            expected.append(Expected(name, kind, digest))
    etag = _MD5.fullmatch(headers.get("ETag", ""))
    if etag and "x-amz-request-id" in headers and _etag_may_be_md5(headers):
        expected.append(Expected("ETag", "md5", etag[1]))
    return tuple(expected)


def multihash(kind: str, digest: str) -> str:
    """Return a digest as a multihash in hexadecimal, as in ``file:checksum``.

    Example:
        >>> multihash("md5", "d41d8cd98f00b204e9800998ecf8427e")
        'd50110d41d8cd98f00b204e9800998ecf8427e'
    """
    (code,) = (code for code, name in _MULTIHASHES.items() if name == kind)
    raw = bytes.fromhex(digest)
    return (_varint(code) + _varint(len(raw)) + raw).hex()


class _Number:
    """A number, updated with each chunk, that has the interface of a hashlib digest."""

    def __init__(self, updated: Callable[[bytes, int], int], format_spec: str) -> None:
        self._value = 0
        self._updated = updated
        self._format_spec = format_spec

    def update(self, data: bytes, /) -> None:
        self._value = self._updated(data, self._value)

    def hexdigest(self) -> str:
        return format(self._value, self._format_spec)


def _new_digest(kind: str) -> _Digest:
    if kind == "length":
        return _Number(lambda data, length: length + len(data), "d")
    if kind == "crc32":
        return _Number(zlib.crc32, "08x")
    return hashlib.new(kind, usedforsecurity=False)


def _etag_may_be_md5(headers: Mapping[str, str]) -> bool:
    """Return whether an ETag may be an MD5: it is not with SSE-KMS or customer keys."""
    return "x-amz-server-side-encryption-customer-algorithm" not in headers and headers.get(
        "x-amz-server-side-encryption", "AES256"
    ).startswith("AES256")


def _read_multihash(raw: bytes) -> tuple[str, bytes]:
    """Split a multihash: varint code, varint length, digest."""
    code, rest = _read_varint(raw)
    length, digest = _read_varint(rest)
    kind = _MULTIHASHES[code]
    if not length == len(digest) == hashlib.new(kind, usedforsecurity=False).digest_size:
        raise ValueError(length)
    return kind, digest


def _read_varint(raw: bytes) -> tuple[int, bytes]:
    """Read an unsigned LEB128 number; return it and the rest."""
    value = 0
    for index in range(9):
        value |= (raw[index] & 0x7F) << (7 * index)
        if not raw[index] & 0x80:
            return value, raw[index + 1 :]
    raise ValueError(raw)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))
