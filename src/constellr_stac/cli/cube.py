"""``constellr cube`` and ``constellr quicklook``."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option, Typer

from constellr_stac.errors import MissingExtraError

from .command import command
from .inputs import bbox
from .output import CubePath, Overwrite, refuse_existing, replacing, writer_for
from .scenes import ItemsArgument, Query, scenes
from .terminal import Terminal

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["LoadOptions", "commands", "loaded", "progress_bar"]

commands = Typer()


@dataclass(frozen=True)
class LoadOptions:
    """Options of :func:`constellr_stac.load`."""

    band: Annotated[
        list[str] | None,
        Option("--band", "-b", metavar="NAMES", help="lst,cloud_mask,red,...; repeatable."),
    ] = None
    mask: Annotated[
        str | None,
        Option(
            metavar="CLASSES", help="Mask out: clear, or thick,thin,shadow,castshadow,water,land."
        ),
    ] = None
    units: Annotated[str, Option(metavar="K|degC", help="Temperature unit.")] = "K"
    crs: Annotated[str | None, Option(help="CRS of the grid (default: the scenes').")] = None
    resolution: Annotated[float | None, Option(help="Pixel size in units of the CRS.", min=0)] = (
        None
    )
    crop: Annotated[
        str | None, Option(metavar="W,S,E,N", help="Bounding box to load, in degrees.")
    ] = None
    groupby: Annotated[
        str, Option(metavar="time|solar_day|id", help="How scenes group into time steps.")
    ] = "time"

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :func:`constellr_stac.load` except the items."""
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
    "constellr cube items.json -b lst -o august.tif",
    "constellr search --json -c lstprecision | constellr cube - -o all.zarr",
)
def cube(
    terminal: Terminal,
    items: ItemsArgument = None,
    *,
    query: Query,
    loading: LoadOptions,
    output: CubePath,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace an existing file or store.")
    ] = False,
    explain: Annotated[bool, Option("--explain", help="Show the plan; read no pixels.")] = False,
) -> None:
    """Write scenes as a cube: Zarr, NetCDF or GeoTIFF."""
    write = writer_for(output)
    if explain:
        _explain(terminal, items, query, loading)
        return
    refuse_existing(output, overwrite=overwrite)
    found = loaded(terminal, items, query, loading)
    with replacing(output) as part, progress_bar(terminal):
        write(found, part)
    names, sizes = list(found.data_vars), dict(found.sizes)
    rows, columns = (size for name, size in sizes.items() if name != "time")
    terminal.result(
        {"path": str(output), "variables": names, "sizes": sizes},
        f"{output}: {', '.join(map(str, names))}: {rows} x {columns} pixels, "
        f"{sizes['time']} time step{'s' if sizes['time'] != 1 else ''}",
    )


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
    loading: LoadOptions,
    output: Annotated[
        Path, Option("--output", "-o", metavar="PATH", help="Image file: .png, .pdf, .svg, .jpg.")
    ],
    overwrite: Overwrite = False,
) -> None:
    """Draw scenes side by side on one colour scale and save the image."""
    from constellr_stac import plot

    _refuse_unknown_format(output)
    refuse_existing(output, overwrite=overwrite)
    found = loaded(terminal, items, query, loading)
    band = loading.band[0] if loading.band else None
    with replacing(output) as part, terminal.working("Drawing …"):
        plot.quicklook(found, band).savefig(part, dpi=150)
    terminal.result({"path": str(output)}, str(output))


def loaded(
    terminal: Terminal, items: str | None, query: Query, loading: LoadOptions
) -> "xr.Dataset":
    """Load the scenes; no pixels are read yet."""
    import constellr_stac.accessor  # noqa: F401 - registers cube.constellr
    from constellr_stac.cube.load import load

    with terminal.working("Reading metadata …"):
        cube: xr.Dataset = load(scenes(items, query), **loading.arguments())
    return cube


def _refuse_unknown_format(path: Path) -> None:
    """Refuse a suffix that matplotlib cannot write, before anything is loaded."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise MissingExtraError("Drawing", "plot") from error
    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in formats:
        raise BadParameter(f"{path}: unknown suffix; use one of {', '.join(sorted(formats))}.")


def _explain(terminal: Terminal, items: str | None, query: Query, loading: LoadOptions) -> None:
    from constellr_stac.cube.explain import explain

    with terminal.working("Reading metadata …"):
        explanation = explain(scenes(items, query), **loading.arguments())
    facts: dict[str, list[str]] = {}
    for label, text in explanation.rows():
        facts.setdefault(label, []).append(text)
    terminal.facts({label: "; ".join(texts) for label, texts in facts.items()}, explanation.rows())


def progress_bar(terminal: Terminal) -> AbstractContextManager[Any]:
    """Show dask's progress bar, if this is a terminal."""
    if not terminal.err.is_terminal:
        return nullcontext()
    from dask.diagnostics.progress import ProgressBar

    bar: AbstractContextManager[Any] = ProgressBar(out=sys.stderr)
    return bar
