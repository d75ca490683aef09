"""The grid that an item states for an asset, as a GeoBox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affine import Affine
from odc.geo.geobox import GeoBox

from constellr_stac.layers.item_grid import item_grid

if TYPE_CHECKING:
    import pystac

    from constellr_stac.layers.header import Header

__all__ = ["geobox_of", "stated_geobox"]


def stated_geobox(item: pystac.Item, key: str) -> GeoBox | None:
    """Return the grid that an item states for an asset, if it does so in full."""
    header = item_grid(item, key)
    return None if header is None else geobox_of(header)


def geobox_of(header: Header) -> GeoBox:
    """Return a header's grid."""
    return GeoBox(header.shape, Affine(*header.transform), header.crs)
