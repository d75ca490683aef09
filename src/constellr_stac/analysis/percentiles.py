"""Percentiles along dimensions, of what is valid, for arrays in memory and lazy ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["percentile"]


def percentile(values: xr.DataArray, dims: Sequence[str], percent: float) -> xr.DataArray:
    """Return a percentile of the valid values; NaN, without a warning, where there are none.

    NumPy's default method (type 7), whose ``nanpercentile`` is many times slower.

    Args:
        values: Of floats.
        dims: What to reduce.
        percent: 0 to 100.
    """
    reduced: xr.DataArray = xr.apply_ufunc(
        _percentile,
        values,
        input_core_dims=[list(dims)],
        kwargs={"percent": percent, "axes": len(dims)},
        dask="parallelized",
        dask_gufunc_kwargs={"allow_rechunk": True},
        output_dtypes=[values.dtype],
        keep_attrs=True,
    )
    return reduced


def _percentile(values: NDArray[Any], percent: float, axes: int) -> NDArray[Any]:
    ordered = np.sort(values.reshape(*values.shape[:-axes], -1), axis=-1)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    place = np.maximum(count - 1, 0) * (percent / 100)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low, high = (np.take_along_axis(ordered, each, -1) for each in (below, above))
    found: NDArray[Any] = low + (high - low) * (place - below).astype(ordered.dtype)
    return np.where(count > 0, found, np.nan)[..., 0].astype(ordered.dtype)
