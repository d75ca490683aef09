"""The pytest plugin's filters for warnings of dependencies."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
import warnings

import pytest
from odc.geo.geom import point


def test_odc_geo():
    point(8.0, 49.0, "EPSG:4326").to_crs("EPSG:32632")


def test_own_code():
    with pytest.raises(DeprecationWarning):
        warnings.warn("The 'shapely.ops.transform()' function", DeprecationWarning)
"""


def test_warnings_of_dependencies_are_ignored(tmp_path: Path) -> None:
    """In a project whose warnings are errors, odc-geo's are none, and its own still are."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_project.py").write_text(PROJECT)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "2 passed" in run.stdout, run.stdout
