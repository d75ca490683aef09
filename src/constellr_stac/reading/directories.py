"""The directories of a TIFF: which bytes of a file describe it, and which hold its blocks.

Of a long file only some parts are fetched. GDAL takes a part that is not there for zeros: a file
without masks, overviews or blocks. So what is missing is found here first. (TIFF 6.0, section 2;
BigTIFF has 8-byte offsets.)
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .geotiff import RefusedFileError, check_magic, check_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from constellr_stac.limits import Limits

__all__ = [
    "Directory",
    "MissingBytesError",
    "Span",
    "check_count",
    "check_masks",
    "read_directories",
]

Span = tuple[int, int]
"""A half-open range of bytes."""

_AHEAD = 16 << 10  # bytes fetched with a directory that is somewhere else, since more follows
_MOST = 250  # directories, and entries of each
_MOST_PLACES = 128  # where parts of them lie, each of which costs a request
_MOST_SPANS = 2048  # that are not in memory yet
_MOST_BYTES = 64 << 20  # of all values; a file of 64 GiB in blocks of 64 KiB has 16 MiB
_MOST_BLOCKS = 1 << 16  # of a window; 268 million pixels in tiles of 64 x 64 pixels
_LEADER = 4  # a block of a COG is preceded by its length and followed by a copy of its last bytes
_PIECE = 8 << 10
_LEADERS = b"BLOCK_LEADER=SIZE_AS_UINT4"
_GHOST = 512  # bytes in which GDAL describes such a file
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_KIND, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _BANDS, _PLANAR = 254, 256, 257, 258, 259, 277, 284
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323
_STARTS, _SIZES_OF = (324, 273), (325, 279)  # of tiles, of strips
_REDUCED, _MASK, _APART, _PLAIN = 1, 4, 2, 1


class MissingBytesError(Exception):
    """The directories lead to bytes that are not there."""

    def __init__(self, spans: Sequence[Span]) -> None:
        super().__init__(spans)
        self.spans = spans


class Directory(NamedTuple):
    """One image of a TIFF: the full resolution, an overview or a mask."""

    shape: tuple[int, int]
    """Rows and columns."""
    block: tuple[int, int]
    """Rows and columns of a block."""
    planes: int
    """The number of bands whose blocks are stored apart; 1 if bands share blocks."""
    kind: int
    pixel_bytes: int
    """Bytes of a decoded pixel of a block, of all its bands."""
    row_bytes: int
    """Bytes of a row of an image in one uncompressed strip, which GDAL reads in pieces; else 0."""
    margin: int
    starts: NDArray[np.integer[Any]]
    sizes: NDArray[np.integer[Any]]

    @property
    def is_mask(self) -> bool:
        """Whether it is the mask of another image."""
        return bool(self.kind & _MASK)

    @property
    def is_overview(self) -> bool:
        """Whether it is an overview."""
        return bool(self.kind & _REDUCED) and not self.is_mask

    def places(self, rows: slice, columns: slice) -> list[range]:
        """Return in which rows and columns of blocks a window is."""
        return [
            range(part.start // length, (part.stop - 1) // length + 1)
            for part, length in zip((rows, columns), self.block, strict=True)
        ]

    def blocks(
        self, rows: slice, columns: slice, plane: int
    ) -> Iterator[tuple[Span, tuple[slice, slice]]]:
        """Yield the bytes of each block of a window, and its rows and columns.

        Args:
            rows: Rows of the image.
            columns: Columns of the image.
            plane: The band, from 0, if bands are stored apart.
        """
        height, width = self.block
        down, across = -(-self.shape[0] // height), -(-self.shape[1] // width)
        places = self.places(rows, columns)
        for row in places[0]:
            for column in places[1]:
                number = (plane * down + row) * across + column
                if number >= min(len(self.starts), len(self.sizes)):
                    raise RefusedFileError("it does not say where its blocks are")
                start, size = int(self.starts[number]), int(self.sizes[number])
                if not start or not size:
                    continue  # an empty block
                place = slice(row * height, (row + 1) * height)
                if self.row_bytes:
                    before = max(0, rows.start * self.row_bytes - _PIECE)
                    size = min(size, rows.stop * self.row_bytes) - before
                    start += before
                span = (start - self.margin, start + size + self.margin)
                yield span, (place, slice(column * width, (column + 1) * width))


def read_directories(regions: Sequence[tuple[int, bytes]], size: int) -> list[Directory]:
    """Read all directories of a file, the full resolution first.

    Args:
        regions: Offsets and their bytes; the first one is the file's beginning.
        size: The size of the file.

    Raises:
        MissingBytesError: Bytes that the directories need are not among the regions.
        RefusedFileError: The directories are implausible.
    """
    try:
        return list(_Reader(regions, size).directories())
    except (ValueError, struct.error) as error:
        raise RefusedFileError(f"its directories are damaged ({error})") from error


def check_count(directories: Iterable[Directory], rows: slice, columns: slice) -> None:
    """Check the number of blocks of a window before they are listed.

    Args:
        directories: The images whose blocks are read, one entry for each plane.
        rows: Rows of the images.
        columns: Columns of the images.

    Raises:
        RefusedFileError: There are implausibly many.
    """
    count = sum(math.prod(map(len, each.places(rows, columns))) for each in directories)
    if count > _MOST_BLOCKS:
        raise RefusedFileError(f"a window of it has {count} blocks, more than {_MOST_BLOCKS}")


def check_masks(directories: Sequence[Directory], limits: Limits) -> None:
    """Check the decoded size of a tile or strip of all images, since GDAL tells no masks'.

    Raises:
        RefusedFileError: It exceeds the limit.
    """
    for each in directories:
        if not each.row_bytes:
            check_window(each.block, "uint8", limits, bands=each.pixel_bytes)


class _Reader:
    """Reads directories out of parts of a file."""

    def __init__(self, regions: Sequence[tuple[int, bytes]], size: int) -> None:
        self._regions, self._size = regions, size
        head = regions[0][1]
        check_magic(head)
        self._order = "<" if head[:2] == b"II" else ">"
        self._is_big = head[2:4] in (b"+\0", b"\0+")
        self._margin = _LEADER if _LEADERS in head[:_GHOST] else 0
        self._missing: list[Span] = []
        self._missing_places: set[int] = set()
        self._missing_bytes = 0
        self._bytes_of_values = 0

    def directories(self) -> Iterator[Directory]:
        pointer = "Q" if self._is_big else "I"
        width = struct.calcsize(pointer)
        count, entry = ("Q", 20) if self._is_big else ("H", 12)
        found: list[dict[int, NDArray[Any]]] = []
        (offset,) = self._unpacked(pointer, 8 if self._is_big else 4)
        seen: set[int] = set()
        while offset and offset < self._size:
            if offset in seen or len(seen) >= _MOST:
                raise RefusedFileError(f"its directories form a loop, or are more than {_MOST}")
            seen.add(offset)
            (entries,) = self._unpacked(count, offset)
            if entries > _MOST:
                raise RefusedFileError(f"a directory of it has {entries} entries")
            first = offset + struct.calcsize(count)
            content = self._bytes(first, first + entries * entry + width)
            if content is None:
                raise MissingBytesError(self._missing)
            places = range(0, entries * entry, entry)
            found.append(  # of a tag that comes twice, the first counts
                dict(self._entry(content[at:], first + at) for at in reversed(places))
            )
            (offset,) = struct.unpack_from(self._order + pointer, content, entries * entry)
        if self._missing:
            raise MissingBytesError(self._missing)
        return map(self._directory, found)

    def _unpacked(self, form: str, start: int) -> tuple[int, ...]:
        content = self._bytes(start, start + struct.calcsize(form))
        if content is None:
            raise MissingBytesError(self._missing)
        return struct.unpack(self._order + form, content)

    def _entry(self, entry: bytes, place: int) -> tuple[int, NDArray[Any]]:
        """Return tag and values of an entry; no values if they are missing or no integers."""
        form, inline = ("HHQ", 8) if self._is_big else ("HHI", 4)
        tag, kind, count = struct.unpack_from(self._order + form, entry)
        start = place + struct.calcsize(self._order + form)
        length = _SIZES.get(kind, 1) * count
        if length > inline:
            pointer = "Q" if self._is_big else "I"
            (start,) = struct.unpack_from(
                self._order + pointer, entry, struct.calcsize(self._order + form)
            )
        self._bytes_of_values += length
        if self._bytes_of_values > _MOST_BYTES:
            raise RefusedFileError(f"its directories have over {_MOST_BYTES} bytes of values")
        stop = min(start + length, self._size)
        content = self._bytes(start, stop, length=length) if start < stop else b""
        if content is None or kind not in (1, 3, 4, 16):
            return tag, np.empty(0, "uint64")
        return tag, np.frombuffer(content, f"{self._order}u{_SIZES[kind]}")

    def _bytes(self, start: int, stop: int, *, length: int = _AHEAD) -> bytes | None:
        """Return a part of the file; ``None``, and note it, if it is missing."""
        if stop > self._size:
            raise RefusedFileError("its directories lead beyond its end")
        for offset, content in self._regions:
            if offset <= start and stop <= offset + len(content):
                return content[start - offset : stop - offset]
        stop = min(self._size, max(stop, start + length))
        self._missing.append((start, stop))
        self._missing_places.add(start // _AHEAD)
        self._missing_bytes += stop - start
        places = len(self._regions) + len(self._missing_places)
        is_large = self._missing_bytes > _MOST_BYTES or len(self._missing) > _MOST_SPANS
        if is_large or places > _MOST_PLACES:
            raise RefusedFileError("its directories are implausibly large or scattered")
        return None

    def _directory(self, tags: dict[int, NDArray[Any]]) -> Directory:
        def number(tag: int, default: int) -> int:
            return int(tags[tag][0]) if tag in tags and len(tags[tag]) else default

        shape = number(_LENGTH, 0), number(_WIDTH, 0)
        bands = number(_BANDS, 1)
        planes = bands if number(_PLANAR, 1) == _APART else 1
        empty = np.empty(0, "uint64")
        is_tiled = _TILE_WIDTH in tags
        if is_tiled:
            block = number(_TILE_LENGTH, 0), number(_TILE_WIDTH, 0)
        else:
            block = min(number(_ROWS_PER_STRIP, shape[0]), shape[0]), shape[1]
        if min(*shape, *block) < 1:
            raise RefusedFileError("an image of it has no pixels")
        bits = number(_BITS, 1)
        row_bytes = -(-shape[1] * bits * bands // 8)
        starts, sizes = (
            next((tags[tag] for tag in pair if tag in tags), empty) for pair in (_STARTS, _SIZES_OF)
        )
        plain = number(_COMPRESSION, _PLAIN) == _PLAIN and not is_tiled
        return Directory(
            shape,
            block,
            planes,
            number(_KIND, 0),
            -(-bits // 8) * (bands if planes == 1 else 1),
            row_bytes if plain and planes == len(starts) == 1 else 0,
            self._margin,
            starts,
            sizes,
        )
