"""``constellr cube`` and ``constellr quicklook``: scenes as a file of numbers, or as a picture."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from constellr_stac.errors import MissingExtraError

from .command import command
from .inputs import bbox
from .output import refuse_existing, replacing, writer_for
from .scenes import ItemsArgument, Query, scenes
from .terminal import Terminal

if TYPE_CHECKING:
    import pystac
    import xarray as xr

__all__ = ["commands"]

commands = typer.Typer()


@dataclass(frozen=True)
class Loading:
    """How scenes are loaded."""

    band: Annotated[
        list[str] | None,
        typer.Option(
            "--band", "-b", metavar="NAMES", help="lst,cloud_mask,red, ...; may be repeated."
        ),
    ] = None
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSES", help="Mask out: clear, or thick,thin,shadow,castshadow,water,land."
        ),
    ] = None
    units: Annotated[str, typer.Option(metavar="K|degC", help="Of temperatures.")] = "K"
    crs: Annotated[str | None, typer.Option(help="Of the grid; else the scenes' own.")] = None
    resolution: Annotated[
        float | None, typer.Option(help="Pixel size in units of the CRS.", min=0)
    ] = None
    crop: Annotated[
        str | None, typer.Option(metavar="W,S,E,N", help="Load this box only, in degrees.")
    ] = None
    groupby: Annotated[
        str, typer.Option(metavar="time|solar_day|id", help="What makes a time step.")
    ] = "time"

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :func:`constellr_stac.load`, but for the items.

        Raises:
            typer.BadParameter: One of the options cannot be read.
        """
        arguments: dict[str, Any] = {
            "bands": self.band and [name for names in self.band for name in names.split(",")],
            "mask": self.mask.split(",") if self.mask and self.mask != "clear" else self.mask,
            "crs": self.crs,
            "resolution": self.resolution,
            "bbox": None if self.crop is None else bbox(self.crop),
        }
        given = {name: value for name, value in arguments.items() if value is not None}
        return {**given, "units": self.units, "groupby": self.groupby}


@command(
    commands,
    "constellr cube --bbox -118.3,33.7,-118.1,33.9 -b lst -o harbour.zarr",
    "constellr cube --order 123e4567-e89b-12d3-a456-426614174000 -o summer.nc",
    "constellr search --json -c lstprecision | constellr cube - -o all.zarr",
)
def cube(
    terminal: Terminal,
    items: ItemsArgument = None,
    *,
    query: Query,
    loading: Loading,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PATH", help="A Zarr store (.zarr) or NetCDF (.nc)."
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file or store, if it is there.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell what it takes, and read nothing.")
    ] = False,
) -> None:
    """Write scenes as a cube of physical values to Zarr or NetCDF."""
    write = writer_for(output)
    if not explain:
        refuse_existing(output, overwrite=overwrite)
    if explain:
        _explain(terminal, items, query, loading)
        return
    with terminal.working("Looking at the scenes …"):
        loaded = _loaded(scenes(items, query), loading)
    with replacing(output) as part, _bar(terminal):
        write(loaded, part)
    sizes = dict(loaded.sizes)
    if terminal.as_json:
        names = list(loaded.data_vars)
        terminal.json({"path": str(output), "variables": names, "sizes": sizes})
    else:
        steps = sizes.pop("time")
        rows, columns = sizes.values()
        words = f"{', '.join(map(str, loaded.data_vars))}: {rows} x {columns} pixels"
        terminal.line(f"{output}: {words}, {steps} time step{'s' if steps != 1 else ''}")


@command(
    commands,
    "constellr quicklook -c lstprecision --datetime 2026-07 -o july.png",
    "constellr quicklook items.json -b lst --mask clear -o clear.png",
)
def quicklook(
    terminal: Terminal,
    items: ItemsArgument = None,
    *,
    query: Query,
    loading: Loading,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="The picture: .png, .pdf, .svg, .jpg."),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the picture, if it is there.")
    ] = False,
) -> None:
    """Draw scenes side by side on one colour scale, as a picture."""
    from constellr_stac import plot

    _refuse_unknown_kind(output)
    refuse_existing(output, overwrite=overwrite)
    with terminal.working("Looking at the scenes …"):
        loaded = _loaded(scenes(items, query), loading)
    band = loading.band[0] if loading.band else None
    with replacing(output) as part, terminal.working("Drawing …"):
        plot.quicklook(loaded, band).savefig(part, dpi=150)
    if terminal.as_json:
        terminal.json({"path": str(output)})
    else:
        terminal.line(str(output))


def _refuse_unknown_kind(picture: Path) -> None:
    """Refuse a suffix that nothing draws, before anything is loaded."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        what = "Drawing"
        raise MissingExtraError(what, "plot") from error
    kinds = FigureCanvasBase.get_supported_filetypes()
    if picture.suffix.lower().removeprefix(".") not in kinds:
        raise typer.BadParameter(
            f"{picture}: the suffix tells the kind: {', '.join(sorted(kinds))}."
        )


def _loaded(items: "list[pystac.Item]", loading: Loading) -> "xr.Dataset":
    from constellr_stac.cube.load import load

    cube: xr.Dataset = load(items, **loading.arguments())
    return cube


def _explain(terminal: Terminal, items: str | None, query: Query, loading: Loading) -> None:
    from constellr_stac.cube.explain import explain

    with terminal.working("Looking at the scenes …"):
        explanation = explain(scenes(items, query), **loading.arguments())
    if terminal.as_json:
        facts: dict[str, list[str]] = {}
        for label, text in explanation.rows():
            facts.setdefault(label, []).append(text)
        terminal.json({label: "; ".join(texts) for label, texts in facts.items()})
    else:
        terminal.facts(explanation.rows())


def _bar(terminal: Terminal) -> AbstractContextManager[Any]:
    """Show how far a compute has come, in a terminal."""
    if not terminal.err.is_terminal:
        return nullcontext()
    from dask.diagnostics.progress import ProgressBar

    bar: AbstractContextManager[Any] = ProgressBar(out=sys.stderr)
    return bar
