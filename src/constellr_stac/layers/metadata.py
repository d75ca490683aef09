"""STAC fields from a scene's metadata document, the asset ``metadata``.

The caller reads the document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .stac_extensions import EO, VIEW, declare
from .table import layer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pystac

    from .report import Note

__all__ = ["ANGLES", "add_metadata", "metadata_asset", "stated_metadata"]

_VIEW = {
    "view:sun_elevation": ("solar_angles", "view:sun_elevation", -90.0, 90.0),
    "view:sun_azimuth": ("solar_angles", "view:sun_azimuth", 0.0, 360.0),
    "view:off_nadir": ("viewing_angles", "view:off_nadir", 0.0, 90.0),
    "view:incidence_angle": ("viewing_angles", "view:incident_angle", 0.0, 90.0),
    "view:azimuth": ("viewing_angles", "view:azimuth", 0.0, 360.0),
}
"""STAC field: group and name in the document's ``geometric``, minimum and maximum."""

ANGLES = {
    "sun_elevation": "view:sun_elevation",
    "sun_azimuth": "view:sun_azimuth",
    "view_zenith": "view:incidence_angle",
    "view_azimuth": "view:azimuth",
    "off_nadir": "view:off_nadir",
}
"""The STAC field of each angle of :func:`stated_metadata`."""

_LEVELS = ("processing:level", "processing_level", "product_type")


def metadata_asset(item: pystac.Item) -> str | None:
    """Return the asset key of an item's metadata document, if any.

    Args:
        item: The item.
    """
    for key, asset in item.assets.items():
        layer = layer_of(key, asset.href)
        if layer is not None and layer.kind == "metadata":
            return key
    return None


def add_metadata(item: pystac.Item, document: Mapping[str, Any] | None, note: Note) -> None:
    """Add cloud cover, angles and platform from the document, where the item lacks them.

    Angles outside STAC's range are ignored; azimuths are normalized to 0 to 360 degrees.

    Args:
        item: The item, changed in place.
        document: The content of the metadata document, or ``None``.
        note: Called for each added field.
    """
    found: dict[str, Any] = {}
    if document is not None:
        found = {
            "eo:cloud_cover": _cloud_cover(document),
            **_angles(document.get("geometric")),
            "platform": document.get("platform"),
        }
    for name, value in found.items():
        if value is not None and item.properties.get(name) is None:
            item.properties[name] = value
            note(None, name, "metadata")
    if any(name.startswith("view:") for name in item.properties):
        declare(item, VIEW)
    if "eo:cloud_cover" in item.properties:
        declare(item, EO)


def stated_metadata(item: pystac.Item, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the item, else its document, states about a scene as a whole.

    Args:
        item: The item.
        document: The content of its metadata document; may be empty.

    Returns:
        :data:`ANGLES` in degrees, ``day_flag`` (a bool) and ``processing_level`` (a string), as
        far as they are stated.
    """
    properties = item.properties
    of_document = _angles(document.get("geometric"))
    found: dict[str, Any] = {}
    for name, field in ANGLES.items():
        given = properties.get(field)
        found[name] = of_document[field] if given is None else _within(given, *_VIEW[field][2:])
    for source in (document, properties):
        if isinstance(source.get("day_flag"), bool):
            found["day_flag"] = source["day_flag"]
        level = next((source[key] for key in _LEVELS if isinstance(source.get(key), str)), None)
        found["processing_level"] = level or found.get("processing_level")
    return {name: value for name, value in found.items() if value is not None}


def _cloud_cover(document: Mapping[str, Any]) -> float | None:
    if document.get("cloud_cover_computed") is False:
        return None
    return _within(document.get("aoi_cloud_cover"), 0.0, 100.0)


def _angles(geometric: Any) -> dict[str, float | None]:
    angles: dict[str, float | None] = {}
    for field, (group, name, least, greatest) in _VIEW.items():
        # The documentation prints the names with spaces around the colon.
        group_of = {
            key.replace(" ", ""): v for key, v in _dict(_dict(geometric).get(group)).items()
        }
        angle = group_of.get(name)
        if field.endswith("azimuth") and isinstance(angle, int | float):
            angle %= 360.0
        angles[field] = _within(angle, least, greatest)
    return angles


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _within(value: Any, least: float, greatest: float) -> float | None:
    """Return ``value`` if it is a number within the limits, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if least <= value <= greatest else None
