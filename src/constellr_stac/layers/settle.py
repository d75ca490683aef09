"""Whom to believe about a band: the file's header, the item or the documents.

What is documented about a layer, what an item states and what a file's header states can
contradict each other. One order settles it, and contradictions are returned to be reported:

* **Type and validity** are the file's. For the fill value: the file, else the item, else the
  documents.
* **Scale, offset and unit** come together from the first of item, file and documents that states
  any of them. An encoding that is stated for integers does not apply to a file of floats.
* **Classes** come from the item, else from the documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .band import holds
from .units import conversion, unit_name

if TYPE_CHECKING:
    from .band import Band
    from .header import FileBand

__all__ = ["Contradiction", "ContradictionError", "check_convertible", "class_table", "settle"]


class Contradiction(NamedTuple):
    """Two statements about one file that cannot both be true."""

    kind: str
    """What it is about: ``grid``, ``type``, ``encoding``, ``fill`` or ``classes``."""
    text: str
    """Who states what, and which statement is used."""


class ContradictionError(ValueError):
    """Statements that contradict each other, and no rule says which is right."""


class _Encoding(NamedTuple):
    """What one source states about the meaning of stored values."""

    source: str
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None

    @property
    def scales(self) -> bool:
        return self.scale is not None or self.offset is not None

    @property
    def complete(self) -> tuple[float, float]:
        return (1.0 if self.scale is None else self.scale, self.offset or 0.0)

    def __str__(self) -> str:
        scale, offset = self.complete
        parts = [f"scale {scale:g}, offset {offset:g}"] if self.scales else []
        parts += [f"unit {self.unit}"] if self.unit else []
        return f"the {self.source} state{'' if self.source == 'documents' else 's'} " + ", ".join(
            parts
        )


@dataclass(frozen=True)
class Settled:
    """A band as it is to be read, and what contradicts it."""

    band: Band
    """With the file's type, and the encoding that gives values in the target's unit."""
    contradictions: tuple[Contradiction, ...]


def settle(band: Band, file: FileBand, target: Band | None = None) -> Settled:
    """Return how to read a band of a file.

    Args:
        band: The band as documents and item state it.
        file: The band as the file's header states it.
        target: The cube's variable, into whose unit values are converted; ``None`` for the
            file's own unit.

    Raises:
        ContradictionError: The unit cannot be told, or cannot be converted to the target's; or
            pixels are complex numbers.

    Example:
        >>> from constellr_stac.layers.header import FileBand
        >>> from constellr_stac.layers.table import layer_of
        >>> lst = layer_of("lst").bands[0]
        >>> found = settle(lst, FileBand("uint16", 0.01, -273.15, 65535, "degC"), lst).band
        >>> found.scale, round(found.offset, 9), found.unit
        (0.01, 0.0, 'K')
    """
    found: list[Contradiction] = []
    if file.dtype.startswith("complex"):
        raise ContradictionError("its pixels are complex numbers")
    if band.is_mask:
        nodata = _mask_fill(band, file, found)
        return Settled(band.with_fields(dtype=file.dtype, nodata=nodata), tuple(found))
    encoding = _encoding(band, file, found)
    scale, offset = encoding.complete
    unit = encoding.unit
    wanted = target.unit if target is not None else unit
    factors = conversion(unit, wanted, difference=band.is_difference)
    if factors is None:
        raise ContradictionError(f"its unit is {unit}, which cannot be converted to {wanted}")
    factor, summand = factors
    settled = band.with_fields(
        dtype=file.dtype,
        scale=scale * factor,
        offset=offset * factor + summand,
        nodata=_fill(band, file),
        unit=wanted if wanted is not None else unit,
    )
    return Settled(settled, tuple(found))


def check_convertible(band: Band, target: Band) -> None:
    """Refuse a band whose unit or classes cannot be converted to those of another.

    Raises:
        ContradictionError: They cannot.
    """
    if band.is_mask != target.is_mask:
        msg = "only one of them has classes"
        raise ContradictionError(msg)
    if target.is_mask:
        class_table(band, target)
    elif conversion(band.unit, target.unit) is None:
        raise ContradictionError(f"its unit is {band.unit}, not {target.unit}")


def class_table(band: Band, target: Band) -> np.ndarray[tuple[int], np.dtype[np.uint8]] | None:
    """Return the cube's class number for each stored number of a mask, 255 for no class.

    Args:
        band: The file's classes.
        target: The cube's classes.

    Returns:
        A table of 256 uint8 numbers; ``None`` if both have the same classes.

    Raises:
        ContradictionError: A class of the file is none of the cube's.
    """
    own = dict(zip(band.flag_values, band.flag_meanings, strict=True))
    numbers = dict(zip(target.flag_meanings, target.flag_values, strict=True))
    if own == {number: meaning for meaning, number in numbers.items()}:
        return None
    if unknown := sorted(set(own.values()) - numbers.keys()):
        raise ContradictionError(
            f"its classes {', '.join(unknown)} are none of {', '.join(numbers)}"
        )
    table = np.full(256, 255, np.uint8)
    for number, meaning in own.items():
        table[number] = numbers[meaning]
    return table


def _encoding(band: Band, file: FileBand, found: list[Contradiction]) -> _Encoding:
    """Return the encoding to use: the first of item, file and documents that states one."""
    is_float = np.dtype(file.dtype).kind == "f"
    item = _stated_by_item(band)
    header = _Encoding("file", file.scale, file.offset, file.unit and unit_name(file.unit))
    documents = _documented(band)
    for stated in (item, documents):
        if is_float and stated.scales and not _for_floats(band, stated):
            if stated is item:
                text = f"{item}, but its values are {file.dtype}; the values are used as stored"
                found.append(Contradiction("encoding", text))
            if stated is item:
                item = item._replace(scale=None, offset=None)
            else:
                documents = documents._replace(scale=None, offset=None)
    ranked = [each for each in (item, header, documents) if each.scales or each.unit]
    if not ranked:
        return _Encoding("file")
    first = ranked[0]
    chosen = _filled(first, ranked[1:], is_float=is_float)
    for other in ranked[1:]:
        if other.source != "documents" and _differ(chosen, other, band):
            text = f"{first}; {other}: the {first.source}'s is used"
            found.append(Contradiction("encoding", text))
    _check_type(band, file, chosen, found)
    return chosen


def _filled(first: _Encoding, others: list[_Encoding], *, is_float: bool) -> _Encoding:
    """Complete what the first source leaves open from the next ones."""
    if first.scales:
        unit = first.unit or next((each.unit for each in others if each.unit), None)
        return first._replace(unit=unit)
    if is_float:
        return first
    scaled = next((each for each in others if each.scales), None)
    if scaled is None:
        return first
    if scaled.unit is not None and unit_name(scaled.unit) != unit_name(first.unit or ""):
        raise ContradictionError(
            f"{first} without a scale, and {scaled}: it is unclear what the values mean"
        )
    return first._replace(scale=scaled.scale, offset=scaled.offset)


def _stated_by_item(band: Band) -> _Encoding:
    fields = ("scale", "offset", "unit")
    stated = {name: getattr(band, name) for name in fields if name in band.by_item}
    unit = stated.pop("unit", None)
    return _Encoding("item", **stated, unit=unit and unit_name(unit))


def _documented(band: Band) -> _Encoding:
    base = band.base
    if base is None:  # a band made in code states its own encoding
        if band.by_item or (band.scale, band.offset, band.unit) == (1.0, 0.0, None):
            return _Encoding("documents")
        base = band
    return _Encoding("documents", base.scale, base.offset, base.unit)


def _for_floats(band: Band, stated: _Encoding) -> bool:
    """Whether an encoding is stated for floats."""
    if stated.source == "documents":
        dtype = band.base.dtype if band.base is not None else None
    else:
        dtype = band.dtype if "dtype" in band.by_item or band.base is None else None
        if dtype is None and band.base is not None:
            dtype = band.base.dtype
    return dtype is None or np.dtype(dtype).kind == "f"


def _differ(one: _Encoding, other: _Encoding, band: Band) -> bool:
    """Whether two encodings give other values, in one unit."""
    factors = conversion(other.unit, one.unit, difference=band.is_difference)
    if factors is None:
        return True
    factor, summand = factors
    if not other.scales:
        return factors != (1.0, 0.0)
    scale, offset = other.complete
    converted = (scale * factor, offset * factor + summand)
    return not np.allclose(converted, one.complete, rtol=1e-6, atol=1e-6)


def _check_type(
    band: Band, file: FileBand, encoding: _Encoding, found: list[Contradiction]
) -> None:
    """Note that a file's type is not the stated one, if its encoding hangs on the type."""
    stated = band.dtype
    if stated is None or np.dtype(stated) == np.dtype(file.dtype) or encoding.source == "file":
        return
    by_item = "dtype" in band.by_item
    if by_item or (encoding.scales and np.dtype(file.dtype).kind != "f"):
        source = "item states" if by_item else "documents state"
        found.append(
            Contradiction(
                "type", f"the {source} {stated}, the file has {file.dtype}, which is read"
            )
        )


def _fill(band: Band, file: FileBand) -> float | None:
    """Return the fill value: the file's, else the item's, else the documents' for its type.

    A number that the file's type cannot hold is none.
    """
    fill = _stated_fill(band, file)
    return fill if fill is None or holds(np.dtype(file.dtype), fill) else None


def _stated_fill(band: Band, file: FileBand) -> float | None:
    if file.nodata is not None:
        return file.nodata
    if "nodata" in band.by_item:
        return band.nodata
    base = band.base if band.base is not None or band.by_item else band
    same_kind = base is not None and (
        base.dtype is None or np.dtype(base.dtype).kind == np.dtype(file.dtype).kind
    )
    return base.nodata if base is not None and same_kind else None


def _mask_fill(band: Band, file: FileBand, found: list[Contradiction]) -> float | None:
    """Return a mask's fill value, and note one that is also a class."""
    fill = _fill(band, file)
    if file.nodata is not None and file.nodata in band.flag_values:
        meaning = band.flag_meanings[band.flag_values.index(int(file.nodata))]
        text = (
            f"the file's fill value {file.nodata:g} is the class {meaning}; such pixels are "
            "unclassified"
        )
        found.append(Contradiction("fill", text))
    return fill
