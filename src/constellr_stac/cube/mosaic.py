"""First-valid mosaic per time step.

Each scene is masked by its own cloud mask before the mosaic.
"""

from __future__ import annotations

import functools
from itertools import chain
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from .mask import apply_mask, unmasked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["first_valid", "mask_and_join"]

_MIN_JOINED = 4  # scenes joined in one task; fewer would make more tasks


def first_valid(scenes: Any, lengths: Sequence[int], fill: Any, chunk: int) -> Any:
    """Return the first valid value of each step's scenes, per pixel.

    Joins chunks of scenes in a tree reduction, so that a step of many scenes does not need all of
    them in memory.

    Args:
        scenes: A dask array with dims (scene, y, x), ordered by step.
        lengths: The number of scenes of each step, at least one.
        fill: The value for no data.
        chunk: Steps per chunk.

    Returns:
        Dims (step, y, x).
    """
    most = max(_MIN_JOINED, *scenes.chunks[0])
    while max(lengths) > 1:
        parts = [[min(most, n - start) for start in range(0, n, most)] for n in lengths]
        runs = [
            run
            for start in range(0, len(parts), chunk)
            for run in _runs(chain.from_iterable(parts[start : start + chunk]), most)
        ]
        scenes = scenes.rechunk({0: tuple(map(sum, runs))}).map_blocks(
            functools.partial(_joined, runs=runs, fill=fill),
            chunks=(tuple(map(len, runs)), *scenes.chunks[1:]),
            dtype=scenes.dtype,
            meta=np.empty((0, 0, 0), scenes.dtype),
        )
        lengths = [len(lot) for lot in parts]
    return scenes.rechunk({0: chunk})


def _runs(parts: Iterable[int], most: int) -> list[list[int]]:
    """Split counts of scenes into runs with a sum of at most ``most``."""
    runs: list[list[int]] = []
    for part in parts:
        if runs and sum(runs[-1]) + part <= most:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _joined(
    scenes: NDArray[Any], *, runs: Sequence[Sequence[int]], fill: Any, block_id: tuple[int, ...]
) -> NDArray[Any]:
    """Join a block of scenes; ``runs`` has the counts of scenes to join, by block."""
    joined, start = [], 0
    for count in runs[block_id[0]]:
        top, *others = scenes[start : start + count]
        for layer in others:
            top = np.where(np.isnan(top) if np.isnan(fill) else top == fill, layer, top)
        joined.append(top)
        start += count
    return np.stack(joined) if len(joined) < len(scenes) else scenes


def mask_and_join(
    scenes: xr.Dataset,
    classes: Sequence[str],
    lengths: Sequence[int],
    chunk: int,
    buffer: float = 0.0,
) -> xr.Dataset:
    """Mask each scene, and mosaic the scenes of each time step.

    Masks are mosaicked too: at valid pixels from an unmasked scene, so that masking again changes
    nothing; elsewhere from the first scene with a mask value.

    Args:
        scenes: A lazy cube with one time per scene, ordered by step.
        classes: From :func:`constellr_stac.cube.mask.classes_of`; at least one.
        lengths: The number of scenes of each step.
        chunk: Steps per chunk.
        buffer: Metres around pixels of these classes that are masked too.
    """
    keep = unmasked(scenes, classes, buffer)
    joined = scenes.isel(time=np.cumsum(lengths) - lengths)
    for name, variable in scenes.data_vars.items():
        masked = apply_mask(variable, keep)
        fill = np.nan if masked.dtype.kind == "f" else masked.attrs["nodata"]
        data = first_valid(masked.data, lengths, fill, chunk)
        if "flag_values" in variable.attrs:
            data = da.where(data == fill, first_valid(variable.data, lengths, fill, chunk), data)
        joined[name] = (masked.dims, data, masked.attrs, masked.encoding)
    return joined
