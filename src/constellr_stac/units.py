"""Kelvin and degrees Celsius."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["FREEZING", "in_celsius"]

FREEZING = 273.15
"""0 degrees Celsius in kelvin."""


def in_celsius(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube with its temperatures in degrees Celsius; what is not in kelvin stays.

    A standard deviation in kelvin is one in degrees Celsius already, and keeps its unit.

    Args:
        cube: Variables with CF attributes.
    """
    result = cube.copy()
    for name, variable in cube.data_vars.items():
        words = variable.attrs
        if words.get("units") == "K" and words.get("standard_name") == "surface_temperature":
            shifted = (variable - np.float32(FREEZING)).assign_attrs({**words, "units": "degC"})
            shifted.encoding = variable.encoding
            result[name] = shifted
    return result
