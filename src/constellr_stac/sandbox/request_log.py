"""What went over the wire: one :class:`Exchange` for every request, in order of arrival."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Exchange", "Ledger"]


@dataclass(slots=True)
class Exchange:
    """One request and how it was answered.

    It is written down when its head arrives, and completed as it goes on: an exchange whose
    ``status`` is ``None`` was not answered, or is not yet.
    """

    server: Literal["api", "store"]
    """Which of the two servers was asked."""
    method: str
    """The method, in capitals."""
    path: str
    """The path, with its percent-encoding undone."""
    query: str = field(repr=False)
    """The query as it was received, without the question mark; it may hold a signature."""
    headers: dict[str, str] = field(repr=False)
    """The request's headers by lower-case name; they may hold a credential."""
    when: datetime
    """When the request arrived, in the servers' time (UTC)."""
    body: bytes = field(default=b"", repr=False)
    """The request's body, as far as it arrived."""
    status: int | None = None
    """The status of the answer."""


class Ledger:
    """The exchanges of both servers; servers write, anyone may read at any time."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Write one down."""
        self._exchanges.append(exchange)

    def exchanges(self) -> list[Exchange]:
        """Return those written down so far, oldest first."""
        return list(self._exchanges)

    def clear(self) -> None:
        """Forget them."""
        self._exchanges = []
