"""Measure how many time steps a chunk should hold: ``python benchmarks/chunks.py``.

Computes the same cubes with growing chunks, each in its own process; best of several runs.
:func:`constellr_stac.cube.chunks.auto_chunks` is based on the results.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from records import begin, compare, in_process, peak, record
from scenes import Scenes, items_of

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from records import Record

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
    Case(128, 500, 0.05, 2),
    Case(128, 500, 0.05, 16),
    Case(128, 500, 0.0, 2),
    Case(64, 1500, 0.05, 2),
]


def main() -> None:
    """Run all cases, or those whose description contains ``--only``."""
    arguments = begin(__doc__, _measure)
    for case in CASES:
        if arguments.only in str(case):
            record(arguments, str(case), _run(case, arguments.turns))


def _run(case: Case, turns: int) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), case.scenes + WARM_UP, case.side).write()
        with Sandbox(folder, latency=case.latency) as sandbox:

            def turn(steps: str) -> Record:
                environment = sandbox.environment()
                return in_process(folder, asdict(case), int(steps), environment=environment)

            found = compare([str(steps) for steps in STEPS], turns, turn)
    best = min(row["seconds"] for row in found.values())
    size = case.side**2 * 4 / 2**20
    return [
        {
            "steps in a chunk": int(steps),
            "chunk, MiB": int(steps) * size,
            **row,
            "times best": row["seconds"] / best,
        }
        for steps, row in found.items()
    ]


def _measure(folder: str, parameters: dict[str, Any], steps: int) -> Record:
    """Average a cube of other scenes first, to exclude imports and connections."""
    case = Case(**parameters)
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
    return {
        "seconds": seconds,
        "peak MiB": peak(),
    }


if __name__ == "__main__":
    main()
