"""A search that finds nothing says why, if the request itself is the likely cause."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pystac_client

from .members import owned

if TYPE_CHECKING:
    import pystac

__all__ = ["ExplainedSearch"]

_ALWAYS = frozenset({"bbox", "collection", "datetime", "geometry", "id", "order:id"})
"""What a filter may name though no item has it among its properties."""


class ExplainedSearch(pystac_client.ItemSearch):
    """A search that warns about unknown collections and properties if it finds nothing."""

    _explained = False

    def matched(self) -> int | None:  # type: ignore[override] # pystac-client's is cached
        """Return the number of matching items, or ``None`` if the API does not say.

        Warns:
            UserWarning: None match, and a collection or property in the request is unknown.
        """
        count = super().matched()
        if count == 0:
            self._explain()
        return count

    def items(self) -> Iterator[pystac.Item]:
        """Yield the items."""
        return (owned(item, self._owner) for item in super().items())

    def pages(self) -> Iterator[pystac.ItemCollection]:
        """Yield the pages."""
        return (owned(page, self._owner) for page in super().pages())

    def item_collection(self) -> pystac.ItemCollection:  # type: ignore[override] # likewise
        """Return all items."""
        return owned(super().item_collection(), self._owner)

    @property
    def _owner(self) -> Any:
        return self.client

    def pages_as_dicts(self) -> Iterator[dict[str, Any]]:
        """Yield the pages.

        Warns:
            UserWarning: There are none, and a collection or property in the request is unknown.
        """
        empty = True
        for page in super().pages_as_dicts():
            empty = False
            yield page
        if empty:
            self._explain()

    def _explain(self) -> None:
        if self._explained or self.client is None:
            return
        self._explained = True
        collections = list(self._parameters.get("collections") or ())
        if collections:
            known = sorted(each.id for each in self.client.get_collections())
            unknown = sorted(set(collections) - set(known))
            if unknown:
                _warn("collection", unknown, known)
                return
        asked = set(_properties(self._parameters.get("filter"))) - _ALWAYS
        if asked:
            found = self.client.search(collections=collections or None, max_items=1)
            for item in pystac_client.ItemSearch.items_as_dicts(found):
                unknown = sorted(asked - item["properties"].keys())
                if unknown:
                    _warn("property", unknown, sorted(item["properties"]))


def _properties(expression: Any) -> Iterator[str]:
    """Yield the properties that a CQL2-JSON filter names."""
    if isinstance(expression, Mapping):
        if isinstance(expression.get("property"), str):
            yield expression["property"].removeprefix("properties.")
        for part in expression.values():
            yield from _properties(part)
    elif isinstance(expression, list):
        for part in expression:
            yield from _properties(part)


def _warn(kind: str, unknown: list[str], known: list[str]) -> None:
    warnings.warn(
        f"The search found no scenes: there is no {kind} {', '.join(map(repr, unknown))}, but "
        f"{', '.join(map(repr, known)) or 'none'}.",
        stacklevel=5,
    )
