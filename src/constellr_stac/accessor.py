"""``cube.constellr``: the usual analyses of a cube of temperatures.

Registered with xarray when this module is imported. All results but ``table``,
``to_geodataframe``, ``to_geotiff`` and ``quicklook`` are as lazy as the cube is. A map, such as one
time step or a composite, is a cube of one step to all methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .analysis.area_methods import AreaMethods, physical
from .analysis.clear import clear_fraction
from .analysis.composite import anomaly, composite
from .analysis.series import table
from .analysis.summary import as_html, as_text
from .analysis.times import centre, solar_hour
from .analysis.zones import spatial_dims
from .cube.attributes import noted
from .cube.mask import classes_of, mask_out
from .cube.reopen import with_crs_coordinate
from .cube.units import in_celsius

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from .analysis.composite import Period
    from .analysis.reduce import Statistic

__all__ = ["ConstellrAccessor", "solar_hour"]


@xr.register_dataset_accessor("constellr")
class ConstellrAccessor(AreaMethods):
    """Temperatures, masks, statistics and figures of a cube from :func:`constellr_stac.load`.

    Args:
        cube: Variables with dims (time, y, x) or (y, x), CF attributes and a grid.
    """

    def __repr__(self) -> str:
        return as_text(self._cube)

    def _repr_html_(self) -> str:
        return as_html(self._cube)

    @property
    def celsius(self) -> xr.Dataset:
        """The cube with its temperatures in degrees Celsius; other variables are unchanged.

        Raises:
            ValueError: The cube holds raw stored values.
        """
        return in_celsius(self._physical, checked=True)

    def clear(
        self, classes: str | Sequence[str] = "clear", *, mask_buffer: float = 0.0
    ) -> xr.Dataset:
        """Return the cube with clouds and their shadows, or other classes, masked out.

        Args:
            classes: ``"clear"``, or any of ``thick``, ``thin``, ``shadow``, ``castshadow``,
                ``water``, ``land``. Unclassified pixels are masked too.

        Keyword Args:
            mask_buffer: Metres around pixels of these classes that are masked out too, measured
                between the centres of pixels. Unknown pixels, and clouds outside the cube, have
                none. This is a dilation with a disc, as in the cloud buffers of Fmask (Zhu &
                Woodcock, 2012).

        Returns:
            Masked values are NaN; the masks are unchanged.

        Raises:
            ValueError: Unknown class, the cube lacks its mask, or the buffer is negative.
        """
        if mask_buffer:
            spatial_dims(self._cube)
        return mask_out(self._cube, classes_of(classes), mask_buffer)

    @property
    def solar_hour(self) -> xr.DataArray:
        """The local mean solar time of each step in hours, float64 with dims (time,).

        UTC plus the longitude of the cube's centre / 15. The sun is highest at 12, within the
        equation of time (at most 16 minutes). NaN for a map without a time.
        """
        times = self._cube.coords.get("time", xr.DataArray(np.datetime64("NaT", "ns")))
        return solar_hour(times, centre(self._cube)[0])

    def anomaly(self, *, hours: int = 1, baseline: xr.Dataset | None = None) -> xr.Dataset:
        """Return the cube minus the per-pixel median of the same hour of day.

        Steps are grouped by :attr:`solar_hour`. A positive value means warmer than usual at that
        time of day. A group with one scene gives zero.

        Keyword Args:
            hours: Length of a group in hours; must divide 24.
            baseline: A cube of reference, such as earlier years, on the same grid. Steps are then
                compared with the median of its scenes of the same hours and the same season
                (December to February, and so on), as in climatological anomalies (WMO-No. 1203,
                2017). Where the baseline has no such scene, or no valid value at a pixel, the
                anomaly is NaN. If it or the cube has no times, all of it is compared.

        Returns:
            Differences in the unit of each variable (kelvin), without variables that the baseline
            lacks; masks are unchanged.

        Raises:
            ValueError: ``hours`` does not divide 24, the cube holds raw stored values, or the
                baseline is on another grid or in another unit.
        """
        usual = None if baseline is None else physical(with_crs_coordinate(baseline))
        result = anomaly(self._physical, hours=hours, baseline=usual)
        of = "" if baseline is None else ", of a baseline"
        return noted(result, f"anomaly from the median of the same {hours} h of day{of}")

    def composite(
        self,
        by: Period = "month",
        *,
        statistic: Statistic = "median",
        min_clear: float | None = None,
        daytime: bool | None = None,
    ) -> xr.Dataset:
        """Return one map for each month, season or year, or of all scenes: per-pixel statistics.

        The median of valid observations is the usual choice against clouds that the mask missed
        (Flood, 2013, doi:10.3390/rs5126481). Mask clouds first, with :meth:`clear`.

        Args:
            by: ``month``, ``season`` (from December, March, June and September), ``year``, in UTC,
                or ``all``.

        Keyword Args:
            statistic: ``median``, ``mean``, ``min``, ``max``, ``std``, ``count`` or a percentile
                such as ``p90``.
            min_clear: The least share of a period's scenes in which a pixel has to be clear (see
                :meth:`clear_fraction`); others are NaN.
            daytime: True for the scenes with the sun up, False for those at night.

        Returns:
            Dims (time, y, x) with ``time`` the start of each period that has a scene, and (y, x)
            for ``all`` or a map without time; ``scenes`` is how many there were. Masks are left
            out. A mean has the standard error of the mean in ``lst_std``: the root of the summed
            variances over n, for errors that are independent from scene to scene (JCGM 100:2008,
            equation 10). Other statistics have no ``lst_std``.

        Raises:
            ValueError: There is no such period or statistic, no scene, or the cube holds raw
                stored values.
        """
        result = composite(self._physical, by, statistic, min_clear=min_clear, only=daytime)
        when = {None: "", True: " by day", False: " at night"}[daytime]
        return noted(result, f"composite of the scenes{when}, by {by}: {statistic}")

    def clear_fraction(self, variable: str = "lst") -> xr.DataArray:
        """Return the share of the time steps in which each pixel has a clear value, dims (y, x).

        Clear is what is valid and, if the cube has a ``cloud_mask``, known to be free of clouds
        and shadows. A step that does not cover a pixel counts as not clear. This is one minus the
        cloud frequency of Wilson & Jetz (2016, doi:10.1371/journal.pbio.1002415).

        Args:
            variable: The temperature's name.
        """
        return clear_fraction(self._physical, variable)

    def table(self, variable: str = "lst") -> pd.DataFrame:
        """Compute a summary table with one row per time step.

        Args:
            variable: The temperature variable.

        Returns:
            A frame indexed by time (UTC; NaT for a map without time) with ``solar_hour``,
            ``daytime``, ``median`` and ``clear_median`` (without cloudy pixels) in the variable's
            unit, ``valid_share`` (of all pixels), and ``cloud_share`` and ``clear_share`` (of the
            pixels that are valid or cloudy, so they also apply to a cloud-masked cube). Without a
            ``cloud_mask``, all valid pixels count as clear. Medians are NaN where no pixel is
            valid.
        """
        return table(self._physical, variable)

    def quicklook(self, variable: str | None = None, **options: Any) -> Figure:
        """Plot the scenes side by side (extra ``plot``).

        Args:
            variable: The variable to plot; default the temperature.
            options: As for :func:`constellr_stac.plot.quicklook`.
        """
        from .plot import quicklook

        return quicklook(self._cube, variable, **options)
