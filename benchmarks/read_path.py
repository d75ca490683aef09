"""Measure the read path side by side: ``python benchmarks/read_path.py``.

One sandbox serves all contenders of a case, each in a process of its own and several times in
turn; the best time counts. Every array is compared with what rasterio reads from disk. Prints a
table and writes ``read_path.json``; ratios count, seconds are of this machine.
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
from typing import Any

import dask
import numpy as np
from contenders import CONTENDERS, decoded
from rich.console import Console
from rich.table import Table
from scenes import Scenes, items_of

from constellr_stac.sandbox import Sandbox


@dataclass(frozen=True)
class Case:
    """What is read, over which latency, on how many threads."""

    scenes: int
    side: int
    latency: float
    threads: int | None

    def __str__(self) -> str:
        threads = "default" if self.threads is None else self.threads
        latency = f"{1000 * self.latency:.0f} ms"
        return f"{self.scenes} scenes of {self.side}², {latency}, {threads} threads"


CASES = [
    Case(60, 500, 0.05, None),
    Case(60, 500, 0.05, 16),
    Case(60, 500, 0.02, None),
    Case(60, 500, 0.0, None),
    Case(60, 500, 0.0, 16),
    Case(500, 500, 0.05, None),
    Case(500, 500, 0.0, None),
    Case(1, 3700, 0.05, None),
]


def main() -> None:
    """Run all cases, or those whose description contains the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run cases whose description contains this")
    parser.add_argument("--turns", type=int, default=3, help="how often each contender has a turn")
    parser.add_argument("--json", type=Path, default=Path("read_path.json"))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure[0], **json.loads(arguments.measure[1]))
        return
    results = []
    for case in CASES:
        if arguments.only in str(case):
            results.append(_run(case, arguments.turns))
            _show(results[-1])
    arguments.json.write_text(json.dumps({"machine": _machine(), "cases": results}, indent=1))


def _run(case: Case, turns: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), case.scenes, case.side).write()
        with Sandbox(folder, latency=case.latency) as sandbox:
            rows: dict[str, dict[str, Any]] = {}
            for _ in range(turns):
                for name in CONTENDERS:
                    if name == "lazycogs" and importlib.util.find_spec("lazycogs") is None:
                        continue
                    sandbox.clear_requests()
                    row = _turn(name, case, folder, sandbox)
                    row["requests"] = sum(e.server == "store" for e in sandbox.requests) // 2
                    best = rows.get(name)
                    if best is None or row["seconds"] < best["seconds"]:
                        rows[name] = row
    return {"case": str(case), **asdict(case), "contenders": rows}


def _turn(name: str, case: Case, folder: str, sandbox: Sandbox) -> dict[str, Any]:
    """Measure one contender in a fresh process."""
    what = {"folder": folder, **asdict(case)}
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, "--measure", name, json.dumps(what)],
        env={**os.environ, **sandbox.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return row


def _measure(
    name: str, *, folder: str, scenes: int, side: int, latency: float, threads: int | None
) -> None:
    """Compute twice: the first time imports and connects, the second one counts."""
    del latency
    items = items_of(os.environ["CONSTELLR_API_URL"], side)
    if threads is not None:
        dask.config.set(num_workers=threads)
    compute = CONTENDERS[name](items)
    compute()
    started = time.perf_counter()
    values = compute()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    expected = Scenes(Path(folder), scenes, side).kelvin()
    np.testing.assert_array_equal(decoded(values), expected)
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _show(result: dict[str, Any]) -> None:
    ours, floor = (result["contenders"][name]["seconds"] for name in ("load", "floor"))
    table = Table(title=result["case"])
    for column in ("contender", "seconds", "times load", "times floor", "requests", "peak MiB"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, row in result["contenders"].items():
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
