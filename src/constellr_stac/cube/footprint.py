"""Where items and grids are on Earth, also across the antimeridian."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

if TYPE_CHECKING:
    import pystac
    from odc.geo.geobox import GeoBox

__all__ = ["HALF_TURN", "box_of", "centre_of", "eastward", "footprint", "shape_of"]

HALF_TURN = 180.0
"""Degrees from Greenwich to the antimeridian."""


def shape_of(item: pystac.Item) -> Any:
    """Return where an item is, as a shape in longitude and latitude, if it says so."""
    if item.geometry is not None:
        return eastward(shapely.geometry.shape(item.geometry))
    if item.bbox is None:
        return None
    west, south, east, north = box_of(item)
    return shapely.box(west, south, east + 360 if east < west else east, north)


def box_of(item: pystac.Item) -> tuple[float, float, float, float]:
    """Return an item's bbox without its heights."""
    west, south, *_ = box = item.bbox or []
    east, north = box[len(box) // 2 :][:2]
    return west, south, east, north


def eastward(shape: Any) -> Any:
    """Let a ring that leaps over the antimeridian go on beyond 180 degrees instead.

    Taken by its word, it would go round the world the other way.
    """
    leaps = np.abs(np.diff(shapely.get_coordinates(shape)[:, 0])) > HALF_TURN
    if shape.geom_type != "Polygon" or not leaps.any():
        return shape
    return shapely.transform(
        shape, lambda places: np.column_stack([places[:, 0] % (2 * HALF_TURN), places[:, 1]])
    )


def centre_of(grid: GeoBox) -> tuple[float, float]:
    """Return longitude and latitude of a grid's centre, also of one across the antimeridian.

    Args:
        grid: With a CRS.
    """
    longitude, latitude = grid.extent.centroid.to_crs("EPSG:4326").coords[0]
    return float(longitude), float(latitude)


def footprint(item: pystac.Item) -> str:
    """Return a name for where an item is; items of one area share it."""
    return json.dumps([item.collection_id, item.geometry or item.bbox], sort_keys=True)
