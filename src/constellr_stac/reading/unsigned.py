"""Items whose hrefs do not expire, for direct use with odc-stac or stackstac.

:func:`constellr_stac.load` does not need them.
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
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

__all__ = ["stable"]


def stable(
    items: Items,
    *,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
) -> list[pystac.Item]:
    """Return copies of items whose hrefs hold no signature and do not expire.

    odc-stac and stackstac put the hrefs of items into their graphs. A URL signed by the API would
    be a secret there, would expire, and would change dask's keys with each search. Such URLs are
    replaced by references: the URL without signature, and the names of item and asset. Only
    :class:`OdcDriver` and :class:`StackstacReader` can read them; they sign when a chunk is read.
    Other hrefs are unchanged.

    Args:
        items: A search, an ItemCollection, items, or their dicts.

    Keyword Args:
        auth: The same as for the driver or reader, which then use the URLs signed by the search.
        signer: The same as for the driver or reader.
        limits: The same as for the driver or reader.

    Returns:
        Copies of the items, sorted by time.

    Raises:
        TypeError: ``items`` holds something else.
        ValueError: There are no items, or one has no time.

    Example:
        >>> import odc.stac
        >>> import constellr_stac
        >>> odc.stac.load(
        ...     constellr_stac.stable(search), driver="constellr_stac.OdcDriver", chunks={}
        ... )  # doctest: +SKIP
    """
    resolver = shared_fetcher(AssetResolver(auth, signer, limits)).resolver
    lasting = []
    for item in sorted_items(items):
        resolver.remember(item)
        named = item.clone()
        for key, asset in named.assets.items():
            found = asset_ref(item, key)
            if found.renewable or found.catalog:
                asset.href = str(found)
        lasting.append(named)
    return lasting
