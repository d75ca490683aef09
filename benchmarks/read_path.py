"""Measure the read path: ``python benchmarks/read_path.py``.

One sandbox per case serves all contenders, each in its own process; best of several runs. Every
array is compared with the file as rasterio reads it. Compare the ratios; the seconds depend on the
machine. Long files, mosaics and memory of a reduction have scripts of their own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
from contenders import CONTENDERS, decoded
from records import begin, compare, in_process, peak, record, rows_of
from scenes import Scenes, items_of

from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from records import Record


@dataclass(frozen=True)
class Case:
    """Scenes to read, latency and threads."""

    scenes: int
    side: int
    latency: float
    threads: int = 2
    presigned: bool = False
    """Whether the API returns signed https URLs or ``s3://`` hrefs."""
    window: int | None = None
    """Pixels per side of the central window to read; ``None`` for the whole scene."""

    def __str__(self) -> str:
        part = "" if self.window is None else f", {self.window}² of it"
        latency = f"{1000 * self.latency:.0f} ms"
        scenes = "scene" if self.scenes == 1 else "scenes"
        kind = "https" if self.presigned else "s3"
        what = f"{self.scenes} {scenes} of {self.side}²{part}"
        return f"{what}, {kind}, {latency}, {self.threads} threads"

    @property
    def warm_up(self) -> int:
        """Scenes of another cube, computed before the measured one."""
        return min(4, self.scenes)

    @property
    def roi(self) -> tuple[slice, slice]:
        """Rows and columns to read."""
        length = self.window or self.side
        start = (self.side - length) // 2
        return (slice(start, start + length),) * 2


CASES = [
    Case(60, 500, 0.05),
    Case(60, 500, 0.05, presigned=True),
    Case(60, 500, 0.05, 16),
    Case(60, 500, 0.05, 16, presigned=True),
    Case(60, 500, 0.02),
    Case(60, 500, 0.02, 16),
    Case(60, 500, 0.0),
    Case(60, 500, 0.0, 16),
    Case(500, 500, 0.05),
    Case(500, 500, 0.05, 16),
    Case(1, 3700, 0.05),
    Case(1, 3700, 0.05, window=600),
]


def main() -> None:
    """Run all cases, or those whose description contains ``--only``.

    ``--lazycogs`` is a Python interpreter with it: it cannot be installed together with stackstac.
    """
    arguments = begin(__doc__, _measure, lazycogs=sys.executable)
    for case in CASES:
        if arguments.only in str(case):
            rows = _run(case, arguments.turns, arguments.lazycogs)
            record(arguments, str(case), rows_of(rows, "load", "floor"))


def _run(case: Case, turns: int, lazycogs: str) -> dict[str, Record]:
    with tempfile.TemporaryDirectory() as folder:
        scenes = Scenes(Path(folder), case.scenes + case.warm_up, case.side)
        scenes.write()
        counted = {scenes.name(number) for number in range(case.scenes)}
        with Sandbox(folder, latency=case.latency, presigned=case.presigned) as sandbox:

            def turn(name: str) -> Record:
                sandbox.clear_requests()
                foreign = name == "lazycogs"
                python = lazycogs if foreign else sys.executable
                how: Any = {"environment": sandbox.environment(), "python": python}
                row = in_process(name, folder, asdict(case), may_fail=foreign, **how)
                asked = [
                    each.path.split("/") for each in sandbox.requests if each.server == "store"
                ]
                requests = sum(not counted.isdisjoint(parts) for parts in asked)
                return row if "failure" in row else row | {"requests": requests}

            return compare(CONTENDERS, turns, turn)


def _measure(name: str, folder: str, parameters: dict[str, Any]) -> Record:
    """Compute a cube of other scenes first, to exclude imports and connections.

    Other scenes, since GDAL caches what it has read of a URL.
    """
    case = Case(**parameters)
    scenes = Scenes(Path(folder), case.scenes + case.warm_up, case.side)
    items = items_of(os.environ["CONSTELLR_API_URL"], case.side)
    dask.config.set(num_workers=case.threads)
    grid = scenes.grid[case.roi]
    CONTENDERS[name](items[case.scenes :], grid)()
    compute = CONTENDERS[name](items[: case.scenes], grid)
    started = time.perf_counter()
    values = compute()
    seconds = time.perf_counter() - started
    most = peak()
    np.testing.assert_array_equal(decoded(values), scenes.kelvin(case.scenes)[:, *case.roi])
    return {"seconds": seconds, "peak MiB": most}


if __name__ == "__main__":
    main()
