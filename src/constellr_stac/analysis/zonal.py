"""Zonal statistics: one value for the pixels of a point or an area."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import odc.geo.xr  # noqa: F401 - the .odc accessor
import shapely.geometry
import xarray as xr
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

__all__ = ["Statistic", "in_cube_crs", "outlines", "reduce_zone", "spatial_dims"]

Statistic = Literal["median", "mean", "min", "max", "std", "count"]
"""The statistic of the valid pixels of a zone."""

_CELL_METHODS = {
    "median": "median",
    "mean": "mean",
    "min": "minimum",
    "max": "maximum",
    "std": "standard_deviation",
}
"""The CF cell method of each statistic."""


def spatial_dims(cube: xr.Dataset) -> tuple[str, str]:
    """Return the names of the y and x dimensions.

    Args:
        cube: With the grid that :func:`constellr_stac.load` sets.

    Raises:
        ValueError: The cube has no grid.
    """
    dims = cube.odc.spatial_dims
    if dims is None or cube.odc.geobox is None or cube.odc.geobox.crs is None:
        msg = "The cube has no georeferencing: it needs x, y and spatial_ref."
        raise ValueError(msg)
    return str(dims[0]), str(dims[1])


def in_cube_crs(cube: xr.Dataset, geometry: Any, crs: Any) -> Geometry:
    """Return a geometry in the cube's CRS.

    Args:
        cube: With a grid.
        geometry: Shapely, GeoJSON (a geometry or Feature) or :class:`odc.geo.geom.Geometry`.
        crs: The CRS of ``geometry``, unless it has one.

    Raises:
        TypeError: ``geometry`` is not a geometry, or a table of several.
    """
    spatial_dims(cube)
    if not isinstance(geometry, Geometry):
        geometry = Geometry(_shape(geometry), crs)
    projected: Geometry = geometry.to_crs(cube.odc.geobox.crs)
    return projected


def _shape(geometry: Any) -> BaseGeometry:
    plain = getattr(geometry, "__geo_interface__", geometry)
    if isinstance(plain, Mapping) and plain.get("type") == "Feature":
        plain = plain["geometry"]
    if not isinstance(plain, Mapping) or plain.get("type") in (None, "FeatureCollection"):
        raise TypeError(
            "Expected a shapely geometry, GeoJSON (a geometry or Feature) or an odc.geo Geometry, "
            f"not a {type(geometry).__name__}. For a GeoDataFrame, use zonal()."
        )
    return shapely.geometry.shape(plain)


def outlines(cube: xr.Dataset, areas: Any) -> tuple[list[Any], list[Geometry]]:
    """Return the index of a GeoDataFrame, and its geometries in the cube's CRS.

    Args:
        cube: With a grid.
        areas: A GeoDataFrame or GeoSeries.

    Raises:
        TypeError: ``areas`` has no geometries.
        ValueError: ``areas`` has no CRS.
    """
    spatial_dims(cube)
    series = getattr(areas, "geometry", None)
    if series is None or not hasattr(series, "to_crs"):
        raise TypeError(f"Expected a GeoDataFrame or GeoSeries, not a {type(areas).__name__}.")
    if series.crs is None:
        msg = "The areas have no CRS; set it with .set_crs('EPSG:4326')."
        raise ValueError(msg)
    projected = series.to_crs(cube.odc.geobox.crs.to_wkt())
    crs = cube.odc.geobox.crs
    empty = shapely.geometry.Polygon()  # for rows without a geometry
    shapes = [empty if shape is None else shape for shape in projected]
    return list(projected.index), [Geometry(shape, crs) for shape in shapes]


def reduce_zone(
    values: xr.Dataset,
    place: Geometry,
    statistic: Statistic,
    *,
    all_touched: bool,
    missing: Literal["raise", "nan"],
) -> xr.Dataset:
    """Reduce a zone to one value per variable and time step, lazily.

    Only chunks that intersect the zone are read.

    Args:
        values: Variables with dims (time, y, x).
        place: The zone, in the cube's CRS.
        statistic: The statistic of the valid pixels.

    Keyword Args:
        all_touched: Whether to include all pixels that an area touches.
        missing: How to handle a zone outside the cube.

    Raises:
        ValueError: Unknown statistic, or the zone is outside the cube.
    """
    if statistic not in get_args(Statistic):
        known = ", ".join(get_args(Statistic))
        raise ValueError(f"Unknown statistic {statistic!r}; use one of {known}.")
    rows, columns = spatial_dims(values)
    geobox = values.odc.geobox
    window = _window(geobox, place)
    if window is None:
        if missing == "raise":
            msg = "The geometry is outside the cube. Check its CRS (crs=)."
            raise ValueError(msg)
        window = (slice(0, 0), slice(0, 0))
    inside = _pixels(geobox[window], place, all_touched=all_touched)
    part = values.isel({rows: window[0], columns: window[1]})
    part = part.where(xr.DataArray(inside, dims=(rows, columns)))
    if statistic == "count":
        reduced = part.count((rows, columns))
    elif inside.size == 0:
        reduced = part.sum((rows, columns), min_count=1)
    else:
        reduced = getattr(part, statistic)((rows, columns), skipna=True)
    return _described(reduced, values, statistic)


def _described(reduced: xr.Dataset, values: xr.Dataset, statistic: Statistic) -> xr.Dataset:
    """Set CF attributes in place: a mean temperature is still a temperature."""
    for name, variable in values.data_vars.items():
        attrs = variable.attrs
        long_name = str(attrs.get("long_name", name))
        if statistic == "count":
            reduced[name].attrs = {
                "long_name": f"valid pixels of {long_name}",
                "units": "1",
                "standard_name": "number_of_observations",
            }
            continue
        kept = ["units"] if statistic == "std" else ["units", "standard_name"]
        reduced[name].attrs = {
            "long_name": f"{long_name}, standard deviation" if statistic == "std" else long_name,
            **{key: attrs[key] for key in kept if key in attrs},
            "cell_methods": f"area: {_CELL_METHODS[statistic]}",
        }
    return reduced


def _window(geobox: GeoBox, place: Geometry) -> tuple[slice, slice] | None:
    """Return the rows and columns of a zone, or ``None`` if outside."""
    if place.is_empty:
        return None
    left, bottom, right, top = place.boundingbox
    to_pixel: Any = geobox.wld2pix
    corners = [to_pixel(x, y) for x in (left, right) for y in (bottom, top)]
    if not np.isfinite(corners).all():
        return None  # outside the domain of the cube's projection
    columns, rows = zip(*corners, strict=True)
    found = tuple(
        slice(max(int(np.floor(min(edges))), 0), min(int(np.floor(max(edges))) + 1, size))
        for edges, size in ((rows, geobox.shape[0]), (columns, geobox.shape[1]))
    )
    return None if any(part.start >= part.stop for part in found) else (found[0], found[1])


def _pixels(geobox: GeoBox, place: Geometry, *, all_touched: bool) -> NDArray[np.bool_]:
    """Return the pixels of a zone as a mask; a point selects the pixel that contains it."""
    if 0 in geobox.shape:
        return np.zeros(geobox.shape, bool)
    mask = geometry_mask(
        [place.geom],
        out_shape=geobox.shape,
        transform=geobox.affine,
        invert=True,
        all_touched=all_touched,
    )
    return np.asarray(mask, bool)
