"""A download that is killed at any point resumes and ends with the same bytes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from constellr_stac import sign
from stored_files import long_bytes, make_item, store_requests

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

KILLS = 50


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_killed_at_random_points(sandbox: Sandbox, tmp_path: Path, seed: int) -> None:
    """Killed 200 times, at times and events: no incomplete file has its final name."""
    items = []
    for number, name in enumerate(("one", "two", "three")):
        contents = {"long": long_bytes(number)[:600_000], "short": bytes(number)}
        items.append(make_item(sandbox, contents, name))
        for key, content in contents.items():
            digest = hashlib.sha256(content).hexdigest()
            items[-1]["assets"][key]["file:checksum"] = "1220" + digest
    program = Path(__file__).parents[1] / "killed_downloads.py"
    run = subprocess.run(
        [sys.executable, program, tmp_path, str(seed), str(KILLS)],
        input=json.dumps(sign(items)).encode(),  # signed once for all processes
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    output = json.loads(run.stdout)
    assert output["killed"] == KILLS
    assert output["steps"] > 30  # five for each of the six files
    resumed = [request for request in store_requests(sandbox) if request.status == 206]
    assert resumed
