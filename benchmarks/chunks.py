"""Measure how many time steps a chunk should hold: ``python benchmarks/chunks.py``.

Computes the same cubes with growing chunks, each in its own process; best of several runs.
:func:`constellr_stac.cube.chunks.auto_chunks` is based on the results. Prints a table and writes
``chunks.json``.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask
from rich.console import Console
from rich.table import Table
from scenes import Scenes, items_of

import constellr_stac
from constellr_stac.sandbox import Sandbox

STEPS = (1, 2, 4, 8, 16, 32, 64)
WARM_UP = 2


@dataclass(frozen=True)
class Case:
    """Scenes to average, their size, latency and threads."""

    scenes: int
    side: int
    latency: float
    threads: int

    def __str__(self) -> str:
        what = f"{self.scenes} scenes of {self.side}², {1000 * self.latency:.0f} ms"
        return f"{what}, {self.threads} threads"


CASES = [
    Case(scenes, side, latency, threads)
    for scenes, side in ((128, 500), (64, 1500))
    for latency in (0.05, 0.0)
    for threads in (2, 16)
]


def main() -> None:
    """Run all cases, or those whose description contains the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run cases whose description contains this")
    parser.add_argument("--turns", type=int, default=3, help="runs of each")
    parser.add_argument("--json", type=Path, default=Path("chunks.json"))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, case, steps = arguments.measure
        _measure(folder, Case(**json.loads(case)), int(steps))
        return
    results = []
    for case in CASES:
        if arguments.only in str(case):
            results.append(_run(case, arguments.turns))
            _show(results[-1])
    arguments.json.write_text(json.dumps(results, indent=1))


def _run(case: Case, turns: int) -> dict[str, Any]:
    rows: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), case.scenes + WARM_UP, case.side).write()
        with Sandbox(folder, latency=case.latency) as sandbox:
            for _ in range(turns):
                for steps in STEPS:
                    row = _turn(case, folder, steps, sandbox)
                    if steps not in rows or row["seconds"] < rows[steps]["seconds"]:
                        rows[steps] = row
    return {"case": str(case), **asdict(case), "steps": rows}


def _turn(case: Case, folder: str, steps: int, sandbox: Sandbox) -> dict[str, float]:
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, "--measure", folder, json.dumps(asdict(case)), str(steps)],
        env={**os.environ, **sandbox.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, float] = json.loads(answer.stdout)
    return row


def _measure(folder: str, case: Case, steps: int) -> None:
    """Average a cube of other scenes first, to exclude imports and connections."""
    scenes = Scenes(Path(folder), case.scenes + WARM_UP, case.side)
    items = items_of(os.environ["CONSTELLR_API_URL"], case.side)
    dask.config.set(num_workers=case.threads)

    def average(some: list[Any]) -> None:
        cube = constellr_stac.load(some, ["lst"], geobox=scenes.grid, chunks={"time": steps})
        cube.lst.mean(("y", "x")).compute()

    average(items[case.scenes :])
    started = time.perf_counter()
    average(items[: case.scenes])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _show(result: dict[str, Any]) -> None:
    best = min(row["seconds"] for row in result["steps"].values())
    table = Table("steps in a chunk", "chunk, MiB", "seconds", "of best", "peak MiB")
    table.title = result["case"]
    for steps, row in result["steps"].items():
        table.add_row(
            str(steps),
            f"{steps * result['side'] ** 2 * 4 / 2**20:.0f}",
            f"{row['seconds']:.2f}",
            f"{row['seconds'] / best:.2f}",
            f"{row['peak'] / 2**20:.0f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
