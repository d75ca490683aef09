"""Time steps of a cube; a map is a cube of one step."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac.cube.footprint import centre_of
from constellr_stac.cube.solar import sun_elevation

from .zones import spatial_dims

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["as_steps", "centre", "daytime", "solar_hour"]

_DAY = 24  # hours


def as_steps(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube with the dimension ``time``, NaT where a map has no time.

    Args:
        cube: With or without ``time``.
    """
    if "time" in cube.dims:
        return cube
    if "time" not in cube.coords:
        cube = cube.assign_coords(time=np.datetime64("NaT", "ns"))
    along = [name for name, values in cube.data_vars.items() if values.ndim]
    steps = cube[along].expand_dims("time")
    return steps.assign_coords({name: steps[name].expand_dims("time") for name in _scalars(cube)})


def _scalars(cube: xr.Dataset) -> list[Any]:
    """Return the coordinates of a single step, such as its ``id``; not the CRS."""
    return [
        name
        for name, values in cube.coords.items()
        if not values.ndim and name != "time" and "crs_wkt" not in values.attrs
    ]


def solar_hour(times: xr.DataArray, longitude: float) -> xr.DataArray:
    """Return the local mean solar time in hours, in [0, 24).

    Args:
        times: datetime64, UTC.
        longitude: Degrees east.

    Example:
        >>> import xarray as xr
        >>> times = xr.DataArray(np.array(["2023-07-03T15:25:51"], "datetime64[ns]"), dims="time")
        >>> solar_hour(times, -118.22).round(2).values
        array([7.55])
    """
    seconds = (times - times.dt.floor("D")) / np.timedelta64(1, "s")
    hours = (seconds / 3600 + longitude / 15) % _DAY
    hours = hours.where(~(hours >= _DAY), 0.0)  # just before midnight rounds up to 24
    return hours.rename("solar_hour").assign_attrs(
        units="h", long_name="local mean solar time", description="UTC + longitude / 15"
    )


def daytime(cube: xr.Dataset) -> NDArray[np.object_]:
    """Return for each time step whether the sun is up: True, False, or None without a time.

    Args:
        cube: With the dimension ``time``.
    """
    if "daytime" in cube.coords:
        return np.array([bool(is_day) for is_day in cube["daytime"].to_numpy()], object)
    longitude, latitude = centre(cube)
    times = cube["time"].to_numpy().astype("datetime64[s]").tolist()
    days = [
        None if time is None else sun_elevation(time.replace(tzinfo=UTC), longitude, latitude) > 0
        for time in times
    ]
    return np.array(days, object)


def centre(cube: xr.Dataset) -> tuple[float, float]:
    """Return longitude and latitude of the cube's centre.

    Args:
        cube: With a grid.

    Raises:
        ValueError: It has none.
    """
    spatial_dims(cube)
    return centre_of(cube.odc.geobox)
