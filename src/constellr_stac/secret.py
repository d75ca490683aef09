"""A string that nobody gets to see by accident. Nothing else lives here."""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

__all__ = ["Secret"]


class Secret(str):
    """A string that does not show itself: not in a repr, a format string, a log or a pickle.

    It is a ``str`` so that it can be a header's value; :meth:`reveal` gives the plain one.

    Example:
        >>> Secret("hunter2"), f"{Secret('hunter2')}", Secret("hunter2").reveal()
        ('***', '***', 'hunter2')
        >>> Secret(Secret("hunter2")).reveal()
        'hunter2'
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Take the value itself, where ``str(value)`` would take a Secret's mask."""
        return super().__new__(cls, value.reveal() if isinstance(value, Secret) else value)

    def reveal(self) -> str:
        """Return the plain string."""
        return "".join(self)

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        """Return a part, as secret as the whole: rich shows the beginning of long strings."""
        return Secret(super().__getitem__(key))

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return (str, ("***",))
