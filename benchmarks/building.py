"""Measure the costs before a compute: ``python benchmarks/building.py``.

The time to build the graph of 10,000 items, compared with plain odc-stac on the same items, and the
rate of signing. Best of several runs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import odc.stac
import pystac
from records import begin, compare, record, rows_of
from scenes import described

import constellr_stac
from constellr_stac import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from records import Record

KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "not-a-secret"}
FOOTPRINT = [[-118.29, 33.74], [-118.15, 33.74], [-118.15, 33.86], [-118.29, 33.86]]


def main() -> None:
    """Measure building and signing."""
    arguments = begin(__doc__, items=10_000, hrefs=100_000)
    items = [item(number) for number in range(arguments.items)]
    hrefs = [f"s3://scenes/LA harbor+port/{number}/lst.tiff" for number in range(arguments.hrefs)]
    copies = [[each.clone() for each in items] for _ in range(arguments.turns)]
    signer = Signer(credentials=KEYS)
    building: dict[str, Callable[[], Any]] = {
        "odc-stac": lambda: odc.stac.load(items, ["lst"], chunks={"time": 16}),
        "load": lambda: constellr_stac.load(items, ["lst"], chunks={"time": 16}, signer=signer),
    }
    signing: dict[str, Callable[[], Any]] = {
        f"{len(hrefs):,} hrefs": lambda: Signer(credentials=KEYS).sign(hrefs),
        f"{len(items):,} items in place": lambda: Signer(credentials=KEYS).sign(
            copies.pop(), copy=False
        ),
    }
    built = compare(building, arguments.turns, lambda name: timed(building[name]))
    record(arguments, f"Graph of {arguments.items:,} items", rows_of(built, "odc-stac"))
    signed = compare(signing, arguments.turns, lambda name: timed(signing[name]))
    counts = (len(hrefs), len(items))
    for row, count in zip(signed.values(), counts, strict=True):
        row["per second"] = count / row["seconds"]
    record(arguments, "Signatures", rows_of(signed))


def timed(run: Callable[[], Any]) -> Record:
    """Return the seconds of a call."""
    started = time.perf_counter()
    run()
    return {"seconds": time.perf_counter() - started}


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
