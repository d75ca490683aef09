"""What is given on the command line, in a file or on standard input, as values.

Whatever cannot be read is wrong usage, and is said before anything is done.
"""

import json
import math
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

__all__ = ["STDIN", "bbox", "duration", "from_json", "from_yaml", "read_text", "readable"]

STDIN = "-"
"""What stands for standard input."""

_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?P<count>\d+(?:\.\d*)?)\s*(?P<unit>[a-z]*)")
_EDGES = 4


def duration(text: str) -> timedelta:
    """Read a time span: ``30`` and ``30s`` are seconds, ``500ms``, ``10m``, ``24h``, ``7d``.

    Raises:
        typer.BadParameter: It is none.

    Example:
        >>> duration("1.5h")
        datetime.timedelta(seconds=5400)
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or found["unit"] not in _UNITS:
        msg = f"{text!r} is no time span; one is 30s, 500ms, 10m, 24h or 7d."
        raise typer.BadParameter(msg)
    try:
        return timedelta(seconds=float(found["count"]) * _UNITS[found["unit"]])
    except OverflowError:
        msg = f"{text!r} is too long."
        raise typer.BadParameter(msg) from None


def bbox(text: str) -> tuple[float, ...]:
    """Read a box: west, south, east, north in degrees, with commas between them.

    Raises:
        typer.BadParameter: It is none.

    Example:
        >>> bbox("-118.3, 33.7, -118.1, 33.9")
        (-118.3, 33.7, -118.1, 33.9)
    """
    try:
        edges = tuple(float(edge) for edge in text.split(","))
    except ValueError:
        edges = ()
    if len(edges) != _EDGES or not all(map(math.isfinite, edges)):
        msg = f"{text!r} is no box; one is west,south,east,north: -118.3,33.7,-118.1,33.9."
        raise typer.BadParameter(msg)
    _, south, _, north = edges
    if not -90 <= south <= north <= 90:  # noqa: PLR2004 - degrees of latitude
        msg = f"{text!r}: south has to be below north, both between -90 and 90 degrees."
        raise typer.BadParameter(msg)
    return edges


def read_text(source: str) -> str:
    """Return what is in a file, or on standard input.

    Args:
        source: A path or ``-``.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    if source == STDIN:
        if sys.stdin.isatty():
            msg = "- reads standard input, and nothing is piped into it."
            raise typer.BadParameter(msg)
        return sys.stdin.read().removeprefix("\ufeff")  # with which Windows marks its texts
    try:
        return readable(source).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{source} is not text."
        raise typer.BadParameter(msg) from error


def readable(source: str) -> Path:
    """Return the path of a file that can be read.

    Raises:
        typer.BadParameter: It cannot.
    """
    path = Path(source)
    try:
        path.open("rb").close()
    except OSError as error:
        msg = f"{source}: {error.strerror or error}."
        raise typer.BadParameter(msg) from error
    return path


def from_json(source: str) -> Any:
    """Return the JSON in a file, or on standard input.

    Args:
        source: A path or ``-``.

    Raises:
        typer.BadParameter: It cannot be read, or is none.
    """
    text = read_text(source)
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{_named(source)} is not JSON: {error}.") from error


def from_yaml(source: str) -> Any:
    """Return the YAML or JSON in a file, or on standard input.

    Args:
        source: A path or ``-``.

    Raises:
        typer.BadParameter: It cannot be read, or is neither.
    """
    import yaml

    text = read_text(source)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise typer.BadParameter(
            f"{_named(source)} is neither YAML nor JSON: {problem}."
        ) from error


def _named(source: str) -> str:
    return "Standard input" if source == STDIN else source
