"""What is masked out, by the names of classes: clouds, shadows, water.

The names are those of the masks' own ``flag_meanings``, so that a cube says itself what they
are. A pixel whose class is not known is masked out too: a cloud that nobody looked for would
pass for a cold roof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .pixels import MASK_FILL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["CLASSES", "classes_of", "mask_out"]

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


def classes_of(mask: str | Sequence[str]) -> tuple[str, ...]:
    """Return the classes to mask out.

    Args:
        mask: ``"clear"``, one class or a list of them.

    Raises:
        ValueError: There is no such class.

    Example:
        >>> classes_of("clear")
        ('thick', 'thin', 'shadow')
    """
    if mask == "clear":
        return CLEAR
    classes = (mask,) if isinstance(mask, str) else tuple(mask)
    unknown = [name for name in classes if name not in CLASSES]
    if unknown:
        raise ValueError(
            f"There is no class {', '.join(map(repr, unknown))} to mask out: use "
            f"{', '.join(map(repr, CLASSES))}, or mask='clear'."
        )
    return classes


def mask_out(cube: xr.Dataset, classes: Sequence[str]) -> xr.Dataset:
    """Return ``cube`` with the values of these classes, and of unknown ones, taken out.

    Floats become NaN, stored integers the variable's ``nodata``. Masks stay as they are.

    Args:
        cube: Has the masks that tell about the classes.
        classes: From :func:`classes_of`.

    Raises:
        ValueError: A mask is missing.
    """
    keep = None
    for name in dict.fromkeys(CLASSES[each] for each in classes):
        if name not in cube:
            raise ValueError(f"The cube has no {name}: load it too (bands=[..., {name!r}]).")
        flags = cube[name]
        meanings = str(flags.attrs["flag_meanings"]).split()
        values = np.atleast_1d(flags.attrs["flag_values"])
        unwanted = [
            value for value, meaning in zip(values, meanings, strict=True) if meaning in classes
        ]
        good = ~flags.isin([*unwanted, MASK_FILL])
        keep = good if keep is None else keep & good
    if keep is None:
        return cube
    result = cube.copy()
    for variable_name, variable in cube.data_vars.items():
        if "flag_values" in variable.attrs:
            continue
        fill = np.nan if variable.dtype.kind == "f" else variable.attrs["nodata"]
        masked = variable.where(keep, variable.dtype.type(fill))
        masked.encoding = variable.encoding
        result[variable_name] = masked
    return result
