"""The base of the API's values, lists of them, and times as they hold them: aware and in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from constellr_stac._text import html_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Listed", "Record", "RecordList", "UtcTime", "parse_time"]

_ROWS = 20
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?\s*")


def _reject_numbers(value: Any) -> Any:
    """Reject numbers such as ``start_date=2026``: pydantic reads them as seconds since 1970."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        msg = "expected a date or time such as 2026-09-27 or 2026-09-27T10:30:00Z"
        raise ValueError(msg)
    return value


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        msg = "the time in UTC is outside the years 1 to 9999"
        raise ValueError(msg) from error


UtcTime = Annotated[datetime, BeforeValidator(_reject_numbers), AfterValidator(_to_utc)]

_UTC_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)


def parse_time(value: datetime | date | str) -> datetime:
    """Return a time as an order holds it: aware, in UTC.

    Raises:
        ValueError: It is not a time.

    Example:
        >>> parse_time("2026-09-01").isoformat()
        '2026-09-01T00:00:00+00:00'
    """
    return _UTC_TIME.validate_python(value)


class Record(BaseModel):
    """Base of the API's values: immutable, with unknown fields kept and a short repr."""

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="constants")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that were set as JSON-serializable values, including unknown fields.

        ``type(record).model_validate(record.to_dict())`` is an equal value.
        """
        return self.model_dump(mode="json", exclude_unset=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        given = {**self.__dict__, **(self.model_extra or {})}
        return [(name, _display(value)) for name, value in given.items() if not _is_empty(value)]

    def _repr_html_(self) -> str:
        rows = "".join(
            html_row(str(name), str(value), headings=1) for name, value in self.__repr_args__()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


R = TypeVar("R", bound=Record)


class RecordList(list[R]):
    """A list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return _table(self[:_ROWS], len(self) - _ROWS)


class Listed(Iterator[R]):
    """An iterator that a notebook shows as a table of the next records, which it still yields.

    Showing it may request the first page.
    """

    def __init__(self, records: Iterable[R]) -> None:
        self._records = iter(records)

    def __next__(self) -> R:
        return next(self._records)

    def _repr_html_(self) -> str:
        ahead = list(islice(self._records, _ROWS + 1))
        self._records = chain(ahead, self._records)
        return _table(ahead[:_ROWS], len(ahead) - _ROWS)


def _is_empty(value: Any) -> bool:
    return value is None or value in ((), [], {})


def _display(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [str(value) if isinstance(value, Record) else _display(value) for value in value]
    return value


def _table(records: Sequence[Record], more: int) -> str:
    """Return records as rows, with a column for each field that one of them has."""
    rows = [dict(record.__repr_args__()) for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [html_row(*map(str, columns), headings=len(columns))]
    lines += [html_row(*(str(row.get(name, "")) for name in columns)) for row in rows]
    if more > 0:
        lines.append(html_row("…"))
    return f"<table>{''.join(lines)}</table>" if records else "<p>None.</p>"
