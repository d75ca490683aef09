"""How long files are, as far as known, and so how much of one is asked for first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .asset_ref import AssetRef

__all__ = ["HEADER_BYTES", "HEAD_BYTES", "Lengths"]

HEAD_BYTES = 1 << 20
"""Bytes of the first request: enough for a whole scene of usual size."""

HEADER_BYTES = 1 << 15
"""Bytes of the first request for a file that is known to be long."""

_MAX_KNOWN = 10_000  # files, and kinds of files
_LONG = 8 << 20  # bytes of pixels, which are rarely compressed to less than HEAD_BYTES


class Lengths:
    """Remembers which files are longer than :data:`HEAD_BYTES`."""

    def __init__(self) -> None:
        self._sizes: dict[AssetRef, int] = {}
        self._are_long: dict[Hashable, bool] = {}

    def size_of(self, reference: AssetRef) -> int | None:
        """Return the size of a file whose header was read; ``None`` if unknown."""
        return self._sizes.get(reference)

    def head_bytes(self, reference: AssetRef, pixel_bytes: int = 0) -> int:
        """Return how many bytes of a file are asked for first.

        Args:
            reference: The asset.
            pixel_bytes: The bytes of its pixels, uncompressed; 0 if unknown.
        """
        size = self._sizes.get(reference)
        if size is None:
            is_long = self._are_long.get(_kind(reference, pixel_bytes), pixel_bytes >= _LONG)
        else:
            is_long = size > HEAD_BYTES
        return HEADER_BYTES if is_long else HEAD_BYTES

    def remember(self, reference: AssetRef, size: int) -> None:
        """Remember the size of a file that will be read again."""
        if len(self._sizes) >= _MAX_KNOWN:
            self._sizes.clear()
        self._sizes[reference] = size

    def learn(self, reference: AssetRef, pixel_bytes: int, size: int) -> None:
        """Remember that files like this one are long, or short."""
        if len(self._are_long) >= _MAX_KNOWN:
            self._are_long.clear()
        self._are_long[_kind(reference, pixel_bytes)] = size > HEAD_BYTES


def _kind(reference: AssetRef, pixel_bytes: int) -> Hashable:
    """Return what files of about the same length have in common."""
    return reference.collection, reference.asset, pixel_bytes
