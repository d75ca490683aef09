"""Find orders that were sent among the orders on the server, by comparing their fields."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .payloads import Order

__all__ = ["match_orders", "matches"]


def matches(
    sent: Order,
    found: Order,
    *,
    batch_comment: str | None = None,
    may_have_more_tags: bool = False,
) -> bool:
    """Return whether ``found`` is what the server would make of ``sent``.

    The server may fill in fields that were not sent, and may copy the batch's comment to an order
    without one.

    Args:
        sent: The order as sent.
        found: An order on the server.

    Keyword Args:
        batch_comment: The batch's comment.
        may_have_more_tags: Whether tags may have been added to ``found`` since.
    """
    # The cheap comparisons first: a batch may be compared with thousands of orders.
    if (
        sent.end_date != found.end_date
        or sent.start_date != found.start_date
        or sent.frequency != found.frequency
        or sent.product_name != found.product_name
        or sent.illumination_constraint != found.illumination_constraint
    ):
        return False
    tags, found_tags = Counter(sent.tag_names), Counter(found.tag_names)
    comments = {sent.comment or ""} if sent.comment else {"", batch_comment or ""}
    options = (found.product_options or {}).items()
    others = found.model_extra or {}
    extra = (sent.model_extra or {}).items()
    return (
        _normalized(sent.area_of_interest_id) == _normalized(found.area_of_interest_id)
        and (found.comment or "") in comments
        and (tags <= found_tags if may_have_more_tags else tags == found_tags)
        and sent.maximum_number_of_images in (None, found.maximum_number_of_images)
        and all(option in options for option in (sent.product_options or {}).items())
        and all(others.get(name, value) == value for name, value in extra)
    )


def match_orders(
    sent: Sequence[Order],
    found: Sequence[Order],
    *,
    batch_comment: str | None = None,
    may_have_more_tags: bool = False,
) -> tuple[list[Order], list[Order | None]]:
    """Pair orders that were sent with orders on the server, one to one, by :func:`matches`.

    Returns:
        All orders in ``found`` that match any in ``sent``; and for each in ``sent`` its
        counterpart, or ``None`` if there are too few.
    """
    match = partial(matches, batch_comment=batch_comment, may_have_more_tags=may_have_more_tags)
    candidates = [[n for n, order in enumerate(found) if match(one, order)] for one in sent]
    owner: dict[int, int] = {}  # index in found -> index in sent

    def assign(one: int, tried: set[int]) -> bool:
        """Assign a counterpart, reassigning others if needed (Kuhn's algorithm)."""
        for n in candidates[one]:
            if n in tried:
                continue
            tried.add(n)
            if n not in owner or assign(owner[n], tried):
                owner[n] = one
                return True
        return False

    for one in range(len(sent)):
        assign(one, set())
    assigned = {one: found[n] for n, one in owner.items()}
    matching = sorted({n for indices in candidates for n in indices})
    return [found[n] for n in matching], [assigned.get(one) for one in range(len(sent))]


def _normalized(uuid: str) -> str:
    """Return a UUID in lower case, without dashes and URN prefix."""
    return uuid.casefold().removeprefix("urn:uuid:").replace("-", "")
