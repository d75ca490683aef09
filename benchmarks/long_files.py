"""Measure windows of long files: ``python benchmarks/long_files.py``.

Scenes of 3,700 x 3,700 pixels at 50 ms latency, on two threads. One sandbox serves all contenders,
each in its own process; best of several runs. Chunks stay apart as they are read: joining them
copies memory, for all contenders alike. Every array is compared with the file as rasterio reads it.
"By hand" is 32 threads that each open a file with rasterio and read a window. Prints a table and
writes ``long_files.json``. Compare the ratios; the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import rasterio
from contenders import decoded
from rich.console import Console
from rich.table import Table
from scenes import Scenes, items_of

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

SIDE, LATENCY, DISTINCT = 3700, 0.05, 3
HEADER = 32 << 10


@dataclass(frozen=True)
class Case:
    """Scenes, the corner and the side of the window, and the chunks."""

    scenes: int
    start: int
    side: int
    chunks: int

    def __str__(self) -> str:
        return f"{self.scenes} scenes, {self.side}² of {SIDE}², chunks of 16 x {self.chunks}²"

    @property
    def roi(self) -> tuple[slice, slice]:
        """Rows and columns to read."""
        return (slice(self.start, self.start + self.side),) * 2


CASES = [Case(120, 1650, 400, 400), Case(16, 0, SIDE, 512)]


def _odc_stac(items: list[pystac.Item], grid: GeoBox, case: Case) -> xr.DataArray:
    import odc.stac

    odc.stac.configure_rio(cloud_defaults=True)
    chunks: dict[str, Any] = {"time": 16, "y": case.chunks, "x": case.chunks}
    values: xr.DataArray = odc.stac.load(items, ["lst"], chunks=chunks, geobox=grid).lst.persist()
    return values


def _load(items: list[pystac.Item], grid: GeoBox, case: Case, **engine: Any) -> xr.DataArray:
    chunks = {"time": 16, "y": case.chunks, "x": case.chunks}
    cube = constellr_stac.load(items, ["lst"], chunks=chunks, geobox=grid, **engine)
    values: xr.DataArray = cube.lst.persist()
    return values


def _load_stackstac(items: list[pystac.Item], grid: GeoBox, case: Case) -> xr.DataArray:
    return _load(items, grid, case, engine="stackstac")


def _by_hand(items: list[pystac.Item], _grid: GeoBox, case: Case) -> NDArray[Any]:
    rows, columns = ((part.start, part.stop) for part in case.roi)

    def read(item: pystac.Item) -> NDArray[Any]:
        href = item.assets["lst"].href.replace("s3://", "/vsis3/")
        settings = {
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_INGESTED_BYTES_AT_OPEN": HEADER,
        }
        with rasterio.Env(**settings), rasterio.open(href) as file:
            return decoded(file.read(1, window=(rows, columns)))

    with ThreadPoolExecutor(32) as pool:
        return np.stack(list(pool.map(read, items)))


CONTENDERS: dict[str, Callable[[list[pystac.Item], GeoBox, Case], Any]] = {
    "odc-stac": _odc_stac,
    "load": _load,
    "load, stackstac": _load_stackstac,
    "by hand": _by_hand,
}


def main() -> None:
    """Run all cases, or those whose description contains the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run cases whose description contains this")
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--turns", type=int, default=3, help="runs of each contender")
    parser.add_argument("--json", type=Path, default=Path("long_files.json"))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, folder, case = arguments.measure
        _measure(name, Path(folder), Case(**json.loads(case)))
        return
    results = []
    for case in CASES:
        if arguments.only in str(case):
            results.append(_run(case, arguments.turns, arguments.contenders))
            _show(results[-1])
    arguments.json.write_text(json.dumps(results, indent=1))


def _run(case: Case, turns: int, names: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        originals = Scenes(Path(folder), DISTINCT, SIDE)
        originals.write()
        scenes = Scenes(Path(folder), case.scenes + 1, SIDE)
        for number in range(DISTINCT, scenes.count):
            path = Path(folder) / scenes.name(number) / "lst.tiff"
            path.parent.mkdir()
            path.hardlink_to(Path(folder) / scenes.name(number % DISTINCT) / "lst.tiff")
        rows: dict[str, dict[str, Any]] = {}
        with Sandbox(folder, latency=LATENCY) as sandbox:
            for _ in range(turns):
                for name in names:
                    sandbox.clear_requests()
                    row = _turn(name, folder, case, sandbox)
                    asked = [each for each in sandbox.requests if each.server == "store"]
                    row["requests"] = len(asked)
                    row["bytes"] = sum(_length(each.headers.get("range", "")) for each in asked)
                    if name not in rows or row["seconds"] < rows[name]["seconds"]:
                        rows[name] = row
    return {"case": str(case), **asdict(case), "contenders": rows}


def _length(header: str) -> int:
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1 if first and last else 0


def _turn(name: str, folder: str, case: Case, sandbox: Sandbox) -> dict[str, Any]:
    """Measure one contender in a fresh process."""
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, "--measure", name, folder, json.dumps(asdict(case))],
        env={**os.environ, **sandbox.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return row


def _measure(name: str, folder: Path, case: Case) -> None:
    """Read a window of another scene first, to exclude imports and connections."""
    os.environ["AWS_S3_ENDPOINT"] = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    os.environ["AWS_HTTPS"] = "NO"
    os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"
    dask.config.set(num_workers=2)
    scenes = Scenes(folder, case.scenes + 1, SIDE)
    items = items_of(os.environ["CONSTELLR_API_URL"], SIDE)
    small = Case(1, 0, 64, 64)
    CONTENDERS[name](items[case.scenes :], scenes.grid[small.roi], small)
    before = _peak()
    started = time.perf_counter()
    values = CONTENDERS[name](items[: case.scenes], scenes.grid[case.roi], case)
    seconds = time.perf_counter() - started
    peak = _peak() - before
    originals = scenes.kelvin(DISTINCT)[:, *case.roi]
    for number in range(case.scenes):
        np.testing.assert_array_equal(
            decoded(np.asarray(values[number])), originals[number % DISTINCT]
        )
    print(json.dumps({"seconds": seconds, "raised": peak, "cube": values.nbytes}))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _show(result: dict[str, Any]) -> None:
    ours = result["contenders"].get("load", {}).get("seconds", 1)
    table = Table(title=result["case"])
    for column in ("contender", "seconds", "times load", "requests", "MB", "peak MiB"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, row in result["contenders"].items():
        table.add_row(
            name,
            f"{row['seconds']:.2f}",
            f"{row['seconds'] / ours:.2f}",
            str(row["requests"]),
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['raised'] / 2**20:.0f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
