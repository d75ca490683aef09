"""Failures to order: what shall go wrong, where, and how often.

Only the plan lives here; :mod:`~constellr_stac.sandbox.wire` carries it out.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal, get_args

__all__ = ["Fault", "FaultPlan"]

Kind = Literal["status", "reset", "truncate", "stall", "commit_then_reset", "commit_then_status"]


@dataclass(frozen=True)
class Fault:
    """One failure to inject, in requests in whose path the regular expression ``path`` is found.

    Example:
        >>> Fault("/token", status=503, headers={"Retry-After": "1"}).times
        1

    Raises:
        ValueError: The kind is unknown, or one that answers a status has none.
    """

    path: str
    """A regular expression that is looked for in the request's path (percent-encoding undone)."""
    method: str | None = None
    """The request's method; ``None`` is any."""
    server: Literal["api", "store"] | None = None
    """Which server; ``None`` is either."""
    times: int | None = 1
    """How many matching requests fail; ``None`` is all until the faults are cleared."""
    skip: int = 0
    """How many matching requests pass unharmed before."""
    status: int | None = None
    """The status to answer with; kinds ``status`` and ``commit_then_status`` need it."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of that answer."""
    body: bytes = b""
    """Body of that answer."""
    kind: Kind = "status"
    """What happens:

    - ``status``: the answer is this status, and nothing is done;
    - ``reset``: the connection is reset (TCP RST), and nothing is done;
    - ``truncate``: the request is done; half of the answer's body is sent, then the end;
    - ``stall``: after ``seconds`` the request goes on as if nothing had been;
    - ``commit_then_reset``: the request is done, then the connection is reset;
    - ``commit_then_status``: the request is done, and the answer is this status.
    """
    seconds: float = 0.0
    """A wait before any of these."""

    def __post_init__(self) -> None:
        """Refuse what could never do what it says."""
        re.compile(self.path)
        if self.kind not in get_args(Kind):
            msg = f"A fault's kind is one of {', '.join(get_args(Kind))}, not {self.kind!r}."
            raise ValueError(msg)
        if self.kind.endswith("status") and self.status is None:
            msg = f"A fault of the kind {self.kind!r} needs the status to answer with."
            raise ValueError(msg)


class FaultPlan:
    """The faults still to happen; each matching request uses up at most one, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Pending] = []

    def add(self, fault: Fault) -> None:
        """Plan one more."""
        with self._lock:
            self._waiting.append(_Pending(fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Let everything pass from now on."""
        with self._lock:
            self._waiting.clear()

    def take(self, server: str, method: str, path: str) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        if not self._waiting:
            return None
        with self._lock:
            for pending in self._waiting:
                if pending.meets(server, method, path):
                    if pending.left == 0:
                        self._waiting.remove(pending)
                    return pending.fault
        return None


@dataclass(eq=False)
class _Pending:
    fault: Fault
    skip: int
    left: int | None

    def meets(self, server: str, method: str, path: str) -> bool:
        fault = self.fault
        if fault.server not in (None, server) or fault.method not in (None, method):
            return False
        if not re.search(fault.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True
