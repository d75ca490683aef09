"""Scenes that make up one time step become one: the first lies uppermost.

Clouds are taken out of each scene by its own mask, before another scene is seen through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from .masking import kept, mask_out, taken_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["mask_and_join", "uppermost"]


def uppermost(scenes: Any, steps: Sequence[Sequence[int]], fill: Any) -> Any:
    """Return, for each step and pixel, the first of the step's scenes that holds something.

    Args:
        scenes: A dask array with dims (scene, y, x).
        steps: The numbers of the scenes that make up each step, at least one.
        fill: What stands where a scene holds nothing.

    Returns:
        Dims (step, y, x).
    """
    # A step of fewer scenes than others repeats its last one, which changes nothing.
    ranks = range(max(map(len, steps)))
    layers = (scenes[[step[min(rank, len(step) - 1)] for step in steps]] for rank in ranks)
    top = next(layers)
    for layer in layers:
        top = da.where(da.isnan(top) if np.isnan(fill) else top == fill, layer, top)
    return top


def mask_and_join(
    scenes: xr.Dataset, classes: Sequence[str], steps: Sequence[Sequence[int]], chunk: int
) -> xr.Dataset:
    """Mask each scene, and join what is left of those that make up a time step.

    Where a value is left, each mask is one that lets it stand, so that masking again takes
    nothing away; elsewhere it is that of the first scene that has any.

    Args:
        scenes: A lazy cube with a time for each scene.
        classes: From :func:`constellr_stac.masking.classes_of`; at least one.
        steps: The numbers of the scenes that make up each step.
        chunk: Steps in a chunk.
    """
    keep = kept(scenes, classes)
    joined = scenes.isel(time=[step[0] for step in steps])
    for name, variable in mask_out(scenes, classes).data_vars.items():
        layers, order = variable.data, steps
        if "flag_values" in variable.attrs:
            count = scenes.sizes["time"]
            layers = da.concatenate([taken_out(variable, keep).data, layers])
            order = [(*step, *(number + count for number in step)) for step in steps]
        fill = np.nan if layers.dtype.kind == "f" else variable.attrs["nodata"]
        data = uppermost(layers, order, fill).rechunk({0: chunk})
        joined[name] = (variable.dims, data, variable.attrs, variable.encoding)
    return joined
