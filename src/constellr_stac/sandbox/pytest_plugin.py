"""A pytest fixture for users' own tests; pytest finds it by itself once this is installed.

Loading it is light: nothing of the extra ``sandbox`` is loaded before a test asks for it.
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

    The environment leads there, and only there: every other variable that begins with
    ``CONSTELLR_`` or ``AWS_`` is gone while the test runs. A sandbox with other knobs is made
    in the test itself.
    """
    with Sandbox() as sandbox:
        for name in list(os.environ):
            if name.startswith(("CONSTELLR_", "AWS_")):
                monkeypatch.delenv(name)
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        yield sandbox
