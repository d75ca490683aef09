"""The provider's layers as documented: one table, and the lookup of a layer by file name.

:mod:`.item_bands` merges it with the fields of an item.

Sources: the provider's public documentation, `data bundle`_ (names, types, scales, offsets, fill
values), `metadata`_ (mask classes) and `technology`_ (wavelengths, widths and pixel sizes of the
VNIR bands; they equal those of Sentinel-2, whose STAC common names apply), and for LSTfusion its
`archived data bundle`_. ``docs/layers.md`` states the assumptions for undocumented facts.

.. _data bundle: https://constellr.github.io/product-lst/LST-precision-data-bundle-description/
.. _metadata: https://constellr.github.io/product-lst/LST-precision-metadata/
.. _technology: https://constellr.github.io/product-lst/our-technology/
.. _archived data bundle: https://constellr.github.io/product-lst/archive/LST-fusion-product-deliverables/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from .band import Band

__all__ = ["LAYERS", "Kind", "Layer", "file_type", "layer_of", "time_in"]

Kind = Literal["data", "mask", "overview", "thumbnail", "metadata"]
"""The kind of an asset. Only ``data`` and ``mask`` are loaded into cubes."""

_KELVIN = Band(
    index=1,
    name="lst",
    dtype="uint16",
    scale=0.01,
    offset=0.0,
    nodata=65535,
    unit="K",
    standard_name="surface_temperature",
    long_name="land surface temperature",
)

_REFLECTANCE = Band(
    index=1,
    name="vnir",
    dtype="uint16",
    scale=0.0001,
    offset=-0.1,
    nodata=65535,
    unit="1",
    standard_name="surface_bidirectional_reflectance",
)

_VNIR: dict[str, tuple[float, float, int, str]] = {
    "01": (0.443, 0.020, 60, "coastal"),
    "02": (0.490, 0.065, 10, "blue"),
    "03": (0.560, 0.035, 10, "green"),
    "04": (0.665, 0.030, 10, "red"),
    "05": (0.705, 0.015, 20, "rededge071"),
    "06": (0.740, 0.015, 20, "rededge075"),
    "07": (0.783, 0.020, 20, "rededge078"),
    "08": (0.842, 0.115, 10, "nir"),
    "09": (0.865, 0.020, 20, "nir08"),
    "10": (0.945, 0.020, 60, "nir09"),
}
"""By filter number: centre and width in micrometres, pixel size in metres, STAC common name."""

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True)
class Layer:
    """One documented layer: a kind of asset.

    Example:
        >>> lst = layer_of("lst")
        >>> lst.bands[0].unit, lst.bands[0].scale, lst.gsd
        ('K', 0.01, 30)
    """

    name: str
    """The file type in the provider's file names, in lower case: ``lst``, ``scl_mask_30m``."""
    kind: Kind
    """The kind of asset."""
    title: str
    """A one-line title."""
    bands: tuple[Band, ...] = ()
    """The file's bands, in order; empty for pictures and metadata."""
    gsd: int | None = None
    """The documented pixel size in metres."""
    media_type: str = _COG
    """The STAC media type."""
    roles: tuple[str, ...] = ("data",)
    """The STAC roles."""

    @property
    def is_data(self) -> bool:
        """Whether the layer holds values or a mask, not a picture or metadata."""
        return self.kind in ("data", "mask")


def layer_of(key: str, href: str = "") -> Layer | None:
    """Find the documented layer of an asset, by its key, else by its file name.

    Args:
        key: The asset's key: ``lst``, ``vnir04_qa``, ``lst_20260601T12Z.tiff``.
        href: The asset's href, of any scheme, signed or not.

    Returns:
        The layer, or ``None`` for undocumented files.

    Example:
        >>> layer_of("data", "s3://b/x/LSTPRECISION_SBA01_U155VHMQ_20260708T235815Z_LST.tiff").name
        'lst'
        >>> layer_of("emissivity") is None
        True
    """
    return LAYERS.get(key) or LAYERS.get(file_type(key)) or LAYERS.get(file_type(href))


_EXTENSION = re.compile(r"\.(?:tiff?|json|jpe?g|png|xml)$")
_SCENE = re.compile(r"^[a-z0-9]+_[a-z0-9]+_[a-z0-9]+_\d{8}t\d{2,6}z?_")
_HOUR = re.compile(r"_(\d{8}t\d{2,6})z?$")


def file_type(name: str) -> str:
    """Return the file type: an asset key or href without scene, time and extension.

    Example:
        >>> file_type("LSTPRECISION_SBA01_B5Z0Q1H9_20260213T092026Z_scl_mask_30m.tiff")
        'scl_mask_30m'
        >>> file_type("https://b.example/LA%20harbor+port/lst_std_20260601T12Z.tiff?X-Amz-Date=1")
        'lst_std'
    """
    if name.lower().startswith(("http://", "https://")):
        name = re.split(r"[?#]", name, maxsplit=1)[0]
    return _without_scene(name.rpartition("/")[2])


@lru_cache(maxsize=1024)
def _without_scene(name: str) -> str:
    stem = _EXTENSION.sub("", name.lower()).replace("-", "_")
    return _HOUR.sub("", _SCENE.sub("", stem))


