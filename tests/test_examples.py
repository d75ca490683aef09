"""The programs in ``examples/`` run unchanged against the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shell import forked, program

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"

ENDS_WITH = {
    "cluster.py": r"The hottest pixel of the summer has \d\d\.\d degrees C\.",
    "composite.py": r"^composites/\S+\.tif\n(composites/\S+\.tif\n)+$",
    "districts.py": r"^36 rows, \d+ of them clear: districts\.csv\n$",
    "download.py": r"<Downloaded 18 files, .*\ntime\n(2023-07-.* \d{3}\.\d\d K\n){9}$",
    "order.py": r"is initial_state\.",
    "pick_scenes.py": r"\d of 15 scenes; \d\d\.\d degrees C: hottest\.tif\n$",
    "plain_engines.py": r"2023-07-\d\dT\d\d:\d\d UTC  \d{3}\.\d\d K  \d{3}\.\d\d K\n$",
    "time_series.py": r"2023-08-26 17:50:31 .* 0\.\d+\n$",
}
"""The expected end of each program's output."""


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example_runs(
    name: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It exits with 0, prints the expected output, and writes nothing to stderr."""
    monkeypatch.chdir(tmp_path)
    # distributed warns about workers that are slow to stop
    variables = {**os.environ, **sandbox.environment(), "DASK_LOGGING__DISTRIBUTED": "error"}
    path = str(EXAMPLES / name)
    if name == "cluster.py":  # dask reads its variable when it is imported
        run = subprocess.run(
            [sys.executable, path], env=variables, capture_output=True, check=False, text=True
        )
    else:
        run = forked(program, path, variables)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.search(ENDS_WITH[name], run.stdout), run.stdout
