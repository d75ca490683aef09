"""What a dask client pushes to its workers: values that it replaces, and the URLs of items.

:mod:`constellr_stac.cluster` pushes credentials to workers. This module is independent of the
kind of value and of the transport.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "Owner",
    "Pushed",
    "PushedItems",
    "PushedValue",
    "advice_for",
    "has_dask_client",
    "on_dask_worker",
]

T = TypeVar("T")

_PATIENCE = 30.0
_ASK_AGAIN = 5.0  # seconds between requests to the client
_NO_HOLDS = 60.0  # seconds; the client may have a new value later


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@dataclass(frozen=True)
class Owner:
    """Whose credentials a graph uses, or a client shares. It holds no secret."""

    account: str = ""
    """A digest of the account; empty if unknown."""
    explicit: bool = False
    """Whether the account was given in code."""
    process: str = field(default_factory=_this_process)

    @property
    def is_here(self) -> bool:
        """Whether the process is this one."""
        return self.process == _this_process()

    def may_use(self, pushed: Pushed) -> bool:
        """Return whether a graph of this owner may use what a client pushes.

        Never that of another account, unless none was given in code and the process is the same.
        With an unknown account, such as a token's, a graph whose account was given in code uses
        only what its own process pushes.
        """
        theirs = pushed.owner
        if self.account and theirs.account:
            same = self.account == theirs.account
            return same or (not self.explicit and self.process == theirs.process)
        return not self.explicit or self.process == theirs.process

    def preference(self, pushed: Pushed) -> tuple[bool, bool]:
        """Return a sort key: first the account, then the process."""
        theirs = pushed.owner
        return bool(self.account) and self.account == theirs.account, self.process == theirs.process


class Pushed:
    """The common part of what a client pushes: who it is, and whether it answers.

    Args:
        owner: Whose credentials they are.
        patience: Seconds to wait for an answer.
    """

    def __init__(self, owner: Owner | None, patience: float) -> None:
        self.owner = owner or Owner()
        self._patience = patience
        self._news = threading.Condition()
        self._silent = False
        self._ended = False

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Why the client sends nothing, and what to do; ``None`` if it answers."""
        if self._ended:
            return (
                f"closed by the client ({self.owner.process}) before this task read",
                "Keep the `with` block of share_credentials open until the compute has ended.",
            )
        if self._silent:
            why = f"the client does not answer ({self.owner.process})"
            return f"{why}; it has ended, is suspended or is not connected", (
                "Keep the process that shares credentials running and awake and share again, or "
                "share with send_credential=True."
            )
        return None

    def end(self) -> None:
        """Release all waiting threads."""
        with self._news:
            self._ended = True
            self._news.notify_all()


class PushedItems(Pushed):
    """The URLs of items, which the client renews for its workers; thread-safe.

    Args:
        ask: Sends the client a number and the names of items. It must not block; the answers
            arrive through :meth:`put` with this number, in one or more parts.
    """

    def __init__(
        self,
        ask: Callable[[int, Sequence[tuple[str, str]]], None],
        *,
        owner: Owner | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        super().__init__(owner, patience)
        self._ask = ask
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[tuple[str, str], Mapping[str, str]]] = {}

    def get(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Mapping[str, str]]:
        """Return the hrefs by asset of those items that the client could renew.

        Once it has not answered in time, it is not asked again until it sends something.
        """
        with self._news:
            if self._silent or self._ended:
                return {}
            number = next(self._numbers)
            answers = self._answers[number] = {}
            self._ask(number, names)
            self._news.wait_for(
                lambda: len(answers) >= len(names) or self._ended, timeout=self._patience
            )
            del self._answers[number]
            self._silent = len(answers) < len(names)
            return {name: urls for name, urls in answers.items() if urls}

    def put(self, number: int, answers: Mapping[tuple[str, str], Mapping[str, str]]) -> None:
        """Take answers: no hrefs for an item that could not be renewed."""
        with self._news:
            self._silent = False
            if number in self._answers:
                self._answers[number].update(answers)
            self._news.notify_all()


