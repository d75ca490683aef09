"""Pixels are measured on the ellipsoid."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from constellr_stac.cube.pixel_size import pixel_areas, pixel_size

ROWS, COLUMNS = 20, 30
UTM = Affine(30, 0, 381_060, 0, -30, 3_746_640)
GRIDS = {
    "UTM": (UTM, "EPSG:32611", 1e-4),
    "at the edge of a zone": (Affine(30, 0, 833_000, 0, -30, 10_000), "EPSG:32611", 1e-4),
    "rotated": (UTM * Affine.rotation(30), "EPSG:32611", 1e-4),
    "polar": (Affine(500, 0, 1_500_000, 0, -500, 2_000_000), "EPSG:3031", 1e-4),
    "Mercator of the sphere": (Affine(20, 0, 900_000, 0, -20, 8_400_000), "EPSG:3857", 1e-3),
    "degrees": (Affine(0.001, 0, 8, 0, -0.002, 60), "EPSG:4326", 1e-2),
}
"""Transform, CRS, and how much the height and width of a pixel may differ."""


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_are_measured_on_the_ellipsoid(name: str) -> None:
    """Height, width and area are those of pyproj's geodesics."""
    affine, crs, tolerance = GRIDS[name]
    box = GeoBox((ROWS, COLUMNS), affine, crs)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    row, column = ROWS // 2, COLUMNS // 2
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    longitudes, latitudes = np.transpose(
        [to_degrees.transform(*(affine * (column + right, row + down))) for right, down in corners]
    )
    *_, (width, height, *_) = geod.inv(
        longitudes, latitudes, np.roll(longitudes, -1), np.roll(latitudes, -1)
    )
    area, _ = geod.polygon_area_perimeter(longitudes, latitudes)
    assert pixel_size(box) == pytest.approx((height, width), rel=tolerance)
    [measured] = pixel_areas(box, np.array([[row], [column]]))
    assert measured == pytest.approx(abs(area), rel=1e-5)
