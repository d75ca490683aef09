"""A str that masks itself in repr, format and pickle; objects that copies share."""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

__all__ = ["Secret", "SharedOnCopy"]


class Secret(str):
    """A str that masks itself in repr, ``str()``, format strings, logs and pickles.

    It is a ``str``, so that it can be a header's value; :meth:`reveal` returns the plain one.

    Example:
        >>> Secret("hunter2"), f"{Secret('hunter2')}", Secret("hunter2").reveal()
        ('***', '***', 'hunter2')
        >>> Secret(Secret("hunter2")).reveal()
        'hunter2'
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Copy the value; ``str(value)`` of a Secret would be its mask."""
        return super().__new__(cls, value.reveal() if isinstance(value, Secret) else value)

    def reveal(self) -> str:
        """Return the plain str."""
        return "".join(self)

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        """Return a part, masked as well: rich shows the beginning of long strings."""
        return Secret(super().__getitem__(key))

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return (str, ("***",))


class SharedOnCopy:
    """An object that ``copy`` and ``deepcopy`` return as it is: one holder renews a credential."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self
