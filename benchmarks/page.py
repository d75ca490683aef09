"""Write the tables of ``docs/benchmarks.md``: ``python benchmarks/page.py``.

The tables between ``<!-- begin NAME -->`` and ``<!-- end -->`` are made of the benchmarks' JSON in
``benchmarks/results/``; a table without JSON stays as it is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
MIB = 1 << 20


def main() -> None:
    """Replace the tables whose JSON is there."""
    page = PAGE.read_text()
    for name, (source, rows_of) in TABLES.items():
        path = HERE / "results" / f"{source}.json"
        if path.exists():
            table = "\n".join(map(_line, rows_of(json.loads(path.read_text()))))
            pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end -->)"
            page, count = re.subn(pattern, rf"\g<1>\n{table}\n\n\g<2>", page, flags=re.DOTALL)
            if count != 1:
                raise ValueError(name)
    PAGE.write_text(page)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _headed(*names: str) -> list[list[str]]:
    return [list(names), ["---"] * len(names)]


def _read_path(results: dict[str, Any]) -> list[list[str]]:
    """Seconds, and in brackets the ratio to ``load``; what cannot run here says so."""
    cases = results["cases"]
    names = list(dict.fromkeys(name for case in cases for name in case["contenders"]))
    rows = _headed("", *names)
    for case in cases:
        found = case["contenders"]
        ours = found["load"]["seconds"]
        cells = [
            "cannot run here"
            if "failure" in row
            else f"{row['seconds']:.2f} ({row['seconds'] / ours:.1f})"
            for row in (found.get(name, {"failure": ""}) for name in names)
        ]
        rows.append([case["case"], *cells])
    return rows


def _long_files(results: list[dict[str, Any]]) -> list[list[str]]:
    rows = _headed("", "", "seconds", "ratio to `load`", "requests", "MB", "peak MiB")
    for case in results:
        ours = case["contenders"]["load"]["seconds"]
        for number, (name, row) in enumerate(case["contenders"].items()):
            rows.append([
                "" if number else case["case"],
                name,
                f"{row['seconds']:.2f}",
                f"{row['seconds'] / ours:.2f}",
                str(row["requests"]),
                f"{row['bytes'] / 1e6:.0f}",
                f"{row['raised'] / MIB:.0f}",
            ])  # fmt: skip
    return rows


def _mosaics(results: dict[str, Any]) -> list[list[str]]:
    rows = _headed("", "tasks", "CPU s", "peak MiB", "build s", "graph MiB")
    for name, row in results["contenders"].items():
        columns = ("tasks", "cpu", "peak", "build", "graph")
        rows.append([name, *(f"{row[column]:,.4g}" for column in columns)])
    return rows


def _memory(results: dict[str, list[int]]) -> list[list[str]]:
    rows = _headed("", "peak MiB", "ratio to odc-stac")
    worst = {name: max(peaks) for name, peaks in results.items()}
    for name, peak in worst.items():
        rows.append([name, f"{peak / MIB:.0f}", f"{peak / worst['odc-stac']:.2f}"])
    return rows


TABLES: dict[str, tuple[str, Callable[[Any], list[list[str]]]]] = {
    "read_path": ("read_path", _read_path),
    "long_files": ("long_files", _long_files),
    "mosaics": ("mosaics", _mosaics),
    "memory": ("memory", _memory),
}
"""The table's name, the JSON's, and what makes rows of it."""

if __name__ == "__main__":
    main()