class PushedValue(Pushed, Generic[T]):
    """A value that the client replaces; thread-safe.

    The client numbers values from 1. Threads whose value was refused wait for the next one; only
    one of them asks the client. After a timeout, threads do not wait again until the client has
    answered.

    Args:
        ask: Sends the client the number of the refused value, 0 if there is none yet. It must not
            block; the answer arrives through :meth:`put`.

    Keyword Args:
        owner: Whose credentials they are.
        patience: Seconds to wait for an answer.
        no_holds: Seconds for which an answer "no other value" is cached.

    Example:
        >>> pushed = PushedValue(print)
        >>> pushed.put(1, "first")
        >>> pushed.get()
        'first'
        >>> pushed.put(2, "second")
        >>> pushed.other_than("first")
        'second'
    """

    def __init__(
        self,
        ask: Callable[[int], None],
        *,
        owner: Owner | None = None,
        patience: float = _PATIENCE,
        no_holds: float = _NO_HOLDS,
    ) -> None:
        super().__init__(owner, patience)
        self._ask = ask
        self._no_holds = no_holds
        self._value: T | None = None
        self._number = 0
        self._last = 0
        self._last_until = 0.0
        self._asked_at: float | None = None

    def put(self, number: int, value: T, *, last: int = 0) -> None:
        """Store a value from the client.

        Args:
            number: The value's number; values older than the current one are ignored.
            value: The value.

        Keyword Args:
            last: The number of a value that the client cannot replace.
        """
        with self._news:
            if self._ended or number < self._number:
                return
            asked = self._asked_at is not None
            if number > self._number or last >= number:
                self._asked_at = None
            if last > self._last or (asked and last >= number):
                self._last, self._last_until = last, time.monotonic() + self._no_holds
            self._number, self._value = number, value
            self._silent = False
            self._news.notify_all()

    def get(self) -> T | None:
        """Return the current value; waits for the first one. ``None`` if the client sent none."""
        with self._news:
            if self._value is None:
                self._wait()
            return self._value

    def other_than(self, refused: T) -> T | None:
        """Return a value other than ``refused``; ``None`` if there is none."""
        with self._news:
            if self._value == refused:
                self._wait()
            return None if self._value == refused else self._value

    @property
    def held(self) -> T | None:
        """The current value, without waiting."""
        return self._value

    def end(self) -> None:
        """Drop the value and release all waiting threads."""
        self._value = None
        super().end()

    def _wait(self) -> None:
        """Wait for a newer value, or for the answer "no other value"."""
        refused, deadline = self._number, time.monotonic() + self._patience
        while self._number == refused and not self._ended:
            now = time.monotonic()
            if refused and self._last >= refused and now < self._last_until:
                return
            if self._asked_at is None or now >= self._asked_at + _ASK_AGAIN:
                self._asked_at = now
                self._ask(refused)
            if self._silent:
                return
            if now >= deadline:
                self._silent = True
                return
            self._news.wait(min(deadline - now, _ASK_AGAIN))


def advice_for(pushed: Pushed | None, otherwise: str) -> str:
    """Return the end of a message about an expired value: what to do."""
    trouble = None if pushed is None else pushed.trouble
    return f". {otherwise}" if trouble is None else f"; {trouble[0]}. {trouble[1]}"


def on_dask_worker() -> bool:
    """Return whether this process is a worker of dask.distributed."""
    return _distributed_has("get_worker")


def has_dask_client() -> bool:
    """Return whether a client of dask.distributed is active here."""
    return _distributed_has("default_client")


def _distributed_has(getter: str) -> bool:
    distributed: Any = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        getattr(distributed, getter)()
    except (ValueError, AttributeError):  # AttributeError: its import is under way
        return False
    return True
