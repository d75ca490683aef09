"""STAC extension versions that all tools can read, and their declaration in items.

pystac, odc-stac and stackstac read ``raster:bands``, ``eo:bands`` and ``proj:epsg``, which the
newest versions of the extensions do not allow. The versions here allow them, and also STAC 1.1
``bands``. pystac 1.15 uses the same versions for ``raster`` and ``eo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pystac

__all__ = ["CLASSIFICATION", "EO", "PROJECTION", "RASTER", "VIEW", "declare"]

_SITE = "https://stac-extensions.github.io"

CLASSIFICATION = f"{_SITE}/classification/v2.0.0/schema.json"
EO = f"{_SITE}/eo/v1.1.0/schema.json"
PROJECTION = f"{_SITE}/projection/v1.2.0/schema.json"
RASTER = f"{_SITE}/raster/v1.1.0/schema.json"
VIEW = f"{_SITE}/view/v1.0.0/schema.json"

_ALLOWED = {RASTER: {"raster:bands"}, EO: {"eo:bands", "eo:cloud_cover", "eo:snow_cover"}}
"""The fields of an extension that an asset may have. Newer versions allow more; STAC 1.1 allows
those in ``bands`` instead."""


def declare(item: pystac.Item, extension: str) -> None:
    """Declare an extension, replacing any other version of it.

    Asset fields of a newer version that this one does not allow are moved to the asset's
    ``bands``, where they have the same meaning.

    Args:
        item: The item, changed in place.
        extension: One of the schema URIs above.
    """
    family = extension.rpartition("/v")[0] + "/"
    if extension in item.stac_extensions:
        return
    item.stac_extensions = [
        *(name for name in item.stac_extensions if not name.startswith(family)),
        extension,
    ]
    if extension in _ALLOWED:
        prefix = f"{family.removesuffix('/').rpartition('/')[2]}:"
        for asset in item.assets.values():
            _move_to_bands(asset.extra_fields, prefix, _ALLOWED[extension])


def _move_to_bands(fields: dict[str, Any], prefix: str, allowed: set[str]) -> None:
    moving = [name for name in fields if name.startswith(prefix) and name not in allowed]
    if moving:
        values = {name: fields.pop(name) for name in moving}
        fields["bands"] = [{**values, **band} for band in fields.get("bands") or [{}]]
