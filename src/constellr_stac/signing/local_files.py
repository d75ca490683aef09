"""Refusal of items that came from a server and name files of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pystac

from constellr_stac._local import catalog_of, is_local, links_of
from constellr_stac.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["refuse_local_files"]


_OBJECTS = ("/vsis3/", "s3a://", "s3n://")
"""Other forms of ``s3://``."""


def refuse_local_files(objects: Iterable[Any]) -> None:
    """Raise if an item that came from a server names a file of this machine.

    Args:
        objects: STAC objects, their dicts, and anything else that can be signed.

    Raises:
        SigningError: One does.
    """
    for member in _members(objects):
        own_url = next((href for rel, href in links_of(member) if rel == "self" and href), "")
        for href in _hrefs(member):
            is_file = is_local(href) and not href.startswith(_OBJECTS)
            if is_file and is_local(urljoin(str(own_url), href)):
                identity = member.get("id") if isinstance(member, dict) else member.id
                raise SigningError(
                    f"The asset {href!r} of {identity!r} is a file of this machine, which an item "
                    "from a server may not name. If you set the href yourself, pass "
                    "local_files=True."
                )


def _members(objects: Iterable[Any]) -> Iterator[Any]:
    """Yield the items and collections that came from a server."""
    for obj in objects:
        found: Iterable[Any] = ()
        if isinstance(obj, pystac.ItemCollection):
            found = obj.items
        elif isinstance(obj, dict):
            found = next((obj[name] for name in ("features", "collections") if name in obj), [obj])
        elif isinstance(obj, pystac.STACObject):
            found = [obj]
        yield from (member for member in found if catalog_of(member))


def _hrefs(member: Any) -> list[str]:
    assets = member.get("assets") if isinstance(member, dict) else getattr(member, "assets", None)
    found = [
        asset.get("href") if isinstance(asset, dict) else asset.href
        for asset in (assets or {}).values()
    ]
    return [href for href in found if isinstance(href, str)]
