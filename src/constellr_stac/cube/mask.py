"""What is masked out, by the names of classes: clouds, shadows, water.

The names are those of the masks' own ``flag_meanings``, so that a cube says itself what they
are. A pixel whose class is not known is masked out too: a cloud that nobody looked for would
pass for a cold roof.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["CLASSES", "CLEAR", "classes_of", "is_in", "kept", "mask_out", "taken_out", "values_of"]

CLASSES = {
    "thick": "cloud_mask",
    "thin": "cloud_mask",
    "shadow": "cloud_mask",
    "castshadow": "castshadow_mask",
    "water": "landwater_mask",
    "land": "landwater_mask",
}
"""The classes that can be masked out, and the mask that tells about each."""

CLEAR = ("thick", "thin", "shadow")
"""What ``"clear"`` masks out: every class of the cloud mask but ``clear``."""


def classes_of(mask: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes to mask out.

    Args:
        mask: ``"clear"``, one class or a list of them; ``None`` for none.

    Raises:
        ValueError: There is no such class.

    Example:
        >>> classes_of("clear")
        ('thick', 'thin', 'shadow')
    """
    if mask is None:
        return ()
    if isinstance(mask, str):
        mask = CLEAR if mask == "clear" else (mask,)
    classes = tuple(mask) if isinstance(mask, Iterable) else (mask,)
    unknown = [name for name in classes if name not in CLASSES]
    if unknown:
        raise ValueError(
            f"There is no class {', '.join(map(repr, unknown))} to mask out: use "
            f"{', '.join(map(repr, CLASSES))}, or mask='clear'."
        )
    return classes


def mask_out(cube: xr.Dataset, classes: Sequence[str]) -> xr.Dataset:
    """Return ``cube`` with the values of these classes, and of unknown ones, taken out.

    Floats become NaN, stored integers the variable's ``nodata`` (NaN where it has none). Masks
    stay as they are, and so does what has no pixels, such as a CRS that was read from a file.

    Args:
        cube: Has the masks that tell about the classes.
        classes: From :func:`classes_of`.

    Raises:
        ValueError: A mask is missing.
    """
    if not classes:
        return cube
    keep = kept(cube, classes)
    result = cube.copy()
    for name, variable in values_of(cube).items():
        result[name] = taken_out(variable, keep)
    return result


def kept(cube: xr.Dataset, classes: Sequence[str]) -> xr.DataArray:
    """Say of each pixel whether it is known to be in none of these classes.

    Raises:
        ValueError: A mask is missing.
    """
    keeps = []
    for name in dict.fromkeys(CLASSES[each] for each in classes):
        if name not in cube:
            raise ValueError(f"The cube has no {name}: load it too (bands=[..., {name!r}]).")
        # Not what is in none of the classes: a class that is not known is taken out, too.
        keeps.append(is_in(cube[name], *(set(_meanings(cube[name])) - set(classes))))
    return functools.reduce(operator.and_, keeps)


def taken_out(variable: xr.DataArray, keep: xr.DataArray) -> xr.DataArray:
    """Return ``variable`` without what is not to be kept, with the same dims and encoding."""
    if variable.dtype.kind == "f":
        masked = variable.where(keep, variable.dtype.type(np.nan))
    elif "nodata" in variable.attrs:
        masked = variable.where(keep, variable.dtype.type(variable.attrs["nodata"]))
    else:
        masked = variable.where(keep)
    masked.encoding = variable.encoding
    return masked.transpose(..., *variable.dims)


def is_in(flags: xr.DataArray, *classes: str) -> xr.DataArray:
    """Say of each pixel of a mask whether it is in one of these classes.

    Args:
        flags: With ``flag_values`` and ``flag_meanings``.
        classes: Of its ``flag_meanings``.
    """
    numbers = np.atleast_1d(flags.attrs["flag_values"])
    pairs = zip(numbers, _meanings(flags), strict=True)
    return flags.isin([number for number, meaning in pairs if meaning in classes])


def _meanings(flags: xr.DataArray) -> list[str]:
    return str(flags.attrs["flag_meanings"]).split()


def values_of(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables that hold values of pixels: no masks, and not the CRS.

    Args:
        cube: With or without ``time``.
    """
    return {
        str(name): variable
        for name, variable in cube.data_vars.items()
        if variable.ndim > 1 and "flag_values" not in variable.attrs
    }
