"""The ``constellr`` application: all commands, and the one place that runs them."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from typer import Exit, Option

from . import account, areas, demo, doctor, orders, sandbox, search, statistics
from . import cube as cubes
from . import download as fetch
from .command import group
from .errors import FAILED, report
from .flags import Flags

__all__ = ["app", "run"]


def _show_version(is_set: bool) -> None:  # noqa: FBT001 - typer's signature
    if is_set:
        from importlib.metadata import version

        typer.echo(f"constellr {version('constellr-stac')}")
        raise Exit


@dataclass
class _Options(Flags):
    version: Annotated[
        bool,
        Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False


app = group(
    "Constellr's land surface temperature scenes: order, search, load and download them.",
    "constellr demo",
    "constellr login --api-key",
    "constellr search -c lstprecision --bbox -118.3,33.7,-118.1,33.9",
    options=_Options,
)
app.add_typer(account.commands)
app.add_typer(search.commands)
app.add_typer(cubes.commands)
app.add_typer(statistics.commands)
app.add_typer(fetch.commands)
app.add_typer(orders.commands, name="orders")
app.add_typer(areas.commands, name="aoi")
app.add_typer(areas.products)
app.add_typer(sandbox.commands)
app.add_typer(demo.commands)
app.add_typer(doctor.commands)


def run() -> int:
    """Run the command line of this process and return the exit code."""
    flags = Flags()
    try:
        main = typer.main.get_command(app)
        code = main(prog_name="constellr", standalone_mode=False, obj=flags)
        sys.stdout.flush()  # a failing flush is reported below
    except SystemExit as error:  # completion was installed, or the reader closed the pipe
        return error.code if isinstance(error.code, int) else FAILED
    except BrokenPipeError:  # the reader closed the pipe
        return FAILED
    except BaseException as error:  # noqa: BLE001 - every failure is reported here
        return report(error, flags)
    return code if isinstance(code, int) else 0
