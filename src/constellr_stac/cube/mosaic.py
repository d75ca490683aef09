"""Scenes that make up one time step become one: the first lies first_valid.

Clouds are taken out of each scene by its own mask, before another scene is seen through it.
"""

from __future__ import annotations

import functools
from itertools import chain
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from .mask import kept, taken_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["first_valid", "mask_and_join"]

_TOGETHER = 4  # scenes are joined in one task, at least; fewer would make more tasks


def first_valid(scenes: Any, lengths: Sequence[int], fill: Any, chunk: int) -> Any:
    """Return, for each step and pixel, the first of the step's scenes that holds something.

    A chunk of scenes is joined when it is there, and what comes of it with that of others, so
    that a step of many scenes does not need them all in memory.

    Args:
        scenes: A dask array with dims (scene, y, x), step by step.
        lengths: How many scenes make up each step, at least one.
        fill: What stands where a scene holds nothing.
        chunk: Steps in a chunk.

    Returns:
        Dims (step, y, x).
    """
    most = max(_TOGETHER, *scenes.chunks[0])
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
    """Divide numbers of scenes into runs, none of which has more than ``most`` in all."""
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
    """Join a run of scenes; how many belong together is said for each block."""
    joined, start = [], 0
    for count in runs[block_id[0]]:
        top, *others = scenes[start : start + count]
        for layer in others:
            top = np.where(np.isnan(top) if np.isnan(fill) else top == fill, layer, top)
        joined.append(top)
        start += count
    return np.stack(joined) if len(joined) < len(scenes) else scenes


def mask_and_join(
    scenes: xr.Dataset, classes: Sequence[str], lengths: Sequence[int], chunk: int
) -> xr.Dataset:
    """Mask each scene, and join what is left of those that make up a time step.

    Where a value is left, each mask is one that lets it stand, so that masking again takes
    nothing away; elsewhere it is that of the first scene that has any.

    Args:
        scenes: A lazy cube with a time for each scene, step by step.
        classes: From :func:`constellr_stac.cube.mask.classes_of`; at least one.
        lengths: How many scenes make up each step.
        chunk: Steps in a chunk.
    """
    keep = kept(scenes, classes)
    joined = scenes.isel(time=np.cumsum(lengths) - lengths)
    for name, variable in scenes.data_vars.items():
        seen = taken_out(variable, keep)
        fill = np.nan if seen.dtype.kind == "f" else seen.attrs["nodata"]
        data = first_valid(seen.data, lengths, fill, chunk)
        if "flag_values" in variable.attrs:
            data = da.where(data == fill, first_valid(variable.data, lengths, fill, chunk), data)
        joined[name] = (seen.dims, data, seen.attrs, seen.encoding)
    return joined
