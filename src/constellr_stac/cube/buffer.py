"""Buffers around masked pixels, in metres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["dilated"]

_TOLERANCE = 1e-3
"""UTM distorts by this much, and 30 m should reach the next pixel of 30 m."""


def dilated(mask: xr.DataArray, metres: float, pixel: tuple[float, float]) -> xr.DataArray:
    """Return which pixels are within a distance of a masked one: a dilation with a disc.

    Args:
        mask: Of bools, dims (..., y, x), in memory or lazy.
        metres: The largest distance between the centres of pixels.
        pixel: Height and width of a pixel in metres.

    Raises:
        ValueError: The distance is negative.
    """
    if not 0 <= metres < np.inf:
        raise ValueError(f"mask_buffer= must be 0 metres or more, not {metres}.")
    metres *= 1 + _TOLERANCE
    reach = [
        min(int(metres / side), size) for side, size in zip(pixel, mask.shape[-2:], strict=True)
    ]
    if not any(reach):
        return mask
    data: Any = mask.data
    if hasattr(data, "dask"):
        depth = {mask.ndim - 2: reach[0], mask.ndim - 1: reach[1]}
        grown = data.map_overlap(
            _grown, depth=depth, boundary=False, dtype=bool, metres=metres, pixel=pixel
        )
    else:
        grown = _grown(np.asarray(data), metres, pixel)
    return mask.copy(data=grown)


def _grown(mask: NDArray[np.bool_], metres: float, pixel: tuple[float, float]) -> NDArray[np.bool_]:
    """Dilate row by row: each row of the disc is a window, found from running sums."""
    height, width = pixel
    grown = mask.copy()
    rows = mask.shape[-2]
    running = np.cumsum(mask, axis=-1, dtype=np.int32)
    for down in range(min(int(metres / height), rows - 1) + 1):
        side = int(np.sqrt(max(metres**2 - (down * height) ** 2, 0.0)) / width)
        reached = _window(running, side)
        grown[..., down:, :] |= reached[..., : rows - down, :]
        grown[..., : rows - down, :] |= reached[..., down:, :]
    return grown


def _window(running: NDArray[np.int32], side: int) -> NDArray[np.bool_]:
    """Return whether there is a masked pixel within ``side`` columns, from running sums."""
    columns = np.arange(running.shape[-1])
    last = running[..., np.minimum(columns + side, columns.size - 1)]
    before = np.where(columns > side, running[..., np.maximum(columns - side - 1, 0)], 0)
    found: NDArray[np.bool_] = last > before
    return found
