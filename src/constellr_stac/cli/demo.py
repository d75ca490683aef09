"""``constellr demo``: the whole workflow on this machine, with real scenes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option, Typer

from .command import command
from .errors import Failure
from .terminal import Terminal

if TYPE_CHECKING:
    from .demo_steps import Report

__all__ = ["commands"]

commands = Typer()


@command(commands, "constellr demo", "constellr demo --output /tmp/demo")
def demo(
    terminal: Terminal,
    *,
    output: Annotated[
        Path, Option("--output", "-o", metavar="FOLDER", help="Where to write files.")
    ] = Path("constellr-demo"),
) -> None:
    """Order, search, load and draw real scenes in a sandbox.

    Needs no account and no network. Writes a figure and a Zarr store, and prints a table of
    temperatures.
    """
    began = time.monotonic()
    with _stage(terminal, "Import the libraries"):
        from .demo_steps import TOLERANCE, run_demo

    report = run_demo(output, lambda title: _stage(terminal, title))
    _show(terminal, report)
    difference = report.largest_difference
    if not difference <= TOLERANCE:
        raise Failure(f"A median differs by {difference:.3f} K from the scene's metadata.")
    if not terminal.as_json:
        terminal.line(
            f"All {len(report.table)} medians match the scenes' metadata within {TOLERANCE} K "
            f"(largest: {difference:.4f} K)."
        )
        terminal.line(f"Figure: {report.figure}")
        terminal.line(f"Cube:   {report.store}")
        terminal.note(
            f"Fetched {report.tokens} tokens and renewed the URLs of {report.renewed} scenes; "
            f"{time.monotonic() - began:.1f} s in total."
        )


@contextmanager
def _stage(terminal: Terminal, title: str) -> Iterator[None]:
    """Show a stage while it runs, and how long it took."""
    began = time.monotonic()
    with terminal.working(title):
        yield
    terminal.note(f"{time.monotonic() - began:5.1f} s  {title}")


def _show(terminal: Terminal, report: "Report") -> None:
    from constellr_stac.cube.units import FREEZING
    from constellr_stac.plot.overview import clock

    table = report.table
    if terminal.as_json:
        terminal.json(
            {
                "scenes": table.tz_localize("UTC").reset_index().to_dict("records"),
                "largest_difference": report.largest_difference,
                "figure": str(report.figure),
                "store": str(report.store),
            }
        )
        return
    columns = ("time (UTC)", "solar time", "median K", "median °C", "clear °C", "cloud %")
    rows = [
        (
            f"{when:%Y-%m-%d %H:%M}",
            clock(row["solar_hour"]),
            f"{row['median']:.2f}",
            f"{row['median'] - FREEZING:.2f}",
            f"{row['clear_median'] - FREEZING:.2f}",
            f"{100 * row['cloud_share']:.0f}",
        )
        for when, row in table.iterrows()
    ]
    terminal.table(columns, rows)
