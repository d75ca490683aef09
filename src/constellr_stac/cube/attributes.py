"""Coordinates of a cube's time steps, and CF attributes."""

from __future__ import annotations

from importlib.metadata import version
from math import copysign
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from constellr_stac.layers.metadata import ANGLES

from .footprint import centre_of
from .mask import CLEAR
from .solar import sun_elevation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .plan import Plan
    from .scene import Scene

__all__ = ["described", "noted", "step_coordinates"]

_ATTRIBUTES: dict[str, dict[str, str]] = {
    "time": {
        "standard_name": "time",
        "long_name": "time of acquisition (UTC)",
        "axis": "T",
        "units_metadata": "leap_seconds: utc",
    },
    "y": {"standard_name": "projection_y_coordinate", "axis": "Y"},
    "x": {"standard_name": "projection_x_coordinate", "axis": "X"},
    "latitude": {"standard_name": "latitude", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "axis": "X"},
    "id": {"long_name": "STAC item"},
    "platform": {"standard_name": "platform_name", "long_name": "platform"},
    "order_id": {"long_name": "order"},
    "cloud_cover": {
        "standard_name": "cloud_area_fraction",
        "long_name": "cloud cover",
        "units": "percent",
    },
    "sun_elevation": {"standard_name": "solar_elevation_angle", "units": "degree"},
    "sun_azimuth": {"standard_name": "solar_azimuth_angle", "units": "degree"},
    "view_zenith": {"standard_name": "sensor_zenith_angle", "units": "degree"},
    "view_azimuth": {"standard_name": "sensor_azimuth_angle", "units": "degree"},
    "off_nadir": {"standard_name": "sensor_view_angle", "units": "degree"},
    "day_flag": {"long_name": "day, as the provider states"},
    "processing_level": {"long_name": "processing level"},
    "daytime": {"long_name": "sun above the horizon at the cube's centre"},
}
"""Attributes of coordinates; CF standard names where they exist."""


_TIME_ENCODING = {
    "units": "microseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "dtype": "int64",
}
_NAMED = 5  # items named in an attribute
_CONVENTIONS = "CF-1.11"

_WEB_MERCATOR = {
    "grid_mapping_name": "mercator",
    "earth_radius": 6378137.0,
    "longitude_of_projection_origin": 0.0,
    "scale_factor_at_projection_origin": 1.0,
    "false_easting": 0.0,
    "false_northing": 0.0,
}
"""EPSG:3857 on the sphere that its formulas use; PROJ has no CF form of it."""


def described(cube: xr.Dataset, plan: Plan) -> xr.Dataset:
    """Return ``cube`` with the attributes and encodings that the CF conventions ask for.

    The encoding of time is fixed, so that scenes can be appended to a file without rounding.
    ``grid_mapping`` is an attribute, which arithmetic keeps, and not an encoding, which it drops.
    """
    cube.attrs |= {
        "Conventions": _CONVENTIONS,
        "title": f"Constellr scenes: {', '.join(map(str, cube.data_vars))}",
        "source": _source(plan),
        "history": f"loaded by constellr_stac {version('constellr-stac')}",
    }
    for name, coordinate in cube.coords.items():
        coordinate.attrs.update(_ATTRIBUTES.get(str(name), {}))
        if coordinate.attrs.get("units") == "":  # odc-geo, for the axes of some polar grids
            coordinate.attrs["units"] = "metre"
        if "crs_wkt" in coordinate.attrs:
            _complete_grid_mapping(coordinate.attrs)
        if coordinate.ndim and coordinate.dtype.kind == "f":
            coordinate.encoding["_FillValue"] = None  # CF: coordinates have no missing values
    cube["time"].encoding = dict(_TIME_ENCODING)
    for variable in cube.data_vars.values():
        if "grid_mapping" in variable.encoding:
            variable.attrs["grid_mapping"] = variable.encoding.pop("grid_mapping")
        if "flag_values" in variable.attrs:  # CF: of the variable's own type
            variable.attrs["flag_values"] = np.array(variable.attrs["flag_values"], variable.dtype)
    _link_ancillary(cube)
    return cube


