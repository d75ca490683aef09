"""Areas in a cube: which pixels an area covers, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.geo.xr  # noqa: F401 - the .odc accessor
import shapely
import shapely.geometry
from rasterio.features import geometry_mask

from constellr_stac.geometry.any_geometry import geometry_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

__all__ = ["Zones", "cover", "in_cube_crs", "outlines", "spatial_dims"]

_AREAL = ("Polygon", "MultiPolygon")


@dataclass(frozen=True)
class Zones:
    """The pixels of each area, as one table ordered by area.

    Attributes:
        cells: Row and column of each pixel that an area covers, each once; int, (2, pixels).
        pixel: A position in ``cells`` for each pair of area and pixel.
        share: The share of the pixel inside the area, over 0 and up to 1.
        starts: Where the pairs of each of ``found`` begin.
        found: The areas that cover a pixel, by their number.
        sizes: The size of each area in pixels, with what lies outside the cube.
    """

    cells: NDArray[np.int64]
    pixel: NDArray[np.int64]
    share: NDArray[np.float64]
    starts: NDArray[np.int64]
    found: NDArray[np.int64]
    sizes: NDArray[np.float64]


def spatial_dims(cube: xr.Dataset) -> tuple[str, str]:
    """Return the names of the y and x dimensions.

    Args:
        cube: With the grid that :func:`constellr_stac.load` sets.

    Raises:
        ValueError: The cube has no grid.
    """
    dims = cube.odc.spatial_dims
    if dims is None or cube.odc.geobox is None or cube.odc.geobox.crs is None:
        msg = "The cube has no georeferencing: it needs x, y and spatial_ref."
        raise ValueError(msg)
    return str(dims[0]), str(dims[1])


def in_cube_crs(cube: xr.Dataset, geometry: Any, crs: Any) -> BaseGeometry:
    """Return one geometry in the cube's CRS.

    Args:
        cube: With a grid.
        geometry: As for :func:`.geometry_from`.
        crs: The CRS of a geometry that states none.

    Raises:
        InvalidAreaError: As for :func:`.geometry_from`.
    """
    spatial_dims(cube)
    return geometry_from(geometry, crs=crs, to=cube.odc.geobox.crs.proj)


def outlines(cube: xr.Dataset, areas: Any) -> list[BaseGeometry]:
    """Return the geometries of a table in the cube's CRS; an empty one for a missing one.

    Args:
        cube: With a grid.
        areas: From :func:`.table_from`.
    """
    spatial_dims(cube)
    nowhere = shapely.geometry.Polygon()
    projected = areas.geometry.to_crs(cube.odc.geobox.crs.to_wkt())
    return [nowhere if shape is None else shape for shape in projected]


def cover(
    geobox: GeoBox, shapes: Sequence[BaseGeometry], *, weights: bool, all_touched: bool = False
) -> Zones:
    """Find the pixels of areas, and the share of each that lies inside.

    Args:
        geobox: The cube's grid.
        shapes: In its CRS. A point or line has the whole pixels it meets.

    Keyword Args:
        weights: Whether a polygon has exact shares of its pixels (exactextract), instead of the
            whole pixels whose centres lie in it.
        all_touched: Whether it has all whole pixels it touches.

    """
    in_pixels = shapely.transform(np.asarray(shapes, object), _to_pixels(geobox))
    bounds = shapely.bounds(in_pixels)
    rows, columns = geobox.shape
    meets = np.isfinite(bounds).all(1)  # a far-away place has no coordinates on some projections
    with np.errstate(invalid="ignore"):
        meets &= (bounds[:, :2] <= (columns, rows)).all(1) & (bounds[:, 2:] >= 0).all(1)
    areal = np.isin([shape.geom_type for shape in shapes], _AREAL)
    exact = meets & areal & (weights and not all_touched)
    pairs = [_exact_shares((rows, columns), in_pixels, np.flatnonzero(exact))]
    pairs += [
        _whole_pixels((rows, columns), in_pixels[number], int(number), all_touched=all_touched)
        for number in np.flatnonzero(meets & ~exact)
    ]
    zone, cell, share = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.argsort(zone, kind="stable")
    zone, cell, share = zone[order], cell[order], share[order]
    cells, pixel = np.unique(cell, return_inverse=True)
    found, starts, counts = np.unique(zone, return_index=True, return_counts=True)
    sizes = np.where(areal, shapely.area(in_pixels), 0.0)
    whole = ~areal[found]
    sizes[found[whole]] = counts[whole]
    at = np.stack(np.unravel_index(cells, (rows, columns)))
    return Zones(at, pixel, share, starts, found, sizes)


def _to_pixels(geobox: GeoBox) -> Any:
    """Return a function from coordinates to columns and rows, from the grid's first corner."""
    inverse = ~geobox.affine

    def transform(places: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = places.T
        return np.column_stack(
            [inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f]
        )

    return transform


Pairs = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]
"""Number of an area, number of a pixel, share of the pixel."""


def _exact_shares(
    shape: tuple[int, int], in_pixels: NDArray[Any], numbers: NDArray[np.int64]
) -> Pairs:
    """Return the exact shares of pixels that polygons cover."""
    none = np.array([], np.int64)
    if not numbers.size:
        return none, none, np.array([])
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    from .shapes import WkbFeatures

    flipped = shapely.transform(  # exactextract's y runs up
        in_pixels[numbers], lambda places: np.column_stack([places[:, 0], shape[0] - places[:, 1]])
    )
    raster = NumPyRasterSource(np.broadcast_to(np.uint8(0), shape))
    source = WkbFeatures(shapely.to_wkb(flipped))
    table = exact_extract(raster, source, ["cell_id", "coverage"], output="pandas")
    lengths = table["cell_id"].map(len)
    cell = np.concatenate([none, *table["cell_id"]]).astype(np.int64)
    share = np.concatenate([np.array([]), *table["coverage"]])
    zone = np.repeat(numbers, lengths)
    inside = share > 0
    return zone[inside], cell[inside], share[inside]


def _whole_pixels(shape: tuple[int, int], place: Any, number: int, *, all_touched: bool) -> Pairs:
    """Return the pixels whose centres are inside, or that are touched; a point has its own."""
    left, top, right, bottom = place.bounds
    first = max(int(np.floor(top)), 0), max(int(np.floor(left)), 0)
    last = min(int(np.floor(bottom)) + 1, shape[0]), min(int(np.floor(right)) + 1, shape[1])
    height, width = last[0] - first[0], last[1] - first[1]
    if height <= 0 or width <= 0:
        return np.array([], np.int64), np.array([], np.int64), np.array([])
    from affine import Affine

    outside = geometry_mask(
        [place],
        out_shape=(height, width),
        transform=Affine.translation(first[1], first[0]),
        all_touched=all_touched,
    )
    rows, columns = np.nonzero(~outside)
    cell = (rows + first[0]) * shape[1] + columns + first[1]
    return np.full(cell.shape, number), cell, np.ones(cell.shape)
