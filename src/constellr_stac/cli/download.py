"""``constellr download``."""

from pathlib import Path
from typing import Annotated, Literal

from typer import BadParameter, Option, Typer

from constellr_stac.errors import IncompleteDownloadError

from .command import command
from .errors import Failure
from .scenes import ItemsArgument, Query, scenes
from .terminal import Terminal

__all__ = ["commands"]

commands = Typer()


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
        Path, Option("--output", "-o", metavar="FOLDER", help="Where to write the files.")
    ],
    asset: Annotated[
        list[str] | None,
        Option("--asset", "-a", metavar="KEY", help="Download only this asset; repeatable."),
    ] = None,
    layout: Annotated[
        Literal["provider", "collection", "flat"],
        Option(metavar="provider|collection|flat", help="Folder layout."),
    ] = "provider",
    overwrite: Annotated[
        bool, Option("--overwrite", help="Download existing files again.")
    ] = False,
    structure: Annotated[
        bool, Option("--structure", help="Also decode every block of each GeoTIFF.")
    ] = False,
    no_verify: Annotated[
        bool, Option("--no-verify", help="Skip size and checksum verification.")
    ] = False,
    workers: Annotated[int, Option(min=1, help="Number of concurrent downloads.")] = 16,
) -> None:
    """Download the files of scenes; re-run to resume.

    The folder becomes a STAC catalog that opens offline. A file gets its name once it is complete;
    partial files are kept for the next run.
    """
    from constellr_stac.downloads import download as download_items

    if structure and no_verify:
        raise BadParameter("--structure and --no-verify exclude each other.")
    with terminal.working("Searching …"):
        found = scenes(items, query)
    try:
        downloaded = download_items(
            found,
            output,
            assets=asset,
            layout=layout,
            overwrite=overwrite,
            verify="structure" if structure else not no_verify,
            max_workers=workers,
            progress=not terminal.verbose,  # bars and log lines would interleave
        )
    except IncompleteDownloadError as error:
        raise _incomplete(error, list_all=terminal.verbose > 0) from error
    facts = {
        "folder": str(downloaded.folder),
        "catalog": str(downloaded.catalog),
        "written": [str(path) for path in downloaded.written],
        "skipped": [str(path) for path in downloaded.skipped],
        "bytes": downloaded.bytes,
        "seconds": round(downloaded.seconds, 3),
    }
    skipped = f", {len(downloaded.skipped)} already there" if downloaded.skipped else ""
    terminal.result(
        facts,
        f"{downloaded.folder}: {len(downloaded.written)} files downloaded "
        f"({downloaded.bytes / 1e6:.1f} MB in {downloaded.seconds:.1f} s){skipped}.",
    )


def _incomplete(error: IncompleteDownloadError, *, list_all: bool) -> Failure:
    """Return the failure: a summary, or with ``list_all`` one note per file."""
    complete = len(error.downloaded.written) + len(error.downloaded.skipped)
    missing = len(error.failures)
    what = f"{missing} of {missing + complete} files could not be downloaded"
    if list_all:
        failure = Failure(f"{what}:")
        for path, reason in error.failures.items():
            failure.add_note(f"{path}: {reason}")
        return failure
    first = next(iter(error.failures.values()))
    return Failure(f"{what}. {first}" + (" (-v lists all.)" if missing > 1 else ""))
