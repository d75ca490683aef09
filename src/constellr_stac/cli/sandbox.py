"""``constellr sandbox``: the API and an object store on this machine, for a shell or a program."""

import os
import signal
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .command import command
from .errors import Failure
from .inputs import duration
from .terminal import Terminal

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

__all__ = ["commands"]

commands = typer.Typer()

_OURS = ("CONSTELLR_", "AWS_")


@dataclass(frozen=True)
class Knobs:
    """What the sandbox is asked to be."""

    token_lifetime: Annotated[
        str, typer.Option(metavar="TIME", help="How long a token is good for.")
    ] = "24h"  # noqa: S105 - a time
    url_lifetime: Annotated[
        str, typer.Option(metavar="TIME", help="How long a pre-signed URL is good for.")
    ] = "1h"
    session_lifetime: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long the AWS credentials live.")
    ] = None
    presigned: Annotated[
        bool, typer.Option("--presigned", help="Items carry pre-signed URLs, no s3:// hrefs.")
    ] = False
    api_key: Annotated[
        bool, typer.Option("--api-key", help="The account takes an API key, and no password.")
    ] = False
    newer: Annotated[bool, typer.Option("--newer", help="Speak the newer form of the API.")] = False
    latency: Annotated[str, typer.Option(metavar="TIME", help="How long each request waits.")] = (
        "0s"
    )
    delivery: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin with no scenes; an order brings them within this time.",
        ),
    ] = None
    today: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="The date that the API checks orders against; `orders create` knows the real "
            "one, so it needs --no-check.",
        ),
    ] = None
    scenes: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Serve the scenes in this folder, not our own."),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a :class:`constellr_stac.sandbox.Sandbox`.

        Raises:
            typer.BadParameter: One of the options cannot be read.
        """
        try:
            today = None if self.today is None else date.fromisoformat(self.today)
        except ValueError as error:
            raise typer.BadParameter(f"{self.today!r} is no date; one is 2026-06-01.") from error
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
        list[str] | None,
        typer.Argument(metavar="-- PROGRAM", help="Run this within the sandbox."),
    ] = None,
    *,
    knobs: Knobs,
) -> None:
    """Run the API with real scenes on this machine.

    It prints the environment variables to export in another terminal, and serves until Ctrl-C.
    With a program, it runs that with these variables set, and ends when the program does.
    """
    from constellr_stac.sandbox import Sandbox
    from constellr_stac.sandbox.serve import serve

    made = Sandbox(**knobs.arguments())
    if program:
        with made:
            code = _run(program, made)
        raise typer.Exit(code)
    terminal.note("Export these in another terminal; Ctrl-C ends the sandbox.")
    if terminal.as_json:
        serve(made, show=terminal.json)
    else:
        serve(made)


def _run(program: list[str], sandbox: "Sandbox") -> int:
    """Run a program to which the sandbox is the world, and return its exit code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    try:
        process = subprocess.Popen(program, env={**kept, **sandbox.environment()})  # noqa: S603 - the user's own
    except OSError as error:
        raise Failure(f"{program[0]}: {error.strerror or error}.") from error
    # Ctrl-C reaches the program, too: it decides when to end.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
