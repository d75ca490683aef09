"""What was added to items, and from where: countable, and readable as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

__all__ = ["Description", "Note"]

T = TypeVar("T")

_SOURCES = {
    "item": "the item itself",
    "metadata": "its metadata document",
    "header": "the header of a file",
    "documents": "the provider's documentation",
}


class Note(Protocol):
    """A callback for each field that is written: on which asset, which field, from what source.

    The asset is given by its key, or ``None`` for the item itself; the source is a key of the
    sources named under :attr:`Description.added`.
    """

    def __call__(self, where: str | None, name: str, source: str, /) -> None:
        """Take note of one field."""


@dataclass(frozen=True)
class Description(Generic[T]):
    """Items made whole, and what was added to make them so.

    ``print(description)`` shows it as text.
    """

    items: T
    """The described items, in the form in which they were given."""
    count: int
    """How many items there are."""
    added: Counter[tuple[str | None, str, str]] = field(default_factory=Counter)
    """How many items got a field: by asset key (``None``: the item itself), name and source.
    The source is one of ``item``, ``metadata``, ``header``, ``documents``."""
    without_grid: int = 0
    """How many items have data whose place in the world is still not known."""

    def __str__(self) -> str:
        """Return one line for each place and source."""
        lines: dict[tuple[str, str], list[str]] = {}
        for (where, name, source), count in self.added.items():
            some = "" if count == self.count else f" ({count})"
            lines.setdefault((where or "item", source), []).append(f"{name}{some}")
        text = [f"{self.count} items described" + ("" if lines else ": nothing was missing")]
        text += [
            f"  {where}: {', '.join(names)}; from {_SOURCES[source]}"
            for (where, source), names in lines.items()
        ]
        if self.without_grid:
            text.append(f"  {self.without_grid} items still lack the grid of some of their data")
        return "\n".join(text)
