"""``constellr orders``: orders are shown before they are placed."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Exit, Option

from constellr_stac.errors import OrderExistsError, OrderOutcomeUnknown, OrderValidationError

from .command import command, group
from .errors import Failure
from .flags import Limit, Yes
from .inputs import duration
from .order_files import read_batch
from .order_tables import preview_orders, show_order, show_orders
from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constellr_stac.orders import Order, OrdersClient

__all__ = ["commands"]

commands = group(
    "Orders of scenes.", "constellr orders create summer.yaml", "constellr orders list"
)

OrderId = Annotated[str, Argument(metavar="ID", help="Id of the order.")]
OrdersFile = Annotated[
    str,
    Argument(
        metavar="FILE",
        help="YAML or JSON: one order, a list, or orders with use_case and comment; "
        "- for standard input.",
    ),
]


@command(commands, "constellr orders list", "constellr orders list --limit 5 --json", name="list")
def list_(terminal: Terminal, *, limit: Limit = None) -> None:
    """List the organization's orders, newest first."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client, terminal.working("Fetching orders …"):
        orders = list(client.list(limit=limit))
    show_orders(terminal, orders)


@command(commands, "constellr orders show 123e4567-e89b-12d3-a456-426614174000")
def show(terminal: Terminal, id_: OrderId) -> None:
    """Show one order."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        show_order(terminal, client.get(id_))


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
    dry_run: Annotated[bool, Option("--dry-run", help="Print the payload; send nothing.")] = False,
    no_check: Annotated[
        bool, Option("--no-check", help="Skip the check; the API still checks.")
    ] = False,
    exist_ok: Annotated[
        bool, Option("--exist-ok", help="Use an equal active order; place only the others.")
    ] = False,
    duplicate_ok: Annotated[
        bool, Option("--duplicate-ok", help="Place an order even if an equal one is active.")
    ] = False,
) -> None:
    """Place the orders of a file, after showing them and asking.

    All are placed or none. This costs money. If an equal order is active, a second question
    follows; with --yes nothing is placed then. Fields of an order: area_of_interest_id,
    product_name, frequency, start_date, end_date; optional: comment, tags,
    illumination_constraint.
    """
    from constellr_stac.orders import OrdersClient

    batch = read_batch(file)
    with OrdersClient() as client:
        with terminal.working("Checking the orders …"):
            payload = client.create(**batch, check=not no_check, dry_run=True)
        if dry_run:
            terminal.json(payload)
            return
        preview_orders(terminal, client, payload)
        count = len(batch["orders"])
        question = "Place this order?" if count == 1 else f"Place these {count} orders?"
        if not yes and not terminal.ask(question, option="--yes"):
            raise Failure("Nothing was ordered.")
        placed = _place(
            terminal, client, batch, yes=yes, exist_ok=exist_ok, duplicate_ok=duplicate_ok
        )
    try:
        show_orders(terminal, placed)
        sys.stdout.flush()
    except OSError:  # stdout is broken: name the orders, so that nobody orders again
        terminal.note(f"The orders were placed: {', '.join(str(order.id) for order in placed)}.")
        raise


@command(commands, "constellr orders update 123e4567-e89b-12d3-a456-426614174000 --tag field42")
def update(
    terminal: Terminal,
    id_: OrderId,
    *,
    tag: Annotated[list[str] | None, Option(help="A tag; repeatable.", show_default=False)] = None,
    no_tags: Annotated[bool, Option("--no-tags", help="Remove all tags.")] = False,
) -> None:
    """Replace the tags of an order."""
    from constellr_stac.orders import OrdersClient

    if bool(tag) is no_tags:
        raise BadParameter("Pass either --tag or --no-tags.")
    with OrdersClient() as client:
        show_order(terminal, client.update(id_, tags=tag or []))


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
        list[str] | None, Option(metavar="STATE", help="State to wait for; repeatable.")
    ] = None,
    timeout: Annotated[
        str | None, Option(metavar="TIME", help="Maximum time: 30m, 12h, 7d.")
    ] = None,
    interval: Annotated[str, Option(metavar="TIME", help="Time between requests.")] = "60s",
) -> None:
    """Wait until an order is closed; fail if it is rejected."""
    from constellr_stac.orders import OrdersClient

    seconds = None if timeout is None else duration(timeout).total_seconds()
    pause = duration(interval).total_seconds()
    with OrdersClient() as client, terminal.working(f"Waiting for order {id_} …"):
        order = client.wait(
            id_,
            until or ["closed", "rejected"],
            timeout=seconds,
            interval=pause,
            on_change=lambda order: terminal.note(f"{order.id} is {order.state}."),
        )
    show_order(terminal, order)
    if order.state == "rejected" and not until:
        reason = f": {order.rejection_reason}" if order.rejection_reason else ""
        raise Failure(f"The order was rejected{reason}.")


@command(commands, "constellr orders delete 123e4567-e89b-12d3-a456-426614174000")
def delete(terminal: Terminal, id_: OrderId, *, yes: Yes = False) -> None:
    """Delete an order that is not in progress, or was rejected."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient() as client:
        if not yes:
            preview_orders(terminal, client, {"orders": [client.get(id_).to_dict()]})
            if not terminal.ask("Delete this order?", option="--yes"):
                raise Failure("Nothing was deleted.")
        client.delete(id_)
    terminal.result({"deleted": id_}, f"Deleted order {id_}.")


@command(commands, "constellr orders check summer.yaml")
def check(terminal: Terminal, file: OrdersFile) -> None:
    """Check the orders of a file as `create` does; order nothing."""
    from constellr_stac.orders import OrdersClient

    batch = read_batch(file)
    count = len(batch["orders"])
    with OrdersClient() as client, terminal.working("Checking the orders …"):
        try:
            client.create(**batch, dry_run=True)
            found: Sequence[Any] = ()
        except OrderValidationError as error:
            if not terminal.as_json:
                raise
            found = error.violations
    if terminal.as_json:
        terminal.json({"orders": count, "violations": [asdict(each) for each in found]})
        if found:
            raise Exit(1)
    else:
        terminal.line(f"Valid: {count} order{'s' if count != 1 else ''}.")


def _place(
    terminal: Terminal,
    client: "OrdersClient",
    batch: dict[str, Any],
    *,
    yes: bool,
    exist_ok: bool,
    duplicate_ok: bool,
) -> list["Order"]:
    """Place a batch, asking again if equal orders are active."""
    try:
        with terminal.working("Placing the orders …"):
            placed: list[Order] = client.create(  # checked before
                **batch, check=False, exist_ok=exist_ok, duplicate_ok=duplicate_ok
            )
            return placed
    except OrderOutcomeUnknown as error:
        for order in error.found:
            error.add_note(f"Found on the server: {order.id}, {order.state}.")
        raise
    except OrderExistsError as error:
        text = str(error)
        for name in ("exist_ok", "duplicate_ok"):
            text = text.replace(f"{name}=True", f"--{name.replace('_', '-')}")
        if yes:
            raise Failure(text) from error
        terminal.note(text)
    if not terminal.ask("Place them all the same?", option="--duplicate-ok"):
        raise Failure("Nothing was ordered.")
    return _place(terminal, client, batch, yes=True, exist_ok=exist_ok, duplicate_ok=True)
