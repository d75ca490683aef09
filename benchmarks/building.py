"""Measure the costs before a compute: ``python benchmarks/building.py``.

The time to build the graph of 10,000 items, compared with plain odc-stac on the same items, and the
rate of signing. Best of several runs.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import odc.stac
import pystac
from rich.console import Console
from rich.table import Table
from scenes import described

import constellr_stac
from constellr_stac import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "not-a-secret"}
FOOTPRINT = [[-118.29, 33.74], [-118.15, 33.74], [-118.15, 33.86], [-118.29, 33.86]]


def main() -> None:
    """Measure; print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--hrefs", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("building.json"))
    arguments = parser.parse_args()
    items = [item(number) for number in range(arguments.items)]
    hrefs = [f"s3://scenes/LA harbor+port/{number}/lst.tiff" for number in range(arguments.hrefs)]
    signer = Signer(credentials=KEYS)
    contenders: dict[str, Callable[[], Any]] = {
        "graph, odc-stac": lambda: odc.stac.load(items, ["lst"], chunks={"time": 16}),
        "graph, load": lambda: constellr_stac.load(
            items, ["lst"], chunks={"time": 16}, signer=signer
        ),
        "sign hrefs": lambda: Signer(credentials=KEYS).sign(hrefs),
        "sign items in place": lambda: Signer(credentials=KEYS).sign(copies.pop(), copy=False),
    }
    copies = [[each.clone() for each in items] for _ in range(arguments.turns)]
    seconds = {name: float("inf") for name in contenders}
    for _ in range(arguments.turns):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    table = Table("what", "seconds", "ratio or rate")
    ratio = seconds["graph, load"] / seconds["graph, odc-stac"]
    notes = {
        "graph, load": f"{ratio:.2f} of odc-stac",
        "sign hrefs": f"{arguments.hrefs / seconds['sign hrefs']:,.0f}/s",
        "sign items in place": f"{arguments.items / seconds['sign items in place']:,.0f}/s",
    }
    for name, took in seconds.items():
        table.add_row(name, f"{took:.2f}", notes.get(name, ""))
    Console(width=100).print(table)
    arguments.json.write_text(json.dumps({**vars(arguments), "json": None, "seconds": seconds}))


def item(number: int) -> pystac.Item:
    """Make a described scene with a unique time."""
    time_of = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=3 * number)
    ring = [*FOOTPRINT, FOOTPRINT[0]]
    return pystac.Item.from_dict(
        described(
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "id": f"scene{number}",
                "collection": "lstprecision",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "bbox": [-118.29, 33.74, -118.15, 33.86],
                "properties": {"datetime": time_of.isoformat(), "gsd": 30},
                "links": [],
                "assets": {"lst": {"href": f"s3://scenes/{number}/lst.tiff", "type": "image/tiff"}},
            },
            400,
        )
    )


if __name__ == "__main__":
    main()
