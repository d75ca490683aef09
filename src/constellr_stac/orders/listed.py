"""Lists of records that a notebook shows as a table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from constellr_stac._text import html_row

from .records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Listed", "RecordList"]

R = TypeVar("R", bound=Record)

_ROWS = 20


class RecordList(list[R]):
    """A list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return _table(self[:_ROWS], len(self) - _ROWS)


class Listed(Iterator[R]):
    """An iterator that a notebook shows as a table of the next records, which it still yields.

    Showing it may request the first page.

    Args:
        records: The records.
    """

    def __init__(self, records: Iterable[R]) -> None:
        self._records = iter(records)

    def __next__(self) -> R:
        return next(self._records)

    def _repr_html_(self) -> str:
        ahead = list(islice(self._records, _ROWS + 1))
        self._records = chain(ahead, self._records)
        return _table(ahead[:_ROWS], len(ahead) - _ROWS)


def _table(records: Sequence[Record], more: int) -> str:
    """Return records as rows, with a column for each field that one of them has."""
    rows = [dict(record.__repr_args__()) for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [html_row(*map(str, columns), headings=len(columns))]
    lines += [html_row(*(str(row.get(name, "")) for name in columns)) for row in rows]
    if more > 0:
        lines.append(html_row("…"))
    return f"<table>{''.join(lines)}</table>" if records else "<p>None.</p>"
