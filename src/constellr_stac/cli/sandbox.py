"""``constellr sandbox``: the API and an object store on this machine."""

import os
import signal
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Exit, Option, Typer

from .command import command
from .errors import Failure
from .inputs import duration
from .terminal import Terminal

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

__all__ = ["commands"]

commands = Typer()

_PREFIXES = ("CONSTELLR_", "AWS_")


@dataclass(frozen=True)
class SandboxOptions:
    """Options of :class:`constellr_stac.sandbox.Sandbox`."""

    token_lifetime: Annotated[str, Option(metavar="TIME", help="Token lifetime.")] = "24h"  # noqa: S105 - a duration
    url_lifetime: Annotated[str, Option(metavar="TIME", help="Pre-signed URL lifetime.")] = "1h"
    session_lifetime: Annotated[
        str | None, Option(metavar="TIME", help="AWS session lifetime.")
    ] = None
    presigned: Annotated[
        bool, Option("--presigned", help="Pre-signed URLs instead of s3:// hrefs.")
    ] = False
    api_key: Annotated[bool, Option("--api-key", help="Accept an API key, not a password.")] = False
    newer: Annotated[bool, Option("--newer", help="Use the newer API.")] = False
    latency: Annotated[str, Option(metavar="TIME", help="Delay of each request.")] = "0s"
    delivery: Annotated[
        str | None,
        Option(metavar="TIME", help="Start without scenes; orders deliver them within this time."),
    ] = None
    today: Annotated[
        str | None,
        Option(
            metavar="DATE",
            help="Date the API checks orders against; `orders create` uses the real one, so "
            "pass --no-check.",
        ),
    ] = None
    scenes: Annotated[
        Path | None, Option(metavar="FOLDER", help="Serve the scenes in this folder.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :class:`constellr_stac.sandbox.Sandbox`."""
        try:
            today = None if self.today is None else date.fromisoformat(self.today)
        except ValueError as error:
            raise BadParameter(f"{self.today!r} is not a date, such as 2026-06-01.") from error
        return {
            "scenes": self.scenes,
            "token_lifetime": duration(self.token_lifetime),
            "url_lifetime": duration(self.url_lifetime),
            "session_lifetime": self.session_lifetime and duration(self.session_lifetime),
            "presigned": self.presigned,
            "api_key_mode": self.api_key,
            "newer": self.newer,
            "latency": duration(self.latency).total_seconds(),
            "delivery": self.delivery and duration(self.delivery),
            "today": today,
        }


@command(
    commands,
    "constellr sandbox",
    "constellr sandbox -- pytest tests",
    "constellr sandbox --presigned --url-lifetime 5s -- python long_compute.py",
)
def sandbox(
    terminal: Terminal,
    program: Annotated[
        list[str] | None, Argument(metavar="-- PROGRAM", help="Program to run in the sandbox.")
    ] = None,
    *,
    options: SandboxOptions,
) -> None:
    """Run the API with real scenes on this machine.

    Prints the environment variables to export in another terminal and serves until Ctrl-C. With a
    program, runs it with these variables and exits with its exit code.
    """
    from constellr_stac.sandbox import Sandbox
    from constellr_stac.sandbox.serve import serve

    server = Sandbox(**options.arguments())
    if program:
        with server:
            code = _run(program, server)
        raise Exit(code)
    terminal.note("Export these in another terminal; Ctrl-C stops the sandbox.")
    if terminal.as_json:
        serve(server, show=terminal.json)
    else:
        serve(server)


def _run(program: list[str], sandbox: "Sandbox") -> int:
    """Run a program in the sandbox's environment and return its exit code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
    try:
        process = subprocess.Popen(program, env={**kept, **sandbox.environment()})  # noqa: S603 - the user's own program
    except OSError as error:
        raise Failure(f"{program[0]}: {error.strerror or error}.") from error
    # Ctrl-C reaches the program too, which decides when to exit.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
