"""What the benchmarks share: options, fresh processes, and the records that they keep.

A record is a row of a table, by column. ``results/NAME.json`` keeps the tables of the script
``NAME.py``; a run of some cases replaces only theirs. ``page.py`` shows them in the docs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Record = dict[str, Any]

__all__ = ["RESULTS", "begin", "compare", "in_process", "peak", "record", "rows_of", "text"]

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("dask", "numpy", "obstore", "odc-stac", "rasterio", "stackstac")


def begin(
    doc: str, measure: Callable[..., Record] | None = None, *, turns: int = 3, **options: Any
) -> argparse.Namespace:
    """Parse the options; in a process that :func:`in_process` started, measure and exit."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--only", default="", help="run cases whose description contains this")
    parser.add_argument("--turns", type=int, default=turns, help="runs of each contender")
    results = RESULTS / f"{Path(sys.argv[0]).stem}.json"
    parser.add_argument("--json", type=Path, default=results, help="default: %(default)s")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{default}")
    arguments = parser.parse_args()
    if measure is not None and arguments.measure is not None:
        print(json.dumps(measure(*arguments.measure)))
        sys.exit()
    return arguments


def in_process(
    *parameters: Any,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    may_fail: bool = False,
) -> Record:
    """Return what the script's ``measure`` returns in a fresh process, or its ``failure``."""
    answer = subprocess.run(  # noqa: S603 - the running script
        [python, sys.argv[0], "--measure", json.dumps(parameters)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if may_fail else None,
        text=True,
        check=not may_fail,
    )
    if answer.returncode:
        return {"failure": answer.stderr.strip().rpartition("\n")[2]}
    row: Record = json.loads(answer.stdout.splitlines()[-1])
    return row


def _faster(known: Record, row: Record) -> Record:
    return min(known, row, key=lambda each: float(each["seconds"]))


def compare(
    names: Iterable[str],
    turns: int,
    measure: Callable[[str], Record],
    keep: Callable[[Record, Record], Record] = _faster,
) -> dict[str, Record]:
    """Measure the contenders in turns; by default keep the fastest run of each."""
    best: dict[str, Record] = {}
    for _ in range(turns):
        for name in names:
            if "failure" not in best.get(name, {}):  # else it cannot run here
                row = measure(name)
                best[name] = keep(best[name], row) if name in best else row
    return best


def rows_of(found: dict[str, Record], *to: str, column: str = "seconds") -> list[Record]:
    """Return a row for each contender, with its ratios to some of them."""
    rows = []
    for name, row in found.items():
        known = {} if "failure" in row else {f"times {each}": found[each][column] for each in to}
        ratios = {each: row[column] / value for each, value in known.items()}
        rows.append({"contender": name, **row, **ratios})
    return rows


def record(arguments: argparse.Namespace, title: str, rows: list[Record]) -> None:
    """Print a table, and save it with the date and the machine."""
    ran = [row for row in rows if "failure" not in row]
    table = Table(*ran[0], title=title)
    for row in ran:
        table.add_row(*map(text, row.values()))
    console = Console(width=100)
    console.print(table)
    for row in rows:
        if row not in ran:
            console.print(f"{row['contender']} cannot run here: {row['failure']}", markup=False)
    rounded = [
        {name: float(f"{value:.4g}") if isinstance(value, float) else value
         for name, value in row.items()}
        for row in rows
    ]  # fmt: skip
    path: Path = arguments.json
    tables = json.loads(path.read_text()) if path.exists() else {}
    tables[title] = {"turns": arguments.turns, **_machine(), "rows": rounded}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n")


def peak() -> float:
    """Return this process's peak memory in MiB, without what ``getrusage`` adds of its parent's."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def text(value: Any) -> str:
    """Return a number as people read it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _machine() -> Record:
    found = sorted((d for d in distributions() if d.name in _PACKAGES), key=lambda d: d.name)
    names = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": {
            "cpu": names[0].partition(": ")[2] if names else platform.processor(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            "versions": {d.name: d.version for d in found},
        },
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
