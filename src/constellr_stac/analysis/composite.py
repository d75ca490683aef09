"""Maps over time: composites of periods, and differences from what is usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import xarray as xr

from constellr_stac.cube.mask import values_of
from constellr_stac.cube.units import as_anomaly

from .clear import clear_of, errors_of
from .percentiles import percentile
from .reduce import percentile_of
from .statistic_attributes import attributes_of
from .times import as_steps, centre, daytime, solar_hour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .reduce import Statistic

__all__ = ["Period", "anomaly", "composite"]

Period: TypeAlias = Literal["month", "season", "year", "all"]
"""What a composite is of; seasons are December to February, and so on."""

_FREQUENCIES = {"month": "M", "season": "Q-NOV", "year": "Y"}
_DAY = 24  # hours
_SCENES = {"long_name": "scenes of the period", "units": "1"}
_OF_STEPS = ("mean", "min", "max", "std", "count")


def composite(
    cube: xr.Dataset,
    by: Period,
    statistic: Statistic,
    *,
    min_clear: float | None = None,
    only: bool | None = None,
) -> xr.Dataset:
    """Return one map for each period that has a scene.

    Args:
        cube: Physical values, with a grid.
        by: The periods.
        statistic: Of the valid values of each pixel.

    Keyword Args:
        min_clear: The least share of the scenes in which a pixel has to be clear.
        only: Whether to use the scenes of day (True) or night (False) only.

    Raises:
        ValueError: There is no such period or statistic, or no scene.
    """
    if by not in get_args(Period):
        raise ValueError(f"Unknown period {by!r}; use one of {', '.join(get_args(Period))}.")
    if percentile_of(statistic) is None and statistic not in _OF_STEPS:
        raise ValueError(
            f"Not for composites: {statistic}; use median, {', '.join(_OF_STEPS)} or p90."
        )
    steps = as_steps(cube)
    if only is not None:
        steps = steps.isel(time=np.flatnonzero(daytime(steps) == only))
    if not steps.sizes["time"]:
        when = {None: "", True: " by day", False: " at night"}[only]
        raise ValueError(f"The cube has no scene{when}.")
    if by == "all" or "time" not in cube.coords:
        return _reduced(steps, statistic, min_clear).assign_coords(
            scenes=((), steps.sizes["time"], _SCENES)
        )
    times = steps.indexes["time"]
    labels = pd.DatetimeIndex(times).to_period(_FREQUENCIES[by]).start_time
    periods, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    maps = [
        _reduced(steps.isel(time=np.flatnonzero(group == number)), statistic, min_clear)
        for number in range(len(periods))
    ]
    index = xr.DataArray(periods, dims="time", name="time", attrs=dict(steps["time"].attrs))
    whole = xr.concat(maps, index, coords="minimal", compat="override", join="override")
    return whole.assign_coords(scenes=("time", counts, _SCENES))


def _reduced(steps: xr.Dataset, statistic: Statistic, min_clear: float | None) -> xr.Dataset:
    """Reduce the time steps of a cube to a map."""
    values = values_of(steps)
    errors = {f"{name}_std" for name in values if errors_of(steps, name) is not None}
    maps = {}
    for name, variable in values.items():
        if name in errors:
            continue
        enough: Any = True
        if min_clear is not None:
            enough = clear_of(steps, name).mean("time") >= min_clear
        maps[name] = _of_steps(variable, statistic).where(enough)
        error = errors_of(steps, name)
        if statistic == "mean" and error is not None:
            both = variable.notnull() & error.notnull()  # noqa: PD004 - xarray, not pandas
            count = both.sum("time")
            sums = (error.where(both, 0).astype("float64") ** 2).sum("time")
            combined: xr.DataArray = np.sqrt(sums) / count.where(count > 0)  # type: ignore[assignment]
            maps[f"{name}_std"] = combined.astype(error.dtype).where(enough)
    kept = steps.drop_dims("time")
    result = kept.drop_vars(list(kept.data_vars)).assign(maps)
    for name in maps:
        source = steps[name]
        is_error = name in errors
        attrs = (
            dict(source.attrs) if is_error else attributes_of(source, str(name), statistic, "time")
        )
        if "grid_mapping" in source.attrs:
            attrs["grid_mapping"] = source.attrs["grid_mapping"]
        result[name].attrs = attrs
    return result


def _of_steps(values: xr.DataArray, statistic: Statistic) -> xr.DataArray:
    percent = percentile_of(statistic)
    if percent is not None:
        return percentile(values, ["time"], percent)
    if statistic == "count":
        return values.count("time")
    known = values.notnull().any("time")  # noqa: PD004 - NumPy warns of slices without a value
    reduced: xr.DataArray = getattr(values.where(known, 0), statistic)("time").where(known)
    return reduced.astype(values.dtype)


def anomaly(cube: xr.Dataset, *, hours: int, baseline: xr.Dataset | None = None) -> xr.Dataset:
    """Return the cube minus, pixel by pixel, what is usual at the same hour of day.

    Args:
        cube: Physical values, with a grid.

    Keyword Args:
        hours: How many hours count as the same.
        baseline: The cube that says what is usual, by hour and season, else this cube, by hour.
            All of it where it or the cube has no time.

    Raises:
        ValueError: 24 is no multiple of ``hours``, or the baseline is on another grid, in
            another unit, or has none of the variables.
    """
    if hours < 1 or _DAY % hours:
        raise ValueError(f"hours= must divide 24, such as 1, 2, 3 or 6, not {hours}.")
    steps = as_steps(cube)
    usual = steps if baseline is None else as_steps(baseline)
    values = values_of(steps)
    result = cube.copy()
    if baseline is not None:
        result = cube.drop_vars([name for name in values if name not in baseline])
        values = {name: each for name, each in values.items() if name in baseline}
        _refuse_other(cube, baseline, values)
    timeless = baseline is not None and not {"time"} <= set(cube.coords) & set(baseline.coords)
    of_steps, of_usual = (
        _keys(each, hours, season=baseline is not None) for each in (steps, usual)
    )
    keys, group = np.unique(of_steps, return_inverse=True)
    order = np.argsort(np.argsort(group, kind="stable"), kind="stable")
    for name, variable in values.items():
        parts = []
        for number, key in enumerate(keys):
            part = variable.isel(time=np.flatnonzero(group == number))
            alike = np.flatnonzero((of_usual == key) | timeless)
            if alike.size:
                typical = percentile(usual[name].isel(time=alike), ["time"], 50.0)
                # On the same grid, though a file may have rounded its coordinates.
                parts.append(part - typical.drop_vars(list(typical.coords)))
            else:
                parts.append(xr.full_like(part, np.nan))
        difference = xr.concat(parts, "time", coords="minimal", compat="override")
        difference = difference.isel(time=order).transpose(*variable.dims)
        if "time" not in cube.dims:
            difference = difference.isel(time=0)
        if cube[name].chunks:
            difference = difference.chunk(cube[name].variable.chunksizes)
        result[name] = (cube[name].dims, difference.transpose(*cube[name].dims).data)
        result[name].attrs = as_anomaly(variable.attrs, name)
    return result


def _keys(cube: xr.Dataset, hours: int, *, season: bool) -> NDArray[np.int64]:
    """Return a number for the hour, and the season, of each time step."""
    hour = solar_hour(cube["time"], centre(cube)[0]).fillna(0).to_numpy()
    keys = (hour // hours).astype(np.int64)
    if season:
        keys += cube["time"].dt.month.fillna(0).to_numpy().astype(np.int64) % 12 // 3 * _DAY
    return keys


def _refuse_other(cube: xr.Dataset, baseline: xr.Dataset, values: dict[str, xr.DataArray]) -> None:
    """Refuse a baseline that the cube cannot be compared with."""
    ours, theirs = cube.odc.geobox, baseline.odc.geobox
    same = ours is not None and theirs is not None and ours.shape == theirs.shape
    if not same or ours.crs != theirs.crs or not ours.affine.almost_equals(theirs.affine, 1e-6):
        msg = "The baseline is on another grid: load it with like=cube."
        raise ValueError(msg)
    if not values:
        raise ValueError(f"The baseline has none of {', '.join(values_of(cube))}.")
    for name, variable in values.items():
        units = [each.attrs.get("units") for each in (variable, baseline[name])]
        if units[0] != units[1]:
            raise ValueError(f"{name!r} is in {units[0]}, and the baseline's in {units[1]}.")
