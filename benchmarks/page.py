"""The tables and numbers of the docs' pages, from the records: ``{{ name }}`` on a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from records import RESULTS, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from records import Record

__all__ = ["substitutions"]

_SMALL = "60 scenes of 500², s3, 50 ms, 2 threads"


def substitutions() -> dict[str, str]:
    """Return Markdown by name; a script without results breaks the build."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    read_path = results["read_path"]
    small = {row["contender"]: row for row in read_path[_SMALL]["rows"]}
    two = {title: each for title, each in read_path.items() if "50 ms, 2 threads" in title}
    workers = results.pop("thousand_workers")
    plan = next(title for title in workers if not title.startswith("Simulated"))
    planned = workers.pop(plan)["rows"]
    rows = [row for table in workers.values() for row in table["rows"]]
    most = max(row["workers"] for row in rows if "searches" not in row["requests"])
    simulated = [row for row in rows if row.pop("workers") == most and row.pop("holds")]
    tables = {script: "\n\n".join(map(_titled, *zip(*found.items(), strict=True)))
              for script, found in results.items()}  # fmt: skip
    rates = {row["requests"]: row["per second"] for row in planned}
    return tables | {
        "runs": _runs([table for found in results.values() for table in found.values()]),
        "read_path": _pivot(read_path, _seconds),
        "requests": _pivot(two, lambda row, title: text(row["requests"] / int(title.split()[0]))),
        "peaks": _pivot(two, lambda row, _title: text(round(row["peak MiB"]))),
        "chunks": _pivot(
            results["chunks"],
            lambda row, _title: f"{text(row['seconds'])} s, {row['peak MiB']:.0f} MiB",
            "steps in a chunk",
        ),
        "small": _SMALL,
        "odc_stac_times": f"{small['odc-stac']['times load']:.1f}",
        "stackstac_times": f"{small['stackstac']['times load']:.1f}",
        "floor_times": f"{small['load']['times floor']:.1f}",
        "plan": plan,
        "planned": _markdown(planned),
        "shared_rate": text(rates["searches for pre-signed items, shared"]),
        "most_workers": text(most),
        "simulated": _markdown(simulated),
    }


def _runs(tables: list[dict[str, Any]]) -> str:
    """Tell where and when the tables were measured."""
    machines = []
    for table in tables:
        found = table["machine"]
        versions = ", ".join(
            f"{name} {number}" for name, number in sorted(found["versions"].items())
        )
        where = f"{found['cpu']}, {found['cores']} cores, {found['system']}"
        machines.append(f"{where}, Python {found['python']}, {versions}")
    turns = f"{_range('turns', tables)} runs of each contender"
    return "; ".join([*dict.fromkeys(machines), _range("date", tables), turns])


def _range(name: str, tables: list[dict[str, Any]]) -> str:
    values = sorted({table[name] for table in tables})
    return " to ".join(str(each) for each in dict.fromkeys((values[0], values[-1])))


def _titled(title: str, table: dict[str, Any]) -> str:
    return f"**{title}**\n\n{_markdown(table['rows'])}"


def _seconds(row: Record, _title: str) -> str:
    return f"{row['seconds']:.2f} ({row['times load']:.1f})"


def _pivot(
    tables: dict[str, Any], cell: Callable[[Record, str], str], column: str = "contender"
) -> str:
    """Return one table with a row for each of several; who can run in none has no column."""
    rows = [
        {"": title}
        | {text(row[column]): cell(row, title) for row in table["rows"] if "failure" not in row}
        for title, table in tables.items()
    ]
    return _markdown(rows)


def _markdown(rows: list[Record]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = ["" if name == "contender" else name for name in columns]
    cells = [[text(row.get(name, "")) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells))
