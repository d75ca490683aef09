"""The scenes a command works on: a search, or items from a file or a pipe."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from constellr_stac.errors import InvalidAreaError

from .errors import Failure
from .inputs import STDIN, bbox, from_json, readable

if TYPE_CHECKING:
    import pystac
    import pystac_client

__all__ = ["ItemsArgument", "Query", "VectorFile", "areas_in", "geometry_in", "items_in", "scenes"]

ItemsArgument = Annotated[
    str | None,
    Argument(
        metavar="ITEMS",
        help="Items from `constellr search --json` or `-o scenes.parquet`; - for standard input. "
        "Default: search.",
        show_default=False,
    ),
]
VectorFile = Annotated[str | None, Option(metavar="FILE", help="Vector file with an area.")]


@dataclass(frozen=True)
class Query:
    """Search options; all of them must match."""

    collection: Annotated[
        list[str] | None, Option("--collection", "-c", metavar="ID", help="Collection; repeatable.")
    ] = None
    box: Annotated[
        str | None, Option("--bbox", metavar="W,S,E,N", help="Bounding box in degrees.")
    ] = None
    intersects: VectorFile = None
    datetime: Annotated[
        str | None, Option(metavar="TIME", help="2026-07, 2026-06-01/2026-08-31, 2026-06/..")
    ] = None
    order: Annotated[str | None, Option(metavar="ID", help="Scenes of this order.")] = None
    item: Annotated[
        list[str] | None,
        Option("--id", metavar="ID", help="Item id; repeatable.", show_default=False),
    ] = None
    cql: Annotated[str | None, Option("--filter", metavar="CQL2", help="CQL2 as JSON or text.")] = (
        None
    )
    sort: Annotated[
        str | None, Option("--sortby", metavar="FIELDS", help="Sort order: -datetime,+id.")
    ] = None
    max_items: Annotated[
        int | None, Option(metavar="COUNT", min=1, help="Maximum number of scenes.")
    ] = None

    day: Annotated[
        bool | None, Option("--day/--night", help="Only scenes by day, or at night.")
    ] = None
    max_cloud: Annotated[
        float | None,
        Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Greatest cloud cover, by masks within --intersects or --bbox, else as stated.",
        ),
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether no search option is given."""
        kept = {"sort": None, "max_items": None, "day": None, "max_cloud": None}
        return replace(self, **kept) == Query()

    @property
    def picks(self) -> bool:
        """Whether found scenes are to be picked by :meth:`picked`."""
        return self.day is not None or self.max_cloud is not None

    def picked(self, items: "Iterable[pystac.Item]") -> "list[pystac.Item]":
        """Return the scenes by day or night and with few clouds; at most ``max_items``."""
        picked = list(items)
        if self.picks:
            from constellr_stac.analysis.scene_table import cloud_cover, is_day

            if self.day is not None:
                picked = [item for item in picked if is_day(item) == self.day]
            if self.max_cloud is not None:
                covers = zip(picked, cloud_cover(picked, self.area()), strict=True)
                picked = [item for item, cover in covers if cover <= self.max_cloud]
        return picked[: self.max_items]

    def area(self) -> Any:
        """Return the area of ``--intersects`` or ``--bbox`` in degrees, or ``None``."""
        if self.intersects is not None:
            return geometry_in(self.intersects)
        if self.box is None:
            return None
        import shapely

        return shapely.box(*bbox(self.box))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``pystac_client.Client.search`` except the order."""
        arguments: dict[str, Any] = {
            "collections": self.collection,
            "bbox": None if self.box is None else bbox(self.box),
            "intersects": None if self.intersects is None else geometry_in(self.intersects),
            "datetime": self.datetime,
            "ids": self.item,
            "sortby": None if self.sort is None else self.sort.split(","),
            "max_items": None if self.picks else self.max_items,
        }
        if self.cql is not None:
            arguments["filter"], arguments["filter_lang"] = _filter(self.cql)
        return {name: value for name, value in arguments.items() if value is not None}

    def search(self) -> "pystac_client.ItemSearch":
        """Return the search."""
        arguments = self.arguments()
        from constellr_stac.stac.client import open_client

        client = open_client()
        if self.order is not None:
            from constellr_stac.delivery import search_order

            return search_order(self.order, client=client, **arguments)
        try:
            return client.search(**arguments)
        except Exception as error:  # pystac-client's for an invalid datetime
            raise BadParameter(str(error)) from error


def scenes(source: str | None, query: Query) -> "list[pystac.Item]":
    """Return the items of a file or of ``-``; if ``source`` is ``None``, those of a search.

    Raises:
        Failure: No items.
        typer.BadParameter: Neither or both are given, or the file holds no items.
    """
    import pystac

    if source is None and query.is_empty:
        raise BadParameter(
            "Which scenes? Pass a file of items, - for a pipe, or search options such as -c."
        )
    if source is None:
        found = query.picked(query.search().items())
        if not found:
            raise Failure("No scenes match. Widen the search, or check it with `constellr search`.")
        return found
    if not query.is_empty:
        raise BadParameter("Pass either items or search options, not both.")
    try:
        items = query.picked(_items(source))
    except (KeyError, ValueError, pystac.STACError) as error:
        raise BadParameter(f"{source} holds an invalid STAC item: {error}.") from error
    if not items:
        name = "Standard input" if source == STDIN else source
        raise Failure(f"{name} holds no items.")
    return items


def _items(source: str) -> "list[pystac.Item]":
    """Return the items in JSON, or in a table that ``constellr search -o`` wrote."""
    import pystac

    if not source.lower().endswith(".parquet"):
        return [pystac.Item.from_dict(item) for item in items_in(from_json(source))]
    from constellr_stac.geometry.files import read_area
    from constellr_stac.stac.items import items_of

    table = read_area(readable(source))
    if "item" not in table:
        raise BadParameter(f"{source} holds no items.")
    return items_of(table)


def items_in(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of STAC JSON: an item, an ItemCollection, or a list of either."""
    match content:
        case {"type": "FeatureCollection", "features": [*features]}:
            for feature in features:
                yield from items_in(feature)
        case {"type": "Feature", "assets": {}}:
            yield content
        case [*parts]:
            for part in parts:
                yield from items_in(part)
        case _:
            raise BadParameter("Not STAC items; `constellr search --json` prints some.")


def geometry_in(source: str) -> Any:
    """Return the geometry in a vector file, or in GeoJSON on standard input.

    Raises:
        typer.BadParameter: It holds none, or an invalid one.
    """
    from constellr_stac.geometry.any_geometry import geometry_from

    return dict(_geometry(source, geometry_from).__geo_interface__)


def areas_in(source: str) -> Any:
    """Return the areas in a vector file, or in GeoJSON on standard input, as a GeoDataFrame.

    Raises:
        typer.BadParameter: It holds none, or an invalid one.
    """
    from constellr_stac.geometry.any_geometry import table_from

    return _geometry(source, table_from)


def _geometry(source: str, read: Callable[[Any], Any]) -> Any:
    try:
        return read(from_json(source) if source == STDIN else readable(source))
    except InvalidAreaError as error:
        raise BadParameter(f"{source}: {error}") from error


def _filter(text: str) -> tuple[Any, str]:
    """Return a filter and its language."""
    if not text.lstrip().startswith("{"):
        return text, "cql2-text"
    try:
        return json.loads(text), "cql2-json"
    except ValueError as error:
        raise BadParameter(f"The filter is not JSON: {error}.") from error
