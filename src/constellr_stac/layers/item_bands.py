"""The bands of an asset: as the item states them, completed from the documents.

Reads STAC 1.1 ``bands`` with ``raster:*`` and ``eo:*``, the older ``raster:bands`` and
``eo:bands``, and fields common to the asset or the item. Nothing here changes an item or reads a
file.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import UnknownLayerWarning

from .band import Band
from .table import layer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pystac

__all__ = [
    "MEANING",
    "asset_bands",
    "asset_gsd",
    "copies_documents",
    "is_data",
    "is_unknown",
    "warn_unknown",
]


def asset_bands(item: pystac.Item, key: str) -> tuple[Band, ...]:
    """Return the bands of an asset as its item states them, completed from the documents.

    Each field of the item takes precedence. An asset that neither describes has one band of raw
    values (``dtype=None``); pictures and metadata have no bands.

    Args:
        item: The item.
        key: The asset's key.
    """
    if not is_data(item, key):
        return ()
    asset = item.assets[key]
    layer = layer_of(key, asset.href)
    known = () if layer is None else layer.bands
    shared = _shared(item, asset)
    stated = _stated_bands(asset, shared) or [shared] * max(len(known), 1)
    if known and not any(stated):
        return known
    bands = [
        _combine(index, fields, known, default=key if len(stated) == 1 else f"{key}_{index}")
        for index, fields in enumerate(stated, start=1)
    ]
    by_documents = not shared.keys() & MEANING and copies_documents(asset, known)
    return tuple(
        replace(
            band,
            siblings=max(len(bands), len(known)),  # an item may list only some
            by_item=band.by_item - MEANING | {"copied"} if by_documents else band.by_item,
        )
        for band in bands
    )


def is_data(item: pystac.Item, key: str) -> bool:
    """Return whether an asset holds data or a mask, not a picture or metadata.

    Args:
        item: The item.
        key: The asset's key.
    """
    asset = item.assets[key]
    layer = layer_of(key, asset.href)
    return _is_raster(asset) if layer is None else layer.is_data


def asset_gsd(item: pystac.Item, key: str) -> float | None:
    """Return an asset's pixel size in metres, if known without a request.

    Args:
        item: The item.
        key: The asset's key.
    """
    asset = item.assets[key]
    layer = layer_of(key, asset.href)
    documented = None if layer is None else layer.gsd
    for gsd in (asset.extra_fields.get("gsd"), documented, item.properties.get("gsd")):
        if gsd is not None:
            return float(gsd)
    return None


def is_unknown(item: pystac.Item, key: str) -> bool:
    """Return whether neither the item nor the documents state the encoding of an asset."""
    asset = item.assets[key]
    if layer_of(key, asset.href) is not None or not _is_raster(asset):
        return False
    shared = _shared(item, asset)
    return not any(fields.keys() & _ENCODING for fields in (shared, *_stated_bands(asset, shared)))


def warn_unknown(items: Iterable[pystac.Item], keys: Iterable[str], *, stacklevel: int) -> None:
    """Warn once about all assets whose encoding is unknown.

    Args:
        items: The items.
        keys: The asset keys to be read.

    Keyword Args:
        stacklevel: As for :func:`warnings.warn`, relative to the caller of this function.
    """
    read = set(keys)
    unknown = sorted(
        {key for item in items for key in read & item.assets.keys() if is_unknown(item, key)}
    )
    if unknown:
        warnings.warn(
            f"Unknown encoding of {', '.join(map(repr, unknown))}: neither the items nor the "
            "provider's documents state type, scale or unit. The stored values are loaded "
            "unchanged.",
            UnknownLayerWarning,
            stacklevel=stacklevel + 1,
        )


_ENCODING = frozenset({"data_type", "scale", "offset", "nodata", "unit", "classes"})
MEANING = frozenset({"scale", "offset", "unit"})
_FIELD_NAMES = {
    "name": "name",
    "data_type": "data_type",
    "nodata": "nodata",
    "unit": "unit",
    "classification:classes": "classes",
    "scale": "scale",
    "offset": "offset",
    "raster:scale": "scale",
    "raster:offset": "offset",
    "common_name": "common_name",
    "eo:common_name": "common_name",
    "center_wavelength": "center_wavelength",
    "eo:center_wavelength": "center_wavelength",
    "full_width_half_max": "full_width_half_max",
    "eo:full_width_half_max": "full_width_half_max",
}
_SHARED_FIELDS = frozenset(
    {"data_type", "nodata", "unit", "raster:scale", "raster:offset", "eo:common_name"}
)


_BAND_FIELDS = {
    "data_type": "dtype",
    "scale": "scale",
    "offset": "offset",
    "nodata": "nodata",
    "unit": "unit",
    "classes": "classes",
}
_EO_FIELDS = ("common_name", "center_wavelength", "full_width_half_max")


def _stated_bands(asset: pystac.Asset, shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fields that the item states for each band of the asset; empty if none."""
    lists = [
        [_fields_of(band) for band in bands]
        for field in ("eo:bands", "raster:bands", "bands")
        if (bands := asset.extra_fields.get(field))
    ]
    if not lists:
        return []
    stated = [dict(shared) for _ in range(max(map(len, lists), default=0))]
    for bands in lists:  # the newest form comes last and takes precedence
        for fields, more in zip(stated, bands, strict=False):
            names = [*fields.get("names", ()), *([more["name"]] if "name" in more else ())]
            fields.update(more, names=names)
    return stated


