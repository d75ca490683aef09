"""``constellr download``: scenes as files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .command import command
from .errors import Failure
from .scenes import ItemsArgument, Query, scenes
from .terminal import Terminal

if TYPE_CHECKING:
    from constellr_stac.errors import IncompleteDownloadError

__all__ = ["commands"]

commands = typer.Typer()


@command(
    commands,
    "constellr download -c lstprecision --datetime 2026-07 -o scenes",
    "constellr download -c lstprecision --asset lst --layout flat -o temperatures",
    "constellr search --json --bbox 11,48,12,49 | constellr download - -o city",
)
def download(
    terminal: Terminal,
    items: ItemsArgument = None,
    *,
    query: Query,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.")
    ],
    asset: Annotated[
        list[str] | None,
        typer.Option("--asset", "-a", metavar="KEY", help="Only this one; may be said repeatedly."),
    ] = None,
    layout: Annotated[
        Literal["provider", "collection", "flat"],
        typer.Option(metavar="provider|collection|flat", help="How the folder is laid out."),
    ] = "provider",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Bring files again that are there.")
    ] = False,
    structure: Annotated[
        bool, typer.Option("--structure", help="Decode every block of each GeoTIFF, too.")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not compare files with what is said of them.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="How many files come at once.")] = 16,
) -> None:
    """Download the files of scenes; the same again goes on.

    The folder is a STAC catalogue that opens without a network. Files have their names only when
    they are whole; what came of the others is kept for the next time.
    """
    from constellr_stac.downloads import download as bring
    from constellr_stac.errors import IncompleteDownloadError

    if structure and no_verify:
        msg = "--structure looks closer and --no-verify not at all: leave out one."
        raise typer.BadParameter(msg)
    with terminal.working("Looking for scenes …"):
        found = scenes(items, query)
    try:
        downloaded = bring(
            found,
            output,
            assets=asset,
            layout=layout,
            overwrite=overwrite,
            verify="structure" if structure else not no_verify,
            max_workers=workers,
            progress=not terminal.verbose,  # bars and a log would be one mess
        )
    except IncompleteDownloadError as error:
        raise _incomplete(error, everything=terminal.verbose > 0) from error
    if terminal.as_json:
        terminal.json(
            {
                "folder": str(downloaded.folder),
                "catalog": str(downloaded.catalog),
                "written": [str(path) for path in downloaded.written],
                "skipped": [str(path) for path in downloaded.skipped],
                "bytes": downloaded.bytes,
                "seconds": round(downloaded.seconds, 3),
            }
        )
        return
    there = f", {len(downloaded.skipped)} were there already" if downloaded.skipped else ""
    terminal.line(
        f"{downloaded.folder}: {len(downloaded.written)} files came ({downloaded.bytes / 1e6:.1f} "
        f"MB in {downloaded.seconds:.1f} s){there}."
    )


def _incomplete(error: "IncompleteDownloadError", *, everything: bool) -> Failure:
    """Say in a few words, or of each file, what is missing."""
    there = len(error.downloaded.written) + len(error.downloaded.skipped)
    missing = len(error.failures)
    what = f"{missing} of {missing + there} files could not be downloaded"
    if everything:
        failure = Failure(f"{what}:")
        for path, reason in error.failures.items():
            failure.add_note(f"{path}: {reason}")
        return failure
    first = next(iter(error.failures.values()))
    return Failure(f"{what}. {first}" + (" (-v names them all.)" if missing > 1 else ""))
