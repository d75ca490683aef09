"""What is found while reading is said once per cube, whatever computes it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac.errors import ContradictionWarning, ResamplingWarning, SceneLeftEmptyWarning
from layer_files import EPSG, ORIGIN, bare_item

if TYPE_CHECKING:
    import pystac

SIDE = 24
TOLD = [
    "ContradictionWarning",
    "ResamplingWarning",
    "SceneLeftEmptyWarning",  # for each scene
    "SceneLeftEmptyWarning",
]
ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[pystac.Item]:
    """Scenes of one footprint: two that are right, and two of each that are wrong."""
    folder = tmp_path_factory.mktemp("scenes")
    items = []
    for number in range(8):
        path = folder / f"{number}" / "lst.tiff"
        path.parent.mkdir()
        shift = 7.0 if number in (2, 3) else 0.0  # another grid than that of the first file
        profile = {"count": 1, "dtype": "uint16", "crs": f"EPSG:{EPSG}", "nodata": 65535}
        place = from_origin(ORIGIN[0] + shift, ORIGIN[1], 30, 30)
        with rasterio.open(
            path, "w", "GTiff", width=SIDE, height=SIDE, transform=place, **profile
        ) as file:
            file.write(np.full((1, SIDE, SIDE), 29000 + number, "uint16"))
            if number in (4, 5):  # the item states another scale
                file.scales = [0.5]
        if number in (6, 7):
            path.write_bytes(b"II*\0 no longer a TIFF")
        item = bare_item(["lst"], item_id=f"{number}", href=f"{path.parent}/{{}}")
        if number in (4, 5):
            item.assets["lst"].extra_fields["raster:bands"] = [{"scale": 0.01, "offset": 0}]
        items.append(item)
    return items


def told(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return the kinds of ours, sorted."""
    kinds = (ContradictionWarning, ResamplingWarning, SceneLeftEmptyWarning)
    return sorted(each.category.__name__ for each in caught if each.category in kinds)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@ENGINES
def test_each_kind_is_said_once_per_cube(
    items: list[pystac.Item], engine: Any, scheduler: str
) -> None:
    """A cube that is built again says it again."""
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cube = constellr_stac.load(
                items, ["lst"], groupby="id", errors="nan", engine=engine,
                chunks={"time": 1, "x": 5},
            )  # fmt: skip
            with dask.config.set(scheduler=scheduler, num_workers=4):
                values = cube.lst.compute()
        assert values[0].notnull().all()
        assert values[6:].isnull().all()
        assert told(caught) == TOLD
