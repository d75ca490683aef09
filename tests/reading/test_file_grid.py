"""When the grids of item and file are the same."""

from __future__ import annotations

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from constellr_stac.reading.file_grid import same_grid


@pytest.mark.parametrize("pixel", [1e-4, 0.5, 30.0])
def test_grids_are_compared_to_a_thousandth_of_a_pixel(pixel: float) -> None:
    """Any corner may differ by less, whatever the unit; not by more, nor may shape or CRS."""

    def box(right: float = 0.0, wider: float = 1.0, crs: str = "EPSG:32611") -> GeoBox:
        size = pixel * wider
        return GeoBox((40, 50), Affine(size, 0, 7 + right * pixel, 0, -pixel, 9), crs)

    assert same_grid(box(), box(right=0.0005))
    assert same_grid(box(), box(wider=1 + 0.0005 / 50))
    assert not same_grid(box(), box(right=0.002))
    assert not same_grid(box(), box(wider=1 + 0.002 / 50))
    assert not same_grid(box(), box(crs="EPSG:32612"))
    assert not same_grid(box(), box()[:39])
