"""The grids of files, compared and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox

if TYPE_CHECKING:
    from affine import Affine

__all__ = ["GridKey", "grid_of", "key_of", "name_of", "of_key", "same_grid"]

GridKey = tuple[tuple[int, int], "Affine", str | None]

_SAME_PLACE = 1e-3  # pixels


def name_of(grid: GeoBox) -> str:
    """Return a name for a grid: ``EPSG:32611 at 30 x 30``."""
    crs = grid.crs
    name = "no CRS" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else str(crs)
    return f"{name} at {abs(grid.resolution.x):g} x {abs(grid.resolution.y):g}"


def key_of(grid: GeoBox) -> GridKey:
    """Return a key, since hashing a GeoBox writes its CRS as text (2 ms of a read of 10)."""
    rows, columns = grid.shape
    return (rows, columns), grid.affine, None if grid.crs is None else str(grid.crs)


def of_key(key: GridKey) -> GeoBox:
    """Return the grid of a key."""
    return GeoBox(*key)


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Return whether two grids are the same to a thousandth of a pixel."""
    if one == other:
        return True
    if one.shape != other.shape or one.crs != other.crs:
        return False
    limit = _SAME_PLACE * abs(one.resolution.x)
    corners = ((0, 0), (one.shape[1], 0), (0, one.shape[0]), (one.shape[1], one.shape[0]))
    first: Any = one.pix2wld  # published without types
    second: Any = other.pix2wld
    return all(
        abs(a - b) <= limit
        for corner in corners
        for a, b in zip(first(*corner), second(*corner), strict=True)
    )


def grid_of(own: GeoBox, stated: GeoBox | None) -> GeoBox | None:
    """Return a file's grid; what its header leaves out is the item's word."""
    if own.crs is not None:
        return own
    if stated is None or stated.crs is None:
        return None
    if own.affine.is_identity:
        return stated if stated.shape == own.shape else None
    return GeoBox(own.shape, own.affine, stated.crs)
