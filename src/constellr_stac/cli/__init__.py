"""The command line: ``constellr``.

Thin: each command turns its options into a call of the package and shows what comes back.
:mod:`.frame` is what all commands share, :mod:`.terminal` where they print, :mod:`.failures`
what a failure looks like. Whatever is heavy is imported inside the command that needs it.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit."""
    from .app import run

    raise SystemExit(run())
