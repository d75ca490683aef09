"""Statistics of areas: of a cube, one number for each variable, time step and area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import shapely
import xarray as xr

from constellr_stac.cube.mask import masks_of, values_of
from constellr_stac.cube.pixel_size import pixel_areas, pixel_size
from constellr_stac.geometry.any_geometry import table_from

from .clear import clear_of, errors_of
from .reduce import Reduction, correlated, percentile_of, reduce, shares
from .statistic_attributes import attributes_of
from .zones import cover, outlines, spatial_dims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from .reduce import Statistic
    from .zones import Zones

__all__ = ["AREAS", "Options", "statistics_of", "zonal"]

AREAS = "constellr_areas"
"""Where the result keeps the areas it is of: in the encoding of ``zone``, which no file stores."""

_CLASSES = "classes"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the pixels of areas are chosen and weighted, as :meth:`.zonal` has it."""

    weights: bool = True
    all_touched: bool = False
    min_clear: float | None = None
    correlation_length: float | None = None


def zonal(
    cube: xr.Dataset, areas: Any, statistics: Sequence[Statistic], options: Options
) -> xr.Dataset:
    """Return statistics of each variable of values, dims (time, zone).

    Args:
        cube: Physical values, with a grid.
        areas: As for :func:`.table_from`.
        statistics: Their names.
        options: How pixels are chosen and weighted.

    Raises:
        InvalidAreaError: As for :func:`.table_from`.
        ValueError: The cube has no grid, or lacks what a statistic is made of, or there is no such
            statistic.
    """
    areas = table_from(areas)
    named = [statistics] if isinstance(statistics, str) else list(dict.fromkeys(statistics))
    result = statistics_of(cube, outlines(cube, areas), named, options)
    labels = np.empty(len(areas.index), object)
    labels[:] = list(areas.index)
    index = labels if areas.index.nlevels > 1 else areas.index.to_numpy()
    result = result.assign_coords(zone=("zone", index, {"long_name": "area"}))
    result["zone"].encoding[AREAS] = areas.copy()
    return result


def statistics_of(
    cube: xr.Dataset,
    shapes: Sequence[BaseGeometry],
    statistics: Sequence[Statistic],
    options: Options,
) -> xr.Dataset:
    """Return variables ``lst_mean``, … with dims (time, zone); lazy where the cube is.

    Only the chunks that hold a pixel of an area are read.

    Args:
        cube: Physical values, with a grid.
        shapes: Areas in its CRS.
        statistics: Their names.
        options: How pixels are chosen and weighted.

    Raises:
        ValueError: There is no such statistic, or the cube lacks what it is made of.
    """
    of_values = tuple(name for name in statistics if name != _CLASSES)
    for name in of_values:
        percentile_of(name)
    if "uncertainty" in of_values and all(
        errors_of(cube, name) is None for name in values_of(cube)
    ):
        msg = "'uncertainty' needs the standard errors of values, such as lst_std: load them too."
        raise ValueError(msg)
    if _CLASSES in statistics and not masks_of(cube):
        msg = "'classes' needs a mask, such as cloud_mask: load it too."
        raise ValueError(msg)
    dims = spatial_dims(cube)
    geobox = cube.odc.geobox
    zones = cover(geobox, shapes, weights=options.weights, all_touched=options.all_touched)
    length = options.correlation_length
    reduction = Reduction(
        zones,
        of_values,
        min_clear=options.min_clear,
        pixel_area=pixel_areas(geobox, zones.cells) if "area" in of_values else None,
        blocks=None if length is None else correlated(zones, length, pixel_size(geobox)),
    )
    columns: dict[str, xr.DataArray] = {}
    for name, values in values_of(cube).items() if of_values else ():
        reduced = _reduced(cube, name, dims, reduction)
        for number, statistic in enumerate(of_values):
            column = reduced.isel(statistic=number)
            if statistic == "uncertainty" and errors_of(cube, name) is None:
                continue
            columns[f"{name}_{statistic}"] = column.assign_attrs(
                attributes_of(values, name, statistic)
            )
    if _CLASSES in statistics:
        columns.update(_class_shares(cube, dims, zones))
    kept = cube.drop_dims(dims).drop_vars(list(cube.drop_dims(dims).data_vars))
    # Places are in degrees; the CRS, with its transform, is that of pixels.
    kept = kept.drop_vars([name for name in kept.coords if "crs_wkt" in kept[name].attrs])
    return kept.assign(columns).assign_coords(_places(geobox, shapes))