def noted(result: xr.Dataset, step: str) -> xr.Dataset:
    """Return a result whose history has one more step.

    Args:
        result: Derived from a cube, with its attributes or without any.
        step: What was done, as it is called.
    """
    history = "\n".join(filter(None, [result.attrs.get("history"), step]))
    conventions = result.attrs.get("Conventions", _CONVENTIONS)
    return result.assign_attrs(Conventions=conventions, history=history)


def _complete_grid_mapping(attrs: dict[str, Any]) -> None:
    """Add what CF demands of a grid mapping and PROJ leaves out."""
    attrs.setdefault("long_name", "coordinate reference system")
    if attrs.get("grid_mapping_name") == "polar_stereographic" and "standard_parallel" in attrs:
        pole = copysign(90.0, attrs["standard_parallel"])
        attrs.setdefault("latitude_of_projection_origin", pole)
    elif "grid_mapping_name" not in attrs and 'ID["EPSG",3857]' in attrs["crs_wkt"]:
        attrs.update(_WEB_MERCATOR)


def _link_ancillary(cube: xr.Dataset) -> None:
    """Link each variable of values to its uncertainty and its masks, as CF does."""
    masks = [str(name) for name, each in cube.data_vars.items() if "flag_values" in each.attrs]
    for name, variable in cube.data_vars.items():
        if variable.ndim < 2 or str(name) in masks or str(name).endswith("_std"):  # noqa: PLR2004
            continue
        own = [f"{name}_std"] if f"{name}_std" in cube else []
        if own or masks:
            variable.attrs["ancillary_variables"] = " ".join([*own, *masks])


def _source(plan: Plan) -> str:
    """Return where a cube comes from: items, mask and resampling."""
    items = [scene.item.id for scene in plan.scenes]
    named = ", ".join(items[:_NAMED]) + (", ..." if len(items) > _NAMED else "")
    resampling = ", ".join(f"{each.name} {each.resampling}" for each in plan.variables.values())
    mask = "all but clear" if plan.classes == CLEAR else ", ".join(plan.classes) or "none"
    mask += f" within {plan.mask_buffer:g} m" if plan.mask_buffer else ""
    return f"{len(items)} items ({named}); mask: {mask}; resampling where needed: {resampling}"


def step_coordinates(plan: Plan) -> dict[str, xr.DataArray]:
    """Return coordinates along time from the properties of each step's items."""
    longitude, latitude = centre_of(plan.geobox)
    columns: dict[str, list[Any]] = {
        "id": [_joined(scene.item.id for scene in step) for step in plan.steps],
        "daytime": [
            sun_elevation(min(scene.time for scene in step), longitude, latitude) > 0
            for step in plan.steps
        ],
    }
    properties = [scene.item.properties for scene in plan.scenes]
    for name, key in (("platform", "platform"), ("order_id", "order:id")):
        if any(key in each for each in properties):
            columns[name] = [
                _joined(scene.item.properties.get(key, "") for scene in step) for step in plan.steps
            ]
    if any("eo:cloud_cover" in each for each in properties):
        columns["cloud_cover"] = [_mean_cover(step) for step in plan.steps]
    for name in (*ANGLES, "day_flag", "processing_level"):
        stated = [_stated(step, name) for step in plan.steps]
        if any(value is not None for value in stated):
            missing = "" if name == "processing_level" else np.nan
            columns[name] = [missing if value is None else value for value in stated]
    # Strings as objects: Zarr does not specify NumPy's str dtype.
    types = {
        name: object if isinstance(values[0], str) else None for name, values in columns.items()
    }
    return {
        name: xr.DataArray(np.array(values, types[name]), dims="time")
        for name, values in columns.items()
    }


def _stated(scenes: Sequence[Scene], name: str) -> Any:
    """Return what the first scene that states it says, of the scenes of one step."""
    stated = ((scene.metadata or {}).get(name) for scene in scenes)
    return next((value for value in stated if value is not None), None)


def _joined(names: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names if name))


def _mean_cover(scenes: Sequence[Scene]) -> float:
    known = [
        float(cover)
        for scene in scenes
        if (cover := scene.item.properties.get("eo:cloud_cover")) is not None
    ]
    return sum(known) / len(known) if known else float("nan")
