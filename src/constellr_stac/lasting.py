"""Items whose hrefs last: for odc-stac and stackstac, called by themselves.

:func:`constellr_stac.load` puts references into the graph of its own accord.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .assets import shared_fetcher
from .locations import Locations
from .plan import as_items
from .references import reference

if TYPE_CHECKING:
    import pystac

    from .auth import ConstellrAuth
    from .credentials import Credential
    from .plan import Items
    from .signing import Signer

__all__ = ["stable"]


def stable(
    items: Items,
    *,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
) -> list[pystac.Item]:
    """Return copies of items in which no href holds a signature, and none ends.

    Plain odc-stac and plain stackstac put the hrefs of items into their graph. A URL that the API
    has signed is a secret there, which ends, and is another one after each search. In its place
    stands a reference, which :class:`OdcDriver` and :class:`StackstacReader` turn into a URL
    when they read; nothing else can. Other hrefs stay as they are.

    Args:
        items: A search, an ItemCollection, items, or their dicts.

    Keyword Args:
        auth: As for the driver or reader that reads them.
        signer: Likewise.

    Returns:
        The items in the order of time.

    Raises:
        TypeError: ``items`` holds something else.
        ValueError: It holds none, or one without a time.

    Example:
        >>> import odc.stac
        >>> import constellr_stac
        >>> odc.stac.load(
        ...     constellr_stac.stable(search), driver="constellr_stac.OdcDriver", chunks={}
        ... )  # doctest: +SKIP
    """
    locations = shared_fetcher(Locations(auth, signer)).locations
    lasting = []
    for item in as_items(items):
        locations.remember(item)
        named = item.clone()
        for key, asset in named.assets.items():
            found = reference(item, key)
            if found.renewable:
                asset.href = str(found)
        lasting.append(named)
    return lasting
