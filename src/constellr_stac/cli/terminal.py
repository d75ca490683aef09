"""Where commands print: results on standard output, everything else on standard error.

People get tables, ``--json`` gets JSON. Without a terminal there is no colour, no bar and no
question. Nothing here knows what it prints.
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

__all__ = ["Terminal"]

_ANY_WIDTH = 10_000
_NUMBER = re.compile(r"-?\d+(\.\d+)?|nan")


class Terminal:
    """Standard input, output and error of one command.

    Keyword Args:
        as_json: Whether JSON is wanted.
        verbose: How much is to be said beside the result.
    """

    def __init__(self, *, as_json: bool = False, verbose: int = 0) -> None:
        self.as_json = as_json
        self.verbose = verbose

    @functools.cached_property
    def out(self) -> Console:
        """Standard output. In a pipe, lines are as long as they need to be."""
        return _console(stderr=False)

    @functools.cached_property
    def err(self) -> Console:
        """Standard error."""
        return _console(stderr=True)

    def json(self, value: Any) -> None:
        """Print a value as JSON; times become text, and what is no number ``null``."""
        text = json.dumps(_plain(value), indent=2, allow_nan=False)
        sys.stdout.write(f"{text}\n")

    def line(self, text: str) -> None:
        """Print a line of the result as it is, however long."""
        sys.stdout.write(f"{text}\n")

    def note(self, text: str) -> None:
        """Say something beside the result."""
        self.err.print(text, soft_wrap=not self.err.is_terminal)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, beside: bool = False
    ) -> None:
        """Print rows under headings; numbers stand at the right, ``None`` is left empty.

        A result leaves out the last columns where the terminal has no room for them, and says
        so: what is there is whole, and can be copied. In a pipe there is room for all.

        Args:
            columns: The headings, the most important first.
            rows: What stands below them.

        Keyword Args:
            beside: Whether it is no result, but to be read beside it, on standard error. Then
                all columns are there, broken if need be.
        """
        from rich.table import Column, Table
        from rich.text import Text

        console = self.err if beside else self.out
        cells = [[_shown(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        shown = len(columns) if beside else max(1, _fitting(widths, console.width))
        headings = [
            Column(heading, justify="right" if _are_numbers(column) else "left", overflow="fold")
            for heading, *column in zip(
                columns[:shown], *(row[:shown] for row in cells), strict=True
            )
        ]
        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*map(Text, row[:shown]))
        _print(console, table)
        if shown < len(columns):
            left_out = ", ".join(columns[shown:])
            self.note(f"Not shown for want of room: {left_out} (--json has all).")

    def facts(self, facts: Iterable[tuple[str, Any]]) -> None:
        """Print what is known of one thing, a line for each; what is ``None`` is left out."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts:
            if value is not None:
                table.add_row(name, Text(_shown(value)))
        _print(self.out, table)

    def ask(self, question: str, *, instead: str) -> bool:
        """Ask a question that is answered with yes or no.

        Args:
            question: Without a question mark.

        Keyword Args:
            instead: What to say on the command line where nobody can be asked.

        Raises:
            typer.BadParameter: There is no terminal to ask at.
            typer.Abort: The answer was Ctrl-C or the end of the input.
        """
        if not sys.stdin.isatty():
            msg = f"There is no terminal to ask at: say {instead}."
            raise typer.BadParameter(msg)
        return typer.confirm(question, err=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show in a terminal that something is going on, until it is done."""
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
    """Print a table; in a pipe, without the space that fills its last column."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")


def _shown(value: Any) -> str:
    """Return what people read."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if value - value == 0 else None  # neither infinite nor NaN
    if value is None or isinstance(value, (bool, int, str)):
        return value
    isoformat = getattr(value, "isoformat", None)
    return str(value) if isoformat is None else isoformat().replace("+00:00", "Z")


def _fitting(widths: Iterable[int], room: int) -> int:
    """Return how many columns, two spaces apart, fit into a line."""
    ends = itertools.accumulate(widths, lambda end, width: end + 2 + width)
    return sum(end <= room for end in ends)


def _are_numbers(cells: Iterable[str]) -> bool:
    """Say whether a column is one of numbers, some of which may be missing."""
    return all(_NUMBER.fullmatch(cell) for cell in cells if cell)
