"""Footprints of items and grids, also across the antimeridian."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from constellr_stac.reading.file_grid import name_of

if TYPE_CHECKING:
    import pystac
    from odc.geo.geobox import GeoBox

__all__ = ["HALF_TURN", "box_of", "centre_of", "eastward", "footprint", "shape_of"]

HALF_TURN = 180.0
"""Degrees from Greenwich to the antimeridian."""


def shape_of(item: pystac.Item) -> Any:
    """Return an item's geometry or bbox as a shape in longitude and latitude, if any."""
    if item.geometry is not None:
        return eastward(shapely.geometry.shape(item.geometry))
    if item.bbox is None:
        return None
    west, south, east, north = box_of(item)
    return shapely.box(west, south, east + 360 if east < west else east, north)


def box_of(item: pystac.Item) -> tuple[float, float, float, float]:
    """Return an item's bbox in two dimensions."""
    west, south, *_ = box = item.bbox or []
    east, north = box[len(box) // 2 :][:2]
    return west, south, east, north


def eastward(shape: Any) -> Any:
    """Unwrap a polygon that crosses the antimeridian to longitudes of 0 to 360 degrees."""
    leaps = np.abs(np.diff(shapely.get_coordinates(shape)[:, 0])) > HALF_TURN
    if shape.geom_type != "Polygon" or not leaps.any():
        return shape
    return shapely.transform(
        shape, lambda places: np.column_stack([places[:, 0] % (2 * HALF_TURN), places[:, 1]])
    )


def centre_of(grid: GeoBox) -> tuple[float, float]:
    """Return the longitude and latitude of a grid's centre, also across the antimeridian.

    Args:
        grid: With a CRS.

    Raises:
        ValueError: The CRS is not defined there.
    """
    longitude, latitude = grid.extent.centroid.to_crs("EPSG:4326").coords[0]
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        raise ValueError(
            f"The centre of the grid {name_of(grid)} lies where its CRS is not defined. Check the "
            "numbers of bbox=, geobox=, x= and y=, and that they are in this CRS."
        )
    return float(longitude), float(latitude)


def footprint(item: pystac.Item) -> str:
    """Return a key of an item's footprint."""
    return json.dumps([item.collection_id, item.geometry or item.bbox], sort_keys=True)
