"""The example, links and settings of the README are correct."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac import Limits

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_example_runs(sandbox: Sandbox) -> None:
    """The three lines run unchanged, and give what they say."""
    namespace: dict[str, Any] = {}
    [block] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(block, namespace)  # noqa: S102 - code of the README
    temperatures = namespace["ds"].lst
    assert (temperatures.dtype, temperatures.shape) == (np.float32, (15, 400, 400))
    assert temperatures.isel(time=0).notnull().any().compute()


def test_links_lead_to_files() -> None:
    """Every link and picture is a file of the repository, and the README fits a screen."""
    links = re.findall(r"\]\(([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(README.splitlines()) < 60


def test_settings_page_lists_the_variables_read() -> None:
    """It lists each CONSTELLR_* variable that the package reads, and no other."""
    variable = re.compile(r"\b(?:CONSTELLR|AWS)_[A-Z0-9_]+\b")
    page = set(variable.findall((ROOT / "docs" / "environment.md").read_text()))
    sources = (ROOT / "src" / "constellr_stac").rglob("*.py")
    read = {name for path in sources for name in variable.findall(path.read_text())}
    read |= {f"CONSTELLR_{field.name.upper()}" for field in fields(Limits)}
    assert page <= read
    assert {name for name in read - page if name.startswith("CONSTELLR_")} == set()
