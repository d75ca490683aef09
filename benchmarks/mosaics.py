"""Measure mosaics: ``python benchmarks/mosaics.py``.

Scenes of 500 x 500 pixels that overlap by 20 %, joined to one step a day, from local files, so that
the processor's time is compared. Each contender in its own process; best of several runs. Values of
both engines are compared with each other. Prints a table and writes ``mosaics.json``.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rich.console import Console
from rich.table import Table

import constellr_stac

if TYPE_CHECKING:
    import xarray as xr

SIDE, STEP = 500, 400
PLACES = 8  # a side
LAYERS = ("lst", "scl_mask_30m")
CONTENDERS = ("odc-stac", "odc", "odc, masks loaded", "odc, masked",
              "stackstac", "stackstac, masks loaded", "stackstac, masked")  # fmt: skip


def main() -> None:
    """Measure computing two days, and building a long series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--built", type=int, default=160, help="days of the series that is built")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("mosaics.json"))
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, folder, days, built = arguments.measure
        _measure(name, Path(folder), int(days), int(built))
        return
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        for _ in range(arguments.turns):
            for name in CONTENDERS:
                how = [name, folder, str(arguments.days), str(arguments.built)]
                answer = subprocess.run(  # noqa: S603 - this very file
                    [sys.executable, __file__, "--measure", *how],
                    stdout=subprocess.PIPE, text=True, check=True,
                )  # fmt: skip
                row = json.loads(answer.stdout.splitlines()[-1])
                known = best.setdefault(name, row)
                best[name] = row | {each: min(row[each], known[each]) for each in ("cpu", "build")}
    for kind in ("", ", masks loaded", ", masked"):
        np.testing.assert_equal(best[f"odc{kind}"]["sums"], best[f"stackstac{kind}"]["sums"])
    columns = ("tasks", "cpu", "peak", "build", "graph")
    table = Table("contender", "tasks", "CPU s", "peak MiB", "build s", "graph MiB")
    for name, row in best.items():
        table.add_row(name, *(f"{row[each]:.4g}" for each in columns))
    Console(width=100).print(table)
    arguments.json.write_text(json.dumps({"days": arguments.days, "contenders": best}, indent=1))


def _grid(place: int) -> GeoBox:
    row, column = divmod(place, PLACES)
    left, top = 381060 + 30 * STEP * column, 3746640 - 30 * STEP * row
    return GeoBox((SIDE, SIDE), Affine(30, 0, left, 0, -30, top), "EPSG:32611")


def _write(folder: Path) -> None:
    noise = np.random.default_rng(0)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    for place in range(PLACES**2):
        values = 29000 + 500 * np.sin(rows / 60 + place) + noise.normal(0, 40, (SIDE, SIDE))
        stored = values.astype("uint16")[None]
        stored[0, :50, :50] = 65535
        masks = np.zeros((4, SIDE, SIDE), "uint8")
        masks[0] = np.sin(rows / 30 + place) + np.cos(columns / 40) > 1
        for layer, pixels in zip(LAYERS, (stored, masks), strict=True):
            with rasterio.open(
                folder / f"{place}-{layer}.tiff", "w", driver="COG", width=SIDE, height=SIDE,
                count=len(pixels), dtype=pixels.dtype, crs="EPSG:32611",
                transform=_grid(place).affine, nodata=65535 if layer == "lst" else None,
                blocksize=256, compress="deflate", overviews="NONE",
            ) as file:  # fmt: skip
                file.write(pixels)


def _items(folder: Path, days: int) -> list[pystac.Item]:
    items = []
    for number in range(days * PLACES**2):
        day, place = divmod(number, PLACES**2)
        grid = _grid(place)
        extent = grid.geographic_extent
        when = datetime(2025, 6, 1, 18, tzinfo=UTC) + timedelta(days=day, seconds=place)
        item = pystac.Item(
            f"{day}-{place}", extent.json, list(extent.boundingbox), when, {},
            collection="lstprecision",
        )  # fmt: skip
        for layer in LAYERS:
            fields = {
                "proj:code": "EPSG:32611",
                "proj:shape": [SIDE, SIDE],
                "proj:transform": list(grid.affine)[:6],
                "raster:bands": [{"data_type": "uint16", "nodata": 65535}],
            }
            if layer != "lst":
                fields["raster:bands"] = [{"data_type": "uint8"}] * 4
            href = str(folder / f"{place}-{layer}.tiff")
            item.add_asset(layer, pystac.Asset(href, media_type="image/tiff", extra_fields=fields))
        items.append(item)
    return items


def _cube(name: str, items: list[pystac.Item]) -> xr.Dataset:
    how: dict[str, Any] = {"chunks": {"y": 1024, "x": 1024}, "groupby": "solar_day"}
    if name == "odc-stac":
        plain: xr.Dataset = odc.stac.load(items, ["lst"], crs="EPSG:32611", resolution=30, **how)
        return plain
    engine, _, kind = name.partition(", ")
    bands = ["lst", "cloud_mask"] if kind else ["lst"]
    mask = "clear" if kind == "masked" else None
    how |= {"engine": engine, "mask": mask}
    cube: xr.Dataset = constellr_stac.load(items, bands, **how)
    return cube


def _measure(name: str, folder: Path, days: int, built: int) -> None:
    many = _items(folder, built)
    _cube(name, many[:1]).compute()
    started = time.process_time()
    cube = _cube(name, many)
    build = time.process_time() - started
    graph = len(pickle.dumps(dict(cube.__dask_graph__()), protocol=5))
    cube = _cube(name, many[: days * PLACES**2])
    started = time.process_time()
    cube = cube.compute()
    cpu = time.process_time() - started
    tasks = len(dict(_cube(name, many[: days * PLACES**2]).__dask_graph__()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sums = [float(each.sum(dtype="float64")) for each in cube.data_vars.values()]
    row = {"tasks": tasks, "cpu": cpu, "peak": peak, "build": build, "graph": graph / 2**20}
    print(json.dumps({**row, "sums": sums}))


if __name__ == "__main__":
    main()
