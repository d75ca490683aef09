"""``search``, ``sign``, ``download``, ``cube`` and ``quicklook``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import pytest
import requests
import shapely
import xarray as xr
from pyproj import CRS

import constellr_stac
from constellr_stac import ConstellrAuth
from constellr_stac.sandbox import Fault
from layer_files import written_item
from real_scenes import truth
from shell import constellr, converse, started

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

NEWEST = "LSTPRECISION_ECO01_9Q5B8K2T_20230826T175031Z"
CLOUDY = "LSTPRECISION_ECO01_9Q5B8K2T_20230624T112358Z"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(sandbox: Sandbox, *ids: str) -> str:
    """Write some of the sandbox's items to a file and return its name."""
    items = [item for item in sandbox.items if item["id"] in ids]
    Path("items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return "items.json"


def test_search_prints_an_item_collection(sandbox: Sandbox) -> None:
    """``--json`` prints the API's items as an ItemCollection."""
    run = constellr(
        "search", "--json", "-c", "lstprecision", "--bbox", "-118.3,33.7,-118.1,33.9",
        "--datetime", "2023-07", "--sortby", "+datetime", "--filter", "gsd = 30",
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    found = pystac.ItemCollection.from_dict(json.loads(run.stdout))
    assert [item.id for item in found] == sorted(
        item["id"] for item in sandbox.items if "_202307" in item["id"]
    )
    assert all(asset.href.startswith("s3://") for item in found for asset in item.assets.values())


def test_search_counts_and_empty_results(sandbox: Sandbox) -> None:
    """``--matched`` prints a number; no matches are not a failure."""
    assert constellr("search", "--matched").stdout == "15\n"
    run = constellr("search", "-c", "nothing")
    assert (run.returncode, run.stdout) == (0, "")
    assert "no collection 'nothing', but 'lstfusion', 'lstprecision', 'lstzoom'" in run.stderr
    assert run.stderr.endswith("No scenes match.\n")


def test_search_signs(sandbox: Sandbox) -> None:
    """``--sign`` prints items with URLs that anyone can GET."""
    run = constellr("search", "--json", "--sign", "--id", NEWEST)
    assert run.returncode == 0
    [item] = json.loads(run.stdout)["features"]
    answer = requests.get(item["assets"]["metadata"]["href"], timeout=60)
    assert answer.json()["product_id"] == NEWEST


def test_search_by_geometry(sandbox: Sandbox, here: Path) -> None:
    """``--intersects`` reads a vector file and refuses one without a geometry."""
    Path("far.json").write_text('{"type": "Point", "coordinates": [8.0, 49.0]}')
    assert constellr("search", "--intersects", "far.json", "--matched").stdout == "0\n"
    Path("none.json").write_text('{"type": "FeatureCollection", "features": []}')
    run = constellr("search", "--intersects", "none.json")
    assert run.returncode == 2
    assert "none.json: The area is empty" in run.stderr


def test_stac_client_pipes_into_sign(sandbox: Sandbox) -> None:
    """`stac-client search ... | constellr sign -` prints the same items with readable URLs."""
    token = ConstellrAuth().token()
    assert token is not None
    searched = subprocess.run(
        [
            str(Path(sys.executable).with_name("stac-client")), "search",
            f"{sandbox.api_url}/stac", "--add-conforms-to", "ITEM_SEARCH",
            "--headers", f"Authorization=Bearer {token.value.reveal()}",  # type: ignore[union-attr]
            "-c", "lstprecision", "--max-items", "2",
        ],
        capture_output=True,
        check=True,
        text=True,
    )  # fmt: skip
    run = constellr("sign", "-", stdin=searched.stdout)
    assert (run.returncode, run.stderr) == (0, "")
    signed = pystac.ItemCollection.from_dict(json.loads(run.stdout))
    given = pystac.ItemCollection.from_dict(json.loads(searched.stdout))
    assert [item.id for item in signed] == [item.id for item in given]
    for item in signed:
        answer = requests.get(item.assets["metadata"].href, timeout=60)
        assert answer.json()["product_id"] == item.id


def test_sign_hrefs(sandbox: Sandbox) -> None:
    """Hrefs from arguments or lines are printed as URLs or JSON; foreign ones are unchanged."""
    asset = sandbox.items[0]["assets"]["lst"]["href"]
    lines = f"{asset}\nhttps://example.com/a.png\n"
    run = constellr("sign", "-", "--expires-in", "90s", stdin=lines)
    assert run.returncode == 0
    url, foreign = run.stdout.splitlines()
    assert "X-Amz-Expires=90&" in url
    assert foreign == "https://example.com/a.png"
    assert requests.get(url, timeout=60).status_code == 200
    [result] = json.loads(constellr("sign", "--json", asset).stdout)
    assert (result["href"], result["expires_at"][-1]) == (asset, "Z")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("", "nothing to sign"),
        ('{"bla": 1}', "No STAC items"),
        ("[1, 2]", "No STAC items"),
    ],
)
def test_sign_without_items(sandbox: Sandbox, content: str, fragment: str) -> None:
    """Standard input without items is wrong usage."""
    run = constellr("sign", "-", stdin=content)
    assert (run.returncode, run.stdout) == (2, "")
    assert fragment in run.stderr


