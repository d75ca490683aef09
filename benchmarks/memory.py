"""Measure peak memory: ``python benchmarks/memory.py``.

Computes the mean temperature of each of 500 scenes with plain odc-stac (masked and scaled) and with
:func:`constellr_stac.load`, on the same chunks, each in its own process. Measures how far the
compute raises the process's peak; worst of several runs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from contenders import gdal_s3
from records import begin, compare, in_process, peak, record, rows_of
from scenes import Scenes, items_of

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    import xarray as xr
    from records import Record

SCENES, SIDE, LATENCY = 500, 500, 0.02
CHUNKS: dict[str, Any] = {"time": 16}
COLUMN = "raised MiB"


def _odc_stac(items: list[pystac.Item]) -> xr.DataArray:
    import odc.stac

    gdal_s3()
    stored = odc.stac.load(items, ["lst"], chunks=CHUNKS).lst
    kelvin: xr.DataArray = stored.where(stored != 65535) * np.float32(0.01)
    return kelvin


def _load(items: list[pystac.Item]) -> xr.DataArray:
    kelvin: xr.DataArray = constellr_stac.load(items, ["lst"], chunks=CHUNKS).lst
    return kelvin


CONTENDERS: dict[str, Callable[[list[pystac.Item]], xr.DataArray]] = {
    "odc-stac": _odc_stac,
    "load": _load,
}


def main() -> None:
    """Measure both."""
    arguments = begin(__doc__, _measure)
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), SCENES, SIDE).write()
        with Sandbox(folder, latency=LATENCY) as sandbox:
            found = compare(
                CONTENDERS,
                arguments.turns,
                lambda name: in_process(name, environment=sandbox.environment()),
                keep=lambda *rows: max(rows, key=lambda row: float(row[COLUMN])),
            )
    title = f"Means of {SCENES} scenes of {SIDE}², {CHUNKS['time']} to a chunk"
    record(arguments, title, rows_of(found, "odc-stac", column=COLUMN))


def _measure(name: str) -> Record:
    items = items_of(os.environ["CONSTELLR_API_URL"], SIDE)
    means: Any = CONTENDERS[name](items).mean(("y", "x"))
    before = peak()
    values = means.compute()
    raised = peak() - before
    if not 280 < float(values.min()) <= float(values.max()) < 300:
        raise ValueError(values)
    return {COLUMN: raised}


if __name__ == "__main__":
    main()
