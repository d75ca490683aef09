"""Filters and sorting of a search. Invalid values raise :class:`.HTTPException` (400)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import cql2
import shapely
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["SortKey", "box", "filter_of", "interval", "ordered", "overlaps"]

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_OPERATOR = re.compile(
    r"""
    and | or | not | = | <> | < | > | <= | >= | like | between | in | isnull | casei | accenti
    | \+ | - | \* | / | \^ | % | div
    | s_(contains | crosses | disjoint | equals | intersects | overlaps | touches | within)
    | t_(after | before | contains | disjoint | during | equals | finishedby | finishes)
    | t_(intersects | meets | metby | overlappedby | overlaps | startedby | starts)
    | a_(containedby | contains | equals | overlaps)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_POSITION = re.compile(r" *--> (\d+):(\d+)")


class SortKey(NamedTuple):
    """A sort field."""

    field: str
    descending: bool


def box(numbers: Sequence[float]) -> shapely.Geometry:
    """Return a bounding box of 4 or 6 numbers as a geometry, split at the antimeridian."""
    if len(numbers) not in (4, 6):
        raise _bad("bbox must have 4 or 6 numbers")
    lower, upper = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    (west, south), (east, north) = lower[:2], upper[:2]
    if any(low > high for low, high in zip(lower[1:], upper[1:], strict=True)):
        raise _bad("bbox is upside down")
    if not shapely.box(-180, -90, 180, 90).covers(shapely.multipoints([lower[:2], upper[:2]])):
        raise _bad("bbox is not in longitude and latitude")
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all(
        [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    )


def interval(text: str) -> tuple[datetime | None, datetime | None]:
    """Return the ends of an RFC 3339 instant or interval; an open end is ``None``."""
    first, slash, second = text.partition("/")
    start = _instant(first, may_be_open=bool(slash))
    if not slash:
        return start, start
    end = _instant(second, may_be_open=True)
    if start is None and end is None:
        raise _bad("datetime is open at both ends")
    if start is not None and end is not None and end < start:
        raise _bad("datetime ends before it starts")
    return start, end


def overlaps(
    queried: tuple[datetime | None, datetime | None],
    other: tuple[datetime | None, datetime | None] | None,
) -> bool:
    """Return whether two intervals overlap."""
    if other is None:
        return False
    start, end = queried
    first, last = other
    return not (start and last and last < start) and not (end and first and first > end)


def filter_of(expression: Any, language: str | None) -> Callable[[dict[str, Any]], bool]:
    """Return a CQL2 filter as a predicate; unknown counts as false."""
    if language not in (None, "cql2-json", "cql2-text"):
        raise _bad(f"filter-lang {language!r} is not supported")
    is_text = isinstance(expression, str)
    if language == "cql2-text" and not is_text:
        raise _bad("a filter in cql2-text must be a string")
    text = expression if is_text else json.dumps(expression)
    final = _parsed(text, is_json=language != "cql2-text")

    def matches(element: dict[str, Any]) -> bool:
        try:
            return bool(final.matches(element))
        except Exception as error:
            if "reduce" in str(error):  # unknown: a field is missing
                return False
            raise

    return matches


def ordered(elements: Iterable[dict[str, Any]], keys: Sequence[SortKey]) -> list[dict[str, Any]]:
    """Return the elements sorted; those without the field come last in either direction."""
    result = list(elements)
    for key in reversed(keys):  # stable sort: apply the first key last
        keyed = [(_field(element, key.field), element) for element in result]
        present = [pair for pair in keyed if pair[0] is not None]
        if len({_sort_type(value) for value, _ in present}) > 1:
            present = [(str(value), element) for value, element in present]
        present.sort(key=itemgetter(0), reverse=key.descending)
        absent = [element for value, element in keyed if value is None]
        result = [element for _, element in present] + absent
    return result


@lru_cache
def _parsed(text: str, *, is_json: bool) -> cql2.Expr:
    """Parse and validate a filter; cached, since each page repeats it and it takes 30 ms."""
    try:
        parsed = cql2.parse_json(text) if is_json else cql2.parse_text(text)
        final = cql2.Expr(_with_standard_operators(parsed.to_json()))
        final.validate()
    except (cql2.ParseError, cql2.ValidationError, ValueError) as error:
        raise _bad(f"invalid filter: {_error_line(error)}") from error
    return final


def _error_line(error: Exception) -> str:
    """Return a one-line message; the first line of cql2's may be the position only."""
    first, _, more = str(error).partition("\n")
    position = _POSITION.fullmatch(first)
    expected = more.rpartition("= ")[2]
    return f"line {position[1]}, column {position[2]}: {expected}" if position else first


def _instant(text: str, *, may_be_open: bool) -> datetime | None:
    if may_be_open and text in ("", ".."):
        return None
    if not _RFC3339.fullmatch(text):
        raise _bad(f"datetime: {text!r} is not RFC 3339")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except ValueError as error:
        raise _bad(f"datetime: {text!r} is not a date") from error


def _with_standard_operators(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_standard_operators(part) for part in node]
    if not isinstance(node, dict):
        return node
    changed = {name: _with_standard_operators(part) for name, part in node.items()}
    if "op" in changed and "args" in changed:
        operator = "=" if changed["op"] == "eq" else changed["op"]
        if not _OPERATOR.fullmatch(str(operator)):
            raise _bad(f"invalid filter: unknown operator or function {operator!r}")
        changed["op"] = operator
    return changed


def _sort_type(value: Any) -> type:
    """Return a type whose values can be compared."""
    return float if isinstance(value, int | float) else type(value)


def _field(element: dict[str, Any], path: str) -> Any:
    """Return a field by its dotted path, or by its name in the properties."""
    found: Any = element.get("properties", {}).get(path)
    if found is None:
        found = element
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, str) and _RFC3339.fullmatch(found):
        return datetime.fromisoformat(found.upper())
    return found if isinstance(found, str | int | float | None) else str(found)


def _bad(detail: str) -> HTTPException:
    return HTTPException(400, detail)