def copies_documents(asset: pystac.Asset, known: tuple[Band, ...]) -> bool:
    """Return whether the bands of an asset have the documents' encoding in both forms of STAC.

    That is how :mod:`.stac_fields` completes it without having seen the file, so it is no statement
    of the item's own, unless the asset itself states it too.

    Args:
        asset: The asset.
        known: Its bands as documented.
    """
    forms = [asset.extra_fields.get(name) for name in ("bands", "raster:bands")]
    if not known or known[0].is_mask or not all(forms):
        return False
    return all(
        len(form) == len(known)
        and all(
            _meaning_of(_fields_of(given)) == _meaning_of(_documented(band, given))
            for band, given in zip(known, form, strict=True)
        )
        for form in forms
        if form
    )


def _documented(band: Band, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the documents' encoding for the stated type; there is none but the unit for floats."""
    typed = band.stored_as(given.get("data_type"))
    return {
        "unit": typed.unit,
        **({"scale": typed.scale, "offset": typed.offset} if typed.is_coded else {}),
    }


def _meaning_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in MEANING if fields.get(name) is not None}


def _shared(item: pystac.Item, asset: pystac.Asset) -> dict[str, Any]:
    """Return the fields that the item states for all bands of the asset, or for all assets."""
    return {
        _FIELD_NAMES[name]: value
        for fields in (item.properties, asset.extra_fields)
        for name in _SHARED_FIELDS
        if (value := fields.get(name)) is not None
    }


def _fields_of(band: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _FIELD_NAMES[name]: value
        for name, value in band.items()
        if name in _FIELD_NAMES and value is not None
    }


def _combine(index: int, fields: Mapping[str, Any], known: tuple[Band, ...], default: str) -> Band:
    """Merge the item's fields of band number ``index`` with the documented band."""
    names = fields.get("names", ())
    by_name = next((band for band in known if band.name in names), None)
    at_index = known[index - 1] if index <= len(known) else None
    band = by_name or at_index
    if band is None:
        # Unknown bands may hold classes, so resampling must not create new values.
        band = Band(
            index,
            names[-1] if names else default,
            resampling="bilinear" if fields.keys() & {"scale", "offset"} else "nearest",
        )
    base = band if by_name or at_index else None
    coded = band.stored_as(
        fields.get("data_type"),
        scale=fields.get("scale"),
        offset=fields.get("offset"),
        nodata=_number(fields.get("nodata")),
        unit=fields.get("unit"),
    )
    stated = {field: fields[field] for field in _EO_FIELDS if field in fields}
    stated["base"] = base
    stated["by_item"] = frozenset(
        _BAND_FIELDS[name] for name in fields if name in _BAND_FIELDS and fields[name] is not None
    )
    if own := [name for name in dict.fromkeys(names) if name != band.name]:
        stated["aliases"] = (*band.aliases, *own)
    if classes := fields.get("classes"):
        stated["flag_values"] = tuple(int(each["value"]) for each in classes)
        stated["flag_meanings"] = tuple(map(_meaning, classes))
        stated["resampling"] = "nearest"
    return replace(coded, index=index, **stated)


def _meaning(each: Mapping[str, Any]) -> str:
    """Return a class name in one word, as CF requires; older items have only a description."""
    name = each.get("name") or each.get("description") or f"class_{each['value']}"
    return "_".join(str(name).split())


def _number(nodata: float | str | None) -> float | None:
    """Convert a nodata value; STAC writes nan and inf as strings."""
    return float(nodata) if isinstance(nodata, str) else nodata


def _is_raster(asset: pystac.Asset) -> bool:
    """Return whether an undocumented asset is raster data."""
    roles = set(asset.roles or ())
    if roles & {"thumbnail", "overview", "metadata"}:
        return False
    media_type = (asset.media_type or "").partition(";")[0].strip().lower()
    if media_type:
        return media_type in ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")
    path = asset.href.lower()
    if path.startswith(("http://", "https://")):
        path = path.partition("?")[0]
    return "data" in roles or path.endswith((".tif", ".tiff", ".jp2"))
