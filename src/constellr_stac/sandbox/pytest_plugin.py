"""The pytest fixture ``constellr_sandbox``, registered as a plugin.

Nothing of the extra ``sandbox`` is imported until a test uses it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["constellr_sandbox"]

DEPENDENCY_WARNINGS = (
    # with shapely 2.2 and affine 3
    r"ignore:The 'shapely.ops.transform:DeprecationWarning:odc\.geo\..*",
    r"ignore:Use .@. matmul instead:PendingDeprecationWarning:(odc\.geo|rioxarray|stackstac)\..*",
)
"""Filters for warnings that this package's dependencies cause, not this package."""


def pytest_configure(config: pytest.Config) -> None:
    """Ignore warnings of dependencies, also where warnings are errors."""
    for line in DEPENDENCY_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture
def constellr_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a :class:`~constellr_stac.sandbox.Sandbox` for one test.

    The environment points to it: all other ``CONSTELLR_`` and ``AWS_`` variables are removed while
    the test runs. For other options, create a sandbox in the test.
    """
    with Sandbox() as sandbox:
        for name in list(os.environ):
            if name.startswith(("CONSTELLR_", "AWS_")):
                monkeypatch.delenv(name)
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        yield sandbox
