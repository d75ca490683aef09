"""Attributes of statistics, by the CF conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["attributes_of"]

_CELL_METHODS = {
    "median": "median",
    "mean": "mean",
    "min": "minimum",
    "max": "maximum",
    "std": "standard_deviation",
}
_SHARES = {
    "area": ("area of valid pixels of {}", "m2"),
    "clear_fraction": ("share with clear pixels of {}", "1"),
}


def attributes_of(
    values: xr.DataArray, name: str, statistic: str, over: Literal["area", "time"] = "area"
) -> dict[str, Any]:
    """Return what a statistic says of itself: a mean temperature is still a temperature.

    Args:
        values: What it is of, with CF attributes.
        name: What they are called where nothing else says it.
        statistic: Its name.
        over: What it was taken over.
    """
    attrs = values.attrs
    long_name = str(attrs.get("long_name", name))
    kept = {
        word: attrs[word] for word in ("units", "standard_name", "units_metadata") if word in attrs
    }
    if statistic == "count":
        return {
            "long_name": f"valid {'pixels' if over == 'area' else 'scenes'} of {long_name}",
            "units": "1",
            "standard_name": "number_of_observations",
        }
    if statistic in _SHARES:
        text, units = _SHARES[statistic]
        return {"long_name": text.format(long_name), "units": units}
    if statistic in ("std", "uncertainty"):
        kept.pop("standard_name", None)  # which would make 3 K a temperature of -270 °C
        if "units_metadata" in kept:
            kept["units_metadata"] = "temperature: difference"
        what = "standard deviation" if statistic == "std" else "standard uncertainty of the mean"
        long_name = f"{long_name}, {what}"
    elif statistic not in _CELL_METHODS:
        long_name = f"{long_name}, percentile {statistic.removeprefix('p')}"
    if statistic in _CELL_METHODS:
        kept["cell_methods"] = f"{over}: {_CELL_METHODS[statistic]}"
    return {"long_name": long_name, **kept}
