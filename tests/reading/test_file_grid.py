"""Which grid a file is on, and when it is that of the item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from constellr_stac.reading.file_grid import grid_of, same_grid

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_grid_is_the_files_as_far_as_it_states_one(tmp_path: Path) -> None:
    """The item completes CRS and transform, for a file of the same shape."""
    here, there = Affine(30, 0, 7, 0, -30, 9), Affine(10, 0, 1, 0, -10, 2)
    stated = GeoBox((4, 5), there, "EPSG:32612")
    forms = {
        ("EPSG:32611", here): GeoBox((4, 5), here, "EPSG:32611"),
        (None, here): GeoBox((4, 5), here, "EPSG:32612"),
        (None, None): stated,
    }
    for number, ((crs, transform), expected) in enumerate(forms.items()):
        path = tmp_path / f"{number}.tif"
        profile = {"dtype": "uint8", "count": 1, "height": 4, "width": 5, "crs": crs}
        with rasterio.open(path, "w", "GTiff", transform=transform, **profile) as file:
            file.write(np.zeros((1, 4, 5), "uint8"))
        with rasterio.open(path) as file:
            own = GeoBox.from_rio(file)
        assert grid_of(own, stated) == expected
        assert grid_of(own, None) == (None if crs is None else expected)
        if transform is None:
            assert grid_of(own, stated[:3]) is None
