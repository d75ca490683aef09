"""What a caller asked for: the dtype and the fill value of a band; both engines' common rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac.layers.band import holds

from .raster import MASK_FILL, Pixels, output_dtype

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from odc.loader import RasterLoadParams

    from constellr_stac.layers.band import Band

    from .band_source import BandSource

__all__ = ["check_requested", "read_as"]


def check_requested(band: Band, dtype: np.dtype[Any], fill: float, *, fill_name: str) -> None:
    """Refuse a dtype or a fill value that would change values without a trace.

    Args:
        band: The band to read.
        dtype: The dtype of the result.
        fill: The value for no data.

    Keyword Args:
        fill_name: The name of the engine's parameter for the fill value.

    Raises:
        ValueError: The dtype cannot hold the band's stored values or the fill value, or the fill
            value is a class of a mask.
    """
    stored = dtype if band.dtype is None else np.dtype(output_dtype(band, raw=True))
    if not holds(dtype, fill):
        raise ValueError(
            f"{fill_name}={fill!r} is no {dtype.name} value, but {band.name!r} is read as "
            f"{dtype.name}. Pass another {fill_name}=, or a dtype= that holds it."
        )
    classes = band.flag_values if band.is_mask else ()
    if fill in classes:
        meaning = band.flag_meanings[classes.index(int(fill))]
        raise ValueError(
            f"{fill_name}={fill!r} is the class {meaning!r} of {band.name!r}, so pixels without "
            f"data would look {meaning}. Pass another value, such as {MASK_FILL}."
        )
    lost = [value for value in classes if not holds(dtype, value)]
    if lost or (not classes and dtype.kind in "iu" and not np.can_cast(stored, dtype)):
        raise ValueError(
            f"dtype={dtype.name!r} cannot hold the {stored.name} numbers of {band.name!r}. Pass "
            f"dtype={stored.name!r} for stored numbers or dtype='float32' for values."
        )


def read_as(
    source: BandSource, band: Band, geobox: GeoBox, params: RasterLoadParams, *, raw: bool = False
) -> Pixels:
    """Read a band, or with ``raw`` its stored numbers, with the requested dtype and fill value.

    Values are read with NaN and masks with their own fill, whatever is requested, so that the
    request does not change which pixels are valid.

    Raises:
        AssetReadError: The band cannot be read.
    """
    dtype, fill = np.dtype(params.dtype or "float32"), params.fill_value
    if band.is_mask:
        pixels = source.read_classes(geobox, params)
        if fill is None or (fill == MASK_FILL and pixels.values.dtype == dtype):
            return pixels
        values = pixels.values.astype(dtype)
        values[pixels.values == MASK_FILL] = fill
        return pixels._replace(values=values)
    if raw or dtype.kind != "f":
        return source.read(geobox, params)
    pixels = source.read(geobox, params.patch(fill_value=np.nan))
    if fill is not None and not np.isnan(fill):
        pixels.values[np.isnan(pixels.values)] = fill
    return pixels
