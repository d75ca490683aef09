"""Values from the command line, a file or standard input. Invalid input is wrong usage."""

import json
import math
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from typer import BadParameter

__all__ = ["STDIN", "bbox", "duration", "from_json", "from_yaml", "point", "read_text", "readable"]

STDIN = "-"
"""Argument for standard input."""

_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?P<count>\d+(?:\.\d*)?)\s*(?P<unit>[a-z]*)")
_EDGES = 4


def duration(text: str) -> timedelta:
    """Parse a duration: ``30`` and ``30s`` are seconds; also ``500ms``, ``10m``, ``24h``, ``7d``.

    Raises:
        typer.BadParameter: Not a duration.

    Example:
        >>> duration("1.5h")
        datetime.timedelta(seconds=5400)
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match["unit"] not in _UNITS:
        raise BadParameter(f"{text!r} is not a duration, such as 30s, 500ms, 10m, 24h or 7d.")
    try:
        return timedelta(seconds=float(match["count"]) * _UNITS[match["unit"]])
    except OverflowError:
        raise BadParameter(f"{text!r} is too long.") from None


def bbox(text: str) -> tuple[float, ...]:
    """Parse ``west,south,east,north`` in degrees.

    Raises:
        typer.BadParameter: Not a bounding box.

    Example:
        >>> bbox("-118.3, 33.7, -118.1, 33.9")
        (-118.3, 33.7, -118.1, 33.9)
    """
    try:
        edges = tuple(float(edge) for edge in text.split(","))
    except ValueError:
        edges = ()
    if len(edges) != _EDGES or not all(map(math.isfinite, edges)):
        raise BadParameter(
            f"{text!r} is not west,south,east,north, such as -118.3,33.7,-118.1,33.9."
        )
    _, south, _, north = edges
    if not -90 <= south <= north <= 90:  # noqa: PLR2004 - degrees of latitude
        raise BadParameter(f"{text!r}: south must be below north, both between -90 and 90 degrees.")
    return edges


def point(text: str) -> dict[str, Any]:
    """Parse ``longitude,latitude`` in degrees to a GeoJSON point.

    Raises:
        typer.BadParameter: Not a point.

    Example:
        >>> point("-118.25,33.77")
        {'type': 'Point', 'coordinates': [-118.25, 33.77]}
    """
    try:
        longitude, latitude = map(float, text.split(","))
    except ValueError:
        longitude = latitude = math.nan
    if not (abs(longitude) <= 360 and abs(latitude) <= 90):  # noqa: PLR2004 - degrees
        raise BadParameter(f"{text!r} is not longitude,latitude, such as -118.25,33.77.")
    return {"type": "Point", "coordinates": [longitude, latitude]}


def read_text(source: str) -> str:
    """Return the text of a file, or of standard input for ``-``.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    if source == STDIN:
        if sys.stdin.isatty():
            raise BadParameter("- reads standard input, but nothing is piped into it.")
        return sys.stdin.read().removeprefix("\ufeff")  # the BOM of Windows tools
    try:
        return readable(source).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadParameter(f"{source} is not text.") from error


def readable(source: str) -> Path:
    """Return the path of a readable file, else raise :class:`typer.BadParameter`."""
    path = Path(source)
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadParameter(f"{source}: {error.strerror or error}.") from error
    return path


def from_json(source: str) -> Any:
    """Return the JSON in a file, or on standard input for ``-``.

    Raises:
        typer.BadParameter: It cannot be read or parsed.
    """
    text = read_text(source)
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadParameter(f"{_name(source)} is not JSON: {error}.") from error


def from_yaml(source: str) -> Any:
    """Return the YAML or JSON in a file, or on standard input for ``-``.

    Raises:
        typer.BadParameter: It cannot be read or parsed.
    """
    import yaml

    text = read_text(source)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise BadParameter(f"{_name(source)} is neither YAML nor JSON: {problem}.") from error


def _name(source: str) -> str:
    return "Standard input" if source == STDIN else source
