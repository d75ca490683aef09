"""Masks that are read with values: decoded once for all variables, and applied to pixels."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from constellr_stac._process import STATE

from .dilation import dilated

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from .asset_file import AssetFile
    from .raster import Pixels

__all__ = ["MAX_MASK_BYTES", "Buffer", "DecodedMasks", "decoded_masks", "masked"]

MAX_MASK_BYTES = 32 << 20
"""Maximum bytes of decoded masks per process."""


class DecodedMasks:
    """Decoded windows of masks, the most recently used up to a number of bytes; thread-safe.

    A window is valid as long as the very bytes that it was decoded from are held.
    """

    def __init__(self, most: int = MAX_MASK_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[weakref.ref[AssetFile], Pixels]] = OrderedDict()
        self._bytes = 0

    def get(self, file: AssetFile, key: Hashable, decode: Callable[[], Pixels]) -> Pixels:
        """Return a window of a file, decoded on first use; its values cannot be written to."""
        with self._lock:
            source, pixels = self._held.get(key, (None, None))
            if pixels is not None and source is not None and source() is file:
                self._held.move_to_end(key)
                return pixels
        pixels = decode()
        pixels.values.flags.writeable = False
        with self._lock:
            self._drop(key)
            self._held[key] = weakref.ref(file), pixels
            self._bytes += pixels.values.nbytes
            while self._bytes > self._most:
                self._drop(next(iter(self._held)))
        return pixels

    def _drop(self, key: Hashable) -> None:
        if key in self._held:
            self._bytes -= self._held.pop(key)[1].values.nbytes


def decoded_masks() -> DecodedMasks:
    """Return those of this process."""
    return STATE.shared("masks", "", DecodedMasks)


class Buffer(NamedTuple):
    """What is masked around pixels of some classes."""

    classes: tuple[int, ...]
    metres: float
    pixel: tuple[float, float]
    """Height and width of a pixel in metres."""
    reach: tuple[int, int]
    """The metres in rows and columns."""

    def around(self, geobox: GeoBox) -> GeoBox:
        """Return a grid that is larger by the buffer on all sides."""
        rows, columns = self.reach
        return geobox.pad(columns, rows)


def masked(
    pixels: Pixels,
    mask: Pixels,
    kept: Sequence[int],
    buffer: Buffer | None = None,
    *,
    fill: float | None,
) -> Pixels:
    """Return pixels with ``fill`` where a mask does not keep them, or there is none.

    Args:
        pixels: The values, which may be changed in place.
        mask: A window of the same grid, or with a buffer of the grid around it.
        kept: The classes that are kept.
        buffer: What is masked around other classes.

    Keyword Args:
        fill: The value for no data.
    """
    keep, roi = _is_in(mask.values, kept), mask.roi
    if buffer is not None:
        near = _is_in(mask.values, buffer.classes)
        keep &= ~dilated(near, buffer.metres, buffer.pixel)
        rows, columns = (
            slice(part.start - by, part.stop - by)
            for part, by in zip(roi, buffer.reach, strict=True)
        )
        roi = rows, columns
    values = pixels.values if pixels.values.flags.writeable else pixels.values.copy()
    np.copyto(values, values.dtype.type(fill or 0), where=~_placed(keep, roi, pixels.roi))
    return pixels._replace(values=values)


def _is_in(values: NDArray[Any], classes: Sequence[int]) -> NDArray[np.bool_]:
    """Return which values are in a few classes, many times as fast as :func:`numpy.isin`."""
    found = np.zeros(values.shape, bool)
    for number in classes:
        found |= values == number
    return found


def _placed(
    keep: NDArray[np.bool_], own: tuple[slice, slice], other: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Return part of a window on another one, false outside."""
    if own == other:
        return keep
    spans = [
        (start, max(start, min(one.stop, two.stop)))
        for one, two in zip(own, other, strict=True)
        for start in (max(one.start, two.start),)
    ]
    target, source = (
        tuple(
            slice(start - part.start, stop - part.start)
            for (start, stop), part in zip(spans, roi, strict=True)
        )
        for roi in (other, own)
    )
    placed = np.zeros([part.stop - part.start for part in other], bool)
    placed[target] = keep[source]
    return placed
