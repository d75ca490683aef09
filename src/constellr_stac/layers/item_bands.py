"""What one asset of one item holds: the item's own words, then the documents'.

Reads STAC 1.1 ``bands`` with ``raster:*`` and ``eo:*``, the older ``raster:bands`` and
``eo:bands``, and values given once for the asset or the item. Nothing here changes an item or
reads a file.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import UnknownLayerWarning

from .band import Band
from .table import layer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pystac

__all__ = [
    "asset_bands",
    "asset_gsd",
    "is_data",
    "is_unknown",
    "warn_unknown",
]


def asset_bands(item: pystac.Item, key: str) -> tuple[Band, ...]:
    """Return the bands of an asset as its item states them, completed from the documents.

    Field by field the item wins. An asset that neither knows has one band of raw numbers
    (``dtype=None``); what holds no pixels to compute with has no bands.

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
    return tuple(
        _combine(index, words, known, default=key if len(stated) == 1 else f"{key}_{index}")
        for index, words in enumerate(stated, start=1)
    )


def is_data(item: pystac.Item, key: str) -> bool:
    """Say whether an asset holds pixels to compute with: no picture, no metadata.

    Args:
        item: The item.
        key: The asset's key.
    """
    asset = item.assets[key]
    layer = layer_of(key, asset.href)
    return _is_raster(asset) if layer is None else layer.is_data


def asset_gsd(item: pystac.Item, key: str) -> float | None:
    """Return an asset's pixel size in metres, as far as it is known without a request.

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
    """Say whether neither the item nor the documents say how an asset's pixels are coded."""
    asset = item.assets[key]
    if layer_of(key, asset.href) is not None or not _is_raster(asset):
        return False
    shared = _shared(item, asset)
    return not any(words.keys() & _CODING for words in (shared, *_stated_bands(asset, shared)))


def warn_unknown(items: Iterable[pystac.Item], keys: Iterable[str], *, stacklevel: int = 2) -> None:
    """Warn once, naming them, about assets that will be read as they are stored.

    Args:
        items: The items.
        keys: The asset keys that are going to be read.

    Keyword Args:
        stacklevel: As :func:`warnings.warn` has it, from the caller of this function.
    """
    wanted = set(keys)
    unknown = sorted(
        {key for item in items for key in wanted & item.assets.keys() if is_unknown(item, key)}
    )
    if unknown:
        warnings.warn(
            f"Nothing says what the pixels of {', '.join(map(repr, unknown))} mean: neither the "
            "items nor the provider's documents give type, scale or unit. They are loaded as "
            "they are stored.",
            UnknownLayerWarning,
            stacklevel=stacklevel + 1,
        )


_CODING = frozenset({"data_type", "scale", "offset", "nodata", "unit", "classes"})
_WORDS = {
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
_SHARED_WORDS = frozenset(
    {"data_type", "nodata", "unit", "raster:scale", "raster:offset", "eo:common_name"}
)


_SETTLING = ("scale", "offset", "nodata")
_EO_FIELDS = ("common_name", "center_wavelength", "full_width_half_max")


def _stated_bands(asset: pystac.Asset, shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the item says about each band of the asset; empty if it lists none."""
    lists = [
        [_words(band) for band in bands]
        for field in ("eo:bands", "raster:bands", "bands")
        if (bands := asset.extra_fields.get(field))
    ]
    if not lists:
        return []
    stated = [dict(shared) for _ in range(max(map(len, lists), default=0))]
    for bands in lists:  # the newest form comes last, and wins
        for words, more in zip(stated, bands, strict=False):
            names = [*words.get("names", ()), *([more["name"]] if "name" in more else ())]
            words.update(more, names=names)
    return stated


def _shared(item: pystac.Item, asset: pystac.Asset) -> dict[str, Any]:
    """Return what the item says once for all bands of the asset, or for all its assets."""
    return {
        _WORDS[name]: value
        for fields in (item.properties, asset.extra_fields)
        for name in _SHARED_WORDS
        if (value := fields.get(name)) is not None
    }


def _words(band: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _WORDS[name]: value for name, value in band.items() if name in _WORDS and value is not None
    }


def _combine(index: int, words: Mapping[str, Any], known: tuple[Band, ...], default: str) -> Band:
    """Join what the item says of its band number ``index`` with what the documents say."""
    names = words.get("names", ())
    by_name = next((band for band in known if band.name in names), None)
    at_index = known[index - 1] if index <= len(known) else None
    band = by_name or at_index
    if band is None:
        # What nobody describes may be classes: no value may appear that is not in the file.
        band = Band(
            index,
            names[-1] if names else default,
            resampling="bilinear" if words.keys() & {"scale", "offset"} else "nearest",
            settled=frozenset({"scale", "offset"}),
        )
    coded = band.stored_as(
        words.get("data_type"),
        scale=words.get("scale"),
        offset=words.get("offset"),
        nodata=_number(words.get("nodata")),
        unit=words.get("unit"),
    )
    stated = {field: words[field] for field in _EO_FIELDS if field in words}
    # An item that repeats the documents, as described ones do, leaves the file its word.
    changed = {f for f in _SETTLING if f in words and getattr(coded, f) != getattr(band, f)}
    if changed:
        stated["settled"] = band.settled | changed
    if own := [name for name in dict.fromkeys(names) if name != band.name]:
        stated["aliases"] = (*band.aliases, *own)
    if classes := words.get("classes"):
        stated["flag_values"] = tuple(int(each["value"]) for each in classes)
        stated["flag_meanings"] = tuple(map(_meaning, classes))
        stated["resampling"] = "nearest"
    return coded.but(index=index, **stated)


def _meaning(each: Mapping[str, Any]) -> str:
    """Name a class in one word, as CF wants it; older items have only a description."""
    name = each.get("name") or each.get("description") or f"class_{each['value']}"
    return "_".join(str(name).split())


def _number(nodata: float | str | None) -> float | None:
    """Read a fill value; STAC writes those that JSON cannot hold as words."""
    return float(nodata) if isinstance(nodata, str) else nodata


def _is_raster(asset: pystac.Asset) -> bool:
    """Say whether an asset the documents do not know looks like pixels to compute with."""
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
