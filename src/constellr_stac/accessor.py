"""``cube.constellr``: what one does with a cube of scenes, in a word each.

Registered with xarray when this module is imported. Everything but ``table`` and ``quicklook``
stays as lazy as the cube is.
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
    """Temperatures, masks, pictures and series of a cube from :func:`constellr_stac.load`.

    Args:
        cube: Variables with dims (time, y, x) and CF attributes, and a grid.
    """

    def __init__(self, cube: xr.Dataset) -> None:
        self._cube = cube

    @property
    def celsius(self) -> xr.Dataset:
        """The cube with its temperatures in degrees Celsius; all else as it is.

        Raises:
            ValueError: The cube holds stored numbers.
        """
        return in_celsius(self._physical)

    def clear(self, classes: str | Sequence[str] = "clear") -> xr.Dataset:
        """Return the cube with clouds and their shadows, or other classes, masked out.

        Args:
            classes: ``"clear"``, or names out of ``thick``, ``thin``, ``shadow``,
                ``castshadow``, ``water``, ``land``. Where a class is not known, the value is
                masked out too.

        Returns:
            Values become NaN; the masks stay.

        Raises:
            ValueError: There is no such class, or the cube lacks its mask.
        """
        return mask_out(self._cube, classes_of(classes))

    @property
    def solar_hour(self) -> xr.DataArray:
        """The local mean solar time of each step in hours, float64 with dims (time,).

        UTC plus the longitude of the cube's centre over 15 degrees an hour: the sun is highest
        at 12, to within the equation of time (at most 16 minutes), wherever the clocks stand.
        """
        return solar_hour(self._cube["time"], _centre(self._cube)[0])

    def anomaly(self, *, hours: int = 1) -> xr.Dataset:
        """Return the cube minus, pixel by pixel, the median of the same hour of day.

        The hour is that of :attr:`solar_hour`. What is left is how much warmer or cooler a
        place was than usual at that time of day; a median of one scene leaves zero.

        Keyword Args:
            hours: How many hours count as the same: a divisor of 24.

        Returns:
            The variables of values as differences in kelvin (or their own unit); masks as
            they are.

        Raises:
            ValueError: 24 is no multiple of ``hours``, or the cube holds stored numbers.
        """
        if hours < 1 or _DAY % hours:
            raise ValueError(f"hours= has to divide 24, like 1, 2, 3 or 6; {hours} does not.")
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
        """Return each variable of values over time, at a point or within an area.

        Args:
            geometry: A shapely geometry, GeoJSON (a geometry or Feature) or an
                :class:`odc.geo.geom.Geometry`. A point takes the pixel it lies in.

        Keyword Args:
            crs: The CRS of a geometry that does not bring one.
            statistic: Of an area's valid pixels: ``median``, ``mean``, ``min``, ``max``,
                ``std`` or ``count``.
            all_touched: Whether an area has all pixels it touches, instead of those whose
                centres lie in it.

        Returns:
            Dims (time,); NaN where no pixel is valid.

        Raises:
            TypeError: ``geometry`` is no geometry, or a table of several.
            ValueError: The geometry does not meet the cube, or the cube has no grid or holds
                stored numbers.
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
        """Return statistics of each variable of values within each area, over time.

        Args:
            areas: A GeoDataFrame or GeoSeries with a CRS (extra ``geo``).

        Keyword Args:
            statistics: Out of ``median``, ``mean``, ``min``, ``max``, ``std``, ``count``.
            all_touched: As in :meth:`timeseries`.

        Returns:
            Variables ``lst_mean``, … with dims (time, zone), ``zone`` being the index of
            ``areas``; NaN (and a count of 0) where no pixel is valid, an area lies outside or
            has no geometry.
            ``.to_dataframe()`` makes it a table.

        Raises:
            TypeError: ``areas`` has no geometries.
            ValueError: It has no CRS, or the cube has no grid or holds stored numbers.
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
        """Compute one row for each time step: when, how warm, how clear.

        Args:
            variable: The temperature's name.

        Returns:
            A frame indexed by time (UTC) with ``solar_hour``, ``daytime``, ``median`` and
            ``clear_median`` in the variable's unit (with and without what ``cloud_mask`` tells),
            ``valid_share`` (of all pixels), and ``cloud_share`` and ``clear_share`` (of those
            that are valid or cloudy, so also of a cube whose clouds are masked out). Without a
            ``cloud_mask``, everything valid is clear. Where nothing is valid, medians are NaN.
        """
        values = self._physical[variable]
        dims = spatial_dims(self._cube)
        clear, looked_at = values, values.notnull()  # noqa: PD004 - it is no pandas
        if self._has_clouds:
            clear = mask_out(self._cube, CLEAR)[variable]
            looked_at = looked_at | is_in(self._cube["cloud_mask"], *CLEAR)
        pixels = int(np.prod([values.sizes[dim] for dim in dims]))
        seen, all_seen = clear.count(dims), looked_at.sum(dims)
        all_seen = all_seen.where(all_seen > 0)
        columns = xr.Dataset(
            {
                "median": _median(values, dims),
                "clear_median": _median(clear, dims),
                "valid_share": values.count(dims) / pixels,
                "cloud_share": (all_seen - seen) / all_seen,
                "clear_share": seen / all_seen,
            }
        ).compute()
        columns = columns.drop_vars([name for name in columns.coords if name != "time"])
        frame = columns.to_dataframe()
        frame.insert(0, "solar_hour", self.solar_hour.to_numpy())
        frame.insert(1, "daytime", self._daytime())
        return frame

    def quicklook(self, variable: str | None = None, **options: Any) -> Figure:
        """Draw the scenes side by side on one colour scale (extra ``plot``).

        Args:
            variable: What to draw; else the temperature.
            options: As :func:`constellr_stac.plot.quicklook` has them.

        Returns:
            The figure.
        """
        from .plot import quicklook

        return quicklook(self._cube, variable, **options)

    @property
    def _physical(self) -> xr.Dataset:
        """The cube, if its values are physical ones."""
        stored = [name for name, each in self._cube.data_vars.items() if is_stored(each)]
        if stored:
            names = ", ".join(map(str, stored))
            msg = f"{names}: stored numbers (raw=True), no values. xarray.decode_cf(cube) decodes."
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
    """Return the local mean solar time in hours, from 0 to 24.

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
    hours = hours.where(hours < _DAY, 0.0)  # a hair before midnight rounds up to 24
    return hours.rename("solar_hour").assign_attrs(
        units="h", long_name="local mean solar time", description="UTC + longitude / 15"
    )


def _median(values: xr.DataArray, dims: tuple[str, str]) -> xr.DataArray:
    """Return the median of what is valid; NaN, and no warning of NumPy's, where nothing is."""
    known = values.notnull().any(dims)  # noqa: PD004 - likewise
    return values.where(known, 0).median(dims).where(known)


def _centre(cube: xr.Dataset) -> tuple[float, float]:
    """Return longitude and latitude of the cube's centre."""
    spatial_dims(cube)
    return centre_of(cube.odc.geobox)
