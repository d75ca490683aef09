"""Numbers over time: of one place, and of whole scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from constellr_stac.cube.mask import CLEAR, is_in, mask_out, meanings_of, split_classes

from .percentiles import percentile
from .times import as_steps, centre, daytime, solar_hour
from .zonal import statistics_of
from .zones import in_cube_crs, spatial_dims

if TYPE_CHECKING:
    import pandas as pd

    from .reduce import Statistic
    from .zonal import Options

__all__ = ["table", "timeseries"]


def timeseries(
    cube: xr.Dataset, geometry: Any, crs: Any, statistic: Statistic, options: Options
) -> xr.Dataset:
    """Return each variable of values over time, within one geometry.

    Args:
        cube: Physical values, with a grid.
        geometry: As for :func:`.geometry_from`.
        crs: The CRS of a geometry that states none.
        statistic: Of its valid pixels.
        options: How pixels are chosen and weighted.

    Raises:
        ValueError: The geometry is outside the cube.
    """
    place = in_cube_crs(cube, geometry, crs)
    if not cube.odc.geobox.extent.geom.intersects(place):
        msg = "The geometry is outside the cube. Check its CRS (crs=)."
        raise ValueError(msg)
    of_mean = [name for name in cube.data_vars if f"{name}_std" in cube and statistic == "mean"]
    names = [statistic, "uncertainty"] if of_mean else [statistic]
    series = statistics_of(cube, [place], names, options).isel(zone=0)
    columns = {
        str(name).removesuffix(f"_{statistic}"): values
        for name, values in series.data_vars.items()
        if str(name).endswith(f"_{statistic}")
    }
    columns |= {f"{name}_std": series[f"{name}_uncertainty"] for name in of_mean}
    return series.drop_vars(list(series.data_vars)).assign(columns)


def table(cube: xr.Dataset, variable: str) -> pd.DataFrame:
    """Compute one row for each time step: when, how warm, how clear.

    Args:
        cube: Physical values, with a grid.
        variable: The temperature's name.
    """
    dims = spatial_dims(cube)
    steps = as_steps(cube)
    values = steps[variable]
    clear, looked_at = values, values.notnull()  # noqa: PD004 - xarray, not pandas
    if "cloud_mask" in steps:
        clear = mask_out(steps, CLEAR)[variable]
        flags = steps["cloud_mask"]
        _, clouded = split_classes("cloud_mask", meanings_of(flags), CLEAR, "the cube")
        looked_at = looked_at | is_in(flags, *clouded)
    pixels = int(np.prod([values.sizes[dim] for dim in dims]))
    seen, all_seen = clear.count(dims), looked_at.sum(dims)
    all_seen = all_seen.where(all_seen > 0)
    columns = xr.Dataset(
        {
            "median": percentile(values, dims, 50.0),
            "clear_median": percentile(clear, dims, 50.0),
            "valid_share": values.count(dims) / pixels,
            "cloud_share": (all_seen - seen) / all_seen,
            "clear_share": seen / all_seen,
        }
    ).compute()
    columns = columns.drop_vars([name for name in columns.coords if name != "time"])
    frame = columns.to_dataframe()
    frame.insert(0, "solar_hour", solar_hour(steps["time"], centre(steps)[0]).to_numpy())
    days = daytime(steps)
    frame.insert(1, "daytime", days if None in days else days.astype(bool))
    return frame
