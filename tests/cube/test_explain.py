"""``explain`` predicts the cost of a compute."""

from __future__ import annotations

import functools
import gc
import html
import json
import subprocess
import sys
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
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
from constellr_stac._process import STATE
from constellr_stac._refresh import utc_now
from constellr_stac.cube.fetch_costs import FetchCosts, peak_bytes
from constellr_stac.cube.graph_reads import ChunkRead
from constellr_stac.layers.band import Band
from constellr_stac.reading.band_source import BandRead
from constellr_stac.reading.prefetch import Fetcher
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Sandbox
from real_scenes import SCENES, found

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
GRID = GeoBox((400, 400), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")
SCENE = 400 * 400 * 4
"""Bytes of a scene in a cube."""


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the sizes and bytes of files that other tests have read, and keep new ones."""
    STATE.clear("fetcher")
    monkeypatch.setattr("constellr_stac.reading.prefetch._IDLE", 600.0)


def size_of(path: str) -> int:
    """Return the size of a file of the sandbox."""
    return SCENES.joinpath(*path.split("/")[-2:]).stat().st_size


def store_requests(sandbox: Sandbox) -> int:
    """Return the number of requests to the object store."""
    return len([each for each in sandbox.requests if each.server == "store"])


def cubes(items: list[pystac.Item], engine: Any) -> dict[str, xr.Dataset]:
    """Return cubes of each kind, small and lazy."""
    load = functools.partial(constellr_stac.load, engine=engine)
    default = load(items)
    return {
        "default": default,
        "sliced": load(items, chunks={"time": 4}).isel(time=slice(3, 9)),
        "masked": load(items, ["lst"], mask="clear"),
        "joined": load(items, ["lst"], mask="clear", groupby="solar_day"),
        "reprojected": load(items, ["lst"], crs="EPSG:32611", resolution=50),
        "one variable": default[["landwater_mask"]],  # last: its bytes stay for the others
    }


def test_size_of_a_chunk_is_that_of_the_result_or_of_what_is_read(sandbox: Sandbox) -> None:
    """Whichever is larger."""
    cube = constellr_stac.load(found(sandbox)[:6], ["lst"], geobox=GRID, chunks={"time": 2})
    assert constellr_stac.explain(cube).bytes_per_chunk == 2 * SCENE
    assert constellr_stac.explain(cube.chunk(time=6)).bytes_per_chunk == 6 * SCENE
    assert constellr_stac.explain(cube.chunk(time=1)).bytes_per_chunk == 2 * SCENE


def test_bytes_of_all_bands_tell_a_long_file() -> None:
    """Of a file that its item describes, the pixels of every band, as they are stored."""
    read = BandRead("s3://b/lst.tiff", Band(1, "lst", "uint16", siblings=3), stated=GRID)
    assert read.pixel_bytes == 400 * 400 * 2 * 3
    assert read._replace(stated=None).pixel_bytes == 0


@ENGINES
@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_requests_and_bytes_are_those_of_the_compute(
    sandbox: Sandbox, engine: Any, scheduler: Any
) -> None:
    """Of cubes of short files: one request for each file, with all its bytes."""
    for name, cube in cubes(found(sandbox)[:9], engine).items():
        plan = constellr_stac.explain(cube)
        sandbox.clear_requests()
        gc.collect()  # what the cube before was read from
        with dask.config.set(scheduler=scheduler):
            cube.compute()
        asked = [each.path for each in sandbox.requests if each.server == "store"]
        assert len(set(asked)) == len(asked) == plan.requests, name
        assert plan.bytes_are_exact
        if name == "default":
            assert plan.files == plan.requests == 18
            assert plan.bytes_to_fetch == sum(map(size_of, asked))


def test_sizes_are_stated_or_read_once(sandbox: Sandbox) -> None:
    """A file's header is asked for once in a process, unless its item states that it is short."""
    items = found(sandbox)
    for item in items:
        item.assets["lst"].extra_fields["file:size"] = 190_000
    sandbox.clear_requests()
    plan = constellr_stac.explain(items, ["lst"], geobox=GRID)
    assert (plan.bytes_to_fetch, plan.bytes_are_exact) == (15 * 190_000, True)
    assert store_requests(sandbox) == 1, "for the grid"
    cube = constellr_stac.load(items, ["lst", "cloud_mask"], geobox=GRID)
    for _ in range(2):
        plan = constellr_stac.explain(cube)
        assert store_requests(sandbox) == 30
        assert "about 30" not in str(plan)


def test_many_sizes_are_estimated(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of files, those of a sample stand for the others."""
    monkeypatch.setattr("constellr_stac.cube.fetch_costs._MOST_HEADERS", 5)
    items = found(sandbox)
    sandbox.clear_requests()
    plan = constellr_stac.explain(items, ["lst"], geobox=GRID)
    assert store_requests(sandbox) == 5 + 1
    assert not plan.bytes_are_exact
    exact = sum((SCENES / item.id / "lst.tiff").stat().st_size for item in items)
    assert plan.bytes_to_fetch == pytest.approx(exact, rel=0.1)
    assert "about 15 requests" in str(plan)
    monkeypatch.setattr("constellr_stac.cube.fetch_costs._MOST_HEADERS", 1)
    both = constellr_stac.explain(items, ["lst", "cloud_mask"], geobox=GRID)
    assert both.bytes_to_fetch > plan.bytes_to_fetch, "of one layer no size is known"


PEAK = """
import json, sys
import dask, pystac
import constellr_stac
dask.config.set(num_workers=2)
def memory(name):  # of this process; ru_maxrss begins with the parent's
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
items = list(pystac.ItemCollection.from_file(sys.argv[1]))
constellr_stac.load(items[-1:], ["lst"]).isel(x=slice(9), y=slice(9)).compute()
cube = constellr_stac.load(items, ["lst"], **json.loads(sys.argv[2]))
told = constellr_stac.explain(cube).bytes_at_peak
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew (proc(5))
cube.compute()
print(json.dumps([told, memory("VmHWM") - before]))
"""


def long_items(folder: Path) -> list[pystac.Item]:
    """Return four scenes of 1,800 x 1,800 pixels of noise, 6 MB each."""
    grid = GeoBox((1800, 1800), GRID.transform, "EPSG:32611")
    items = []
    for day in range(1, 5):
        path = folder / f"{day}.tiff"
        numbers = np.random.default_rng(day).integers(28000, 30000, (1, *grid.shape))
        with rasterio.open(
            path, "w", driver="COG", height=1800, width=1800, count=1, dtype="uint16",
            crs="EPSG:32611", transform=grid.transform, compress="deflate", overviews="NONE",
        ) as file:  # fmt: skip
            file.write(numbers.astype("uint16"))
        extent = grid.geographic_extent
        when = datetime(2026, 6, day, 12, tzinfo=UTC)
        item = pystac.Item(f"{day}", extent.json, list(extent.boundingbox), when, {},
                           collection="lstfusion")  # fmt: skip
        item.add_asset("lst", pystac.Asset(str(path), media_type="image/tiff"))
        items.append(item)
    return items


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "masked mosaic", "long"])
def test_peak_memory_is_as_told(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    """Within 1.3 of what a fresh process takes."""
    path, utm = tmp_path / "items.json", {"crs": "EPSG:32611"}
    kinds: dict[str, dict[str, Any]] = {
        "plain": utm | {"resolution": 10},
        "masked mosaic": utm | {"resolution": 12, "mask": "clear", "groupby": "solar_day"},
        "long": {"chunks": {"x": 900, "y": 900}},
    }
    items = long_items(tmp_path) if kind == "long" else found(sandbox)
    pystac.ItemCollection(items).save_object(str(path))
    answer = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), json.dumps(kinds[kind])],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    told, used = json.loads(answer.stdout)
    assert 1 / 1.3 < told / used < 1.3, (told >> 20, used >> 20)


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


def test_memory_at_the_peak_grows_with_the_threads() -> None:
    """Each holds a chunk and, of a scene it decodes, 16 bytes a pixel; the result comes twice."""
    chunk = ChunkRead(GRID, "nearest", (), steps=3, itemsize=4, fetcher=Fetcher(AssetResolver()))
    result, each = 4 * 3 * SCENE, 3 * SCENE + 16 * SCENE // 4
    peaks = [peak_bytes([chunk] * 4, FetchCosts(), result, threads) for threads in (1, 3, 4, 9)]
    assert peaks == [2 * result, result + 3 * each, result + 4 * each, result + 4 * each]


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
    """One header of each file, which is also that for the grid; no pixels."""
    items = found(sandbox)
    sandbox.clear_requests()
    plan = constellr_stac.explain(items, ["lst"], chunks=None)
    assert (plan.chunks, store_requests(sandbox)) == (15, 15)
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
