"""The hrefs in an object, and copies of it to sign."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import singledispatch
from pathlib import PurePath
from typing import Any, NamedTuple

import pystac
from pystac_client import CollectionClient

__all__ = ["Slot", "copied", "slots_in", "warn_unsigned"]


class Slot(NamedTuple):
    """A place that holds an href."""

    holder: Any
    """An asset, or a dict or list."""
    key: Any
    """The name of the attribute, the key or the index."""

    @property
    def href(self) -> str:
        """The href."""
        if isinstance(self.holder, dict | list):
            return str(self.holder[self.key])
        return str(getattr(self.holder, self.key))

    def put(self, href: str) -> None:
        """Replace the href."""
        if isinstance(self.holder, dict | list):
            self.holder[self.key] = href
        else:
            setattr(self.holder, self.key, href)


@singledispatch
def slots_in(obj: object) -> Iterator[Slot]:
    """Yield the places of hrefs in ``obj``: assets, their alternates, and links to data.

    Args:
        obj: An Asset, Item, ItemCollection or Collection, a dict of one of these or of a page of
            items or collections, a dict of assets, or kerchunk references. A str has none.

    Raises:
        TypeError: ``obj`` is of another type.
    """
    msg = (
        "Only an href, Asset, Item, ItemCollection, Collection, ItemSearch, a dict of one of "
        "these, of assets or of kerchunk references, or a list or tuple of these can be signed, "
        f"not {_kind(obj)}."
    )
    raise TypeError(msg)


@slots_in.register(str)
@slots_in.register(PurePath)
def _(obj: str | PurePath) -> Iterator[Slot]:  # noqa: ARG001 - it is replaced itself
    return iter(())


@slots_in.register
def _(obj: pystac.Asset) -> Iterator[Slot]:
    yield Slot(obj, "href")
    yield from _alternates(obj.extra_fields)


@slots_in.register(pystac.Item)
@slots_in.register(pystac.Collection)
def _(obj: pystac.Item | pystac.Collection) -> Iterator[Slot]:
    for asset in obj.assets.values():
        yield from slots_in(asset)
    for link in obj.links:
        if isinstance(link.target, str) and _is_data(link.rel, link.extra_fields):
            yield Slot(link, "target")


@slots_in.register
def _(obj: pystac.ItemCollection) -> Iterator[Slot]:
    for item in obj.items:
        yield from slots_in(item)


@slots_in.register
def _(obj: dict) -> Iterator[Slot]:  # type: ignore[type-arg] # singledispatch takes plain classes
    for members in ("features", "collections"):
        if members in obj:
            for member in obj[members]:
                yield from slots_in(member)
            return
    if obj.get("type") in ("Feature", "Collection"):
        yield from _of_assets(obj.get("assets") or {})
        for link in obj.get("links") or ():
            if _is_data(link.get("rel"), link) and isinstance(link.get("href"), str):
                yield Slot(link, "href")
    elif _is_asset(obj):
        yield Slot(obj, "href")
        yield from _alternates(obj)
    elif obj and all(map(_is_asset, obj.values())):
        yield from _of_assets(obj)
    else:
        yield from _of_references(obj)


def warn_unsigned(parts: Iterable[Any]) -> None:
    """Warn if STAC objects hold ``s3://`` in places that are not signed."""
    if any(map(_holds_unsigned, parts)):
        warnings.warn(
            "Some s3:// hrefs were not signed: only those of assets, their alternates, links to "
            "data and references are.",
            stacklevel=4,
        )


def _holds_unsigned(obj: Any) -> bool:
    if isinstance(obj, pystac.ItemCollection):
        return any(map(_holds_unsigned, obj.items))
    if isinstance(obj, pystac.Item | pystac.Collection):
        parts: list[Any] = [asset.extra_fields for asset in obj.assets.values()]
        parts += [link.target for link in obj.links if isinstance(link.target, str)]
        parts += [obj.extra_fields, getattr(obj, "properties", None)]
        return "s3://" in repr(parts)
    if isinstance(obj, pystac.Asset):
        obj = obj.extra_fields
    return isinstance(obj, dict) and "s3://" in repr(obj)


def _of_assets(assets: Mapping[str, Any]) -> Iterator[Slot]:
    for asset in assets.values():
        if isinstance(asset, pystac.Asset) or isinstance(asset.get("href"), str):
            yield from slots_in(asset)


def _alternates(fields: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield the hrefs of the extension ``alternate-assets``."""
    alternates = fields.get("alternate")
    for alternate in alternates.values() if isinstance(alternates, dict) else ():
        if isinstance(alternate, dict) and isinstance(alternate.get("href"), str):
            yield Slot(alternate, "href")


def _of_references(obj: dict[str, Any]) -> Iterator[Slot]:
    """Yield the URLs of kerchunk references, version 1 or 0."""
    if isinstance(obj.get("refs"), dict):
        yield from _references(obj["refs"])
        templates = obj.get("templates") or {}
        yield from (Slot(templates, name) for name in templates if _is_whole(obj, name))
    elif ".zgroup" in obj or "zarr.json" in obj:
        yield from _references(obj)
    else:
        slots_in.dispatch(object)(obj)


def _references(refs: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield the URLs of references: ``[url]`` or ``[url, offset, length]``."""
    for reference in refs.values():
        if isinstance(reference, list) and reference and isinstance(reference[0], str):
            yield Slot(reference, 0)


def _is_whole(references: Mapping[str, Any], name: str) -> bool:
    """Return whether a template is a whole URL wherever it is used, and so can be signed."""
    used = [slot.href for slot in _references(references["refs"]) if "{{" + name in slot.href]
    return bool(used) and all(href == "{{" + name + "}}" for href in used)


def _is_data(rel: Any, fields: Mapping[str, Any]) -> bool:
    """Return whether a link leads to data, by its relation or its role."""
    return rel == "data" or "data" in (fields.get("roles") or ())


def _is_asset(value: Any) -> bool:
    return isinstance(value, pystac.Asset) or (
        isinstance(value, dict) and isinstance(value.get("href"), str)
    )


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


def _kind(obj: object) -> str:
    if isinstance(obj, dict):
        return f"a dict of type {obj.get('type')!r}"
    return f"a {type(obj).__name__}"
