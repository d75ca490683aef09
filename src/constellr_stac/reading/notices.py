"""Warnings about what is found while reading: once per process, cube and kind.

Python's own rule, once per line of code, would drop them for a second cube, and shows them in
whatever thread reads. On a dask worker they are sent to the client as well.
"""

from __future__ import annotations

import pickle
import sys
import threading
import warnings
from typing import Any

from constellr_stac._process import STATE

__all__ = ["reset", "warn_once"]

_MAX_CUBES = 256


class _Seen:
    """The kinds of warning that a cube has had."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: set[str] = set()

    def add(self, kind: str) -> bool:
        """Add a kind, and return whether it is new."""
        with self._lock:
            is_new = kind not in self._kinds
            self._kinds.add(kind)
            return is_new


def warn_once(cube: str, kind: str, message: str, category: type[Warning]) -> None:
    """Warn, unless this cube has had a warning of this kind in this process.

    Args:
        cube: The cube's name.
        kind: What the warning is about.
        message: The text.
        category: The warning's class.
    """
    if not STATE.shared("warned", cube, _Seen, most=_MAX_CUBES).add(kind):
        return
    remote = _worker_without_client()
    if remote is not None:
        event = {"message": pickle.dumps(message), "category": pickle.dumps(category)}
        remote.log_event("warn", event)  # as distributed.worker.warn does
    # With a registry of its own: the same text is shown again for another cube.
    warnings.warn_explicit(message, category, __file__, 1, module=__name__, registry={})


def reset(cube: str) -> None:
    """Allow all warnings of a cube again, since it is being built anew."""
    STATE.forget("warned", cube)


def _worker_without_client() -> Any:
    """Return the dask worker that runs this task, if its client is in another process."""
    distributed = sys.modules.get("distributed")
    if distributed is None or distributed.client._global_clients:  # noqa: SLF001 - no public way
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None
