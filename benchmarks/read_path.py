"""Measure the read path: ``python benchmarks/read_path.py``.

One sandbox per case serves all contenders, each in its own process; best of several runs. Every
array is compared with the file as rasterio reads it. Prints a table and writes ``read_path.json``.
Compare the ratios; the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
from contenders import CONTENDERS, decoded
from rich.console import Console
from rich.table import Table
from scenes import Scenes, items_of

from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Case:
    """Scenes to read, latency and threads."""

    scenes: int
    side: int
    latency: float
    threads: int | None = None
    presigned: bool = False
    """Whether the API returns signed https URLs or ``s3://`` hrefs."""
    window: int | None = None
    """Pixels per side of the central window to read; ``None`` for the whole scene."""

    def __str__(self) -> str:
        threads = "default" if self.threads is None else self.threads
        part = "" if self.window is None else f", {self.window}² of it"
        latency = f"{1000 * self.latency:.0f} ms"
        scenes = "scene" if self.scenes == 1 else "scenes"
        kind = "https" if self.presigned else "s3"
        what = f"{self.scenes} {scenes} of {self.side}²{part}"
        return f"{what}, {kind}, {latency}, {threads} threads"

    @property
    def roi(self) -> tuple[slice, slice]:
        """Rows and columns to read."""
        length = self.window or self.side
        start = (self.side - length) // 2
        return (slice(start, start + length),) * 2


CASES = [
    Case(60, 500, 0.05),
    Case(60, 500, 0.05, presigned=True),
    Case(60, 500, 0.05, 16),
    Case(60, 500, 0.05, 16, presigned=True),
    Case(60, 500, 0.02),
    Case(60, 500, 0.02, 16),
    Case(60, 500, 0.0),
    Case(60, 500, 0.0, 16),
    Case(500, 500, 0.05),
    Case(500, 500, 0.05, 16),
    Case(500, 500, 0.02),
    Case(500, 500, 0.02, 16),
    Case(500, 500, 0.0),
    Case(500, 500, 0.0, 16),
    Case(1, 3700, 0.05),
    Case(1, 3700, 0.05, window=600),
    Case(16, 3700, 0.05, window=512),
    Case(120, 3700, 0.05, window=400),
]
WARM_UP = 4
"""Scenes of another cube, computed before the measured one."""


def main() -> None:
    """Run all cases, or those whose description contains the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run cases whose description contains this")
    parser.add_argument("--turns", type=int, default=3, help="runs of each contender")
    parser.add_argument("--lazycogs", help="a Python interpreter with lazycogs")
    parser.add_argument("--json", type=Path, default=Path("read_path.json"))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, folder, case = arguments.measure
        _measure(name, folder, Case(**json.loads(case)))
        return
    pythons = dict.fromkeys(CONTENDERS, sys.executable)
    if arguments.lazycogs:
        pythons["lazycogs"] = arguments.lazycogs
    elif importlib.util.find_spec("lazycogs") is None:
        del pythons["lazycogs"]
    results = []
    for case in CASES:
        if arguments.only in str(case):
            results.append(_run(case, arguments.turns, pythons))
            _show(results[-1])
    arguments.json.write_text(json.dumps({"machine": _machine(), "cases": results}, indent=1))


def _run(case: Case, turns: int, pythons: Mapping[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        scenes = Scenes(Path(folder), case.scenes + WARM_UP, case.side)
        scenes.write()
        counted = {scenes.name(number) for number in range(case.scenes)}
        with Sandbox(folder, latency=case.latency, presigned=case.presigned) as sandbox:
            rows: dict[str, dict[str, Any]] = {}
            for _ in range(turns):
                for name, python in pythons.items():
                    sandbox.clear_requests()
                    if "failure" in rows.get(name, {}):
                        continue  # it cannot run here
                    row = _turn(python, name, case, folder, sandbox)
                    asked = [e.path for e in sandbox.requests if e.server == "store"]
                    row["requests"] = sum(not counted.isdisjoint(p.split("/")) for p in asked)
                    best = rows.get(name)
                    if best is None or row["seconds"] < best["seconds"]:
                        rows[name] = row
    return {"case": str(case), **asdict(case), "contenders": rows}


def _turn(python: str, name: str, case: Case, folder: str, sandbox: Sandbox) -> dict[str, Any]:
    """Measure one contender in a fresh process."""
    answer = subprocess.run(  # noqa: S603 - this very file
        [python, __file__, "--measure", name, folder, json.dumps(asdict(case))],
        env={**os.environ, **sandbox.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        lines = answer.stderr.splitlines() or ["no message"]
        return {"seconds": float("inf"), "failure": lines[-1]}
    row: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return row


def _measure(name: str, folder: str, case: Case) -> None:
    """Compute a cube of other scenes first, to exclude imports and connections.

    Other scenes, since GDAL caches what it has read of a URL.
    """
    scenes = Scenes(Path(folder), case.scenes + WARM_UP, case.side)
    items = items_of(os.environ["CONSTELLR_API_URL"], case.side)
    if case.threads is not None:
        dask.config.set(num_workers=case.threads)
    grid = scenes.grid[case.roi]
    CONTENDERS[name](items[case.scenes :], grid)()
    compute = CONTENDERS[name](items[: case.scenes], grid)
    started = time.perf_counter()
    values = compute()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.testing.assert_array_equal(decoded(values), scenes.kelvin(case.scenes)[:, *case.roi])
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _show(result: dict[str, Any]) -> None:
    ours, floor = (result["contenders"][name]["seconds"] for name in ("load", "floor"))
    table = Table(title=result["case"])
    for column in ("contender", "seconds", "times load", "times floor", "requests", "peak MiB"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, row in result["contenders"].items():
        if "failure" in row:
            Console(width=100).print(f"{name} cannot run here: {row['failure']}", markup=False)
            continue
        table.add_row(
            name,
            f"{row['seconds']:.2f}",
            f"{row['seconds'] / ours:.2f}",
            f"{row['seconds'] / floor:.2f}",
            str(row["requests"]),
            f"{row['peak'] / 2**20:.0f}",
        )
    Console(width=100).print(table)


def _machine() -> dict[str, Any]:
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "os": platform.system()}


if __name__ == "__main__":
    main()
