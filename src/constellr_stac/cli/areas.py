"""``constellr aoi`` and ``constellr products``."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from constellr_stac.errors import AreaOfInterestExistsError

from .command import command, group
from .errors import Failure
from .flags import Limit, Yes
from .inputs import STDIN, from_json, readable
from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.orders import AreaOfInterest

__all__ = ["commands", "products"]

commands = group(
    "Areas of interest, which orders refer to.",
    'constellr aoi create "field 42" field42.geojson',
    "constellr aoi list",
)
products = Typer()

AreaId = Annotated[str, Argument(metavar="ID", help="Id of the area.")]
AreaFile = Annotated[
    str,
    Argument(
        metavar="FILE",
        help="GeoJSON, GeoPackage, KML, KMZ or a zipped Shapefile with one polygon; "
        "- for GeoJSON on standard input.",
    ),
]

_SQUARE_KILOMETRE = 1e6


@command(commands, "constellr aoi list", "constellr aoi list --json > areas.geojson", name="list")
def list_(terminal: Terminal, *, limit: Limit = None) -> None:
    """List the organization's areas, newest first."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client, terminal.working("Fetching areas …"):
        areas = list(client.list_aois(limit=limit))
    if terminal.as_json:
        terminal.json(
            {"type": "FeatureCollection", "features": [area.__geo_interface__ for area in areas]}
        )
    elif areas:
        terminal.table(("id", "name", "size", "created"), map(_row, areas))
    else:
        terminal.note("No areas.")


@command(commands, "constellr aoi show f1c53eaa-9b26-4c3d-8998-bfc8e9ac1770")
def show(terminal: Terminal, id_: AreaId) -> None:
    """Show one area."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        _show(terminal, client.get_aoi(id_))


@command(
    commands,
    'constellr aoi create "field 42" field42.geojson',
    'constellr aoi create harbour - --description "Los Angeles" < harbour.geojson',
)
def create(
    terminal: Terminal,
    name: Annotated[str, Argument(help="A unique name.", metavar="NAME")],
    file: AreaFile,
    *,
    description: Annotated[str | None, Option(help="Free text.")] = None,
    exist_ok: Annotated[
        bool, Option("--exist-ok", help="Accept an identical existing area.")
    ] = False,
) -> None:
    """Register an area of interest."""
    from constellr_stac.orders import OrdersClient

    polygon = _area(file)
    with OrdersClient() as client:
        try:
            area = client.create_aoi(name, polygon, description, exist_ok=exist_ok)
        except AreaOfInterestExistsError as error:
            if error.existing is None or exist_ok:
                raise
            raise Failure(
                f"An area named {name!r} exists: {error.existing.id}. Use it, pass --exist-ok if "
                "it is the same area, or choose another name."
            ) from error
    _show(terminal, area)


@command(commands, "constellr aoi delete f1c53eaa-9b26-4c3d-8998-bfc8e9ac1770")
def delete(terminal: Terminal, id_: AreaId, *, yes: Yes = False) -> None:
    """Delete an area that no active order uses."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        if not yes:
            name = client.get_aoi(id_).name
            if not terminal.ask(f"Delete the area {name!r}?", option="--yes"):
                raise Failure("Nothing was deleted.")
        client.delete_aoi(id_)
    terminal.result({"deleted": id_}, f"Deleted area {id_}.")


@command(commands, "constellr aoi info field42.geojson")
def info(terminal: Terminal, file: AreaFile) -> None:
    """Measure an area as the API does, without registering it."""
    from constellr_stac.orders import OrdersClient

    polygon = _area(file)
    with OrdersClient() as client:
        size = client.geometry_info(polygon)
    terminal.facts(
        size.to_dict(),
        (
            ("width", f"{size.bbox_width:,.1f} m"),
            ("height", f"{size.bbox_height:,.1f} m"),
            ("area", f"{size.area / _SQUARE_KILOMETRE:,.3f} km²"),
        ),
    )


@command(products, "constellr products", name="products")
def list_products(terminal: Terminal) -> None:
    """List the products the organization may order."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        found = client.products()
    terminal.result([each.to_dict() for each in found], *(each.name for each in found))


def _area(file: str) -> Any:
    """Return an area in a form that the orders client accepts."""
    return from_json(STDIN) if file == STDIN else readable(file)


def _show(terminal: Terminal, area: "AreaOfInterest") -> None:
    terminal.facts(area.__geo_interface__, _facts(area))


def _facts(area: "AreaOfInterest") -> "Iterator[tuple[str, Any]]":
    """Yield facts; only if shown, since shapely may refuse what the API returned."""
    from shapely.geometry import shape

    west, south, east, north = shape(area.geometry).bounds
    yield "id", area.id
    yield "name", area.name
    yield "description", area.description
    yield "size", _size(area)
    yield "box", f"{west:.5f},{south:.5f},{east:.5f},{north:.5f}"
    yield "created", area.created


def _row(area: "AreaOfInterest") -> tuple[Any, ...]:
    created = None if area.created is None else area.created.date()
    return area.id, area.name, _size(area), created


def _size(area: "AreaOfInterest") -> str | None:
    if area.bbox_width is None or area.bbox_height is None:
        return None
    return f"{area.bbox_width:,.0f} m x {area.bbox_height:,.0f} m"
