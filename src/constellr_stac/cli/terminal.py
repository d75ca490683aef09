"""Output of commands: results to standard output, everything else to standard error.

People get tables, ``--json`` gets JSON. Without a terminal there are no colours, bars or
questions.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from constellr_stac._text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

__all__ = ["Terminal"]

_ANY_WIDTH = 10_000
_NUMBER = re.compile(r"-?\d+(\.\d+)?|nan")


class Terminal:
    """Standard input, output and error of one command."""

    def __init__(self, *, as_json: bool = False, verbose: int = 0) -> None:
        self.as_json = as_json
        self.verbose = verbose

    @functools.cached_property
    def out(self) -> Console:
        """Standard output. In a pipe, lines are not wrapped."""
        return _console(stderr=False)

    @functools.cached_property
    def err(self) -> Console:
        """Standard error."""
        return _console(stderr=True)

    def json(self, value: Any) -> None:
        """Print a value as JSON; times become strings, NaN and infinity ``null``."""
        text = json.dumps(_jsonable(value), indent=2, allow_nan=False)
        sys.stdout.write(f"{text}\n")

    def result(self, value: Any, *lines: str) -> None:
        """Print the result: ``value`` with ``--json``, else lines."""
        if self.as_json:
            self.json(value)
            return
        for line in lines:
            self.line(line)

    def line(self, text: str) -> None:
        """Print one line of the result, unwrapped."""
        sys.stdout.write(f"{shown(text)}\n")

    def note(self, text: str) -> None:
        """Print a line to standard error."""
        self.err.print(shown(text), soft_wrap=not self.err.is_terminal)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, stderr: bool = False
    ) -> None:
        """Print rows under headings; numbers align right, ``None`` is blank.

        In a terminal that is too narrow, the last columns are hidden and named on standard error.
        With ``stderr``, the table itself is printed there, with all columns, wrapped if necessary.
        """
        from rich.table import Table
        from rich.text import Text

        console = self.err if stderr else self.out
        cells = [[_format(value) for value in row] for row in rows]
        by_column = list(zip(columns, *cells, strict=True))
        widths = [max(map(len, column)) for column in by_column]
        fitting = len(columns) if stderr else max(1, _fitting(widths, console.width))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading, *column in by_column[:fitting]:
            are_numbers = all(_NUMBER.fullmatch(cell) for cell in column if cell)
            table.add_column(heading, justify="right" if are_numbers else "left", overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row[:fitting]))
        _print(console, table)
        if fitting < len(columns):
            hidden = ", ".join(columns[fitting:])
            self.note(f"Columns hidden (terminal too narrow): {hidden}. --json has all.")

    def facts(self, value: Any, facts: Iterable[tuple[str, Any]]) -> None:
        """Print the result: ``value`` with ``--json``, else a line for each fact but ``None``."""
        if self.as_json:
            self.json(value)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, fact in facts:
            if fact is not None:
                table.add_row(name, Text(_format(fact)))
        _print(self.out, table)

    def ask(self, question: str, *, option: str) -> bool:
        """Ask a yes-or-no question.

        Raises:
            typer.BadParameter: Not interactive; the message names ``option``.
            typer.Abort: Ctrl-C or end of input.
        """
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"Not interactive; pass {option}.")
        return typer.confirm(question, err=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show a spinner in a terminal."""
        if self.verbose or not self.err.is_terminal:
            yield
            return
        with self.err.status(text):
            yield


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _ANY_WIDTH
    return console


def _print(console: Console, table: Table) -> None:
    """Print a table; in a pipe, without trailing spaces."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")


def _format(value: Any) -> str:
    """Format a value for people."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return f"{value:g}" if isinstance(value, float) else shown(str(value))


def _jsonable(value: Any) -> Any:
    """Return a value that JSON can represent."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if value - value == 0 else None  # neither infinite nor NaN
    if value is None or isinstance(value, (bool, int, str)):
        return value
    isoformat = getattr(value, "isoformat", None)
    return str(value) if isoformat is None else isoformat().replace("+00:00", "Z")


def _fitting(widths: Iterable[int], limit: int) -> int:
    """Return how many columns, two spaces apart, fit into ``limit`` characters."""
    ends = itertools.accumulate(widths, lambda end, width: end + 2 + width)
    return sum(end <= limit for end in ends)
