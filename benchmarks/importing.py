"""Measure the cost of ``import constellr_stac``: ``python benchmarks/importing.py``.

Runs each statement in a fresh interpreter; best of several runs, minus the interpreter's own start.
Compared with requests, which most such programs import anyway.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

STATEMENTS = (
    "pass",
    "import constellr_stac",
    "from constellr_stac import sign",
    "from constellr_stac import open_client",
    "from constellr_stac import load",
    "import requests",
    "import pystac_client",
    "import odc.stac",
)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    best = dict.fromkeys(STATEMENTS, float("inf"))
    for _ in range(arguments.turns):
        for statement in STATEMENTS:
            best[statement] = min(best[statement], seconds(statement))
    own = {statement: best[statement] - best["pass"] for statement in STATEMENTS[1:]}
    table = Table("statement", "milliseconds", "of import requests")
    for statement, took in own.items():
        table.add_row(statement, f"{took * 1000:.0f}", f"{took / own['import requests']:.2f}")
    Console(width=100).print(table)


def seconds(statement: str) -> float:
    """Return how long a fresh interpreter takes to run a statement."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - one of the above
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
