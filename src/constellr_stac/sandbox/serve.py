"""Serve a sandbox from a shell until a signal."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from constellr_stac.sandbox import Sandbox

__all__ = ["export", "serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.2  # on Windows a signal does not interrupt a wait


def export(variables: Mapping[str, str]) -> None:
    """Print ``export NAME='value'`` lines for a POSIX shell."""
    for name, value in variables.items():
        quoted = value.replace("'", "'\"'\"'")  # as by shlex.quote, which does not always quote
        sys.stdout.write(f"export {name}='{quoted}'\n")


def serve(sandbox: Sandbox, *, show: Callable[[Mapping[str, str]], None] = export) -> None:
    """Run a sandbox until SIGINT or SIGTERM.

    Args:
        sandbox: One that is not started; it is stopped at the end.

    Keyword Args:
        show: Prints the environment variables; the output is flushed.

    Raises:
        ValueError: Not called in the main thread.
    """
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in _SIGNALS}
    try:
        with sandbox:
            show(sandbox.environment())
            sys.stdout.flush()
            while not stopped.wait(_POLL_SECONDS):
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
