"""Measure ``describe`` of 1,000 items: ``python benchmarks/describe.py``.

The items of a sandbox at 50 ms latency, completed by :func:`constellr_stac.describe`, and the same
headers read by 32 threads that open the files with rasterio. Each contender runs in its own
process; best of several runs. Prints a table and writes ``describe.json``. Compare the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
from rich.console import Console
from rich.table import Table
from scenes import Scenes

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac

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
    """Run both; print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("describe.json"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure)
        return
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), arguments.items, SIDE).write()
        with Sandbox(folder, latency=LATENCY) as sandbox:
            for _ in range(arguments.turns):
                for name in CONTENDERS:
                    row = _turn(name, sandbox)
                    if name not in rows or row["seconds"] < rows[name]["seconds"]:
                        rows[name] = row
    table = Table("contender", "seconds", "times describe", "requests", "per item")
    table.title = f"{arguments.items} items, {1000 * LATENCY:.0f} ms"
    for name, row in rows.items():
        ratio = row["seconds"] / rows["describe"]["seconds"]
        each = row["requests"] / arguments.items
        seconds = f"{row['seconds']:.2f}"
        table.add_row(name, seconds, f"{ratio:.2f}", f"{row['requests']:.0f}", f"{each:.2f}")
    Console(width=100).print(table)
    arguments.json.write_text(json.dumps({"items": arguments.items, "contenders": rows}))


def _turn(name: str, sandbox: Sandbox) -> dict[str, float]:
    """Measure one contender in a fresh process."""
    sandbox.clear_requests()
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, "--measure", name],
        env={**os.environ, **sandbox.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    row["requests"] = sum(each.server == "store" for each in sandbox.requests)
    return row


def _measure(name: str) -> None:
    os.environ["AWS_S3_ENDPOINT"] = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    os.environ["AWS_HTTPS"] = "NO"
    os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"
    search: Any = constellr_stac.open_client().search(collections=["lstprecision"], limit=1000)
    items = list(search.items())
    started = time.perf_counter()
    complete = CONTENDERS[name](items)
    seconds = time.perf_counter() - started
    if complete != len(items):
        raise ValueError(complete)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
