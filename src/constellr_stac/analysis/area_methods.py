"""The accessor's methods for points, areas and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from constellr_stac.cube.attributes import noted
from constellr_stac.cube.reopen import with_crs_coordinate
from constellr_stac.cube.units import is_stored

from .export import to_geodataframe, to_geotiff
from .series import timeseries
from .zonal import Options, zonal

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    import geopandas as gpd
    import xarray as xr

    from .reduce import Statistic

__all__ = ["AreaMethods", "physical"]


class AreaMethods:
    """The base of the accessor ``cube.constellr``.

    Args:
        cube: Variables with dims (time, y, x) or (y, x), CF attributes and a grid.
    """

    def __init__(self, cube: xr.Dataset) -> None:
        self._cube = with_crs_coordinate(cube)

    def timeseries(
        self,
        geometry: Any,
        *,
        crs: Any = "EPSG:4326",
        statistic: Statistic = "median",
        all_touched: bool = False,
        weights: bool = True,
        min_clear: float | None = None,
        correlation_length: float | None = None,
    ) -> xr.Dataset:
        """Return the time series of each variable at a point or over an area.

        Args:
            geometry: A shapely geometry, GeoJSON, WKT, an :class:`odc.geo.geom.Geometry`, a
                GeoDataFrame or GeoSeries, or the path of a vector file; several geometries are
                united. A point selects the pixel that contains it.

        Keyword Args:
            crs: The CRS of a ``geometry`` that states none.
            statistic: Over the valid pixels of an area, as in :meth:`zonal` (not ``classes``).
            all_touched: As in :meth:`zonal`.
            weights: As in :meth:`zonal`.
            min_clear: As in :meth:`zonal`.
            correlation_length: As in :meth:`zonal`.

        Returns:
            Dims (time,); NaN where no pixel is valid. With ``mean``, ``lst_std`` is the
            ``uncertainty`` of the mean, as in :meth:`zonal`.
            ``longitude`` and ``latitude`` are those of the point, or of a point in the area.

        Raises:
            InvalidAreaError: ``geometry`` is not a geometry, empty, invalid or out of bounds.
            ValueError: The geometry does not intersect the cube, or the cube has no CRS or holds
                raw stored values.
        """
        options = Options(
            weights=weights,
            all_touched=all_touched,
            min_clear=min_clear,
            correlation_length=correlation_length,
        )
        result = timeseries(self._physical, geometry, crs, statistic, options)
        return noted(result, f"time series of a place: {statistic}")

    def zonal(
        self,
        areas: Any,
        *,
        statistics: Sequence[Statistic] = ("mean", "median", "min", "max", "count"),
        all_touched: bool = False,
        weights: bool = True,
        min_clear: float | None = None,
        correlation_length: float | None = None,
    ) -> xr.Dataset:
        """Return zonal statistics of each variable over time.

        Pixels are weighted by the exact share that lies in the area (exactextract), so an area
        smaller than a pixel has a value, and its ``count`` is the share of a pixel.

        Args:
            areas: A GeoDataFrame or GeoSeries with a CRS (extra ``geo``), the path of a vector
                file, GeoJSON, or a single geometry in any form that :meth:`timeseries` takes. A
                point or line has the whole pixels it meets.

        Keyword Args:
            statistics: Out of ``median``, ``mean``, ``min``, ``max``, ``std`` (of the population),
                percentiles such as ``p90`` (Akinshin, 2023, arXiv:2304.07265, type 7: NumPy's
                default if weights are equal), ``count`` (the sum of the shares of valid pixels),
                ``area`` (of valid pixels, in square metres on the ellipsoid), ``clear_fraction``
                (the share of the area that is clear, as in :meth:`clear_fraction`), ``classes``
                (the share of the area in each class of each mask, ``cloud_mask_thin``) and
                ``uncertainty`` (of the mean, from ``lst_std``: the root of the summed variances
                over n; JCGM 100:2008).
            all_touched: Whether an area has all whole pixels it touches.
            weights: False for the whole pixels whose centres lie in an area.
            min_clear: The least ``clear_fraction`` that an area needs to have values; else NaN.
            correlation_length: In metres: within squares of this side, errors correlate fully for
                ``uncertainty``, and beyond not at all. By default no two pixels' errors correlate.

        Returns:
            Variables ``lst_mean``, … with dims (time, zone), ``zone`` being the index of
            ``areas``, and ``longitude`` and ``latitude`` a point in each; NaN (and a count of 0)
            where no pixel is valid, an area lies outside or has no geometry. ``.to_dataframe()``
            makes it a table, ``.constellr.to_geodataframe()`` one with the areas' columns and
            geometry.

        Raises:
            InvalidAreaError: ``areas`` are no geometries, invalid, or a table without a CRS.
            ValueError: There is no such statistic, or the cube has no CRS or holds raw stored
                values.
        """
        options = Options(
            weights=weights,
            all_touched=all_touched,
            min_clear=min_clear,
            correlation_length=correlation_length,
        )
        result = zonal(self._physical, areas, statistics, options)
        return noted(result, "statistics of areas")

    def to_geodataframe(
        self, areas: Any = None, *, shape: Literal["long", "wide"] = "long"
    ) -> gpd.GeoDataFrame:
        """Compute the result of :meth:`zonal` as a GeoDataFrame (extra ``geo``).

        Args:
            areas: The areas; needed if the statistics were read from a file.

        Keyword Args:
            shape: ``long`` for a row per area and time step, with the column ``time``; ``wide``
                for a row per area, with columns such as ``lst_mean_2026-07-03T15:25:51``.

        Returns:
            The areas' index, columns and geometry, and a column for each statistic.

        Raises:
            ValueError: This is no result of :meth:`zonal`, or its areas are missing.
        """
        return to_geodataframe(self._cube, areas, shape)

    def to_geotiff(
        self,
        path: str | os.PathLike[str],
        variable: str | None = None,
        *,
        scale: float | None = None,
    ) -> list[Path]:
        """Write cloud-optimized GeoTIFFs with unit, scale, nodata, time and overviews.

        Overviews average values and take the most frequent class of masks.

        Args:
            path: A file that ends in ``.tif``, for one map; else a folder, with one file for each
                variable and time step (``lst_20260703T152551Z.tif``).
            variable: The variable to write; default all, and the temperature for a single file.

        Keyword Args:
            scale: Store values as 16-bit integers in steps of this size, such as 0.01; default
                floats, with NaN for no value.

        Returns:
            The files.

        Raises:
            ValueError: The cube has several time steps and ``path`` is a file, or values do not
                fit 16 bits.
        """
        return to_geotiff(self._cube, path, variable, scale)

    @property
    def _physical(self) -> xr.Dataset:
        """The cube, if it holds physical values."""
        return physical(self._cube)


def physical(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube if it holds physical values.

    Args:
        cube: Any.

    Raises:
        ValueError: It holds raw stored values.
    """
    stored = [name for name, each in cube.data_vars.items() if is_stored(each)]
    if stored:
        names = ", ".join(map(str, stored))
        msg = f"{names}: raw stored values (raw=True). Decode them with xarray.decode_cf(cube)."
        raise ValueError(msg)
    return cube
