"""Scenes to work on: those of a search, or items from a file or a pipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import Failure
from .inputs import STDIN, bbox, from_json

if TYPE_CHECKING:
    import pystac
    import pystac_client

__all__ = ["ItemsArgument", "Query", "items_in", "scenes"]

ItemsArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="ITEMS",
        help="A file of items as `constellr search --json` prints them; - for standard input. "
        "Without it, the scenes are searched.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Query:
    """What scenes are searched by; all that is given has to hold."""

    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection", "-c", metavar="ID", help="Of this collection; may be said repeatedly."
        ),
    ] = None
    box: Annotated[
        str | None,
        typer.Option(
            "--bbox",
            metavar="W,S,E,N",
            help="Touching this box, in degrees.",
        ),
    ] = None
    intersects: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Touching the geometry in this GeoJSON file."),
    ] = None
    datetime: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Taken then: 2026-07, 2026-06-01/2026-08-31, 2026-06/.."),
    ] = None
    order: Annotated[str | None, typer.Option(metavar="ID", help="Delivered for this order.")] = (
        None
    )
    item: Annotated[
        list[str] | None,
        typer.Option(
            "--id", metavar="ID", help="Of this id; may be said repeatedly.", show_default=False
        ),
    ] = None
    cql: Annotated[
        str | None,
        typer.Option("--filter", metavar="CQL2", help="A CQL2 expression, as JSON or as text."),
    ] = None
    sort: Annotated[
        str | None,
        typer.Option("--sortby", metavar="FIELDS", help="In the order of: -datetime,+id."),
    ] = None
    max_items: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="At most so many.")
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for in particular."""
        return self == Query(max_items=self.max_items, sort=self.sort)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for ``pystac_client.Client.search``, but for the order.

        Raises:
            typer.BadParameter: One of them cannot be read.
        """
        arguments: dict[str, Any] = {
            "collections": self.collection,
            "bbox": None if self.box is None else bbox(self.box),
            "intersects": None if self.intersects is None else _geometry(self.intersects),
            "datetime": self.datetime,
            "ids": self.item,
            "sortby": None if self.sort is None else self.sort.split(","),
            "max_items": self.max_items,
        }
        if self.cql is not None:
            arguments["filter"], arguments["filter_lang"] = _filter(self.cql)
        return {name: value for name, value in arguments.items() if value is not None}

    def search(self) -> "pystac_client.ItemSearch":
        """Return the search.

        Raises:
            ConstellrError: The API refused, or there is no credential.
            typer.BadParameter: An option makes no sense.
        """
        arguments = self.arguments()
        from constellr_stac.stac.client import open_client

        client = open_client()
        if self.order is not None:
            from constellr_stac.delivery import search_order

            return search_order(self.order, client=client, **arguments)
        try:
            return client.search(**arguments)
        except Exception as error:  # pystac-client says so if it cannot read a datetime
            raise typer.BadParameter(str(error)) from error


def scenes(source: str | None, query: Query) -> "list[pystac.Item]":
    """Return the scenes that a command is to work on.

    Args:
        source: A file, ``-``, or ``None`` for a search.
        query: What to search.

    Raises:
        Failure: There are none.
        typer.BadParameter: Neither or both are given, or the file holds no items.
    """
    import pystac

    if source is None and query.is_empty:
        msg = "Say which scenes: a file of items, - for a pipe, or what to search, such as -c."
        raise typer.BadParameter(msg)
    if source is None:
        found = list(query.search().items())
        if not found:
            raise Failure("No scenes match. Search wider, or look with `constellr search`.")
        return found
    if not query.is_empty:
        msg = "Items are given, so nothing is searched: leave out the options of the search."
        raise typer.BadParameter(msg)
    try:
        items = [pystac.Item.from_dict(item) for item in items_in(from_json(source))]
    except (KeyError, ValueError, pystac.STACError) as error:
        raise typer.BadParameter(
            f"{source} holds something that is no STAC item: {error}."
        ) from error
    if not items:
        name = "Standard input" if source == STDIN else source
        raise Failure(f"{name} holds no items.")
    return items


def items_in(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the items in what a STAC tool printed: one, a collection or a list of them.

    Raises:
        typer.BadParameter: There is something else in it.
    """
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
            msg = "These are no STAC items: `constellr search --json` prints some."
            raise typer.BadParameter(msg)


def _geometry(source: str) -> Any:
    """Return the geometry in a GeoJSON file."""
    match from_json(source):
        case {"type": "FeatureCollection", "features": [{"geometry": {} as geometry}]}:
            return geometry
        case {"type": "Feature", "geometry": {} as geometry}:
            return geometry
        case {"type": str(), "coordinates": [*_]} as geometry:
            return geometry
        case _:
            raise typer.BadParameter(f"{source} holds no GeoJSON geometry, or more than one.")


def _filter(text: str) -> tuple[Any, str]:
    """Return a filter, and the language it is in."""
    import json

    if not text.lstrip().startswith("{"):
        return text, "cql2-text"
    try:
        return json.loads(text), "cql2-json"
    except ValueError as error:
        raise typer.BadParameter(f"The filter is not JSON: {error}.") from error
