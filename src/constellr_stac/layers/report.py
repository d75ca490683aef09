"""The report of fields added to items, and their sources."""

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
    """A callback for each added field."""

    def __call__(self, where: str | None, name: str, source: str, /) -> None:
        """Record one field.

        Args:
            where: The asset's key; ``None`` for the item itself.
            name: The field.
            source: A source of :attr:`Description.added`.
        """


@dataclass(frozen=True)
class Description(Generic[T]):
    """Completed items, and a report of the added fields.

    ``print(description)`` shows the report.
    """

    items: T
    """The completed items, in the form in which they were passed."""
    count: int
    """The number of items."""
    added: Counter[tuple[str | None, str, str]] = field(default_factory=Counter)
    """The number of items that got a field, by asset key (``None``: the item itself), name and
    source (``item``, ``metadata``, ``header`` or ``documents``)."""
    without_grid: int = 0
    """The number of items with data whose grid is still unknown."""

    def __str__(self) -> str:
        """Return one line per asset and source."""
        lines: dict[tuple[str, str], list[str]] = {}
        for (where, name, source), count in self.added.items():
            some = "" if count == self.count else f" ({count})"
            lines.setdefault((where or "item", source), []).append(f"{name}{some}")
        text = [f"{self.count} items described" + ("" if lines else ": no fields were missing")]
        text += [
            f"  {where}: {', '.join(names)}; from {_SOURCES[source]}"
            for (where, source), names in lines.items()
        ]
        if self.without_grid:
            text.append(f"  {self.without_grid} items still lack the grid of some of their data")
        return "\n".join(text)
