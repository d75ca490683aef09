"""``explain`` predicts the cost of a compute."""

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


def store_requests(sandbox: Sandbox) -> int:
    """Return the number of requests to the object store."""
    return len([each for each in sandbox.requests if each.server == "store"])


@ENGINES
def test_plan_equals_the_compute(sandbox: Sandbox, engine: Any) -> None:
    """Scenes, files and requests of a cube, and of a slice, are those of the compute."""
    cube = constellr_stac.load(
        found(sandbox), ["lst", "cloud_mask"], geobox=GRID, chunks={"time": 4}, engine=engine
    )
    for part in (cube, cube.isel(time=slice(3, 9))):
        plan = constellr_stac.explain(part)
        sandbox.clear_requests()
        part.compute()
        assert plan.scenes == len({each.path.split("/")[-2] for each in sandbox.requests})
        assert plan.files == plan.requests == store_requests(sandbox)
    assert constellr_stac.explain(cube).chunks == 2 * 4
    assert constellr_stac.explain(cube.lst).shape == {"time": 15, "y": 400, "x": 400}


def test_stated_file_sizes_are_summed(sandbox: Sandbox) -> None:
    """Sizes are exact if all items state ``file:size``; else one file per layer is the estimate."""
    items = found(sandbox)
    for item in items:
        item.assets["lst"].extra_fields["file:size"] = 190_000
    sandbox.clear_requests()
    plan = constellr_stac.explain(constellr_stac.load(items, ["lst"], geobox=GRID))
    assert not plan.bytes_are_exact
    assert store_requests(sandbox) == 1
    plan = constellr_stac.explain(items, ["lst"], geobox=GRID)
    assert (plan.bytes_to_fetch, plan.bytes_are_exact) == (15 * 190_000, True)
    assert "about 15" not in str(plan)
    plan = constellr_stac.explain(items, ["lst", "cloud_mask"], geobox=GRID)
    assert not plan.bytes_are_exact


@ENGINES
def test_peak_memory_counts_chunks_read(sandbox: Sandbox, engine: Any) -> None:
    """A reduction is small, but one chunk per thread is held while it is computed."""
    cube = constellr_stac.load(
        found(sandbox), ["lst"], geobox=GRID, chunks={"time": 4, "y": 100}, engine=engine
    )
    for part in (cube, cube.isel(x=slice(0, 10)), cube.mean(("y", "x"))):
        with dask.config.set(num_workers=3):
            plan = constellr_stac.explain(part)
        assert plan.bytes_per_chunk == 4 * SCENE // 4
        assert plan.bytes_at_peak == 3 * plan.bytes_per_chunk + plan.bytes_to_fetch
        assert "on 3 threads" in str(plan)


@ENGINES
def test_large_file_takes_one_request_per_chunk(
    sandbox: Sandbox, tmp_path: Path, engine: Any
) -> None:
    """One for the first MiB, and one for the blocks of each chunk."""
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
    part = cube.isel(y=slice(512, None))  # the first half is in the first MiB
    plan = constellr_stac.explain(part)
    sandbox.clear_requests()
    part.compute()
    assert plan.requests == store_requests(sandbox) == 1 + 2


def test_plan_counts_grids_and_resampled_files(sandbox: Sandbox) -> None:
    """From items: their grids, and the number of files that are resampled."""
    items = found(sandbox)[:3]
    plan = constellr_stac.explain(items, ["lst"])
    assert plan.grids == {"EPSG:32611 at 30 x 30": 3}
    assert plan.resampled == 0
    coarse = constellr_stac.explain(items, ["lst"], crs="EPSG:32611", resolution=50)
    assert coarse.resampled == 3
    assert "resampled" in str(coarse)


def test_plan_with_partly_stated_grids(sandbox: Sandbox) -> None:
    """Grids that items do not state are read; missing assets have none."""
    items = found(sandbox)[:3]
    items[0].properties["proj:code"] = "EPSG:32611"
    items[0].assets["lst"].extra_fields |= {
        "proj:shape": GRID.shape, "proj:transform": list(GRID.transform)[:6],
    }  # fmt: skip
    bands = ["lst", "cloud_mask"]
    plan = constellr_stac.explain(items[0], bands, crs="EPSG:32611", resolution=30)
    assert plan.grids == {"EPSG:32611 at 30 x 30": 2}
    del items[2].assets["lst"]
    del items[2].assets["scl_mask_30m"]
    sandbox.clear_requests()
    plan = constellr_stac.explain(items, bands)
    assert plan.grids == {"EPSG:32611 at 30 x 30": 4}
    assert store_requests(sandbox) == 1 + len(bands)


