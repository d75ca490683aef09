"""One band: its encoding and its meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from .units import TEMPERATURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Band", "Resampling", "holds"]

Resampling = Literal["nearest", "bilinear"]

_BLOCK = 1 << 16  # pixels that are decoded at a time: few calls, and little memory


@dataclass(frozen=True)
class Band:
    """The encoding and meaning of one band.

    Physical values are ``stored * scale + offset``, and NaN where the file holds ``nodata``.

    Example:
        >>> import numpy as np
        >>> Band(1, "lst", "uint16", 0.01, 0.0, 65535).decode(np.array([28902, 65535], "uint16"))
        array([289.02,    nan], dtype=float32)
    """

    index: int
    """The band number in the file, from 1."""
    name: str
    """The name: ``lst``, ``cloud_mask``, ``vnir04``."""
    dtype: str | None = None
    """The stored dtype; ``None`` if unknown."""
    scale: float = 1.0
    """The factor of a stored value."""
    offset: float = 0.0
    """Added after scaling."""
    nodata: float | None = None
    """The stored value for no data."""
    unit: str | None = None
    """The unit of the physical value: ``K``, ``1``."""
    standard_name: str | None = None
    """The CF standard name."""
    long_name: str | None = None
    """A readable name, in lower case."""
    flag_values: tuple[int, ...] = ()
    """The classes of a mask; empty for values."""
    flag_meanings: tuple[str, ...] = ()
    """The names of the classes, one word each, in the order of :attr:`flag_values`."""
    resampling: Resampling = "bilinear"
    """The resampling method: always ``nearest`` for classes."""
    common_name: str | None = None
    """The STAC common name: ``red``, ``nir``."""
    center_wavelength: float | None = None
    """In micrometres."""
    full_width_half_max: float | None = None
    """In micrometres."""
    aliases: tuple[str, ...] = ()
    """Other names: a flag's without its band, or the item's own."""
    by_item: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """Which of ``dtype``, ``scale``, ``offset``, ``nodata``, ``unit`` and ``classes`` the item
    states; ``copied`` if it only repeats scale, offset and unit of the documents."""
    base: Band | None = field(default=None, compare=False, repr=False)
    """The band as the documents have it; ``None`` for an undocumented one."""
    siblings: int = field(default=1, compare=False, repr=False)
    """How many bands of its file are described; an alpha band beyond them states validity."""

    @property
    def key(self) -> str:
        """All of it, with who states it, as text: equal in all processes."""
        return repr((self, sorted(self.by_item), self.siblings, self.base and self.base.key))

    @property
    def is_difference(self) -> bool:
        """Whether values are deviations, which have no zero point to convert."""
        return "standard_error" in (self.standard_name or "")

    @property
    def is_mask(self) -> bool:
        """Whether the band holds classes, which stay integers and are never averaged."""
        return bool(self.flag_values)

    @property
    def is_coded(self) -> bool:
        """Whether stored values differ from physical values."""
        return not self.is_mask and (self.scale, self.offset) != (1.0, 0.0)

    def stored_as(
        self,
        dtype: str | None = None,
        *,
        scale: float | None = None,
        offset: float | None = None,
        nodata: float | None = None,
        unit: str | None = None,
    ) -> Band:
        """Return the band with the encoding that an item or a file states.

        The documented encoding is for integers. A file of floats holds physical values, so the
        documented scale, offset and nodata do not apply to it unless it states them itself.

        Args:
            dtype: The stored dtype.

        Keyword Args:
            scale: The factor of a stored value.
            offset: Added after scaling.
            nodata: The stored value for no data.
            unit: The unit of the physical value.
        """
        known = self
        if _is_float(dtype) and self.dtype is not None and not _is_float(self.dtype):
            known = replace(self, scale=1.0, offset=0.0, nodata=None)
        return known.with_fields(
            dtype=dtype or known.dtype,
            scale=known.scale if scale is None else float(scale),
            offset=known.offset if offset is None else float(offset),
            nodata=known.nodata if nodata is None else nodata,
            unit=unit or known.unit,
        )

    def with_fields(self, **fields: Any) -> Band:
        """Return the band with changed fields; the same object if nothing changes.

        Args:
            fields: Names and values of fields.
        """
        if all(getattr(self, name) == value for name, value in fields.items()):
            return self  # the usual case, in a hot path
        return replace(self, **fields)

    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return physical values: float32 with NaN where there is no data.

        Masks, and integers without scale, offset and nodata, are returned unchanged.

        Args:
            stored: Stored values, of any shape.
        """
        import numpy as np

        encoded = self.is_coded or self.nodata is not None
        if self.is_mask or not (encoded or np.issubdtype(stored.dtype, np.floating)):
            return stored
        return _decoded(stored, self.scale, self.offset, self.nodata)

    def cf_attributes(self, dtype: np.dtype[Any] | str = "uint8") -> dict[str, Any]:
        """Return the CF attributes of the decoded variable.

        Args:
            dtype: The dtype of a mask variable, and so of its ``flag_values``.
        """
        import numpy as np

        attributes: dict[str, Any] = {"long_name": self.long_name, "units": self.unit}
        if self.standard_name is not None:
            attributes["standard_name"] = self.standard_name
        if self.unit in TEMPERATURES:
            kind = "difference" if self.is_difference else "on_scale"
            attributes["units_metadata"] = f"temperature: {kind}"
        if self.is_mask:
            attributes["flag_values"] = np.array(self.flag_values, dtype)
            attributes["flag_meanings"] = " ".join(self.flag_meanings)
        return {name: value for name, value in attributes.items() if value is not None}


def holds(dtype: np.dtype[Any], value: float) -> bool:
    """Return whether a dtype represents a value."""
    import numpy as np

    if dtype.kind == "f":
        return True
    if dtype.kind == "b" or value != value:  # noqa: PLR0124 - NaN
        return False
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


def _decoded(
    stored: NDArray[Any], scale: float, offset: float, nodata: float | None
) -> NDArray[Any]:
    """Return physical values."""
    import numpy as np

    values = np.empty(stored.shape, "float32")
    pixels, decoded = stored.reshape(-1), values.reshape(-1)
    # In float64, so that the result is the float32 nearest to the decimal value.
    buffer = np.empty(min(_BLOCK, pixels.size))
    for start in range(0, pixels.size, _BLOCK):
        part = pixels[start : start + _BLOCK]
        exact = buffer[: part.size]
        exact[...] = part
        exact *= scale
        if offset:
            exact += offset
        block = decoded[start : start + _BLOCK]
        block[...] = exact
        if nodata is not None:
            np.copyto(block, np.nan, where=part == nodata)
    return values


def _is_float(dtype: str | None) -> bool:
    return dtype is not None and dtype.startswith("float")
