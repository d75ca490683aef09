"""Which items were fetched again from a sandbox, one by one or by a search for their ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox


def items_renewed(sandbox: Sandbox) -> list[str]:
    """Return the ids of the items asked for, as often as they were."""
    ids: list[str] = []
    for exchange in sandbox.requests:
        if "/items/" in exchange.path:
            ids.append(exchange.path.rpartition("/")[2])
        elif exchange.path.endswith("/search") and exchange.body:
            terms: dict[str, Any] = json.loads(exchange.body).get("filter") or {"args": ()}
            ids += [term["args"][1] for term in terms["args"]]
    return ids


def searches(sandbox: Sandbox) -> int:
    """Return the number of searches for ids."""
    return sum(b'"filter"' in each.body for each in sandbox.requests)
