"""Items whose hrefs do not expire, for those who call odc-stac or stackstac themselves.

:func:`constellr_stac.load` needs none of this: it puts references into the graph by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from constellr_stac.stac.items import sorted_items

from .asset_ref import asset_ref
from .prefetch import shared_fetcher
from .resolver import AssetResolver

if TYPE_CHECKING:
    import pystac

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

__all__ = ["stable"]


def stable(
    items: Items,
    *,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
) -> list[pystac.Item]:
    """Return copies of items whose hrefs neither expire nor hold a signature.

    Plain odc-stac and plain stackstac put the hrefs of items into their graph. A URL that the API
    has signed would be a secret there, would expire, and would change dask's keys with each
    search. So each is replaced by a reference: the URL without its signature, and the names of
    the item and the asset. Only :class:`OdcDriver` and :class:`StackstacReader` can read one;
    they get a signed URL for it when a chunk is read. Other hrefs stay as they are.

    Args:
        items: A search, an ItemCollection, items, or their dicts.

    Keyword Args:
        auth: The same as for the driver or reader: what a search has signed is kept for them.
        signer: The same as for the driver or reader.

    Returns:
        Copies of the items, sorted by time.

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
    resolver = shared_fetcher(AssetResolver(auth, signer)).resolver
    lasting = []
    for item in sorted_items(items):
        resolver.remember(item)
        named = item.clone()
        for key, asset in named.assets.items():
            found = asset_ref(item, key)
            if found.renewable:
                asset.href = str(found)
        lasting.append(named)
    return lasting
