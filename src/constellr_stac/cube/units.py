"""Conversion from kelvin to degrees Celsius, and attributes of anomalies."""

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
    """Return a cube with its temperatures in degrees Celsius.

    Other variables are unchanged, also standard deviations, whose values are the same in both
    units.

    Args:
        cube: Variables with CF attributes.
    """
    result = cube.copy()
    for name, variable in cube.data_vars.items():
        attrs = variable.attrs
        if attrs.get("units") == "K" and attrs.get("standard_name") == _TEMPERATURE:
            shifted = (variable - np.float32(FREEZING)).assign_attrs({**attrs, "units": "degC"})
            shifted.encoding = on_same_grid(variable.encoding)
            result[name] = shifted
    return result


def as_anomaly(attrs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the attributes of an anomaly.

    Args:
        attrs: The attributes of the values.
        name: The variable's name, if it has no ``long_name``.
    """
    kept = {key: attrs[key] for key in ("units", "grid_mapping") if key in attrs}
    kept["long_name"] = f"{attrs.get('long_name', name)}{_ANOMALY}"
    if attrs.get("standard_name") == _TEMPERATURE:  # CF: a difference is not a temperature
        kept["standard_name"] = f"{_TEMPERATURE}_anomaly"
    return kept


def is_anomaly(attrs: Mapping[str, Any]) -> bool:
    """Return whether attributes are those of an anomaly."""
    return str(attrs.get("long_name", "")).endswith(_ANOMALY)


def is_stored(values: xr.DataArray) -> bool:
    """Return whether a variable holds raw stored values."""
    return "scale_factor" in values.attrs


def on_same_grid(encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an encoding that is valid for derived values: the grid mapping.

    Dtype, scale and fill are dropped: they may not hold values such as degrees below zero.

    Args:
        encoding: The encoding of the source variable.
    """
    return {name: encoding[name] for name in ("grid_mapping",) if name in encoding}


_TEMPERATURE = "surface_temperature"
_ANOMALY = ", anomaly"
