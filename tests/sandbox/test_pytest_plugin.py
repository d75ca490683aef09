"""The pytest plugin in a project of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROJECT = """
import os
import time
import warnings

import constellr_stac
import pytest
from odc.geo.geom import point


def test_odc_geo():
    point(8.0, 49.0, "EPSG:4326").to_crs("EPSG:32632")


def test_dead_host(constellr_sandbox, monkeypatch):
    assert os.environ["CONSTELLR_READ_TIMEOUT"] == "7"
    start = time.monotonic()
    with pytest.raises(constellr_stac.APIConnectionError):
        constellr_stac.open_client("http://127.0.0.1:9")
    assert time.monotonic() - start < 60


def test_own_code():
    with pytest.raises(DeprecationWarning):
        warnings.warn("The 'shapely.ops.transform()' function", DeprecationWarning)
"""


def test_project_with_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings of dependencies are ignored, its own are not, and a dead host ends a test soon."""
    monkeypatch.delenv("CONSTELLR_RETRY_DEADLINE")
    monkeypatch.setenv("CONSTELLR_READ_TIMEOUT", "7")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_project.py").write_text(PROJECT)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "3 passed" in run.stdout, run.stdout
