"""What a failure looks like: one or two lines on standard error, and an exit code.

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

__all__ = ["FAILED", "INTERRUPTED", "UNAUTHENTICATED", "USAGE", "Failure", "Interruption", "tell"]

FAILED, USAGE, UNAUTHENTICATED, INTERRUPTED = 1, 2, 3, 130

_UNAUTHENTICATED = (AuthenticationError, CredentialsNotFoundError)
_PLACES = re.compile(r"Searched:\n(?:  - .*\n)+")

# The parent of all that typer says about wrong usage has no public name of its own.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Failure(ConstellrError):  # noqa: N818 - how a command ends; not for other code to catch
    """A command that did not succeed, and nothing was wrong with how it was called."""


class Interruption(Exception):  # noqa: N818 - no error: somebody wanted it
    """Ctrl-C, with what is to be said about it."""


def tell(error: BaseException, flags: Flags) -> int:
    """Say on standard error what went wrong.

    Args:
        error: What ended the command.
        flags: How much to say.

    Returns:
        The exit code.
    """
    code, lines = _explained(error, everything=flags.verbose > 0)
    if flags.traceback or flags.verbose > 1:
        lines = "".join(traceback.format_exception(error)).splitlines()
    elif sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        lines = [part for line in "\n".join(lines).splitlines() for part in _broken(line, width)]
    if isinstance(error, typer.Abort) and sys.stderr.isatty():
        sys.stderr.write("\n")  # the cursor is behind a question
    with contextlib.suppress(OSError):  # nobody can be told
        for line in lines:
            sys.stderr.write(f"{_printable(redact(line))}\n")
    return code


def _explained(error: BaseException, *, everything: bool) -> tuple[int, list[str]]:
    """Return the exit code, and what to say."""
    notes = list(getattr(error, "__notes__", ()))
    if isinstance(error, (Interruption, KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED, [f"Interrupted. {' '.join(map(str, error.args))}".rstrip(), *notes]
    if isinstance(error, _UsageError):
        return USAGE, _misused(error)
    if isinstance(error, ConstellrError):
        code = UNAUTHENTICATED if isinstance(error, _UNAUTHENTICATED) else FAILED
        code = USAGE if isinstance(error, InsecureURLError) else code
        text = str(error) if everything else _PLACES.sub(_counted, str(error))
        return code, [f"Error: {text}", *notes]
    if isinstance(error, ValueError):  # what this package says to arguments that make no sense
        return USAGE, [f"Error: {error}", *notes]
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename else ""
        return FAILED, [f"Error: {file}{error.strerror or error}.", *notes]
    return FAILED, [
        f"Error: {type(error).__name__}: {error}",
        "This was not expected: --traceback shows where it arose.",
        *notes,
    ]


def _misused(error: Exception) -> list[str]:
    """Return what typer says about wrong usage, in two lines."""
    message = getattr(error, "format_message", error.__str__)().strip()
    message = message.removeprefix("Invalid value: ")
    context = getattr(error, "ctx", None)
    if context is None:
        return [f"Error: {message}"]
    return [f"Error: {message}", f"Try '{context.command_path} --help'."]


def _printable(text: str) -> str:
    """Return text that moves no cursor and rings no bell, whatever a server has put into it."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text
    )


def _broken(line: str, width: int) -> list[str]:
    """Break a line between words; URLs and paths stay whole, to be copied."""
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]


def _counted(places: re.Match[str]) -> str:
    return f"Looked at {places[0].count('  - ')} places (-v lists them).\n"
