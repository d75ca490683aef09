"""``constellr search`` and ``constellr sign``."""

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from .command import command
from .inputs import duration, read_text
from .output import Overwrite, refuse_existing, replacing, report_table, table_writer_for
from .scenes import Query
from .terminal import Terminal

__all__ = ["commands"]

commands = Typer()


@command(
    commands,
    "constellr search -c lstprecision --bbox -118.3,33.7,-118.1,33.9",
    "constellr search --datetime 2026-06/2026-08 --sortby -datetime",
    "constellr search --intersects area.gpkg --max-cloud 20 -o scenes.parquet",
    "constellr search --order 123e4567-e89b-12d3-a456-426614174000",
    "constellr search -c lstprecision --json | constellr download - -o scenes",
)
def search(
    terminal: Terminal,
    *,
    query: Query,
    sign: Annotated[bool, Option("--sign", help="Sign the hrefs.")] = False,
    matched: Annotated[bool, Option("--matched", help="Print only the number of scenes.")] = False,
    output: Annotated[
        Path | None,
        Option(
            "--output", "-o", metavar="PATH", help="Table with cloud shares: .parquet, .gpkg, .csv."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Search scenes."""
    if output is not None:
        _write_table(terminal, query, output, overwrite=overwrite)
        return
    with terminal.working("Searching …"):
        found = query.search()
        items: list[dict[str, Any]] = []
        if query.picks:
            picked = query.picked(found.items())
            items = [item.to_dict(transform_hrefs=False) for item in picked]
            count: int | None = len(items)
        elif matched:
            count = found.matched()
        else:
            items = list(found.items_as_dicts())
    if matched:
        text = "The API does not say." if count is None else str(count)
        terminal.result({"matched": count}, text)
        return
    if sign:
        from constellr_stac.signing.signer import Signer

        items = Signer().sign(items, copy=False)
    if terminal.as_json:
        terminal.json({"type": "FeatureCollection", "features": items})
    elif items:
        _show(terminal, items)
    else:
        terminal.note("No scenes match.")


@command(
    commands,
    "constellr sign 's3://bucket/LA harbor/lst.tiff'",
    "stac-client search ... | constellr sign -",
    "constellr sign items.json --expires-in 12h > signed.json",
)
def sign(
    terminal: Terminal,
    sources: Annotated[
        list[str],
        Argument(metavar="HREF...", help="Hrefs, or a file of STAC items; - for standard input."),
    ],
    *,
    expires_in: Annotated[str, Option(metavar="TIME", help="Lifetime of the URLs.")] = "1h",
) -> None:
    """Sign s3:// hrefs, so that anyone can GET them for a while.

    Hrefs are printed as URLs, one per line; STAC items as the same items with signed hrefs.
    """
    from constellr_stac.signing.signer import Signer

    signer = Signer(expires_in=duration(expires_in))
    content = _content(sources)
    if isinstance(content, list):
        urls = [signer.signed_url(href) for href in content]
        facts = [
            {"href": href, "url": url.url, "expires_at": url.expires_at}
            for href, url in zip(content, urls, strict=True)
        ]
        terminal.result(facts, *(url.url for url in urls))
        return
    try:
        terminal.json(signer.sign(content["stac"], copy=False))
    except TypeError as error:
        raise BadParameter(f"No STAC items: {error}") from error


def _content(sources: list[str]) -> list[str] | dict[str, Any]:
    """Return a list of hrefs, or ``{"stac": ...}`` with STAC JSON."""
    if not all(sources):
        raise BadParameter("An href is empty.")
    only = sources[0]
    if len(sources) > 1 or "://" in only:
        return sources
    text = read_text(only)
    try:
        return {"stac": json.loads(text)}
    except ValueError:
        hrefs = [line.strip() for line in text.splitlines() if line.strip()]
        if not hrefs:
            raise BadParameter(f"{only} holds nothing to sign.") from None
        return hrefs


def _write_table(terminal: Terminal, query: Query, output: Path, *, overwrite: bool) -> None:
    """Write the scenes as a table, with their items as JSON."""
    write = table_writer_for(output, layer="scenes")
    refuse_existing(output, overwrite=overwrite)
    from constellr_stac.analysis.scene_table import scenes

    with terminal.working("Searching …"):
        found = query.picked(query.search().items())
    with terminal.working("Reading masks …"):
        table = scenes(found, area=query.area())
    items = [json.dumps(item.to_dict(transform_hrefs=False)) for item in found]
    with replacing(output) as part:
        write(table.assign(item=items), part)
    report_table(terminal, output, f"{len(table)} scenes", table)


def _show(terminal: Terminal, items: list[dict[str, Any]]) -> None:
    """Show items as a table without empty columns."""
    columns = {
        "id": [item["id"] for item in items],
        "time (UTC)": [_time(item["properties"].get("datetime")) for item in items],
        "cloud %": [item["properties"].get("eo:cloud_cover") for item in items],
        "collection": [item.get("collection") for item in items],
    }
    if terminal.verbose:
        columns["assets"] = [", ".join(item["assets"]) for item in items]
    filled = {name: cells for name, cells in columns.items() if any(c is not None for c in cells)}
    terminal.table(list(filled), list(zip(*filled.values(), strict=True)))


def _time(text: str | None) -> str | None:
    return None if text is None else text[:16].replace("T", " ")
