"""What is found while reading is said once per cube, whatever computes it."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import rasterio
from distributed import Client
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac.errors import ContradictionWarning, ResamplingWarning, SceneLeftEmptyWarning
from forked_workers import local_cluster
from layer_files import EPSG, ORIGIN, bare_item

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pystac

SIDE = 24
TOLD = [
    "ContradictionWarning",
    "ResamplingWarning",
    "SceneLeftEmptyWarning",  # for each scene
    "SceneLeftEmptyWarning",
]


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


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One new worker process of two threads."""
    with (
        local_cluster(
            n_workers=1, threads_per_worker=2, local_directory=str(tmp_path_factory.mktemp("dask"))
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def told(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return the kinds of ours, sorted."""
    kinds = (ContradictionWarning, ResamplingWarning, SceneLeftEmptyWarning)
    return sorted(each.category.__name__ for each in caught if each.category in kinds)


@pytest.mark.parametrize(
    ("engine", "scheduler"),
    [("odc", "synchronous"), ("stackstac", "synchronous"), ("odc", "threads"),
     ("stackstac", "threads"), ("odc", "distributed"), ("stackstac", "distributed")],
)  # fmt: skip
def test_each_kind_is_said_once_per_cube(
    items: list[pystac.Item], engine: Any, scheduler: str, request: pytest.FixtureRequest
) -> None:
    """In the process that asks for the values; a cube that is built again says it again."""
    client = request.getfixturevalue("cluster") if scheduler == "distributed" else None
    for _ in range(1 if client else 2):  # a worker says it once
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cube = constellr_stac.load(
                items, ["lst"], groupby="id", errors="nan", engine=engine,
                chunks={"time": 1, "x": 5},
            )  # fmt: skip
            with nullcontext() if client else dask.config.set(scheduler=scheduler, num_workers=4):
                values = cube.lst.compute()
            deadline = time.monotonic() + 60
            while client and len(told(caught)) < len(TOLD) and time.monotonic() < deadline:
                time.sleep(0.05)  # they arrive after the values
        assert values[0].notnull().all()
        assert values[6:].isnull().all()
        assert told(caught) == TOLD
