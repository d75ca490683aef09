"""Measure peak memory: ``python benchmarks/memory.py``.

Computes the mean temperature of each of 500 scenes with plain odc-stac (masked and scaled) and with
:func:`constellr_stac.load`, on the same chunks, each in its own process. Measures how far the
compute raises the process's peak. Prints a table and writes ``memory.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scenes import Scenes, items_of

import constellr_stac
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    import xarray as xr

SCENES, SIDE, LATENCY = 500, 500, 0.02
CHUNKS: dict[str, Any] = {"time": 16}


def _odc_stac(items: list[pystac.Item]) -> xr.DataArray:
    import odc.stac

    os.environ["AWS_S3_ENDPOINT"] = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    os.environ["AWS_HTTPS"] = "NO"
    os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"
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
    """Measure both; print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="runs of each")
    parser.add_argument("--json", type=Path, default=Path("memory.json"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure)
        return
    peaks: dict[str, list[int]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        Scenes(Path(folder), SCENES, SIDE).write()
        with Sandbox(folder, latency=LATENCY) as sandbox:
            for _ in range(arguments.turns):
                for name in CONTENDERS:
                    peaks[name].append(_turn(name, sandbox))
    worst = {name: max(values) for name, values in peaks.items()}
    table = Table("500 scenes of 500², 16 in a chunk", "peak MiB", "of odc-stac")
    for name, peak in worst.items():
        table.add_row(name, f"{peak / 2**20:.0f}", f"{peak / worst['odc-stac']:.2f}")
    Console(width=100).print(table)
    arguments.json.write_text(json.dumps(peaks))


def _turn(name: str, sandbox: Sandbox) -> int:
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, "--measure", name],
        env={**os.environ, **sandbox.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(answer.stdout)


def _measure(name: str) -> None:
    items = items_of(os.environ["CONSTELLR_API_URL"], SIDE)
    means: Any = CONTENDERS[name](items).mean(("y", "x"))
    before = _peak()
    values = means.compute()
    raised = _peak() - before
    if not 280 < float(values.min()) <= float(values.max()) < 300:
        raise ValueError(values)
    print(raised)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
