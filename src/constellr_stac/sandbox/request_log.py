"""Log of requests: one :class:`Exchange` each, in order of arrival."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Exchange", "RequestLog"]


@dataclass(slots=True)
class Exchange:
    """One request and its answer.

    Logged on arrival of the headers and completed later: ``status`` is ``None`` until answered.
    """

    server: Literal["api", "store"]
    """The server."""
    method: str
    """The HTTP method, in capitals."""
    path: str
    """The percent-decoded path."""
    query: str = field(repr=False)
    """The raw query without question mark; may hold a signature."""
    headers: dict[str, str] = field(repr=False)
    """The request's headers by lower-case name; may hold a credential."""
    when: datetime
    """Time of arrival on the servers' clock (UTC)."""
    body: bytes = field(default=b"", repr=False)
    """The request's body, as far as received."""
    status: int | None = None
    """The answer's status."""


class RequestLog:
    """The exchanges of both servers."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Append an exchange."""
        self._exchanges.append(exchange)

    def exchanges(self) -> list[Exchange]:
        """Return the exchanges so far, oldest first."""
        return list(self._exchanges)

    def clear(self) -> None:
        """Remove all exchanges."""
        self._exchanges = []
