"""The grid that an item states for an asset, as a GeoBox."""

from __future__ import annotations

import functools
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
    return _geobox(header.shape, header.transform, header.crs)


@functools.lru_cache(maxsize=4096)
def _geobox(shape: tuple[int, int], transform: tuple[float, ...], crs: str) -> GeoBox:
    """Return a grid: the same object for scenes of one place, so that a pickle holds it once."""
    return GeoBox(shape, Affine(*transform), crs)
