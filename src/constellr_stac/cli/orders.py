"""``constellr orders``: nothing is ordered that was not shown before."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .command import command, group
from .errors import Failure
from .inputs import duration
from .order_files import read_batch
from .terminal import Terminal

if TYPE_CHECKING:
    from datetime import datetime

    from constellr_stac.orders import Order, OrdersClient

__all__ = ["commands"]

commands = group(
    "Orders: what satellites are to look at, and what became of it.",
    "constellr orders create summer.yaml",
    "constellr orders list",
)

OrderId = Annotated[str, typer.Argument(metavar="ID", help="The order's id.")]
OrdersFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="YAML or JSON: one order, a list of them, or orders with use_case and comment. "
        "- for standard input.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


_COLUMNS = ("id", "state", "product", "from", "to", "tags")
_IN_TABLE = (
    "area_of_interest_id",
    "product_name",
    "frequency",
    "start_date",
    "end_date",
    "illumination_constraint",
)
"""What is shown of every order before it is placed; the other fields where there are any."""


@command(commands, "constellr orders list", "constellr orders list --limit 5 --json", name="list")
def list_(
    terminal: Terminal,
    *,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many.", show_default="all")
    ] = None,
) -> None:
    """List the orders of the organization, the newest first."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client, terminal.working("Asking for orders …"):
        orders = list(client.list(limit=limit))
    _show_all(terminal, orders)


@command(commands, "constellr orders show 123e4567-e89b-12d3-a456-426614174000")
def show(terminal: Terminal, id_: OrderId) -> None:
    """Show one order."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        _show(terminal, client.get(id_))


@command(
    commands,
    "constellr orders check summer.yaml",
    "constellr orders create summer.yaml --dry-run",
    "constellr orders create summer.yaml",
)
def create(
    terminal: Terminal,
    file: OrdersFile,
    *,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Leave it to the API to find what is wrong.")
    ] = False,
) -> None:
    """Place the orders of a file, after showing them.

    All of them are placed or none. This costs money. The file holds the fields of the API:
    area_of_interest_id, product_name, frequency, start_date, end_date, and if you like comment,
    tags and illumination_constraint.
    """
    from constellr_stac.orders import OrderOutcomeUnknown, OrdersClient

    batch = read_batch(file)
    with OrdersClient() as client:
        with terminal.working("Checking the orders …"):
            payload = batch.payload(client, check=not no_check)
        if dry_run:
            terminal.json(payload)
            return
        _announce(terminal, client, payload)
        count = len(batch.orders)
        question = "Place this order?" if count == 1 else f"Place these {count} orders?"
        if not yes and not terminal.ask(question, instead="--yes"):
            msg = "Nothing was ordered."
            raise Failure(msg)
        try:
            with terminal.working("Placing the orders …"):
                placed = client.create(
                    batch.orders, use_case=batch.use_case, comment=batch.comment, check=False
                )
        except OrderOutcomeUnknown as error:
            for order in error.found:
                error.add_note(f"Found on the server: {order.id}, {order.state}.")
            raise
    try:
        _show_all(terminal, placed)
        sys.stdout.flush()
    except OSError:  # whoever does not see them must not order again
        terminal.note(f"Placed all the same: {', '.join(str(order.id) for order in placed)}.")
        raise


@command(
    commands,
    "constellr orders update 123e4567-e89b-12d3-a456-426614174000 --tag field42",
)
def update(
    terminal: Terminal,
    id_: OrderId,
    *,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="A tag that it is to have; may be said repeatedly.", show_default=False),
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags off.")] = False,
) -> None:
    """Give an order other tags, in place of those it has."""
    from constellr_stac.orders import OrdersClient

    if bool(tag) is no_tags:
        msg = "Say either which tags it is to have (--tag), or --no-tags."
        raise typer.BadParameter(msg)
    with OrdersClient() as client:
        _show(terminal, client.update(id_, tags=tag or []))


@command(
    commands,
    "constellr orders wait 123e4567-e89b-12d3-a456-426614174000",
    "constellr orders wait 123e4567-e89b-12d3-a456-426614174000 --timeout 12h",
)
def wait(
    terminal: Terminal,
    id_: OrderId,
    *,
    until: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="A state to wait for; may be said repeatedly."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long at most: 30m, 12h, 7d.")
    ] = None,
    interval: Annotated[str, typer.Option(metavar="TIME", help="How often to look.")] = "60s",
) -> None:
    """Wait until an order is closed, and fail if it is rejected."""
    from constellr_stac.orders import OrdersClient

    def tell(order: "Order") -> None:
        terminal.note(f"{order.id} is {order.state}.")

    states = until or ["closed", "rejected"]
    longest = None if timeout is None else duration(timeout).total_seconds()
    pause = duration(interval).total_seconds()
    with OrdersClient() as client, terminal.working(f"Waiting for order {id_} …"):
        order = client.wait(
            id_,
            states,
            timeout=longest,
            interval=pause,
            on_change=tell,
        )
    _show(terminal, order)
    if order.state == "rejected" and not until:
        reason = f": {order.rejection_reason}" if order.rejection_reason else ""
        raise Failure(f"The order was rejected{reason}.")


@command(commands, "constellr orders delete 123e4567-e89b-12d3-a456-426614174000")
def delete(terminal: Terminal, id_: OrderId, *, yes: Yes = False) -> None:
    """Delete an order that has not been begun, or was rejected."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        if not yes:
            _announce(terminal, client, {"orders": [client.get(id_).to_dict()]})
            if not terminal.ask("Delete this order?", instead="--yes"):
                msg = "Nothing was deleted."
                raise Failure(msg)
        client.delete(id_)
    if terminal.as_json:
        terminal.json({"deleted": id_})
    else:
        terminal.line(f"Order {id_} is deleted.")


