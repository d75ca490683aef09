"""Masking by class: clouds, shadows, water.

The class names are the masks' ``flag_meanings``. Unclassified pixels are masked too, since an
undetected cloud looks like a cold surface.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import odc.geo.xr  # noqa: F401 - the .odc accessor

from constellr_stac.reading.dilation import dilated, reach_of

from .pixel_size import pixel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from constellr_stac.layers.band import Band

__all__ = [
    "CLASSES",
    "CLEAR",
    "apply_mask",
    "classes_of",
    "is_in",
    "mask_out",
    "masks_of",
    "split_classes",
    "unmasked",
    "values_of",
]

CLASSES = {
    "thick": "cloud_mask",
    "thin": "cloud_mask",
    "shadow": "cloud_mask",
    "castshadow": "castshadow_mask",
    "water": "landwater_mask",
    "land": "landwater_mask",
}
"""The classes that can be masked out, and the mask of each."""

CLEAR = ("thick", "thin", "shadow")
"""The classes that ``"clear"`` masks out: all of the cloud mask except ``clear``."""


def classes_of(mask: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes to mask out.

    Args:
        mask: ``"clear"``, one class or a list of them; ``None`` for none.

    Raises:
        ValueError: Unknown class.

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
            f"Unknown mask class {', '.join(map(repr, unknown))}; use "
            f"{', '.join(map(repr, CLASSES))}, or mask='clear'."
        )
    return classes


def split_classes(band: Band, classes: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of a mask's classes that are kept, and of those to mask out."""
    pairs = list(zip(band.flag_values, band.flag_meanings, strict=True))
    return (
        tuple(number for number, meaning in pairs if meaning not in classes),
        tuple(number for number, meaning in pairs if meaning in classes),
    )


def mask_out(cube: xr.Dataset, classes: Sequence[str], buffer: float = 0.0) -> xr.Dataset:
    """Return ``cube`` with pixels of these classes, and unclassified ones, masked out.

    Masked floats become NaN, stored integers the variable's ``nodata`` (NaN if it has none).
    Masks and variables without pixels, such as ``spatial_ref``, are unchanged.

    Args:
        cube: With the masks of the classes.
        classes: From :func:`classes_of`.
        buffer: As for :func:`unmasked`.

    Raises:
        ValueError: A mask is missing, or the buffer is negative.
    """
    if not classes:
        return cube
    keep = unmasked(cube, classes, buffer)
    result = cube.copy()
    for name, variable in values_of(cube).items():
        result[name] = apply_mask(variable, keep)
    return result


def unmasked(cube: xr.Dataset, classes: Sequence[str], buffer: float = 0.0) -> xr.DataArray:
    """Return which pixels are classified and in none of these classes.

    Args:
        cube: With the masks of the classes.
        classes: From :func:`classes_of`; at least one.
        buffer: Metres around pixels of these classes that are masked too. Unclassified pixels
            have no buffer.

    Raises:
        ValueError: A mask is missing, or the buffer is negative.
    """
    keeps = []
    for name in dict.fromkeys(CLASSES[each] for each in classes):
        if name not in cube:
            raise ValueError(f"The cube has no {name}; load it too (bands=[..., {name!r}]).")
        # Selects the other classes, rather than excluding these: drops unclassified pixels too.
        keeps.append(is_in(cube[name], *(set(_meanings(cube[name])) - set(classes))))
    keep = functools.reduce(operator.and_, keeps)
    if buffer == 0:
        return keep
    inside = functools.reduce(operator.or_, (is_in(cube[CLASSES[one]], one) for one in classes))
    inside = inside.transpose(..., *cube.odc.spatial_dims)
    return keep & ~_grown(inside, buffer, pixel_size(cube.odc.geobox))


def _grown(mask: xr.DataArray, metres: float, pixel: tuple[float, float]) -> xr.DataArray:
    """Return which pixels are within a distance of a masked one; dims (..., y, x)."""
    reach = np.minimum(reach_of(metres, pixel), mask.shape[-2:])
    grow = functools.partial(dilated, metres=metres, pixel=pixel)
    if not hasattr(mask.data, "dask"):
        return mask.copy(data=grow(np.asarray(mask.data)))
    depth = dict(zip((mask.ndim - 2, mask.ndim - 1), reach.tolist(), strict=True))
    return mask.copy(data=mask.data.map_overlap(grow, depth=depth, boundary=False, dtype=bool))


def apply_mask(variable: xr.DataArray, keep: xr.DataArray) -> xr.DataArray:
    """Return ``variable`` masked where ``keep`` is false, with the same dims and encoding."""
    if variable.dtype.kind == "f":
        masked = variable.where(keep, variable.dtype.type(np.nan))
    elif "nodata" in variable.attrs:
        masked = variable.where(keep, variable.dtype.type(variable.attrs["nodata"]))
    else:
        masked = variable.where(keep)
    masked.encoding = variable.encoding
    return masked.transpose(..., *variable.dims)


def is_in(flags: xr.DataArray, *classes: str) -> xr.DataArray:
    """Return which pixels of a mask are in one of these classes.

    Args:
        flags: With ``flag_values`` and ``flag_meanings``.
        classes: Any of its ``flag_meanings``.
    """
    numbers = np.atleast_1d(flags.attrs["flag_values"])
    pairs = zip(numbers, _meanings(flags), strict=True)
    return flags.isin([number for number, meaning in pairs if meaning in classes])


def _meanings(flags: xr.DataArray) -> list[str]:
    return str(flags.attrs["flag_meanings"]).split()


def masks_of(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the masks, which have classes.

    Args:
        cube: With or without ``time``.
    """
    variables = cube.data_vars.items()
    return {str(name): each for name, each in variables if "flag_values" in each.attrs}


def values_of(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables that hold pixel values, without masks and ``spatial_ref``.

    Args:
        cube: With or without ``time``.
    """
    return {
        str(name): variable
        for name, variable in cube.data_vars.items()
        if variable.ndim > 1 and "flag_values" not in variable.attrs
    }
