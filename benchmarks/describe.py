"""Measure ``describe`` of 1,000 items: ``python benchmarks/describe.py``.

The items of a sandbox at 50 ms latency, completed by :func:`constellr_stac.describe`, and the same
headers read by 32 threads that open the files with rasterio. Each contender runs in its own
process; best of several runs. Compare the ratios.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
from contenders import gdal_s3
from records import begin, compare, in_process, record, rows_of
from scenes import Scenes

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    from records import Record

LATENCY, SIDE, THREADS = 0.05, 64, 32


def _describe(items: list[pystac.Item]) -> int:
    described = constellr_stac.describe(items).items
    return sum("proj:transform" in item.assets["lst"].extra_fields for item in described)


def _by_hand(items: list[pystac.Item]) -> int:
    def header(item: pystac.Item) -> bool:
        href = item.assets["lst"].href.replace("s3://", "/vsis3/")
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(href) as file:
            return file.crs is not None

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(header, items))


CONTENDERS: dict[str, Callable[[list[pystac.Item]], int]] = {
    "describe": _describe,
    "by hand": _by_hand,
}


def main() -> None:
    """Measure both."""
    arguments = begin(__doc__, _measure, items=1000)
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), arguments.items, SIDE).write()
        with Sandbox(folder, latency=LATENCY) as sandbox:

            def turn(name: str) -> Record:
                sandbox.clear_requests()
                row = in_process(name, environment=sandbox.environment())
                return row | {"requests": sum(each.server == "store" for each in sandbox.requests)}

            found = compare(CONTENDERS, arguments.turns, turn)
    title = f"{arguments.items:,} items, {1000 * LATENCY:.0f} ms"
    record(arguments, title, rows_of(found, "describe"))


def _measure(name: str) -> Record:
    gdal_s3()
    search: Any = constellr_stac.open_client().search(collections=["lstprecision"], limit=1000)
    items = list(search.items())
    started = time.perf_counter()
    complete = CONTENDERS[name](items)
    seconds = time.perf_counter() - started
    if complete != len(items):
        raise ValueError(complete)
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
