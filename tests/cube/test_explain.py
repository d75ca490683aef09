"""What a compute costs, told before it."""

from __future__ import annotations

import html
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pystac
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from rich.console import Console

import constellr_stac
from constellr_stac import Signer, Token
from constellr_stac._refresh import utc_now
from constellr_stac.sandbox import Sandbox
from real_scenes import found

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
GRID = GeoBox((400, 400), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")
SCENE = 400 * 400 * 4
"""Bytes of a scene in a cube."""


def store(sandbox: Sandbox) -> int:
    """How many requests the object store had."""
    return len([each for each in sandbox.requests if each.server == "store"])


@ENGINES
def test_what_is_told_is_what_is_done(sandbox: Sandbox, engine: Any) -> None:
    """Scenes, files and requests of a cube, and of a part of one, are those of the compute."""
    cube = constellr_stac.load(
        found(sandbox), ["lst", "cloud_mask"], geobox=GRID, chunks={"time": 4}, engine=engine
    )
    for part in (cube, cube.isel(time=slice(3, 9))):
        told = constellr_stac.explain(part)
        sandbox.clear_requests()
        part.compute()
        assert told.scenes == len({each.path.split("/")[-2] for each in sandbox.requests})
        assert told.files == told.requests == store(sandbox)
    assert constellr_stac.explain(cube).chunks == 2 * 4
    assert constellr_stac.explain(cube.lst).shape == {"time": 15, "y": 400, "x": 400}


def test_stated_sizes_are_exact(sandbox: Sandbox) -> None:
    """Where all items state ``file:size``, it is their sum; else one file stands for its layer."""
    items = found(sandbox)
    for item in items:
        item.assets["lst"].extra_fields["file:size"] = 190_000
    sandbox.clear_requests()
    told = constellr_stac.explain(constellr_stac.load(items, ["lst"], geobox=GRID))
    assert not told.bytes_are_exact
    assert store(sandbox) == 1
    told = constellr_stac.explain(items, ["lst"], geobox=GRID)
    assert (told.bytes_to_fetch, told.bytes_are_exact) == (15 * 190_000, True)
    assert "about 15" not in str(told)
    told = constellr_stac.explain(items, ["lst", "cloud_mask"], geobox=GRID)
    assert not told.bytes_are_exact


@ENGINES
def test_memory_is_that_of_what_is_read(sandbox: Sandbox, engine: Any) -> None:
    """A mean is small; the chunks it is made of are not. As many are read as there are threads."""
    cube = constellr_stac.load(
        found(sandbox), ["lst"], geobox=GRID, chunks={"time": 4, "y": 100}, engine=engine
    )
    for part in (cube, cube.isel(x=slice(0, 10)), cube.mean(("y", "x"))):
        with dask.config.set(num_workers=3):
            told = constellr_stac.explain(part)
        assert told.bytes_per_chunk == 4 * SCENE // 4
        assert told.bytes_at_peak == 3 * told.bytes_per_chunk + told.bytes_to_fetch
        assert "on 3 threads" in str(told)


@ENGINES
def test_a_long_file_takes_a_request_for_each_chunk(
    sandbox: Sandbox, tmp_path: Path, engine: Any
) -> None:
    """Its beginning once, and the blocks of each chunk."""
    path = tmp_path / "lst.tiff"
    grid = GeoBox((1024, 1024), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")
    with rasterio.open(
        path, "w", driver="COG", height=1024, width=1024, count=1, dtype="uint16", nodata=65535,
        crs="EPSG:32611", transform=grid.transform, blocksize=256, compress="none",
        overviews="NONE",
    ) as file:  # fmt: skip
        file.write(np.full((1024, 1024), 29000, "uint16"), 1)
    item = found(sandbox)[0]
    item.geometry = grid.geographic_extent.json
    item.assets["lst"].href = sandbox.put("long/lst.tiff", path.read_bytes())
    cube = constellr_stac.load([item], ["lst"], geobox=grid, chunks={"y": 256}, engine=engine)
    part = cube.isel(y=slice(512, None))  # the first half comes with the beginning
    told = constellr_stac.explain(part)
    sandbox.clear_requests()
    part.compute()
    assert told.requests == store(sandbox) == 1 + 2


def test_grids_and_resampling_are_told(sandbox: Sandbox) -> None:
    """Of items: what their grids are, and how many files do not fit onto the cube's."""
    items = found(sandbox)[:3]
    told = constellr_stac.explain(items, ["lst"])
    assert told.grids == {"EPSG:32611 at 30 x 30": 3}
    assert told.resampled == 0
    coarse = constellr_stac.explain(items, ["lst"], crs="EPSG:32611", resolution=50)
    assert coarse.resampled == 3
    assert "resampled" in str(coarse)


def test_grids_that_some_files_of_an_item_state_are_told(sandbox: Sandbox) -> None:
    """Those of the others are read; nothing is for an item that has none of the files."""
    items = found(sandbox)[:3]
    items[0].properties["proj:code"] = "EPSG:32611"
    items[0].assets["lst"].extra_fields |= {
        "proj:shape": GRID.shape, "proj:transform": list(GRID.transform)[:6],
    }  # fmt: skip
    bands = ["lst", "cloud_mask"]
    told = constellr_stac.explain(items[0], bands, crs="EPSG:32611", resolution=30)
    assert told.grids == {"EPSG:32611 at 30 x 30": 2}
    del items[2].assets["lst"]
    del items[2].assets["scl_mask_30m"]
    sandbox.clear_requests()
    told = constellr_stac.explain(items, bands)
    assert told.grids == {"EPSG:32611 at 30 x 30": 4}
    assert store(sandbox) == 1 + len(bands)


def test_what_is_told_reads_well(sandbox: Sandbox) -> None:
    """Dimensions in the order of the arrays, files counted once for all their bands."""
    items = found(sandbox)[:2]
    masks = ["cloud_mask", "landwater_mask"]
    told = dict(constellr_stac.explain(items, ["lst"], mask=["thick", "water"]).rows())
    assert told["cube"] == "time 2, y 400, x 400"
    assert told["grid"] == "4 files on EPSG:32611 at 30 x 30"
    told = dict(constellr_stac.explain(items[0], masks).rows())
    assert told["scenes"] == "1 (1 file)"
    assert told["grid"] == "1 file on EPSG:32611 at 30 x 30"


def test_explaining_plans_once(sandbox: Sandbox) -> None:
    """One header for the grid, the size of one file of each layer, and no pixel."""
    items = found(sandbox)
    sandbox.clear_requests()
    told = constellr_stac.explain(items, ["lst"], chunks=None)
    assert (told.chunks, store(sandbox)) == (15, 2)
    with pytest.raises(ValueError, match="several cubes: load them, and explain each"):
        constellr_stac.explain(items, ["lst"], group_by_resolution=True)  # type: ignore[call-arg]


def test_the_share_of_valid_pixels_is_told_where_items_state_it(sandbox: Sandbox) -> None:
    """It is not read for that."""
    items = found(sandbox)[:2]
    assert constellr_stac.explain(items, ["lst"], geobox=GRID).valid_share is None
    for item, share in zip(items, (90.0, 40.0), strict=True):
        statistics = {"statistics": {"valid_percent": share}}
        item.assets["lst"].extra_fields["raster:bands"] = [statistics]
    told = constellr_stac.explain(items, ["lst"], geobox=GRID)
    assert told.valid_share == pytest.approx(0.65)
    assert "65%" in str(told)


def test_ends_of_object_store_credentials_are_told(sandbox: Sandbox) -> None:
    """Those that are going to sign."""
    told = constellr_stac.explain(
        found(sandbox), ["lst"], geobox=GRID, signer=Signer(credentials=sandbox.aws)
    )
    assert told.ends == {"AWS credentials": sandbox.aws["expires_at"]}
    assert "AWS credentials  expires in 1" in str(told)


def test_ends_of_signed_urls_and_of_the_token_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the API signed: the first end, and that of the token which renews it."""
    with Sandbox(presigned=True, url_lifetime=timedelta(minutes=10)) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        items = found(sandbox)

        def ends(**arguments: Any) -> dict[str, float]:
            told = constellr_stac.explain(items, ["lst"], geobox=GRID, **arguments).ends
            return {
                name: (end - utc_now()) / timedelta(minutes=1)
                for name, end in told.items()
                if end is not None
            }

        token = constellr_stac.ConstellrAuth(Token("x", utc_now() + timedelta(hours=1)))
        assert ends() == {
            "signed URLs (renewed when read)": pytest.approx(10, abs=0.5),
            "token (renewed with the password)": pytest.approx(24 * 60, abs=1),
        }
        assert ends(auth=token)["token"] == pytest.approx(60, abs=0.5)


def test_it_is_text_a_table_and_a_value(sandbox: Sandbox) -> None:
    """The same rows in a terminal, in a notebook and by ``str``; the numbers in a dataclass."""
    told = constellr_stac.explain(found(sandbox), ["lst"], geobox=GRID)
    assert is_dataclass(told)
    assert asdict(told)["scenes"] == 15
    console = Console(width=200)
    with console.capture() as captured:
        console.print(told)
    page = told._repr_html_()
    assert page.startswith("<table>")
    for label, text in told.rows():
        for shown in (str(told), captured.get(), html.unescape(page)):
            assert label in shown
            assert text in shown


def test_only_lazy_cubes_of_ours_are_explained(sandbox: Sandbox) -> None:
    """What has been computed costs nothing more; what another made is not known."""
    cube = constellr_stac.load(found(sandbox)[:1], ["lst"], geobox=GRID)
    foreign = cube.copy(data={"lst": dask.array.zeros((1, 400, 400))})
    for other in (cube.compute(), foreign):
        with pytest.raises(TypeError, match="lazy cube from load"):
            constellr_stac.explain(other)
    with pytest.raises(TypeError, match="apply to items"):
        constellr_stac.explain(cube, ["lst"])
    with pytest.raises(ValueError, match="found no items"):
        constellr_stac.explain(pystac.ItemCollection([]))
