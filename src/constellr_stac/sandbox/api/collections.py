"""The three documented collections, and those of items added by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constellr_stac.sandbox.scenes import DOCUMENTED_HOST

if TYPE_CHECKING:
    from constellr_stac.sandbox.catalog import Catalogue, CatalogueItem

__all__ = ["collections"]

_DOCUMENTED = {
    "lstprecision": (
        "LSTprecision Level-2 UTM LST Product",
        "Land Surface Temperature (LST) Precision product.",
        [-180.0, -60.0, 180.0, 75.0],
        ["2023-01-01T00:00:00+00:00", None],
    ),
    "lstzoom": (
        "LSTzoom Level-2 UTM LST Product",
        "Land Surface Temperature (LST) Zoom product.",
        [-10.0, 36.0, 30.0, 60.0],
        ["2020-01-01T00:00:00+00:00", "2024-12-31T23:59:59+00:00"],
    ),
    "lstfusion": (
        "LSTfusion Level-3 UTM LST Product",
        "Land Surface Temperature (LST) Fusion product.",
        [-122.1, 5.1, 35.4, 53.6],
        ["2015-02-26T17:00:00+00:00", "2025-08-18T11:00:00+00:00"],
    ),
}


def collections(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the collections; the extent of a non-empty one is that of its items."""
    items: dict[str, list[CatalogueItem]] = {name: [] for name in _DOCUMENTED}
    for entry in list(catalogue.items.values()):
        items.setdefault(entry.key[0], []).append(entry)
    return [_collection(name, entries) for name, entries in items.items()]


def _collection(name: str, items: list[CatalogueItem]) -> dict[str, Any]:
    title, description, bbox, interval = _DOCUMENTED.get(
        name, (name, f"Items of {name}.", [-180.0, -90.0, 180.0, 90.0], [None, None])
    )
    bounds = [entry.geometry.bounds for entry in items if entry.geometry is not None]
    if bounds:
        west, south, east, north = zip(*bounds, strict=True)
        bbox = [min(west), min(south), max(east), max(north)]
    times = [entry.interval for entry in items if entry.interval is not None]
    if times:
        starts, ends = zip(*times, strict=True)
        interval = [min(starts).isoformat(), max(ends).isoformat()]
    return {
        "id": name,
        "type": "Collection",
        "links": [{"rel": "items", "href": f"{DOCUMENTED_HOST}/collections/{name}/items"}],
        "title": title,
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [interval]}},
        "license": "other",
        "description": description,
        "stac_version": "1.1.0",
    }
