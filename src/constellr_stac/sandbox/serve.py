"""A sandbox for a shell: prints what to export, and serves until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from constellr_stac.sandbox import Sandbox

__all__ = ["export", "serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_UP = 0.2  # seconds; on Windows a signal does not end a wait


def export(variables: Mapping[str, str]) -> None:
    """Print ``export NAME='value'`` for a POSIX shell, a line for each variable."""
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={_quoted(value)}\n")


def serve(sandbox: Sandbox, *, show: Callable[[Mapping[str, str]], None] = export) -> None:
    """Run the sandbox until SIGINT or SIGTERM.

    What is shown is flushed, so that whoever reads it may go on at once.

    Args:
        sandbox: One that is not started; it is stopped in the end.

    Keyword Args:
        show: Shows the environment variables with which the sandbox is found.

    Raises:
        ValueError: This is not the main thread, which signals come to.
    """
    told_to_stop = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        told_to_stop.set()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        with sandbox:
            show(sandbox.environment())
            sys.stdout.flush()
            while not told_to_stop.wait(_LOOK_UP):
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quoted(value: str) -> str:
    """Quote for a POSIX shell; always, as ``shlex.quote`` leaves plain words bare."""
    return "'" + value.replace("'", "'\"'\"'") + "'"