def test_sign_without_aws_credentials(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing AWS credentials are a failure that names the variables to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    run = constellr("sign", "s3://bucket/key")
    assert (run.returncode, run.stdout) == (1, "")
    assert "Searched" in run.stderr
    assert "AWS_ACCESS_KEY_ID" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_cube_holds_physical_values(sandbox: Sandbox, here: Path, suffix: str) -> None:
    """A cube on disk has the files' values in kelvin, coordinates and units."""
    items = written(sandbox, NEWEST, CLOUDY)
    run = constellr("cube", items, "-b", "lst", "-b", "cloud_mask", "-o", f"cube{suffix}")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"cube{suffix}: lst, cloud_mask: 400 x 400 pixels, 2 time steps\n"
    engine: Any = {".zarr": "zarr", ".nc": "netcdf4"}[suffix]
    with xr.open_dataset(f"cube{suffix}", engine=engine, decode_coords="all") as cube:
        assert cube["lst"].attrs["units"] == "K"
        assert cube["cloud_mask"].dtype == "uint8"
        assert CRS.from_wkt(cube["spatial_ref"].attrs["crs_wkt"]).to_epsg() == 32611
        for name in (NEWEST, CLOUDY):
            scene = cube.isel(time=list(cube["id"].to_numpy()).index(name))
            np.testing.assert_array_equal(scene["lst"], truth(name).kelvin)
            np.testing.assert_array_equal(scene["cloud_mask"], truth(name).cloud)
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_cube_from_a_pipe_masked_and_in_celsius(sandbox: Sandbox, here: Path) -> None:
    """`constellr search --json | constellr cube -` passes the options to the cube."""
    searched = constellr("search", "--json", "--id", CLOUDY)
    run = constellr(
        "cube", "-", "-b", "lst", "--mask", "clear", "--units", "degC", "-o", "c.nc", "--json",
        stdin=searched.stdout,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["sizes"]["time"] == 1
    with xr.open_dataset("c.nc") as cube:
        assert cube["lst"].attrs["units"] == "degC"
        assert float(cube["lst"].median()) == pytest.approx(283.98 - 273.15, abs=0.01)


def test_cube_explain_reads_no_pixels(sandbox: Sandbox, here: Path) -> None:
    """``--explain`` prints the plan, reads at most the header of each file and writes nothing."""
    run = constellr("cube", "-c", "lstprecision", "-b", "lst", "-o", "x.zarr", "--explain")
    assert run.returncode == 0
    assert "15 (15 files)" in run.stdout
    assert "15 files on EPSG:32611 at 30 x 30" in run.stdout
    assert list(here.iterdir()) == []
    read = [request.path for request in sandbox.requests if request.server == "store"]
    assert len(read) == len(set(read)) <= 15


def test_explain_json_has_all_grids(here: Path) -> None:
    """All grids are listed."""
    item = written_item(here, ["lst", "vnir04"])
    Path("items.json").write_text(json.dumps(item.to_dict()), encoding="utf-8")
    run = constellr("cube", "items.json", "-b", "lst,vnir04", "-o", "x.zarr", "--explain", "--json")
    grids = json.loads(run.stdout)["grid"]
    assert "1 file on EPSG:32611 at 10 x 10" in grids
    assert "1 file on EPSG:32611 at 30 x 30" in grids


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (["-o", "x.zarr"], 2, "Which scenes?"),
        (["items.json", "-c", "lstprecision", "-o", "x.zarr"], 2, "not both"),
        (["items.json", "-o", "x.hdf"], 2, ".zarr"),
        (["items.json", "-o", "there.zarr"], 2, "--overwrite"),
        (["items.json", "-o", "there.zarr", "--overwrite"], 2, "not a Zarr store"),
        (["items.json", "-o", "no/such.zarr"], 2, "is not a folder"),
        (["items.json", "-b", "lts", "-o", "x.zarr"], 2, "Available: "),
        (["items.json", "--crs", "EPSG:9", "-o", "x.zarr"], 2, "'EPSG:9' is not a CRS"),
        (["-c", "nothing", "-o", "x.zarr"], 1, "No scenes match"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_cube_refuses_invalid_arguments(
    sandbox: Sandbox, here: Path, arguments: list[str], code: int, fragment: str
) -> None:
    """Errors are reported before anything is read or written."""
    written(sandbox, NEWEST)
    (here / "there.zarr").mkdir()
    (here / "there.zarr" / "mine.txt").write_text("precious")
    run = constellr("cube", *arguments)
    assert (run.returncode, run.stdout) == (code, "")
    assert fragment in run.stderr
    assert len(run.stderr.splitlines()) <= 2
    assert sorted(path.name for path in here.iterdir()) == ["items.json", "there.zarr"]
    assert (here / "there.zarr" / "mine.txt").read_text() == "precious"


def test_failed_cube_keeps_the_old_store(sandbox: Sandbox, here: Path) -> None:
    """A store is replaced completely or not at all."""
    items = written(sandbox, NEWEST)
    xr.Dataset({"old": ("x", [1.0, 2.0])}).to_zarr("a.zarr", zarr_format=2)
    sandbox.fail(Fault(path="lst.tiff", server="store", status=404, times=99))
    run = constellr("cube", items, "-b", "lst", "-o", "a.zarr", "--overwrite")
    assert run.returncode == 1
    assert "lst.tiff" in run.stderr
    sandbox.clear_faults()
    assert sorted(path.name for path in here.iterdir()) == ["a.zarr", "items.json"]
    with xr.open_zarr("a.zarr") as cube:
        assert list(cube["old"].to_numpy()) == [1.0, 2.0]
    again = constellr("cube", items, "-b", "cloud_mask", "-o", "a.zarr", "--overwrite")
    assert again.returncode == 0
    assert sorted(path.name for path in here.iterdir()) == ["a.zarr", "items.json"]
    with xr.open_zarr("a.zarr") as cube:
        assert set(cube) == {"cloud_mask"} | ({"spatial_ref"} & set(cube))


def test_quicklook_draws(sandbox: Sandbox, here: Path) -> None:
    """An image of the suffix's format appears once complete."""
    items = written(sandbox, NEWEST, CLOUDY)
    run = constellr("quicklook", items, "-b", "lst", "--units", "degC", "-o", "look.png")
    assert (run.returncode, run.stdout, run.stderr) == (0, "look.png\n", "")
    assert (here / "look.png").read_bytes().startswith(b"\x89PNG")
    run = constellr("quicklook", items, "-o", "look.bmp2")
    assert run.returncode == 2
    assert "png" in run.stderr
    assert sorted(path.name for path in here.iterdir()) == ["items.json", "look.png"]


def test_search_pipes_into_download(sandbox: Sandbox, here: Path) -> None:
    """`constellr search --json | constellr download -` fetches each file once."""
    searched = constellr("search", "--json", "--max-items", "2")
    run = constellr("download", "-", "-o", "scenes", "--json", stdin=searched.stdout)
    assert (run.returncode, run.stderr) == (0, "")
    result = json.loads(run.stdout)
    assert len(result["written"]) == 6
    assert all(Path(path).is_file() for path in result["written"])
    assert len(list(pystac.Catalog.from_file(result["catalog"]).get_items(recursive=True))) == 2
    again = constellr("download", "-", "-o", "scenes", stdin=searched.stdout)
    assert again.stdout.startswith("scenes: 0 files downloaded")
    assert "6 already there" in again.stdout


def test_download_reports_missing_files(sandbox: Sandbox, here: Path) -> None:
    """Files that cannot be downloaded are a failure; -v lists each."""
    items = written(sandbox, NEWEST, CLOUDY)
    sandbox.fail(Fault(path="lst.tiff", server="store", status=404, times=99))
    run = constellr("download", items, "-o", "scenes", "-v")
    assert (run.returncode, run.stdout) == (1, "")
    _, _, fragment = run.stderr.partition("Error: 2 of 6 files could not be downloaded:\n")
    named = sorted(line for line in fragment.splitlines() if line.startswith("scenes/"))
    assert [name in line for name, line in zip((CLOUDY, NEWEST), named, strict=True)] == [True] * 2
    brief = constellr("download", items, "-o", "scenes")
    assert len(brief.stderr.splitlines()) == 1
    assert brief.stderr.endswith("(-v lists all.)\n")


def test_interrupted_download_says_how_to_resume(sandbox: Sandbox, here: Path) -> None:
    """Ctrl-C exits with 130 and says how to resume; the next run completes the download."""
    items = written(sandbox, NEWEST, CLOUDY)
    sandbox.fail(Fault(path="lst.tiff", server="store", kind="stall", seconds=30, times=2))
    with started("download", items, "-o", "scenes") as (process, _, errors):
        done = Path("scenes")
        while sum(path.name == "metadata.json" for path in done.rglob("*")) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert "Run the same download again" in errors.read()
    sandbox.clear_faults()
    assert constellr("download", items, "-o", "scenes").returncode == 0
    assert len(list(Path("scenes").rglob("lst.tiff"))) == 2


def test_download_shows_bars_at_a_terminal(sandbox: Sandbox, here: Path) -> None:
    """A progress bar at a terminal, or a log with -v, then one line."""
    items = written(sandbox, NEWEST, CLOUDY)
    code, screen = converse(["download", items, "-o", "scenes"])
    assert code == 0
    assert "6 of 6 files" in screen
    assert "scenes: 6 files downloaded" in screen
    code, screen = converse(["download", items, "-o", "again", "-v"])
    assert code == 0
    assert "of 6 files" not in screen
    assert "GET /constellr-sandbox/" in screen
    assert "again: 6 files downloaded" in screen


def test_search_picks_scenes_and_writes_a_table(sandbox: Sandbox, tmp_path: Path) -> None:
    """By the sun and the clouds in an area; other commands read the table."""
    area = gpd.GeoDataFrame(geometry=[shapely.box(381060, 3740640, 387060, 3746640)], crs=32611)
    area.to_file(tmp_path / "area.gpkg")
    scenes = constellr_stac.scenes(constellr_stac.open_client().search(), area=area)
    query = ["--intersects", str(tmp_path / "area.gpkg"), "--max-cloud", "20"]
    for option, expected in (("--day", scenes.daytime), ("--night", ~scenes.daytime)):
        run = constellr("search", *query, option, "--matched")
        clear = scenes[expected & (scenes.cloud_share <= 0.2)]
        assert (run.returncode, run.stdout) == (0, f"{len(clear)}\n")
    path = tmp_path / "scenes.parquet"
    run = constellr("search", *query, "--night", "--max-items", "2", "-o", str(path))
    assert (run.returncode, run.stdout) == (0, f"{path}: 2 scenes\n")
    table = gpd.read_parquet(path)
    pd.testing.assert_frame_equal(table.iloc[:, :5], clear.iloc[:2, :5], check_exact=False)
    run = constellr("cube", str(path), "-b", "lst", "-o", str(tmp_path / "cube.nc"))
    assert (run.returncode, run.stderr) == (0, "")
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        assert cube.sizes["time"] == 2
    run = constellr("search", "--max-cloud", "101")
    assert run.returncode == 2
