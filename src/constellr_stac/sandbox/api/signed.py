"""Items on their way out: with their hrefs signed afresh, where this sandbox does that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constellr_stac.sandbox.options import BUCKET

if TYPE_CHECKING:
    from .auth_guard import World

__all__ = ["signed_item"]


def signed_item(world: World, item: dict[str, Any]) -> dict[str, Any]:
    """Return the item as it is answered; hrefs that are not of the bucket stay as they are."""
    if not world.options.presigned:
        return item
    assets = {
        name: {**asset, "href": world.presign(asset["href"])}
        if asset["href"].startswith(f"s3://{BUCKET}/")
        else asset
        for name, asset in item.get("assets", {}).items()
    }
    return {**item, "assets": assets}
