"""Kelvin, degrees Celsius, and differences: what a variable says of itself afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

__all__ = ["FREEZING", "as_anomaly", "in_celsius", "is_anomaly", "is_stored", "on_same_grid"]

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
        if words.get("units") == "K" and words.get("standard_name") == _TEMPERATURE:
            shifted = (variable - np.float32(FREEZING)).assign_attrs({**words, "units": "degC"})
            shifted.encoding = on_same_grid(variable.encoding)
            result[name] = shifted
    return result


def as_anomaly(words: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the attributes of a difference from what is usual.

    Args:
        words: The attributes of the values themselves.
        name: What they are called where nothing else says it.
    """
    kept = {word: words[word] for word in ("units", "grid_mapping") if word in words}
    kept["long_name"] = f"{words.get('long_name', name)}{_ANOMALY}"
    if words.get("standard_name") == _TEMPERATURE:  # CF: a difference is no temperature
        kept["standard_name"] = f"{_TEMPERATURE}_anomaly"
    return kept


def is_anomaly(words: Mapping[str, Any]) -> bool:
    """Say whether attributes are those of a difference from what is usual."""
    return str(words.get("long_name", "")).endswith(_ANOMALY)


def is_stored(values: xr.DataArray) -> bool:
    """Say whether a variable holds numbers as a file stores them, with what would decode them."""
    return "scale_factor" in values.attrs


def on_same_grid(encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an encoding still holds for other numbers on the same pixels.

    How a file packed the old ones (type, scale, fill) does not: degrees below zero would not fit.

    Args:
        encoding: Of the variable that the numbers were made of.
    """
    return {name: encoding[name] for name in ("grid_mapping",) if name in encoding}


_TEMPERATURE = "surface_temperature"
_ANOMALY = ", anomaly"
