"""Faults to inject; :mod:`~constellr_stac.sandbox.wire` executes them."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass, field
from typing import Literal, get_args

__all__ = ["Fault", "FaultPlan"]

Kind = Literal[
    "status", "reset", "truncate", "stall", "throttle", "commit_then_reset", "commit_then_status"
]


@dataclass(frozen=True)
class Fault:
    """A fault to inject into requests whose path contains a match of the regular expression.

    Example:
        >>> Fault("/token", status=503, headers={"Retry-After": "1"}).times
        1

    Raises:
        ValueError: The kind is unknown, or requires a status and has none.
    """

    path: str
    """A regular expression, searched in the request's percent-decoded path."""
    method: str | None = None
    """HTTP method; ``None`` is any."""
    server: Literal["api", "store"] | None = None
    """Server; ``None`` is either."""
    times: int | None = 1
    """Number of matching requests that fail; ``None`` is all until cleared."""
    skip: int = 0
    """Number of matching requests that pass first."""
    status: int | None = None
    """Status of the answer; required by ``status`` and ``commit_then_status``."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of that answer."""
    body: bytes = b""
    """Body of that answer."""
    kind: Kind = "status"
    """Kind of fault:

    - ``status``: answer with the status, without processing the request;
    - ``reset``: reset the connection (TCP RST), without processing the request;
    - ``truncate``: process the request, send half of the body, and close the connection;
    - ``stall``: wait for ``seconds``, then process the request normally;
    - ``throttle``: process the request, and send the body at ``bytes_per_second``;
    - ``commit_then_reset``: process the request, then reset the connection;
    - ``commit_then_status``: process the request, then answer with the status.
    """
    seconds: float = 0.0
    """Delay before the fault, in seconds."""
    rate: float = 1.0
    """Probability that a matching request fails (after ``skip``); the others pass."""
    seed: int = 0
    """Seed of ``rate``; equal seeds choose equal requests, in the order of their arrival."""
    bytes_per_second: float | None = None
    """Speed of ``throttle``."""

    def __post_init__(self) -> None:
        """Validate the fault."""
        re.compile(self.path)
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"A fault's kind must be one of {', '.join(get_args(Kind))}, not {self.kind!r}."
            )
        if self.kind.endswith("status") and self.status is None:
            raise ValueError(f"A fault of kind {self.kind!r} needs a status.")
        if not 0 < self.rate <= 1:
            raise ValueError(f"A fault's rate must be above 0 and at most 1, not {self.rate!r}.")
        if self.kind == "throttle" and not (self.bytes_per_second or 0) > 0:
            raise ValueError("A fault of kind 'throttle' needs bytes_per_second above 0.")


class FaultPlan:
    """Pending faults; each request triggers at most one, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Pending] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._faults.append(_Pending(fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, server: str, method: str, path: str) -> Fault | None:
        """Return the fault for this request and count it."""
        if not self._faults:
            return None
        with self._lock:
            for pending in self._faults:
                if pending.matches(server, method, path):
                    if pending.left == 0:
                        self._faults.remove(pending)
                    return pending.fault
        return None


@dataclass(eq=False)
class _Pending:
    fault: Fault
    skip: int
    left: int | None
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.fault.seed)  # noqa: S311 - chooses requests

    def matches(self, server: str, method: str, path: str) -> bool:
        fault = self.fault
        if fault.server not in (None, server) or fault.method not in (None, method):
            return False
        if not re.search(fault.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if fault.rate < 1 and self.random.random() >= fault.rate:
            return False
        if self.left is not None:
            self.left -= 1
        return True