@command(commands, "constellr orders check summer.yaml")
def check(terminal: Terminal, file: OrdersFile) -> None:
    """Check the orders of a file as `create` does, and order nothing."""
    from constellr_stac.orders import OrdersClient, OrderValidationError

    batch = read_batch(file)
    count = len(batch.orders)
    with OrdersClient() as client, terminal.working("Checking the orders …"):
        try:
            batch.payload(client, check=True)
            found: Sequence[Any] = ()
        except OrderValidationError as error:
            if not terminal.as_json:
                raise
            found = error.violations
    if terminal.as_json:
        terminal.json({"orders": count, "violations": [asdict(each) for each in found]})
        if found:
            raise typer.Exit(1)
    else:
        terminal.line(
            f"No rule is broken by {'the order' if count == 1 else f'the {count} orders'}."
        )


def _announce(terminal: Terminal, client: "OrdersClient", payload: dict[str, Any]) -> None:
    """Show on standard error which orders it is about."""
    from constellr_stac.errors import APIError
    from constellr_stac.orders import Order

    orders = [Order.model_validate(order) for order in payload["orders"]]
    names = {}
    for id_ in dict.fromkeys(order.area_of_interest_id for order in orders):
        try:
            names[id_] = client.get_aoi(id_).name
        except APIError:  # whether it can be ordered is for the API to say
            names[id_] = id_
    rows = [
        (
            names[order.area_of_interest_id],
            order.product_name,
            order.frequency,
            _moment(order.start_date),
            _moment(order.end_date),
            order.illumination_constraint or "either",
        )
        for order in orders
    ]
    columns = ("area", "product", "frequency", "from", "to", "light")
    terminal.table(columns, rows, beside=True)
    for number, order in enumerate(orders, 1):
        which = f"order {number}: " if len(orders) > 1 else ""
        for name, value in order.payload().items():
            if name not in _IN_TABLE:
                terminal.note(
                    f"{which}{name}: {', '.join(order.tag_names) if name == 'tags' else value}"
                )
    for key in ("use_case", "comment"):
        if payload.get(key):
            terminal.note(f"batch {key}: {payload[key]}")


def _show(terminal: Terminal, order: "Order") -> None:
    if terminal.as_json:
        terminal.json(order.to_dict())
        return
    facts = order.to_dict()
    facts["tags"] = ", ".join(order.tag_names) or None
    terminal.facts((name.replace("_", " "), value) for name, value in facts.items())


def _show_all(terminal: Terminal, orders: Sequence["Order"]) -> None:
    if terminal.as_json:
        terminal.json([order.to_dict() for order in orders])
        return
    if not orders:
        terminal.note("There are no orders.")
        return
    terminal.table(_COLUMNS, map(_row, orders))


def _row(order: "Order") -> tuple[Any, ...]:
    return (
        order.id,
        order.state,
        order.product_name,
        _moment(order.start_date),
        _moment(order.end_date),
        ", ".join(order.tag_names),
    )


def _moment(when: "datetime") -> str:
    """Return a time in UTC, or only its date if it is midnight."""
    return f"{when:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
