"""Violations as values, and the parsing of orders, which finds malformed fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from constellr_stac.errors import OrderValidationError

from .payloads import Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Violation", "parse_orders", "raise_violations"]


@dataclass(frozen=True)
class Violation:
    """A broken rule."""

    index: int | None
    """Position of the order in the batch; ``None`` for the batch itself."""
    field: str
    """The field, such as ``start_date`` or ``tags[3]``; empty if the value is not an order."""
    problem: str
    """What is wrong, and a valid value."""

    def __str__(self) -> str:
        order = [] if self.index is None else [f"orders[{self.index}]"]
        field = [self.field] if self.field else []
        return f"{'.'.join(order + field)}: {self.problem}"


def raise_violations(found: list[Violation]) -> None:
    """Raise one error with all violations, if there are any."""
    if not found:
        return
    lines = "\n".join(f"  - {violation}" for violation in found)
    broken = "1 rule is" if len(found) == 1 else f"{len(found)} rules are"
    error = OrderValidationError(f"Nothing was sent: {broken} broken.\n{lines}")
    error.violations = tuple(found)
    raise error


def parse_orders(
    orders: Iterable[Order | Mapping[str, Any]],
) -> tuple[dict[int, Order], list[Violation]]:
    """Return the valid orders by index, and the violations of the others."""
    valid: dict[int, Order] = {}
    found: list[Violation] = []
    for index, order in enumerate(orders):
        try:
            valid[index] = order if isinstance(order, Order) else Order.model_validate(order)
        except ValidationError as error:
            found += [
                Violation(index, _path(problem["loc"]), _as_problem(problem["msg"]))
                for problem in error.errors(include_url=False, include_input=False)
            ]
    return valid, found


def _path(steps: Iterable[int | str]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)[1:]


def _as_problem(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
