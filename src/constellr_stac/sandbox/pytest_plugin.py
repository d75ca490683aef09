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
