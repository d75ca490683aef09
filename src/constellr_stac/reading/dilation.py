"""Dilation with a disc whose radius is in metres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["dilated", "reach_of"]

_TOLERANCE = 1e-3
"""UTM distorts by this much, and 30 m should reach the next pixel of 30 m."""


def reach_of(metres: float, pixel: tuple[float, float]) -> tuple[int, int]:
    """Return how many rows and columns a distance reaches.

    Args:
        metres: The distance.
        pixel: Height and width of a pixel in metres.

    Raises:
        ValueError: The distance is negative.
    """
    if not 0 <= metres < np.inf:
        raise ValueError(f"mask_buffer= must be 0 metres or more, not {metres}.")
    height, width = pixel
    metres *= 1 + _TOLERANCE
    return int(metres / height), int(metres / width)


def dilated(
    mask: NDArray[np.bool_], metres: float, pixel: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return which pixels are within a distance of a masked one, between centres.

    Each row of the disc is a window, found from running sums.

    Args:
        mask: Dims (..., y, x).
        metres: The largest distance.
        pixel: Height and width of a pixel in metres.
    """
    height, width = pixel
    metres *= 1 + _TOLERANCE
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
