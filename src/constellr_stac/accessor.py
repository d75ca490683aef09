"""``cube.constellr``: temperatures, masks, time series and plots of a cube.

Importing this module registers the accessor with xarray. All results are lazy, except those of
``table`` and ``quicklook``.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .analysis.zonal import Statistic, in_cube_crs, outlines, reduce_zone, spatial_dims
from .cube.footprint import centre_of
from .cube.mask import CLEAR, classes_of, is_in, mask_out, values_of
from .cube.solar import sun_elevation
from .cube.units import as_anomaly, in_celsius, is_stored, on_same_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["ConstellrAccessor", "solar_hour"]

_DAY = 24  # hours


@xr.register_dataset_accessor("constellr")
class ConstellrAccessor:
    """Temperatures, masks, time series and plots of a cube from :func:`constellr_stac.load`.

    Args:
        cube: Variables with dims (time, y, x), CF attributes and a CRS.
    """

    def __init__(self, cube: xr.Dataset) -> None:
        self._cube = cube

    @property
    def celsius(self) -> xr.Dataset:
        """The cube with its temperatures in degrees Celsius; other variables are unchanged.

        Raises:
            ValueError: The cube holds raw stored values.
        """
        return in_celsius(self._physical)

    def clear(self, classes: str | Sequence[str] = "clear") -> xr.Dataset:
        """Return the cube with clouds and their shadows, or other classes, masked out.

        Args:
            classes: ``"clear"``, or any of ``thick``, ``thin``, ``shadow``, ``castshadow``,
                ``water``, ``land``. Unclassified pixels are masked too.

        Returns:
            Masked values are NaN; the masks are unchanged.

        Raises:
            ValueError: Unknown class, or the cube lacks its mask.
        """
        return mask_out(self._cube, classes_of(classes))

    @property
    def solar_hour(self) -> xr.DataArray:
        """The local mean solar time of each step in hours, float64 with dims (time,).

        UTC plus the longitude of the cube's centre / 15. The sun is highest at 12, within the
        equation of time (at most 16 minutes).
        """
        return solar_hour(self._cube["time"], _centre(self._cube)[0])

    def anomaly(self, *, hours: int = 1) -> xr.Dataset:
        """Return the cube minus the per-pixel median of the same hour of day.

        Steps are grouped by :attr:`solar_hour`. A positive value means warmer than usual at that
        time of day. A group with one scene gives zero.

        Keyword Args:
            hours: Length of a group in hours; must divide 24.

        Returns:
            Differences in the unit of each variable (kelvin); masks are unchanged.

        Raises:
            ValueError: ``hours`` does not divide 24, or the cube holds raw stored values.
        """
        if hours < 1 or _DAY % hours:
            raise ValueError(f"hours= must divide 24, such as 1, 2, 3 or 6, not {hours}.")
        window = (self.solar_hour // hours).astype("int64").rename("window")
        result = self._physical.copy()
        for name, values in values_of(self._cube).items():
            usual = values.groupby(window).median("time")
            difference = (values.groupby(window) - usual).drop_vars("window")
            difference.attrs = as_anomaly(values.attrs, str(name))
            difference.encoding = on_same_grid(values.encoding)
            result[name] = difference.transpose(*values.dims)
        return result

    def timeseries(
        self,
        geometry: Any,
        *,
        crs: Any = "EPSG:4326",
        statistic: Statistic = "median",
        all_touched: bool = False,
    ) -> xr.Dataset:
        """Return the time series of each variable at a point or over an area.

        Args:
            geometry: A shapely geometry, GeoJSON (a geometry or Feature) or an
                :class:`odc.geo.geom.Geometry`. A point selects the pixel that contains it.

        Keyword Args:
            crs: The CRS of ``geometry``, unless it has one.
            statistic: Over the valid pixels of an area: ``median``, ``mean``, ``min``, ``max``,
                ``std`` or ``count``.
            all_touched: Whether to include all pixels that an area touches, instead of those
                whose centres are inside.

        Returns:
            Dims (time,); NaN where no pixel is valid.

        Raises:
            TypeError: ``geometry`` is not a geometry, or a table of several.
            ValueError: The geometry does not intersect the cube, or the cube has no CRS or
                holds raw stored values.
        """
        place = in_cube_crs(self._cube, geometry, crs)
        values = xr.Dataset(values_of(self._physical))
        return reduce_zone(values, place, statistic, all_touched=all_touched, missing="raise")

    def zonal(
        self,
        areas: Any,
        *,
        statistics: Sequence[Statistic] = ("mean", "median", "min", "max", "count"),
        all_touched: bool = False,
    ) -> xr.Dataset:
        """Return zonal statistics of each variable over time.

        Args:
            areas: A GeoDataFrame or GeoSeries with a CRS (extra ``geo``).

        Keyword Args:
            statistics: Any of ``median``, ``mean``, ``min``, ``max``, ``std``, ``count``.
            all_touched: As in :meth:`timeseries`.

        Returns:
            Variables ``lst_mean``, … with dims (time, zone); ``zone`` is the index of ``areas``.
            NaN (and a count of 0) where no pixel is valid, or an area is outside the cube or
            empty. ``.to_dataframe()`` converts it to a table.

        Raises:
            TypeError: ``areas`` has no geometries.
            ValueError: ``areas`` has no CRS, or the cube has no CRS or holds raw stored values.
        """
        index, places = outlines(self._cube, areas)
        values = xr.Dataset(values_of(self._physical))
        columns: dict[str, list[xr.DataArray]] = {}
        for place in places:
            for statistic in statistics:
                reduced = reduce_zone(
                    values, place, statistic, all_touched=all_touched, missing="nan"
                )
                for name, column in reduced.items():
                    columns.setdefault(f"{name}_{statistic}", []).append(column)
        zone = xr.DataArray(np.asarray(index), dims="zone", name="zone")
        return xr.Dataset(
            {
                name: xr.concat(parts, zone, coords="minimal", compat="override").transpose(
                    ..., "zone"
                )
                for name, parts in columns.items()
            }
        )

    def table(self, variable: str = "lst") -> pd.DataFrame:
        """Compute a summary table with one row per time step.

        Args:
            variable: The temperature variable.

        Returns:
            A frame indexed by time (UTC) with ``solar_hour``, ``daytime``, ``median`` and
            ``clear_median`` (without cloudy pixels) in the variable's unit, ``valid_share`` (of
            all pixels), and ``cloud_share`` and ``clear_share`` (of the pixels that are valid or
            cloudy, so they also apply to a cloud-masked cube). Without a ``cloud_mask``, all
            valid pixels count as clear. Medians are NaN where no pixel is valid.
        """
        values = self._physical[variable]
        dims = spatial_dims(self._cube)
        clear, classified = values, values.notnull()  # noqa: PD004 - not pandas
        if self._has_clouds:
            clear = mask_out(self._cube, CLEAR)[variable]
            classified = classified | is_in(self._cube["cloud_mask"], *CLEAR)
        pixels = int(np.prod([values.sizes[dim] for dim in dims]))
        clear_count, total = clear.count(dims), classified.sum(dims)
        total = total.where(total > 0)
        columns = xr.Dataset(
            {
                "median": _median(values, dims),
                "clear_median": _median(clear, dims),
                "valid_share": values.count(dims) / pixels,
                "cloud_share": (total - clear_count) / total,
                "clear_share": clear_count / total,
            }
        ).compute()
        columns = columns.drop_vars([name for name in columns.coords if name != "time"])
        frame = columns.to_dataframe()
        frame.insert(0, "solar_hour", self.solar_hour.to_numpy())
        frame.insert(1, "daytime", self._daytime())
        return frame

    def quicklook(self, variable: str | None = None, **options: Any) -> Figure:
        """Plot the scenes side by side on one colour scale (extra ``plot``).

        Args:
            variable: The variable to plot; default the temperature.
            options: As for :func:`constellr_stac.plot.quicklook`.
        """
        from .plot import quicklook

        return quicklook(self._cube, variable, **options)

    @property
    def _physical(self) -> xr.Dataset:
        """The cube, if it holds physical values."""
        stored = [name for name, each in self._cube.data_vars.items() if is_stored(each)]
        if stored:
            names = ", ".join(map(str, stored))
            msg = f"{names}: raw stored values (raw=True). Decode them with xarray.decode_cf(cube)."
            raise ValueError(msg)
        return self._cube

    @property
    def _has_clouds(self) -> bool:
        return "cloud_mask" in self._cube

    def _daytime(self) -> list[bool]:
        if "daytime" in self._cube.coords:
            return [bool(is_day) for is_day in self._cube["daytime"].to_numpy()]
        longitude, latitude = _centre(self._cube)
        times = self._cube["time"].to_numpy().astype("datetime64[s]").tolist()
        return [sun_elevation(time.replace(tzinfo=UTC), longitude, latitude) > 0 for time in times]


def solar_hour(times: xr.DataArray, longitude: float) -> xr.DataArray:
    """Return the local mean solar time in hours, in [0, 24).

    Args:
        times: datetime64, UTC.
        longitude: Degrees east.

    Example:
        >>> times = xr.DataArray(np.array(["2023-07-03T15:25:51"], "datetime64[ns]"), dims="time")
        >>> solar_hour(times, -118.22).round(2).values
        array([7.55])
    """
    seconds = (times - times.dt.floor("D")) / np.timedelta64(1, "s")
    hours = (seconds / 3600 + longitude / 15) % _DAY
    hours = hours.where(hours < _DAY, 0.0)  # just before midnight rounds up to 24
    return hours.rename("solar_hour").assign_attrs(
        units="h", long_name="local mean solar time", description="UTC + longitude / 15"
    )


def _median(values: xr.DataArray, dims: tuple[str, str]) -> xr.DataArray:
    """Return the median of the valid pixels; NaN where there are none, without NumPy's warning."""
    known = values.notnull().any(dims)  # noqa: PD004 - not pandas
    return values.where(known, 0).median(dims).where(known)


def _centre(cube: xr.Dataset) -> tuple[float, float]:
    """Return the longitude and latitude of the cube's centre."""
    spatial_dims(cube)
    return centre_of(cube.odc.geobox)
