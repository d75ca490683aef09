"""Measure windows of long files: ``python benchmarks/long_files.py``.

Scenes of 3,700 x 3,700 pixels at 50 ms latency, on two threads. One sandbox serves all contenders,
each in its own process; best of several runs. Chunks stay apart as they are read: joining them
copies memory, for all contenders alike. Every array is compared with the file as rasterio reads it.
"By hand" is 32 threads that each open a file with rasterio and read a window. Memory is how far the
compute raises the peak. Compare the ratios; the seconds depend on the machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import rasterio
from contenders import decoded, gdal_s3
from records import begin, compare, in_process, peak, record, rows_of
from scenes import Scenes, items_of

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from records import Record

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
        return (
            f"{self.scenes} scenes, {self.side}² of {SIDE}², in chunks of 16 x {self.chunks}², "
            f"{1000 * LATENCY:.0f} ms, 2 threads"
        )

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
    """Run all cases, or those whose description contains ``--only``."""
    arguments = begin(__doc__, _measure)
    for case in CASES:
        if arguments.only in str(case):
            record(arguments, str(case), rows_of(_run(case, arguments.turns), "load"))


def _run(case: Case, turns: int) -> dict[str, Record]:
    with tempfile.TemporaryDirectory() as folder:
        originals = Scenes(Path(folder), DISTINCT, SIDE)
        originals.write()
        scenes = Scenes(Path(folder), case.scenes + 1, SIDE)
        for number in range(DISTINCT, scenes.count):
            path = Path(folder) / scenes.name(number) / "lst.tiff"
            path.parent.mkdir()
            path.hardlink_to(Path(folder) / scenes.name(number % DISTINCT) / "lst.tiff")
        with Sandbox(folder, latency=LATENCY) as sandbox:

            def turn(name: str) -> Record:
                sandbox.clear_requests()
                row = in_process(name, folder, asdict(case), environment=sandbox.environment())
                asked = [each for each in sandbox.requests if each.server == "store"]
                sizes = [_length(each.headers.get("range", "")) for each in asked]
                return row | {"requests": len(asked), "MB read": sum(sizes) / 1e6}

            return compare(CONTENDERS, turns, turn)


def _length(header: str) -> int:
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1 if first and last else 0


def _measure(name: str, folder: str, parameters: dict[str, int]) -> Record:
    """Read a window of another scene first, to exclude imports and connections."""
    gdal_s3()
    dask.config.set(num_workers=2)
    case = Case(**parameters)
    scenes = Scenes(Path(folder), case.scenes + 1, SIDE)
    items = items_of(os.environ["CONSTELLR_API_URL"], SIDE)
    small = Case(1, 0, 64, 64)
    CONTENDERS[name](items[case.scenes :], scenes.grid[small.roi], small)
    before = peak()
    started = time.perf_counter()
    values = CONTENDERS[name](items[: case.scenes], scenes.grid[case.roi], case)
    seconds = time.perf_counter() - started
    raised = peak() - before
    originals = scenes.kelvin(DISTINCT)[:, *case.roi]
    for number in range(case.scenes):
        np.testing.assert_array_equal(
            decoded(np.asarray(values[number])), originals[number % DISTINCT]
        )
    return {"seconds": seconds, "raised MiB": raised}


if __name__ == "__main__":
    main()
