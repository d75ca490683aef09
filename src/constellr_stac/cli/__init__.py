"""The command line: ``constellr``.

Thin: each command turns its options into a call of the package and shows what comes back.
:mod:`.frame` is what all commands share, :mod:`.terminal` where they print, :mod:`.failures`
what a failure looks like. Whatever is heavy is imported inside the command that needs it.
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
        _settle_streams()
        from .app import run

        code = run()
    except KeyboardInterrupt:  # the libraries are still being loaded
        sys.stderr.write("Interrupted.\n")
        code = 130
    _abandon_what_cannot_be_written()
    raise SystemExit(code)


def _abandon_what_cannot_be_written() -> None:
    """Empty the streams: Python would at its very end, and exit with 120 where it cannot."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # it has been told, or nobody can be told
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _settle_streams() -> None:
    """Make standard input, output and error such that no command has to think of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed (>&-): or the next file would be taken for it
            stream = Path(os.devnull).open(mode)  # noqa: SIM115 - it stays open to the end
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # What cannot be encoded is spelled out, as on standard error, and ends no command.
        sys.stdout.reconfigure(errors="backslashreplace")
