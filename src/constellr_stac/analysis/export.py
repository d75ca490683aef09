"""Results in other formats: tables of areas, and GeoTIFF files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from constellr_stac.cube.mask import values_of
from constellr_stac.cube.units import is_stored
from constellr_stac.geometry.any_geometry import table_from

from .times import as_steps
from .zonal import AREAS
from .zones import spatial_dims

if TYPE_CHECKING:
    import os

    import xarray as xr
    from odc.geo.geobox import GeoBox

__all__ = ["to_geodataframe", "to_geotiff"]

_SUFFIXES = (".tif", ".tiff")


def to_geodataframe(stats: xr.Dataset, areas: Any, shape: Literal["long", "wide"]) -> Any:
    """Return zonal statistics as a GeoDataFrame with the areas' index, columns and geometry.

    Args:
        stats: From :func:`.zonal`.
        areas: The areas, if ``stats`` was read from a file.
        shape: ``long`` for a row per area and time step, ``wide`` for a row per area.

    Raises:
        ValueError: ``stats`` has no zones or no longer its areas, ``areas`` has columns of the same
            names, or there is no such shape.
    """
    if "zone" not in stats.dims:
        msg = "Expected the result of zonal(), with the dimension zone."
        raise ValueError(msg)
    if shape not in ("long", "wide"):
        raise ValueError(f"Unknown shape {shape!r}; use 'long' or 'wide'.")
    areas = stats["zone"].encoding.get(AREAS) if areas is None else areas
    if areas is None:
        msg = "The Dataset has lost its areas, as in a file. Pass them: to_geodataframe(areas)."
        raise ValueError(msg)
    areas = table_from(areas)
    frame = areas.to_frame("geometry") if not hasattr(areas, "columns") else areas
    frame = frame.iloc[_positions(frame.index, stats["zone"].to_numpy())]
    values = {str(name): stats[name].transpose(..., "zone") for name in stats.data_vars}
    if "time" not in stats.dims:
        rows, columns = np.arange(len(frame)), {k: v.to_numpy() for k, v in values.items()}
    elif shape == "wide":
        rows = np.arange(len(frame))
        columns = {
            f"{name}_{time:%Y-%m-%dT%H:%M:%S}": step
            for name, each in values.items()
            for time, step in zip(stats.indexes["time"], each.to_numpy(), strict=True)
        }
    else:
        rows = np.tile(np.arange(len(frame)), stats.sizes["time"])
        columns = {"time": np.repeat(stats["time"].to_numpy(), len(frame))}
        columns |= {name: each.to_numpy().ravel() for name, each in values.items()}
    frame = frame.iloc[rows]
    if taken := set(columns) & set(frame.columns):
        raise ValueError(f"The areas have columns {', '.join(sorted(taken))} already; rename them.")
    return pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis=1)


def _positions(index: Any, zones: Any) -> Any:
    """Return where the zones are in the areas, also after a selection."""
    if len(index) == len(zones) and all(a == b for a, b in zip(index, zones, strict=True)):
        return np.arange(len(index))
    positions = index.get_indexer(list(zones)) if index.is_unique else np.array([-1])
    if (positions < 0).any():
        msg = "The areas are not those of the statistics: their index differs."
        raise ValueError(msg)
    return positions


def to_geotiff(
    cube: xr.Dataset, path: str | os.PathLike[str], variable: str | None, scale: float | None
) -> list[Path]:
    """Write cloud-optimized GeoTIFFs, one for each variable and time step.

    Args:
        cube: With a grid.
        path: A file ending in ``.tif`` for a single map, else a folder.
        variable: The variable; default all in a folder, the temperature in a file.
        scale: Store integers of this step instead of floats.

    Raises:
        ValueError: Several maps for one file, a value out of the range of integers, a variable
            that is not there, or a cube without a grid.
    """
    dims = spatial_dims(cube)
    target = Path(path)
    maps = {name: each for name, each in cube.data_vars.items() if set(dims) <= set(each.dims)}
    steps = as_steps(cube[list(maps)])
    single = target.suffix.lower() in _SUFFIXES
    names = [variable] if variable is not None else [str(name) for name in maps]
    if single and variable is None:
        names = list(values_of(cube))[:1] or names[:1]
    if missing := [name for name in names if name not in maps]:
        raise ValueError(f"The cube has no {', '.join(map(repr, missing))}.")
    if single and steps.sizes["time"] != 1:
        raise ValueError(
            f"{target.name} holds one map, and the cube has {steps.sizes['time']} time steps. "
            "Select one, make a composite, or write to a folder."
        )
    if not single:
        target.mkdir(parents=True, exist_ok=True)
    written = []
    seconds = steps["time"].to_numpy().astype("datetime64[s]").astype("int64")
    repeated = pd.Series(seconds).groupby(seconds).cumcount().to_numpy()
    for index in range(steps.sizes["time"]):
        step = steps[names].isel(time=index).compute()
        for name in names:
            number = repeated[index]
            file = target if single else target / _file_name(name, step, number)
            part = file.with_name(f".{file.name}.part")
            try:
                _write(step[name].transpose(*dims), cube.odc.geobox, part, scale)
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
            written.append(file)
    return written


def _file_name(name: str, step: xr.Dataset, number: int) -> str:
    """Return a file's name; ``number`` tells steps of the same second apart."""
    time = step["time"].to_numpy()
    stamp = "" if np.isnat(time) else f"_{_second(time).replace('-', '').replace(':', '')}Z"
    return f"{name}{stamp}{f'_{number}' if number else ''}.tif"


