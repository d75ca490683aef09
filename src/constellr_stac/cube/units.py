"""Conversion from kelvin to degrees Celsius, and attributes of anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["FREEZING", "as_anomaly", "in_celsius", "is_anomaly", "is_stored"]

FREEZING = 273.15
"""0 degrees Celsius in kelvin."""

_COLDEST = 100.0  # kelvin; nothing on Earth is as cold


def in_celsius(cube: xr.Dataset, *, checked: bool = False) -> xr.Dataset:
    """Return a cube with its temperatures in degrees Celsius.

    Other variables are unchanged, also standard deviations, whose values are the same in both
    units.

    Args:
        cube: Variables with CF attributes.

    Keyword Args:
        checked: Whether to refuse, at the compute, values below 100 K. xarray keeps attributes
            through arithmetic, so a difference or a standard deviation still calls itself a
            temperature, and only its values tell.

    Raises:
        ValueError: At the compute: there are such values.
    """
    result = cube.copy()
    for name, variable in cube.data_vars.items():
        attrs = variable.attrs
        if attrs.get("units") == "K" and attrs.get("standard_name") == _TEMPERATURE:
            shifted = xr.apply_ufunc(
                _checked_celsius if checked else _celsius,
                variable,
                dask="parallelized",
                output_dtypes=[variable.dtype],
                keep_attrs=True,
            )
            result[name] = shifted.assign_attrs(units="degC")
    return result


def _celsius(kelvin: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(kelvin - kelvin.dtype.type(FREEZING))


def _checked_celsius(kelvin: NDArray[Any]) -> NDArray[Any]:
    if (kelvin < _COLDEST).any():
        lowest = float(np.nanmin(kelvin))
        msg = (
            f"{lowest:g} K is no temperature of a surface: is this a difference or a standard "
            "deviation? Those are the same in degrees Celsius; do not convert them."
        )
        raise ValueError(msg)
    return _celsius(kelvin)


def as_anomaly(attrs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the attributes of an anomaly.

    Args:
        attrs: The attributes of the values.
        name: The variable's name, if it has no ``long_name``.
    """
    kept = {key: attrs[key] for key in ("units", "grid_mapping") if key in attrs}
    if "units_metadata" in attrs:
        kept["units_metadata"] = "temperature: difference"
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


_TEMPERATURE = "surface_temperature"
_ANOMALY = ", anomaly"
