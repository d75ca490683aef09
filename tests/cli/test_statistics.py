"""``zonal``, ``series``, ``composite``, and GeoTIFFs from ``cube``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely

import constellr_stac
from constellr_stac.cli.output import table_writer_for
from shell import constellr

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

AREAS = gpd.GeoDataFrame(
    {"name": ["harbour", "hill"]},
    geometry=[
        shapely.box(-118.26, 33.75, -118.24, 33.77),
        shapely.Point(-118.22, 33.8).buffer(0.01),
    ],
    crs=4326,
)
SEARCH = ("-c", "lstprecision", "--datetime", "2023-07-01/2023-07-04", "-b", "lst")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file of areas."""
    monkeypatch.chdir(tmp_path)
    AREAS.to_file("areas.gpkg")
    return tmp_path


def loaded(sandbox: Sandbox) -> tuple[list[str], Any]:
    """Load the scenes of the search in this process."""
    client = constellr_stac.open_client()
    search = client.search(collections=["lstprecision"], datetime="2023-07-01/2023-07-04")
    return [item.id for item in search.items()], constellr_stac.load(search, ["lst"])


def test_zonal_and_series_write_tables(sandbox: Sandbox, here: Path) -> None:
    """The numbers of the accessor, as CSV, GeoPackage and on standard output."""
    ids, cube = loaded(sandbox)
    expected = cube.constellr.zonal(AREAS, statistics=["mean", "p90"])
    run = constellr("zonal", "areas.gpkg", *SEARCH, "-s", "mean,p90", "-o", "stats.csv")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"stats.csv: 2 areas, {len(ids)} time steps\n"
    table = pd.read_csv("stats.csv")
    assert list(table.columns) == ["zone", "name", "time", "lst_mean", "lst_p90"]
    np.testing.assert_allclose(table["lst_p90"], expected["lst_p90"].to_numpy().ravel())
    run = constellr("zonal", "areas.gpkg", *SEARCH, "--wide", "-o", "stats.gpkg", "--json")
    assert json.loads(run.stdout)["rows"] == 2
    frame = gpd.read_file("stats.gpkg")
    assert frame.geometry.geom_equals(AREAS.geometry).all()
    run = constellr("series", "--point", "-118.25000004,33.76", *SEARCH)
    assert run.stdout.splitlines()[0].startswith("time,")
    assert len(run.stdout.splitlines()) == len(ids) + 1
    series = cube.constellr.timeseries("POINT (-118.25 33.76)")["lst"]
    printed = [line.rsplit(",", 1)[1] for line in run.stdout.splitlines()[1:]]
    assert "-118.25000004,33.76," in run.stdout
    assert printed == [f"{kelvin:.2f}".rstrip("0").rstrip(".") for kelvin in series.to_numpy()]


def test_parquet(tmp_path: Path) -> None:
    """A table with its geometry."""
    table_writer_for(tmp_path / "areas.parquet")(AREAS, tmp_path / "areas.parquet")
    assert gpd.read_parquet(tmp_path / "areas.parquet").equals(AREAS)


def test_composite_and_cube_write_geotiffs(sandbox: Sandbox, here: Path) -> None:
    """One map to a file, several to a folder."""
    ids, cube = loaded(sandbox)
    run = constellr("composite", *SEARCH, "--by", "all", "-s", "max", "-o", "hot.tif")
    assert (run.returncode, run.stdout) == (0, f"hot.tif: 1 map of {len(ids)} scenes\n")
    with rasterio.open("hot.tif") as file:
        hottest = cube["lst"].max("time").to_numpy()
        np.testing.assert_array_equal(file.read(1), hottest)
    run = constellr("composite", *SEARCH, "--night", "-o", "nights")
    nights = int((~cube["daytime"]).sum())
    assert 0 < nights < len(ids)
    assert run.stdout == f"nights: 1 map of {nights} scenes\n"
    run = constellr("cube", *SEARCH, "-o", "maps")
    assert run.returncode == 0
    assert len(list(Path("maps").iterdir())) == len(ids)
    run = constellr("cube", *SEARCH, "-o", "map.tif")
    assert (run.returncode, Path("map.tif").exists()) == (2, False)
    assert "Select one, make a composite, or write to a folder." in run.stderr
    assert not list(here.glob(".*"))


def test_wrong_usage_is_refused_before_anything_is_read(sandbox: Sandbox, here: Path) -> None:
    """Suffixes, places and files of areas."""
    for arguments, message in (
        (("zonal", "areas.gpkg", *SEARCH, "-o", "stats.doc"), "use .csv, .parquet or .gpkg"),
        (("zonal", "nothing.gpkg", *SEARCH, "-o", "stats.csv"), "No such file"),
        (("series", *SEARCH), "either --point or --area"),
        (("series", "--point", "33.7", *SEARCH), "is not longitude,latitude"),
        (("composite", *SEARCH, "-o", "map.png"), "use .zarr, .nc or .tif"),
    ):
        run = constellr(*arguments)
        assert run.returncode == 2
        assert message in run.stderr
    assert not [request for request in sandbox.requests if "search" in request.path]
