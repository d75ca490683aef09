"""Items with pre-signed hrefs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constellr_stac.sandbox.options import BUCKET

if TYPE_CHECKING:
    from .auth_guard import Services

__all__ = ["signed_item"]


def signed_item(services: Services, item: dict[str, Any]) -> dict[str, Any]:
    """Return the item as served; with ``presigned``, hrefs in the bucket are signed."""
    if not services.options.presigned:
        return item
    assets = {
        name: {**asset, "href": services.presign(asset["href"])}
        if asset["href"].startswith(f"s3://{BUCKET}/")
        else asset
        for name, asset in item.get("assets", {}).items()
    }
    return {**item, "assets": assets}
