"""Failures on the command line: one or two lines on standard error, and an exit code.

====  =========================================
0     done
1     failed
2     wrong usage
3     not authenticated
130   interrupted
====  =========================================
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import textwrap
import traceback
from typing import TYPE_CHECKING

import typer

from constellr_stac._text import redact
from constellr_stac.errors import (
    AuthenticationError,
    ConstellrError,
    CredentialsNotFoundError,
    InsecureURLError,
)

if TYPE_CHECKING:
    from .flags import Flags

__all__ = [
    "AUTHENTICATION_ERRORS",
    "FAILED",
    "INTERRUPTED",
    "UNAUTHENTICATED",
    "USAGE",
    "Failure",
    "Interruption",
    "report",
]

FAILED, USAGE, UNAUTHENTICATED, INTERRUPTED = 1, 2, 3, 130

AUTHENTICATION_ERRORS = (AuthenticationError, CredentialsNotFoundError)
_PLACES = re.compile(r"Searched:\n(?:  - .*\n)+")

# typer has no public name for the base class of its usage errors.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Failure(ConstellrError):  # noqa: N818 - ends a command; not to be caught
    """A command failed, although it was called correctly."""


class Interruption(Exception):  # noqa: N818 - not an error
    """Ctrl-C, with a message."""


def report(error: BaseException, flags: Flags) -> int:
    """Print an error to standard error and return the exit code."""
    code, lines = _explain(error, verbose=flags.verbose > 0)
    if flags.traceback or flags.verbose > 1:
        lines = "".join(traceback.format_exception(error)).splitlines()
    elif sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        lines = [part for line in "\n".join(lines).splitlines() for part in _wrap(line, width)]
    if isinstance(error, typer.Abort) and sys.stderr.isatty():
        sys.stderr.write("\n")  # the cursor is still on the prompt's line
    with contextlib.suppress(OSError):  # stderr is gone
        for line in lines:
            sys.stderr.write(f"{_escape(redact(line))}\n")
    return code


def _explain(error: BaseException, *, verbose: bool) -> tuple[int, list[str]]:
    """Return the exit code and the lines to print."""
    notes = list(getattr(error, "__notes__", ()))
    if isinstance(error, (Interruption, KeyboardInterrupt, typer.Abort)):
        text = " ".join(map(str, error.args))
        text = text if text.startswith("Interrupted") else f"Interrupted. {text}".rstrip()
        return INTERRUPTED, [text, *notes]
    if isinstance(error, _UsageError):
        return USAGE, _usage_lines(error)
    if isinstance(error, ConstellrError):
        code = UNAUTHENTICATED if isinstance(error, AUTHENTICATION_ERRORS) else FAILED
        code = USAGE if isinstance(error, InsecureURLError) else code
        text = str(error) if verbose else _PLACES.sub(_count_places, str(error))
        return code, [f"Error: {text}", *notes]
    if isinstance(error, ValueError):  # this package's error for invalid arguments
        return USAGE, [f"Error: {error}", *notes]
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename else ""
        return FAILED, [f"Error: {file}{error.strerror or error}.", *notes]
    return FAILED, [
        f"Error: {type(error).__name__}: {error}",
        "This is unexpected; --traceback shows where it was raised.",
        *notes,
    ]


def _usage_lines(error: Exception) -> list[str]:
    """Return typer's message and a hint at ``--help``."""
    message = getattr(error, "format_message", error.__str__)().strip()
    message = message.removeprefix("Invalid value: ")
    context = getattr(error, "ctx", None)
    if context is None:
        return [f"Error: {message}"]
    return [f"Error: {message}", f"Try '{context.command_path} --help'."]


def _escape(text: str) -> str:
    """Escape control characters, which a server may have sent."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text
    )


def _wrap(line: str, width: int) -> list[str]:
    """Wrap a line between words; URLs and paths stay whole, to be copied."""
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]


def _count_places(places: re.Match[str]) -> str:
    return f"Searched {places[0].count('  - ')} places (-v lists them).\n"
