"""Measure the cost of ``import constellr_stac``: ``python benchmarks/importing.py``.

Runs each statement in a fresh interpreter; best of several runs, minus the interpreter's own start.
Compared with requests, which most such programs import anyway.
"""

from __future__ import annotations

import subprocess
import sys
import time

from records import begin, compare, record, rows_of

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
    """Measure all statements."""
    arguments = begin(__doc__, turns=5)
    found = compare(STATEMENTS, arguments.turns, lambda each: {"seconds": seconds(each)})
    start = found.pop("pass")["seconds"]
    own = {each: {"ms": 1000 * (row["seconds"] - start)} for each, row in found.items()}
    record(arguments, "Imports", rows_of(own, "import requests", column="ms"))


def seconds(statement: str) -> float:
    """Return how long a fresh interpreter takes to run a statement."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - one of the above
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
