"""What the threads and tasks of a process share: tokens, pushed credentials, claimed orders.

All shared state of the package is in :data:`STATE`, and :meth:`ProcessState.clear` drops it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from ._pushed import on_dask_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ._pushed import Owner, Pushed

__all__ = ["STATE", "ProcessState"]

T = TypeVar("T")

_MOST = 64


class ProcessState:
    """A registry of shared values; thread-safe, and empty again in a forked child but for pushes.

    Example:
        >>> state = ProcessState()
        >>> state.shared("numbers", "one", lambda: [1]) is state.shared("numbers", "one", list)
        True
        >>> state.clear("numbers")
        >>> state.shared("numbers", "one", list)
        []
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._values: dict[str, dict[Hashable, Any]] = {}
        self._pushed: dict[Hashable, tuple[Pushed, ...]] = {}
        self._ended: dict[Hashable, Pushed] = {}

    def shared(self, kind: str, key: Hashable, make: Callable[[], T], *, most: int = _MOST) -> T:
        """Return the value of a key, made on first use.

        Args:
            kind: The namespace of the key, such as ``token``.
            key: What the value depends on.
            make: Makes the value; must be quick and must not block.

        Keyword Args:
            most: How many values of the kind are kept, the most recently used.
        """
        with self._lock:
            values = self._values.setdefault(kind, {})
            value: T = values.pop(key) if key in values else make()
            values[key] = value  # last: the most recently used
            while len(values) > most:
                del values[next(iter(values))]
            return value

    def forget(self, kind: str, key: Hashable) -> None:
        """Drop one value, if it is there."""
        with self._lock:
            self._values.get(kind, {}).pop(key, None)

    def clear(self, kind: str | None = None) -> None:
        """Drop the values of a kind, by default of all kinds; pushed values stay."""
        with self._lock:
            if kind is None:
                self._values.clear()
            else:
                self._values.pop(kind, None)

    def pushed(self, purpose: Hashable, owner: Owner | None = None) -> Any:
        """Return what a dask client pushes for a purpose; ``None`` without one.

        Args:
            purpose: What it is for.
            owner: Whose graph needs it; of several clients, the owner's own is used, and never
                that of another account. By default the newest.
        """
        values = self._pushed.get(purpose, ())
        if owner is not None:
            values = tuple(sorted(filter(owner.may_use, values), key=owner.preference))
        return values[-1] if values else None

    def add_pushed(self, purpose: Hashable, value: Pushed) -> None:
        """Use a pushed value from now on."""
        with self._lock:
            self._pushed[purpose] = (*self._pushed.get(purpose, ()), value)

    def remove_pushed(self, purpose: Hashable, value: Pushed) -> None:
        """Stop using a pushed value; the one before it counts again."""
        with self._lock:
            left = tuple(each for each in self._pushed.get(purpose, ()) if each is not value)
            self._pushed[purpose] = left
            self._ended[purpose] = value
        value.end()

    def push_search(self, purpose: Hashable, owner: Owner | None = None) -> tuple[list[str], str]:
        """Return what a search among pushed values found, and what to do, for an error message.

        Both are empty where no dask client can push: in process pools, joblib, Ray, MPI.
        """
        values = self._pushed.get(purpose, ())
        used = self.pushed(purpose, owner) or (None if values else self._ended.get(purpose))
        advice = "On dask workers, call constellr_stac.share_credentials(client) on the client."
        if used is not None and used.trouble:
            found, advice = used.trouble
        elif values:
            found = f"those of another account ({values[-1].owner.process})"
        elif self._pushed or on_dask_worker():
            found = "nothing"
        else:
            return [], ""
        return [f"pushed by constellr_stac.share_credentials: {found}"], f" {advice}"

    def _after_fork(self) -> None:
        """Threads, connections and held locks do not survive a fork."""
        self._lock = threading.RLock()
        self._values = {}


STATE = ProcessState()
"""The state of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATE._after_fork)  # noqa: SLF001