def time_in(name: str) -> str | None:
    """Return the time at the end of a file name, ``yyyymmddThh`` or longer, if any.

    Example:
        >>> time_in("lst_20260601T12Z.tiff")
        '20260601T12'
    """
    found = _HOUR.search(_EXTENSION.sub("", name.lower()))
    return None if found is None else found[1].upper()


def _classes(index: int, name: str, long_name: str, *meanings: str) -> Band:
    """Return a mask band with the classes 0, 1, 2, …."""
    return Band(
        index=index,
        name=name,
        dtype="uint8",
        long_name=long_name,
        flag_values=tuple(range(len(meanings))),
        flag_meanings=meanings,
        resampling="nearest",
    )


def _scene_classification(metres: int) -> Layer:
    return Layer(
        name=f"scl_mask_{metres}m",
        kind="mask",
        title=f"Scene classification at {metres} m",
        bands=(
            _classes(1, "cloud_mask", "cloud", "clear", "thick", "thin", "shadow"),
            _classes(2, "castshadow_mask", "terrain cast shadow", "clear", "castshadow"),
            _classes(3, "landwater_mask", "land or water in this scene", "land", "water"),
            _classes(4, "static_landwater_mask", "land or water, static", "land", "water"),
        ),
        gsd=metres,
        roles=("data-mask", "cloud", "cloud-shadow", "land-water"),
    )


def _reflectance(number: str) -> Layer:
    centre, width, metres, common_name = _VNIR[number]
    band = replace(
        _REFLECTANCE,
        name=f"vnir{number}",
        long_name=f"surface reflectance at {centre * 1000:.0f} nm",
        common_name=common_name,
        center_wavelength=centre,
        full_width_half_max=width,
    )
    title = f"Surface reflectance, VNIR band {number}"
    return Layer(band.name, "data", title, (band,), gsd=metres, roles=("data", "reflectance"))


def _quality(number: str) -> Layer:
    _, _, metres, _ = _VNIR[number]
    band = f"vnir{number}"
    flags = (
        _classes(1, f"{band}_blackfill", f"no data in {band}", "valid", "no_data"),
        _classes(2, f"{band}_saturated", f"saturation in {band}", "valid", "saturated"),
        _classes(3, f"{band}_untested", f"quality not tested in {band}", "valid", "untested"),
    )
    return Layer(
        name=f"{band}_qa",
        kind="mask",
        title=f"Quality of VNIR band {number}",
        bands=tuple(
            replace(flag, standard_name="quality_flag", aliases=(flag.name.partition("_")[2],))
            for flag in flags
        ),
        gsd=metres,
        roles=("data-mask", "saturation"),
    )


def _picture(name: str, title: str, *, rgb: bool = False) -> Layer:
    thumbnail = "thumbnail" in name
    return Layer(
        name=name,
        kind="thumbnail" if thumbnail else "overview",
        title=title,
        media_type="image/jpeg" if thumbnail else _COG,
        roles=("thumbnail" if thumbnail else "overview", *(("visual",) if rgb else ())),
    )


def _table() -> tuple[Layer, ...]:
    temperature = ("data", "temperature")
    sharpened = replace(
        _KELVIN, name="lst_sharpened_10m", long_name="land surface temperature, sharpened"
    )
    deviation = replace(
        _KELVIN,
        name="lst_std",
        standard_name="surface_temperature standard_error",
        long_name="standard deviation of land surface temperature",
    )
    return (
        Layer("lst", "data", "Land surface temperature", (_KELVIN,), gsd=30, roles=temperature),
        Layer(
            "lst_sharpened_10m",
            "data",
            "Land surface temperature, sharpened to 10 m",
            (sharpened,),
            gsd=10,
            roles=temperature,
        ),
        Layer("lst_std", "data", "Standard deviation of the temperature", (deviation,), gsd=30),
        *(_scene_classification(metres) for metres in (10, 20, 30, 60)),
        *(_reflectance(number) for number in _VNIR),
        *(_quality(number) for number in _VNIR),
        _picture("quicklook", "Temperature quicklook"),
        _picture("lst_quicklook", "Temperature quicklook"),
        _picture("lst_composite", "Temperature quicklook"),
        _picture("lst_quicklook_sharpened_10m", "Temperature quicklook at 10 m"),
        _picture("rgb_quicklook", "True-colour quicklook", rgb=True),
        _picture("rgb_composite", "True-colour quicklook", rgb=True),
        _picture("thumbnail", "Temperature thumbnail"),
        _picture("lst_thumbnail", "Temperature thumbnail"),
        _picture("lst_thumbnail_sharpened_10m", "Temperature thumbnail at 10 m"),
        _picture("rgb_thumbnail", "True-colour thumbnail", rgb=True),
        Layer(
            "metadata",
            "metadata",
            "Metadata of the scene",
            media_type="application/json",
            roles=("metadata",),
        ),
    )


def _documented(layer: Layer) -> Layer:
    """Note in each band of a layer what the documents say, and how many bands there are."""
    count = len(layer.bands)
    bands = tuple(replace(band, base=band, siblings=count) for band in layer.bands)
    return replace(layer, bands=bands)


LAYERS: dict[str, Layer] = {layer.name: _documented(layer) for layer in _table()}
"""Every documented layer, by name."""
