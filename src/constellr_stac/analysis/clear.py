"""What a cube says of its values: where they are clear, and their standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from constellr_stac.cube.mask import CLEAR, unmasked

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["clear_fraction", "clear_of", "errors_of"]


def clear_of(cube: xr.Dataset, name: str) -> xr.DataArray:
    """Return where a variable is valid and, if the cube has a cloud mask, known to be clear.

    Args:
        cube: Values, with or without ``cloud_mask``.
        name: The variable.
    """
    valid = cube[name].notnull()
    if "cloud_mask" in cube:
        valid = valid & unmasked(cube, CLEAR)
    return valid.transpose(*cube[name].dims)


def clear_fraction(cube: xr.Dataset, name: str) -> xr.DataArray:
    """Return the share of the time steps in which each pixel is clear, dims (y, x).

    Args:
        cube: Values, with or without ``cloud_mask`` and ``time``.
        name: The variable.
    """
    clear = clear_of(cube, name)
    share = clear.mean("time") if "time" in clear.dims else clear.astype("float64")
    share.attrs = {"long_name": "share of the time steps with a clear value", "units": "1"}
    if "grid_mapping" in cube[name].attrs:
        share.attrs["grid_mapping"] = cube[name].attrs["grid_mapping"]
    return share.rename("clear_fraction")


def errors_of(cube: xr.Dataset, name: str) -> xr.DataArray | None:
    """Return the standard errors of a variable, if the cube has them: ``lst_std`` of ``lst``.

    Args:
        cube: Values.
        name: The variable.
    """
    return cube.get(f"{name}_std")
