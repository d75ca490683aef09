"""Versions and dependencies that stand in several files agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
ON_CONDA = {"dask": "dask-core"}
"""conda-forge's names, where they differ."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Return ``[project]`` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def test_conda_recipe_requires_what_the_package_requires(project: dict[str, Any]) -> None:
    """Names and lowest versions are those of pyproject.toml."""
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    needed = {f"python {project['requires-python']}"}
    for each in map(Requirement, project["dependencies"]):
        needed.add(f"{ON_CONDA.get(each.name, each.name)} {each.specifier}")
    assert set(recipe["requirements"]["run"]) == needed


def test_the_version_is_the_same_everywhere(project: dict[str, Any]) -> None:
    """The recipe, the citation and the newest release in the changelog name it."""
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(
        r"^## \[(\d.*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest
    assert newest.groups() == (project["version"], citation["date-released"])
    assert recipe["context"]["version"] == citation["version"] == project["version"]
