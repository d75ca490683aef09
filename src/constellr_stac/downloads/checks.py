"""Whether a file is what it was said to be: its length, its digests, its pixels.

Said by the item (the STAC file extension) or by the object store's headers. What is not said is
not checked, and a promise of a kind that is not known here counts as none.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
import threading
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from constellr_stac.reading.http import Source

__all__ = [
    "Digests",
    "Promise",
    "broken",
    "damage",
    "is_tiff",
    "multihash",
    "promised_by_asset",
    "promised_by_store",
]

_PIECE = 1 << 20

_MULTIHASHES = {
    # Codes of the multicodec table, as far as Python's hashlib knows the function.
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
    # crc32c and crc64nvme need more than the standard library, and come only where asked for.
    "x-amz-checksum-sha256": "sha256",
    "x-amz-checksum-sha1": "sha1",
    "x-amz-checksum-crc32": "crc32",
}
_MD5 = re.compile(r'"([0-9a-f]{32})"')


@dataclass(frozen=True)
class Promise:
    """What somebody says of a whole file."""

    said_by: str
    """Where it is said, such as ``file:checksum`` or ``ETag``."""
    kind: str
    """A digest as :mod:`hashlib` names it, ``crc32``, or ``length``."""
    value: str
    """The digest in hexadecimal, in lower case; the length in bytes, decimal."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Digests:
    """What can be said of bytes, worked out as they come.

    Args:
        kinds: The :attr:`Promise.kind` of each.

    Example:
        >>> digests = Digests({"crc32", "length"})
        >>> digests.update(b"pixels")
        >>> digests["crc32"], digests["length"]
        ('ce113ccb', '6')
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._running = {kind: _new(kind) for kind in set(kinds)}

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for digest in self._running.values():
            digest.update(data)

    def update_from(self, path: Path) -> None:
        """Take the bytes of a file."""
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                self.update(piece)

    def __getitem__(self, kind: str) -> str:
        return self._running[kind].hexdigest()


def broken(promises: Iterable[Promise], digests: Digests) -> str | None:
    """Say which promise a file does not keep, if there is one."""
    for promise in promises:
        found = digests[promise.kind]
        if found != promise.value:
            return f"{promise.said_by} says {promise.kind} {promise.value}, and it is {found}"
    return None


def promised_by_asset(fields: Mapping[str, Any]) -> tuple[Promise, ...]:
    """Return what an item says of an asset: ``file:size`` and ``file:checksum`` (a multihash).

    Args:
        fields: The asset's fields beyond STAC's own.
    """
    promises = []
    size, checksum = fields.get("file:size"), fields.get("file:checksum")
    if isinstance(size, int):
        promises.append(Promise("file:size", "length", str(size)))
    if isinstance(checksum, str):
        with contextlib.suppress(KeyError, ValueError, IndexError):
            kind, digest = _read_multihash(bytes.fromhex(checksum))
            promises.append(Promise("file:checksum", kind, digest.hex()))
    return tuple(promises)


def promised_by_store(source: Source) -> tuple[Promise, ...]:
    """Return what an object store says of an object that it sends whole.

    That is its length, S3's checksums of a full object, and the ETag of one that was uploaded in
    one piece and is not encrypted with a key of the account's: that one is an MD5 (S3 user
    guide, "Checking object integrity").
    """
    promises = []
    headers = source.headers
    if source.size is not None:
        promises.append(Promise("Content-Length", "length", str(source.size)))
    composite = headers.get("x-amz-checksum-type", "").upper() == "COMPOSITE"  # of the parts' own
    for name, kind in _S3_CHECKSUMS.items():
        try:
            digest = base64.b64decode(headers.get(name, ""), validate=True).hex()
        except binascii.Error:
            continue  # of parts: "<checksum>-<number of parts>"
        if len(digest) == len(_new(kind).hexdigest()) and not composite:
            promises.append(Promise(name, kind, digest))
    etag = _MD5.fullmatch(headers.get("ETag", ""))
    if etag and "x-amz-request-id" in headers and _is_plain(headers):
        promises.append(Promise("ETag", "md5", etag[1]))
    return tuple(promises)


def multihash(kind: str, digest: str) -> str:
    """Return a digest as ``file:checksum`` has it.

    Example:
        >>> multihash("md5", "d41d8cd98f00b204e9800998ecf8427e")
        'd50110d41d8cd98f00b204e9800998ecf8427e'
    """
    (code,) = (code for code, name in _MULTIHASHES.items() if name == kind)
    raw = bytes.fromhex(digest)
    return (_varint(code) + _varint(len(raw)) + raw).hex()


def is_tiff(name: str) -> bool:
    """Say whether a file is one to decode, by its name."""
    return name.lower().endswith((".tif", ".tiff"))


def damage(path: Path) -> str | None:
    """Decode every block of a GeoTIFF; say what is wrong, if anything is.

    Args:
        path: Where the bytes are, whatever the name.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver="GTiff", sharing=False)
        with dataset:
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)
    except RasterioError as error:
        return f"it cannot be decoded ({error.__cause__ or error})"
    return None


_opening = threading.Lock()  # warnings are the process's: a picture may well have no place on Earth


class _Length:
    """A length with the face of a hashlib digest."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value += len(data)

    def hexdigest(self) -> str:
        return str(self._value)


class _CRC32:
    """zlib's CRC-32 with the face of a hashlib digest."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _new(kind: str) -> _Digest:
    if kind in _OWN:
        return _OWN[kind]()
    return hashlib.new(kind, usedforsecurity=False)


_OWN: Mapping[str, Callable[[], _Digest]] = {"length": _Length, "crc32": _CRC32}


def _is_plain(headers: Mapping[str, str]) -> bool:
    """Say whether an ETag can be an MD5: with keys of the account's, it is something else."""
    return "x-amz-server-side-encryption-customer-algorithm" not in headers and headers.get(
        "x-amz-server-side-encryption", "AES256"
    ).startswith("AES256")


def _read_multihash(raw: bytes) -> tuple[str, bytes]:
    """Split a multihash: code and length as varints, then the digest."""
    code, rest = _read_varint(raw)
    length, digest = _read_varint(rest)
    kind = _MULTIHASHES[code]
    if not length == len(digest) == hashlib.new(kind, usedforsecurity=False).digest_size:
        raise ValueError(length)
    return kind, digest


def _read_varint(raw: bytes) -> tuple[int, bytes]:
    """Read an unsigned LEB128 number, and return what follows it."""
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
