"""The ``constellr`` command.

Each command maps its options to one call of the package and prints the result. Heavy imports
happen inside the command that needs them.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        _prepare_streams()
        from .app import run

        code = run()
    except KeyboardInterrupt:  # while libraries are imported
        sys.stderr.write("Interrupted.\n")
        code = 130
    _flush_streams()
    raise SystemExit(code)


def _flush_streams() -> None:
    """Flush the streams here: a failing flush at interpreter exit would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # already reported, or stderr itself is gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_streams() -> None:
    """Replace closed streams by os.devnull and escape what cannot be encoded."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed (>&-); the next open file would get its number
            stream = Path(os.devnull).open(mode)  # noqa: SIM115 - open until exit
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # As on stderr: an unencodable character is escaped and does not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")
