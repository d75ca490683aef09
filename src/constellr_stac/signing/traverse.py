"""The assets of a STAC object, and copies of it to sign."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import singledispatch
from typing import Any, TypeAlias

import pystac
from pystac_client import CollectionClient

__all__ = ["assets_in", "copied", "get_href", "put_href"]

AnyAsset: TypeAlias = pystac.Asset | dict[str, Any]


@singledispatch
def assets_in(obj: object) -> Iterator[AnyAsset]:
    """Yield the assets in ``obj``, as objects or as dicts with an ``href``.

    Args:
        obj: An Asset, Item, ItemCollection or Collection, or a dict of one of the last three or
            of a page of items or collections. A str has none.

    Raises:
        TypeError: ``obj`` is of another type.
    """
    msg = (
        "Only an href, Asset, Item, ItemCollection, Collection, ItemSearch, a STAC dict of an "
        f"item or collection, or a list or tuple of these can be signed, not {_kind(obj)}."
    )
    raise TypeError(msg)


@assets_in.register
def _(obj: str) -> Iterator[AnyAsset]:  # noqa: ARG001 - a str has none
    return iter(())


@assets_in.register
def _(obj: pystac.Asset) -> Iterator[AnyAsset]:
    yield obj


@assets_in.register(pystac.Item)
@assets_in.register(pystac.Collection)
def _(obj: pystac.Item | pystac.Collection) -> Iterator[AnyAsset]:
    yield from obj.assets.values()


@assets_in.register
def _(obj: pystac.ItemCollection) -> Iterator[AnyAsset]:
    for item in obj.items:
        yield from item.assets.values()


@assets_in.register
def _(obj: dict) -> Iterator[AnyAsset]:  # type: ignore[type-arg] # singledispatch takes plain classes
    for members in ("features", "collections"):
        if members in obj:
            for member in obj[members]:
                yield from assets_in(member)
            return
    if obj.get("type") not in ("Feature", "Collection"):
        assets_in.dispatch(object)(obj)
    for asset in (obj.get("assets") or {}).values():
        if isinstance(asset.get("href"), str):
            yield asset


@singledispatch
def copied(obj: Any) -> Any:
    """Return a copy of ``obj`` that shares no mutable state; objects without hrefs are returned."""
    return obj


@copied.register
def _(obj: dict) -> dict[str, Any]:  # type: ignore[type-arg] # singledispatch takes plain classes
    return copy.deepcopy(obj)


@copied.register
def _(obj: pystac.Asset) -> pystac.Asset:
    clone = obj.clone()
    clone.owner = obj.owner
    return clone


@copied.register(pystac.Item)
@copied.register(pystac.Collection)
def _(obj: pystac.Item | pystac.Collection) -> Any:
    return obj.clone()


@copied.register
def _(obj: pystac.ItemCollection) -> pystac.ItemCollection:
    # ItemCollection.clone() copies every item twice.
    items = [item.clone() for item in obj.items]
    return type(obj)(items, copy.deepcopy(obj.extra_fields), clone_items=False)


@copied.register
def _(obj: CollectionClient) -> CollectionClient:
    # The inherited clone() unsets the root, which CollectionClient does not allow.
    return type(obj).from_dict(
        obj.to_dict(transform_hrefs=False),
        root=obj.get_root(),
        preserve_dict=True,
        modifier=obj.modifier,
    )


def get_href(asset: AnyAsset) -> str:
    """Return the asset's href."""
    href: str = asset["href"] if isinstance(asset, dict) else asset.href
    return href


def put_href(asset: AnyAsset, href: str) -> None:
    """Set the asset's href."""
    if isinstance(asset, dict):
        asset["href"] = href
    else:
        asset.href = href


def _kind(obj: object) -> str:
    if isinstance(obj, dict):
        return f"a dict of type {obj.get('type')!r}"
    return f"a {type(obj).__name__}"
