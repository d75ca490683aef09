"""``constellr zonal``, ``constellr series`` and ``constellr composite``."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from .command import command
from .cube import LoadOptions, loaded, progress_bar
from .inputs import point
from .output import (
    CubePath,
    Overwrite,
    refuse_existing,
    replacing,
    report_table,
    table_writer_for,
    writer_for,
)
from .scenes import ItemsArgument, Query, VectorFile, areas_in, geometry_in
from .terminal import Terminal

__all__ = ["commands"]

commands = Typer()

WholePixels = Annotated[
    bool, Option("--whole-pixels", help="Do not weight pixels by their share inside.")
]
MinClear = Annotated[
    float | None,
    Option(metavar="SHARE", min=0, max=1, help="Least share that must be clear, 0 to 1."),
]


@command(
    commands,
    "constellr zonal districts.gpkg items.json -b lst -o july.csv",
    "constellr zonal fields.geojson items.json -s mean,p90,count -o fields.gpkg",
)
def zonal(
    terminal: Terminal,
    areas: Annotated[
        str, Argument(metavar="AREAS", help="Vector file of areas: GeoJSON, GeoPackage, ...")
    ],
    items: ItemsArgument = None,
    *,
    query: Query,
    loading: LoadOptions,
    output: Annotated[
        Path,
        Option(
            "--output", "-o", metavar="PATH", help="Table: .csv, .parquet or .gpkg (with geometry)."
        ),
    ],
    statistic: Annotated[
        list[str] | None,
        Option(
            "--statistic",
            "-s",
            metavar="NAMES",
            help="Default mean,median,min,max,count; also std,p90,area,clear_fraction,classes.",
        ),
    ] = None,
    min_clear: MinClear = None,
    whole_pixels: WholePixels = False,
    wide: Annotated[bool, Option("--wide", help="One row per area.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write statistics of areas over time as a table."""
    write = table_writer_for(output)
    refuse_existing(output, overwrite=overwrite)
    frame = areas_in(areas)
    names = [name for names in statistic or () for name in names.split(",")]
    cube = loaded(terminal, items, query, loading)
    options: dict[str, Any] = {"statistics": names} if names else {}
    stats = cube.constellr.zonal(frame, weights=not whole_pixels, min_clear=min_clear, **options)
    with progress_bar(terminal):
        stats = stats.compute()
    table = stats.constellr.to_geodataframe(shape="wide" if wide else "long")
    table.index.name = table.index.name or "zone"
    with replacing(output) as part:
        write(table, part)
    report_table(terminal, output, f"{len(frame)} areas, {stats.sizes['time']} time steps", table)


@command(
    commands,
    "constellr series --point -118.25,33.77 -c lstprecision -b lst",
    "constellr series --area harbour.geojson items.json -s mean -o harbour.csv",
)
def series(
    terminal: Terminal,
    items: ItemsArgument = None,
    *,
    query: Query,
    loading: LoadOptions,
    place: Annotated[
        str | None, Option("--point", metavar="LON,LAT", help="Place, in degrees.")
    ] = None,
    area: VectorFile = None,
    statistic: Annotated[
        str, Option("--statistic", "-s", metavar="NAME", help="Of an area: mean, p90, ...")
    ] = "median",
    min_clear: MinClear = None,
    whole_pixels: WholePixels = False,
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="PATH", help="Table: .csv or .parquet.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Print or write the time series of a point or an area."""
    if (place is None) == (area is None):
        raise BadParameter("Pass either --point or --area.")
    write = None
    if output is not None:
        write = table_writer_for(output, geometry=False)
        refuse_existing(output, overwrite=overwrite)
    geometry = geometry_in(area) if area is not None else point(place or "")
    cube = loaded(terminal, items, query, loading)
    found = cube.constellr.timeseries(
        geometry, statistic=statistic, weights=not whole_pixels, min_clear=min_clear
    )
    with progress_bar(terminal):
        table = found.compute().to_dataframe()
    if output is not None and write is not None:
        with replacing(output) as part:
            write(table, part)
        report_table(terminal, output, f"{len(table)} time steps", table)
    elif terminal.as_json:
        terminal.json(table.reset_index().to_dict("records"))
    else:
        for name in table.columns.difference(list(found.coords)):  # as many digits as float32 holds
            table[name] = table[name].map("{:.7g}".format, na_action="ignore")
        terminal.line(table.to_csv().rstrip("\n"))


@command(
    commands,
    "constellr composite items.json -b lst --mask clear -o months.nc",
    "constellr composite items.json --by all --statistic p90 --day -o hot.tif",
)
def composite(
    terminal: Terminal,
    items: ItemsArgument = None,
    *,
    query: Query,
    loading: LoadOptions,
    output: CubePath,
    by: Annotated[str, Option(metavar="month|season|year|all", help="Periods.")] = "month",
    statistic: Annotated[
        str, Option("--statistic", "-s", metavar="NAME", help="median, mean, p90, ...")
    ] = "median",
    min_clear: MinClear = None,
    overwrite: Overwrite = False,
) -> None:
    """Write maps of months, seasons or years."""
    write = writer_for(output)
    refuse_existing(output, overwrite=overwrite)
    cube = loaded(terminal, items, query, loading)
    maps = cube.constellr.composite(by, statistic=statistic, min_clear=min_clear)
    with replacing(output) as part, progress_bar(terminal):
        write(maps, part)
    count = maps.sizes.get("time", 1)
    words = f"{count} map{'s' if count != 1 else ''} of {int(maps['scenes'].sum())} scenes"
    facts = {"path": str(output), "variables": list(maps.data_vars), "sizes": dict(maps.sizes)}
    terminal.result(facts, f"{output}: {words}")
