"""Coordinates of a cube's time steps, and CF attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .footprint import centre_of
from .solar import sun_elevation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .plan import Plan
    from .scene import Scene

__all__ = ["described", "step_coordinates"]

_ATTRIBUTES: dict[str, dict[str, str]] = {
    "time": {"standard_name": "time", "long_name": "time of acquisition (UTC)", "axis": "T"},
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
    "daytime": {"long_name": "sun above the horizon at the cube's centre"},
}
"""Attributes of coordinates; CF standard names where they exist."""


def described(cube: xr.Dataset) -> xr.Dataset:
    """Set CF attributes in place, and return ``cube``."""
    cube.attrs["Conventions"] = "CF-1.11"
    for name, coordinate in cube.coords.items():
        coordinate.attrs.update(_ATTRIBUTES.get(str(name), {}))
        if coordinate.attrs.get("units") == "":  # set by odc-geo for some polar grids
            coordinate.attrs["units"] = "metre"
    for variable in cube.data_vars.values():
        if "flag_values" in variable.attrs:  # CF requires the variable's dtype
            variable.attrs["flag_values"] = np.array(variable.attrs["flag_values"], variable.dtype)
    return cube


def step_coordinates(plan: Plan) -> dict[str, xr.DataArray]:
    """Return coordinates along time from the properties of each step's items."""
    longitude, latitude = centre_of(plan.geobox)
    columns: dict[str, list[Any]] = {
        "id": [_joined(scene.item.id for scene in step) for step in plan.steps],
        "daytime": [sun_elevation(step[0].time, longitude, latitude) > 0 for step in plan.steps],
    }
    properties = [scene.item.properties for scene in plan.scenes]
    for name, key in (("platform", "platform"), ("order_id", "order:id")):
        if any(key in each for each in properties):
            columns[name] = [
                _joined(scene.item.properties.get(key, "") for scene in step) for step in plan.steps
            ]
    if any("eo:cloud_cover" in each for each in properties):
        columns["cloud_cover"] = [_mean_cover(step) for step in plan.steps]
    # Strings as objects: Zarr does not specify NumPy's str dtype.
    types = {
        name: object if isinstance(values[0], str) else None for name, values in columns.items()
    }
    return {
        name: xr.DataArray(np.array(values, types[name]), dims="time")
        for name, values in columns.items()
    }


def _joined(names: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names if name))


def _mean_cover(scenes: Sequence[Scene]) -> float:
    known = [
        float(cover)
        for scene in scenes
        if (cover := scene.item.properties.get("eo:cloud_cover")) is not None
    ]
    return sum(known) / len(known) if known else float("nan")
