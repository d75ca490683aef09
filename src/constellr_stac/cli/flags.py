"""The options that every command takes. Annotations are looked at while the program runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

__all__ = ["Flags"]


@dataclass
class Flags:
    """The options that every command takes, before or after its name."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Say more; twice: everything.", show_default=False
        ),
    ] = 0
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the code an error arose.")
    ] = False

    def add(self, values: Mapping[str, Any]) -> None:
        """Take what was given at one more place of the command line."""
        self.as_json |= values["as_json"]
        self.verbose += values["verbose"]
        self.traceback |= values["traceback"]
