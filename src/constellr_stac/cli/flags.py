"""Options of every command, and of several. Annotations are read at run time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from typer import Option

__all__ = ["Flags", "Limit", "Yes"]

Limit = Annotated[int | None, Option(min=1, help="Maximum number.", show_default="all")]
Yes = Annotated[bool, Option("--yes", "-y", help="Do not ask for confirmation.")]


@dataclass
class Flags:
    """Options of every command, before or after its name."""

    as_json: Annotated[bool, Option("--json", help="Print only JSON.")] = False
    verbose: Annotated[
        int,
        Option(
            "--verbose",
            "-v",
            count=True,
            help="Log requests; twice: everything.",
            show_default=False,
        ),
    ] = 0
    traceback: Annotated[bool, Option("--traceback", help="Show the traceback of an error.")] = (
        False
    )

    def add(self, values: Mapping[str, Any]) -> None:
        """Merge the values given at one more place of the command line."""
        self.as_json |= values["as_json"]
        self.verbose += values["verbose"]
        self.traceback |= values["traceback"]
