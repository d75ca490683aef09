"""Adds missing STAC fields about an asset's bands.

In three forms: STAC 1.1 ``bands`` with ``raster:*``, ``eo:*`` and ``classification:classes`` (the
standard), ``raster:bands`` (scale and offset for stackstac), and ``eo:bands`` (band names for
odc-stac).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .item_bands import MEANING, asset_bands, copies_documents, is_unknown
from .settle import ContradictionError, settle
from .stac_extensions import CLASSIFICATION, EO, RASTER, declare
from .table import layer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac

    from .band import Band
    from .header import FileBand, Header
    from .report import Note
    from .table import Layer

__all__ = ["add_fields"]

_CLASSES = "classification:classes"
_LESS_THAN_COG = ("image/tiff", "image/tiff; application=geotiff")
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}
_V1_COMMON_NAMES = {"rededge071": "rededge", "rededge075": "rededge", "rededge078": "rededge"}
"""Common names of eo 2.0, and their eo 1.1 equivalents."""


def add_fields(
    item: pystac.Item,
    note: Note,
    header_of: Callable[[pystac.Item, str], Header | None] | None = None,
) -> None:
    """Add missing bands, media types, roles and pixel sizes to an item's assets.

    Args:
        item: The item, changed in place.
        note: Called for each added field.
        header_of: Returns the header of an asset's file, which takes precedence over the documents.
    """
    extensions: set[str] = set()
    for key, asset in item.assets.items():
        layer = layer_of(key, asset.href)
        if layer is not None:
            _add_kind(key, asset, layer, note)
        bands = asset_bands(item, key)
        is_own = any(band.by_item & MEANING for band in bands)
        header = header_of(item, key) if header_of is not None and bands else None
        if header is not None and len(header.bands) >= len(bands):
            bands = tuple(map(_as_in_file, bands, header.bands))
        elif not bands or is_unknown(item, key):
            continue
        source = "item" if layer is None else "documents"
        source = "header" if header is not None else source
        forms = _forms(bands, tuple(band.by_item & MEANING for band in bands))
        for name, form in forms.items():
            if _complete(asset.extra_fields, name, form):
                note(key, name, source)
        if is_own and layer is not None and copies_documents(asset, layer.bands):
            # A unit of the asset marks the encoding as the item's own: see copies_documents().
            asset.extra_fields["unit"] = layer.bands[0].unit
            note(key, "unit", "item")
        extensions |= {RASTER} | ({EO} if "eo:bands" in forms else set())
        if any(band.is_mask for band in bands):
            extensions.add(CLASSIFICATION)
    for extension in sorted(extensions):
        declare(item, extension)


def _as_in_file(band: Band, file: FileBand) -> Band:
    """Return a band as its file stores it; unsettled contradictions are left to the reader."""
    try:
        return replace(settle(band, file).band, by_item=frozenset())
    except ContradictionError:
        return band


def _add_kind(key: str, asset: pystac.Asset, layer: Layer, note: Note) -> None:
    media_type = _media_type(layer, asset.href)
    if asset.media_type is None or (
        asset.media_type in _LESS_THAN_COG and media_type.startswith("image/tiff;")
    ):
        asset.media_type = media_type
        note(key, "type", "documents")
    if not asset.roles:
        asset.roles = list(layer.roles)
        note(key, "roles", "documents")
    if layer.gsd is not None and asset.extra_fields.get("gsd") is None:
        asset.extra_fields["gsd"] = layer.gsd
        note(key, "gsd", "documents")


def _media_type(layer: Layer, href: str) -> str:
    """Return the documented media type; for pictures, the file extension takes precedence."""
    if layer.kind not in ("overview", "thumbnail"):
        return layer.media_type
    suffix = href.partition("?")[0].rpartition(".")[2].lower()
    return _PICTURES.get(suffix, layer.media_type)


@lru_cache(maxsize=256)
def _forms(
    bands: tuple[Band, ...], stated: tuple[frozenset[str], ...]
) -> dict[str, list[dict[str, Any]]]:
    """Render the forms of an asset's bands, by field. Cached: copy before changing.

    Args:
        bands: The bands.
        stated: Which of scale, offset and unit the item states of each. They mean something
            together, so an item that states some is not given the others by the documents.
    """
    both = list(zip(bands, stated, strict=True))
    forms = {
        "bands": [_band(*each) for each in both],
        "raster:bands": [_raster_band(*each) for each in both],
        "eo:bands": [_eo_band(band) for band in bands],
    }
    if len(bands) == 1 and bands[0].common_name is None:
        del forms["eo:bands"]  # would only repeat the asset's name
    return {name: form for name, form in forms.items() if any(form)}


def _complete(fields: dict[str, Any], name: str, form: list[dict[str, Any]]) -> bool:
    """Add missing fields to a list of bands; return whether any were missing."""
    stated = fields.get(name)
    if not stated:
        fields[name] = [_copy(band) for band in form]
        return True
    if all(more.keys() <= own.keys() for own, more in zip(stated, form, strict=False)):
        return False
    whole = [{**_copy(more), **own} for own, more in zip(stated, form, strict=False)]
    fields[name] = whole + stated[len(whole) :]
    return True


def _copy(band: dict[str, Any]) -> dict[str, Any]:
    """Deep-copy a band; only its classes are nested."""
    copied = band.copy()
    if _CLASSES in band:
        copied[_CLASSES] = [each.copy() for each in band[_CLASSES]]
    return copied


def _band(band: Band, stated: frozenset[str]) -> dict[str, Any]:
    return _without_none(
        {
            "name": band.name,
            "description": band.long_name,
            **_encoding(band, stated, "raster:"),
            "eo:common_name": band.common_name,
            "eo:center_wavelength": band.center_wavelength,
            "eo:full_width_half_max": band.full_width_half_max,
            _CLASSES: [
                {"value": value, "name": meaning}
                for value, meaning in zip(band.flag_values, band.flag_meanings, strict=True)
            ]
            or None,
        }
    )


def _raster_band(band: Band, stated: frozenset[str]) -> dict[str, Any]:
    return _without_none(_encoding(band, stated, ""))


def _eo_band(band: Band) -> dict[str, Any]:
    return _without_none(
        {
            "name": band.name,
            "common_name": _V1_COMMON_NAMES.get(band.common_name or "", band.common_name),
            "center_wavelength": band.center_wavelength,
            "full_width_half_max": band.full_width_half_max,
        }
    )


def _encoding(band: Band, stated: frozenset[str], prefix: str) -> dict[str, Any]:
    nodata = band.nodata
    written = stated or MEANING
    return {
        "data_type": band.dtype,
        # STAC writes values that JSON cannot hold as strings: nan, inf, -inf.
        "nodata": nodata if nodata is None or math.isfinite(nodata) else str(nodata),
        "unit": band.unit if "unit" in written else None,
        f"{prefix}scale": band.scale if band.is_coded and "scale" in written else None,
        f"{prefix}offset": band.offset if band.is_coded and "offset" in written else None,
    }


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