def _places(geobox: GeoBox, shapes: Sequence[BaseGeometry]) -> dict[str, Any]:
    """Return longitude and latitude of a point in each area; NaN for one without a geometry."""
    bounds = shapely.bounds(shapely.point_on_surface(np.asarray(shapes, object)))
    to_degrees = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    x, y = to_degrees.transform(bounds[:, 0], bounds[:, 1])
    return {
        name: (
            "zone",
            np.where(np.isfinite(values), values, np.nan),
            {"standard_name": name, "long_name": f"{name} of a point in the area", "units": units},
        )
        for name, values, units in (
            ("longitude", x, "degrees_east"),
            ("latitude", y, "degrees_north"),
        )
    }


def _reduced(
    cube: xr.Dataset, name: str, dims: tuple[str, str], reduction: Reduction
) -> xr.DataArray:
    """Return the statistics of one variable, dims (..., statistic, zone)."""
    values = cube[name].transpose(..., *dims)
    wants_clear = reduction.min_clear is not None or "clear_fraction" in reduction.statistics
    wanted = {
        "values": values,
        "clear": clear_of(cube, name) if wants_clear else None,
        "errors": errors_of(cube, name) if "uncertainty" in reduction.statistics else None,
    }
    parts = [
        None if each is None else each.transpose(*values.dims).data for each in wanted.values()
    ]
    data = _computed(reduce, parts, reduction.zones, len(reduction.statistics), reduction)
    return xr.DataArray(data, dims=(*values.dims[:-2], "statistic", "zone"))


def _class_shares(cube: xr.Dataset, dims: tuple[str, str], zones: Zones) -> dict[str, xr.DataArray]:
    """Return the share of each area that is in each class of each mask."""
    columns = {}
    for name, mask in masks_of(cube).items():
        flags = mask.transpose(..., *dims)
        numbers = np.atleast_1d(flags.attrs["flag_values"])
        data = _computed(shares, [flags.data], zones, numbers.size, (zones, numbers))
        found = xr.DataArray(data, dims=(*flags.dims[:-2], "class", "zone"))
        for number, meaning in enumerate(str(flags.attrs["flag_meanings"]).split()):
            words = {"long_name": f"share of the area with {meaning}", "units": "1"}
            columns[f"{name}_{meaning}"] = found.isel({"class": number}).assign_attrs(words)
    return columns


def _computed(function: Any, parts: Sequence[Any], zones: Zones, rows: int, argument: Any) -> Any:
    """Gather the pixels of areas from arrays and reduce them, per chunk of time if lazy."""
    if not zones.found.size:  # no pixel needs to be read
        empty = [None if part is None else np.empty((*part.shape[:-2], 0)) for part in parts]
        return function(*empty, argument=argument)
    gathered = [None if part is None else _gather(part, zones.cells) for part in parts]
    lazy: list[Any] = [part for part in gathered if hasattr(part, "dask")]
    if not lazy:
        return function(*gathered, argument=argument)
    import dask.array as da
    from dask.delayed import delayed

    lead = lazy[0].chunks[:-1]
    chunks = (*lead, (zones.cells.shape[1],))
    aligned = [None if part is None else da.asarray(part).rechunk(chunks) for part in gathered]
    return da.map_blocks(
        function,
        *aligned,
        argument=delayed(argument, pure=True, traverse=False),
        new_axis=[len(lead)],
        chunks=(*lead, (rows,), (zones.sizes.size,)),
        dtype=np.float64,
        meta=np.empty((0,) * (len(lead) + 2)),
    )


def _gather(values: Any, cells: NDArray[np.int64]) -> Any:
    """Return the values of single pixels, (..., pixels), out of (..., y, x)."""
    if not hasattr(values, "dask"):
        return np.asarray(values)[..., cells[0], cells[1]]
    import dask.array as da

    edges = [np.cumsum((0, *sizes)) for sizes in values.chunks[-2:]]
    row, column = (
        np.searchsorted(edge, axis, "right") - 1 for edge, axis in zip(edges, cells, strict=True)
    )
    block, position = np.unique(row * (len(edges[1]) + 1) + column, return_inverse=True)
    order = np.argsort(position, kind="stable")
    parts = []
    for within in np.split(order, np.cumsum(np.bincount(position))[:-1]):
        i, j = int(row[within[0]]), int(column[within[0]])
        chunk = values.blocks[..., i, j]
        part = chunk.map_blocks(
            _pick,
            rows=cells[0][within] - edges[0][i],
            columns=cells[1][within] - edges[1][j],
            drop_axis=values.ndim - 1,
            chunks=(*chunk.chunks[:-2], (within.size,)),
            dtype=values.dtype,
        )
        parts.append(part)
    if block.size == 1:
        return parts[0]
    back = np.argsort(order)
    whole = da.concatenate(parts, axis=-1).rechunk({-1: -1})
    return whole.map_blocks(_in_order, order=back, dtype=values.dtype)


def _pick(block: Any, rows: Any, columns: Any) -> Any:
    return block[..., rows, columns]


def _in_order(block: Any, order: Any) -> Any:
    return block[..., order]
