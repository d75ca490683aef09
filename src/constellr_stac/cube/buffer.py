"""Buffers around masked pixels, in metres."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .mask import CLASSES, apply_mask, is_in, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["mask_buffer"]

_TOLERANCE = 1e-3
"""UTM distorts by this much, and 30 m should reach the next pixel of 30 m."""


def mask_buffer(
    cube: xr.Dataset, classes: Sequence[str], metres: float, pixel: tuple[float, float]
) -> xr.Dataset:
    """Return ``cube`` with the pixels near these classes masked out: a dilation with a disc.

    Unclassified pixels have no buffer.

    Args:
        cube: With the masks of the classes.
        classes: Names of classes.
        metres: The largest distance between the centres of pixels.
        pixel: Height and width of a pixel in metres.

    Raises:
        ValueError: The distance is negative.
    """
    if not 0 <= metres < np.inf:
        raise ValueError(f"mask_buffer= must be 0 metres or more, not {metres}.")
    result = cube.copy()
    if metres == 0 or not classes:
        return result
    inside = functools.reduce(operator.or_, (is_in(cube[CLASSES[one]], one) for one in classes))
    keep = ~_near(inside.transpose(..., *cube.odc.spatial_dims), metres, pixel)
    for name, variable in values_of(cube).items():
        result[name] = apply_mask(variable, keep)
    return result


def _near(mask: xr.DataArray, metres: float, pixel: tuple[float, float]) -> xr.DataArray:
    """Return which pixels are within a distance of a masked one; dims (..., y, x)."""
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