def _second(time: Any) -> str:
    return str(np.datetime_as_string(time, "s"))


def _write(scene: xr.DataArray, geobox: GeoBox, file: Path, scale: float | None) -> None:
    """Write one map; overviews average values and take the most frequent class."""
    import rasterio
    from rasterio.session import DummySession

    pixels, attrs = scene.to_numpy(), scene.attrs
    is_class = "flag_values" in attrs or pixels.dtype == bool
    if pixels.dtype == bool:
        pixels = pixels.astype("uint8")
    transform = geobox.affine
    if transform.e > 0:  # rows from south to north
        pixels = pixels[::-1]
        a, b, c, d, e, f = transform[:6]
        rows = len(pixels)
        transform = type(transform)(a, -b, c + b * rows, d, -e, f + e * rows)
    nodata, factor, offset = attrs.get("nodata", attrs.get("_FillValue")), 1.0, 0.0
    if is_stored(scene):
        factor, offset = attrs["scale_factor"], attrs.get("add_offset", 0.0)
    elif pixels.dtype.kind == "f":
        nodata = np.nan
        if scale is not None and not is_class:
            pixels, nodata = _packed(pixels, scale, str(scene.name))
            factor = scale
    with (
        rasterio.Env(session=DummySession()),
        rasterio.open(
            file,
            "w",
            driver="COG",
            dtype=pixels.dtype,
            count=1,
            height=pixels.shape[0],
            width=pixels.shape[1],
            crs=str(geobox.crs),
            transform=transform,
            nodata=nodata,
            compress="DEFLATE",
            predictor="YES",
            overview_resampling="mode" if is_class else "average",
        ) as dataset,
    ):
        dataset.write(pixels, 1)
        dataset.scales, dataset.offsets = (factor,), (offset,)
        dataset.units = (str(attrs.get("units", "")),)
        dataset.set_band_description(1, str(attrs.get("long_name", scene.name)))
        if "time" in scene.coords and not np.isnat(scene["time"].to_numpy()):
            when = _second(scene["time"].to_numpy())
            dataset.update_tags(
                TIFFTAG_DATETIME=when.replace("-", ":").replace("T", " "), time=f"{when}Z"
            )


def _packed(values: Any, scale: float, name: str) -> tuple[Any, int]:
    """Return values as 16-bit integers of a step, and the number for no value."""
    stored = np.round(values.astype("float64") / scale)
    dtype, nodata = ("uint16", 65535) if not np.nanmin(stored, initial=0) < 0 else ("int16", -32768)
    limits = np.iinfo(dtype)
    known = np.isfinite(stored)
    usable = stored[known]
    if usable.size and (usable.max() > limits.max - 1 or usable.min() <= limits.min - 1):
        raise ValueError(f"{name} does not fit 16 bits in steps of {scale}; use a larger scale.")
    return np.where(known, stored, nodata).astype(dtype), nodata
