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
    "meanings_of",
    "split_classes",
    "split_numbers",
    "unmasked",
    "values_of",
]

CLEAR = ("clear",)
"""The one class of the cloud mask that ``"clear"`` keeps: one of an unknown name is not clear."""

CLASSES = {
    "clear": "cloud_mask",
    "thick": "cloud_mask",
    "thin": "cloud_mask",
    "shadow": "cloud_mask",
    "castshadow": "castshadow_mask",
    "water": "landwater_mask",
    "land": "landwater_mask",
}
"""The classes that can be masked out, and the mask of each; ``clear`` stands for all others."""


def classes_of(mask: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes to mask out; :data:`CLEAR` for all but clear pixels.

    Args:
        mask: ``"clear"``, one class or a list of them; ``None`` for none.

    Raises:
        ValueError: Unknown class.

    Example:
        >>> classes_of(["thick", "water"])
        ('thick', 'water')
    """
    if mask is None:
        return ()
    if isinstance(mask, str):
        if mask == "clear":
            return CLEAR
        mask = (mask,)
    classes = tuple(mask) if isinstance(mask, Iterable) else (mask,)
    known = [name for name in CLASSES if name not in CLEAR]
    if unknown := [name for name in classes if name not in known]:
        raise ValueError(
            f"Unknown mask class {', '.join(map(repr, unknown))}; use "
            f"{', '.join(map(repr, known))}, or mask='clear'."
        )
    return classes


def split_classes(
    name: str, meanings: Sequence[str], classes: Sequence[str], where: str
) -> tuple[list[str], list[str]]:
    """Return the classes of a mask that are kept, and those to mask out.

    Args:
        name: The mask.
        meanings: Its classes.
        classes: From :func:`classes_of`, of this mask and others.
        where: The owner of the mask, for messages.

    Raises:
        ValueError: The mask has no classes, or lacks one of these.
    """
    asked = [each for each in classes if CLASSES[each] == name]
    if not meanings:
        raise ValueError(
            f"The {name} of {where} has no table of classes (classification:classes), so it is "
            f"unknown which numbers are {', '.join(asked)}. Omit mask=, and mask by number."
        )
    if missing := [each for each in asked if each not in meanings]:
        raise ValueError(
            f"The {name} of {where} has no class {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, meanings))}."
        )
    out = [each for each in meanings if (each in asked) != (tuple(asked) == CLEAR)]
    return [each for each in meanings if each not in out], out


def split_numbers(
    name: str, band: Band, classes: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of :func:`split_classes`, of a cube's mask."""
    numbers = dict(zip(band.flag_meanings, band.flag_values, strict=True))
    kept, out = split_classes(name, band.flag_meanings, classes, "the cube")
    return tuple(numbers[each] for each in kept), tuple(numbers[each] for each in out)


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
        ValueError: A mask or one of its classes is missing, or the buffer is negative.
    """
    keeps, others = [], []
    for name in dict.fromkeys(CLASSES[each] for each in classes):
        if name not in cube:
            raise ValueError(f"The cube has no {name}; load it too (bands=[..., {name!r}]).")
        kept, out = split_classes(name, meanings_of(cube[name]), classes, "the cube")
        # Selects the other classes, rather than excluding these: drops unclassified pixels too.
        keeps.append(is_in(cube[name], *kept))
        others.append(is_in(cube[name], *out))
    keep = functools.reduce(operator.and_, keeps)
    if buffer == 0:
        return keep
    inside = functools.reduce(operator.or_, others)
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
    pairs = zip(numbers, meanings_of(flags), strict=True)
    return flags.isin([number for number, meaning in pairs if meaning in classes])


def meanings_of(flags: xr.DataArray) -> list[str]:
    """Return the names of a mask's classes; none if it has no table of them."""
    return str(flags.attrs.get("flag_meanings", "")).split()


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