def test_plan_rows(sandbox: Sandbox) -> None:
    """Dimensions in array order; a file with several bands counts once."""
    items = found(sandbox)[:2]
    masks = ["cloud_mask", "landwater_mask"]
    plan = dict(constellr_stac.explain(items, ["lst"], mask=["thick", "water"]).rows())
    assert plan["cube"] == "time 2, y 400, x 400"
    assert plan["grid"] == "4 files on EPSG:32611 at 30 x 30"
    plan = dict(constellr_stac.explain(items[0], masks).rows())
    assert plan["scenes"] == "1 (1 file)"
    assert plan["grid"] == "1 file on EPSG:32611 at 30 x 30"


def test_explain_fetches_headers_only(sandbox: Sandbox) -> None:
    """One header for the grid and one file size per layer; no pixels."""
    items = found(sandbox)
    sandbox.clear_requests()
    plan = constellr_stac.explain(items, ["lst"], chunks=None)
    assert (plan.chunks, store_requests(sandbox)) == (15, 2)
    with pytest.raises(ValueError, match="several cubes: load them, and explain each"):
        constellr_stac.explain(items, ["lst"], group_by_resolution=True)  # type: ignore[call-arg]


def test_valid_share_comes_from_items(sandbox: Sandbox) -> None:
    """It is None if the items do not state it; no pixels are read."""
    items = found(sandbox)[:2]
    assert constellr_stac.explain(items, ["lst"], geobox=GRID).valid_share is None
    for item, share in zip(items, (90.0, 40.0), strict=True):
        statistics = {"statistics": {"valid_percent": share}}
        item.assets["lst"].extra_fields["raster:bands"] = [statistics]
    plan = constellr_stac.explain(items, ["lst"], geobox=GRID)
    assert plan.valid_share == pytest.approx(0.65)
    assert "65%" in str(plan)


def test_plan_has_the_expiry_of_aws_credentials(sandbox: Sandbox) -> None:
    """Those of the signer."""
    plan = constellr_stac.explain(
        found(sandbox), ["lst"], geobox=GRID, signer=Signer(credentials=sandbox.aws)
    )
    assert plan.ends == {"AWS credentials": sandbox.aws["expires_at"]}
    assert "AWS credentials  expires in 1" in str(plan)


def test_plan_has_the_expiry_of_urls_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first expiry of the signed URLs, and that of the token which renews them."""
    with Sandbox(presigned=True, url_lifetime=timedelta(minutes=10)) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        items = found(sandbox)

        def ends(**arguments: Any) -> dict[str, float]:
            plan = constellr_stac.explain(items, ["lst"], geobox=GRID, **arguments).ends
            return {
                name: (end - utc_now()) / timedelta(minutes=1)
                for name, end in plan.items()
                if end is not None
            }

        token = constellr_stac.ConstellrAuth(Token("x", utc_now() + timedelta(hours=1)))
        assert ends() == {
            "signed URLs (renewed when read)": pytest.approx(10, abs=0.5),
            "token (renewed with the password)": pytest.approx(24 * 60, abs=1),
        }
        assert ends(auth=token)["token"] == pytest.approx(60, abs=0.5)


def test_plan_as_text_table_and_dataclass(sandbox: Sandbox) -> None:
    """The terminal, the notebook and ``str`` show the same rows."""
    plan = constellr_stac.explain(found(sandbox), ["lst"], geobox=GRID)
    assert is_dataclass(plan)
    assert asdict(plan)["scenes"] == 15
    console = Console(width=200)
    with console.capture() as captured:
        console.print(plan)
    page = plan._repr_html_()
    assert page.startswith("<table>")
    for label, text in plan.rows():
        for shown in (str(plan), captured.get(), html.unescape(page)):
            assert label in shown
            assert text in shown


def test_explain_needs_a_lazy_cube_of_load(sandbox: Sandbox) -> None:
    """Computed cubes, and those of other tools, are refused."""
    cube = constellr_stac.load(found(sandbox)[:1], ["lst"], geobox=GRID)
    foreign = cube.copy(data={"lst": dask.array.zeros((1, 400, 400))})
    for other in (cube.compute(), foreign):
        with pytest.raises(TypeError, match="lazy cube from load"):
            constellr_stac.explain(other)
    with pytest.raises(TypeError, match="apply to items"):
        constellr_stac.explain(cube, ["lst"])
    with pytest.raises(ValueError, match="found no items"):
        constellr_stac.explain(pystac.ItemCollection([]))
