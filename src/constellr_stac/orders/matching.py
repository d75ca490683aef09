"""Which of the orders on the server are the ones that were sent: field by field, as multisets.

Nothing here talks to the API.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .payloads import Order

__all__ = ["is_like", "paired"]


def is_like(sent: Order, there: Order, *, batch_comment: str | None = None) -> bool:
    """Say whether ``there`` is what the server would make of ``sent``.

    What was left out when sending may have been filled in by the server. A comment of the whole
    batch may have become the order's, where it had none of its own.

    Args:
        sent: An order as it was sent.
        there: An order as the server has it.

    Keyword Args:
        batch_comment: The comment of the batch.
    """
    comments = {sent.comment or ""} if sent.comment else {"", batch_comment or ""}
    options = (there.product_options or {}).items()
    others = there.model_extra or {}
    extra = (sent.model_extra or {}).items()
    return (
        _spelled(sent.area_of_interest_id) == _spelled(there.area_of_interest_id)
        and sent.product_name == there.product_name
        and sent.frequency == there.frequency
        and sent.start_date == there.start_date
        and sent.end_date == there.end_date
        and sent.illumination_constraint == there.illumination_constraint
        and Counter(sent.tag_names) == Counter(there.tag_names)
        and (there.comment or "") in comments
        and sent.maximum_number_of_images in (None, there.maximum_number_of_images)
        and all(option in options for option in (sent.product_options or {}).items())
        and all(others.get(name, value) == value for name, value in extra)
    )


def _spelled(uuid: str) -> str:
    """Return an id without what may be written otherwise: capitals, dashes, a URN's start."""
    return uuid.casefold().removeprefix("urn:uuid:").replace("-", "")


def paired(
    sent: Sequence[Order], there: Sequence[Order], *, batch_comment: str | None = None
) -> tuple[list[Order], list[Order | None]]:
    """Find the orders that were sent among those that are there.

    Two equal orders that were sent need two that are there.

    Args:
        sent: The orders as they were sent.
        there: Orders as the server has them.

    Keyword Args:
        batch_comment: The comment of the batch.

    Returns:
        All orders there that are like any that was sent; and for each that was sent, one of its
        own, or ``None`` where they do not suffice.
    """
    alike = [
        [n for n, order in enumerate(there) if is_like(one, order, batch_comment=batch_comment)]
        for one in sent
    ]
    owner: dict[int, int] = {}  # which of those there belongs to which that was sent

    def found(one: int, tried: set[int]) -> bool:
        """Give ``one`` an order of its own, if need be by moving others (Kuhn's algorithm)."""
        for n in alike[one]:
            if n in tried:
                continue
            tried.add(n)
            if n not in owner or found(owner[n], tried):
                owner[n] = one
                return True
        return False

    for one in range(len(sent)):
        found(one, set())
    own = {one: there[n] for n, one in owner.items()}
    candidates = sorted({n for ones in alike for n in ones})
    return [there[n] for n in candidates], [own.get(one) for one in range(len(sent))]
