"""An entry of the request log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Exchange"]


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
