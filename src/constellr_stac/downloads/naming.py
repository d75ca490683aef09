"""Where a file goes: a name below the folder, good on every system.

What a server says becomes a path here, so here is where it is not trusted. Nothing is looked
up on disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import pystac
from pystac.utils import datetime_to_str

from constellr_stac._text import redact_url
from constellr_stac.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST_NAME", "Layout", "checked", "destination", "file_name", "item_document"]

Layout: TypeAlias = (
    Literal["provider", "collection", "flat"] | Callable[[pystac.Item, str], str | PurePath]
)
"""How files are laid out: one of the names, or what gives the path of an item's asset."""

LONGEST_NAME = 255 - len(".part")
"""Bytes of a name (UTF-8): what file systems take, less what a file that is on its way needs."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\..*)?",
    re.IGNORECASE,
)


def destination(item: pystac.Item, key: str, layout: Layout) -> PurePosixPath:
    """Return where an asset's file goes, relative to the folder.

    Args:
        item: The item.
        key: The key of one of its assets.
        layout: ``"provider"`` is ``<datetime>_<id>/<file>``, as in the provider's own example;
            ``"collection"`` is ``<collection>/<date>/<id>/<file>``; ``"flat"`` is
            ``<id>_<file>``; a callable is asked.

    Raises:
        DownloadError: The path would leave the folder, or is none on some system.
        ValueError: There is no such layout.
    """
    whose = f"asset {key!r} of item {item.id!r}"
    if callable(layout):
        return checked(layout(item, key), whose)
    href = item.assets[key].href
    name = file_name(href)
    if layout == "flat":
        parts = [name if name.startswith(item.id) else f"{item.id}_{name}"]
    elif layout in _FOLDERS:
        parts = [*_FOLDERS[layout](item), name]
    else:
        raise ValueError(
            f'layout= is "provider", "collection", "flat" or a callable, not {layout!r}.'
        )
    shown = redact_url(href) if "://" in href else href
    for part in parts:
        _check(part, f"{whose} ({shown!r})")
    return PurePosixPath(*parts)


def item_document(item: pystac.Item, first: PurePosixPath) -> PurePosixPath:
    """Return where the item's own JSON goes: beside the first of its files."""
    return first.parent / checked(f"{item.id}.json", f"item {item.id!r}")


def file_name(href: str) -> str:
    """Return the last part of an href's path, percent-encoding undone where there is any.

    Example:
        >>> file_name("https://b.example/LA%20harbor/a%2Bb.tiff?X-Amz-Signature=1f")
        'a+b.tiff'
        >>> file_name("s3://b/50%25.tiff")
        '50%25.tiff'
    """
    if urlsplit(href).scheme in ("http", "https", "file"):
        return unquote(urlsplit(href).path.rpartition("/")[2])
    return re.split(r"[/\\]", href)[-1]


def checked(path: str | PurePath, whose: str) -> PurePosixPath:
    """Return ``path`` if it is one below the folder, on every system.

    Raises:
        DownloadError: It is absolute, climbs, or has a part that some system cannot have.

    Example:
        >>> checked("a/lst.tiff", "an asset")
        PurePosixPath('a/lst.tiff')
    """
    if not isinstance(path, str | PurePath):
        raise TypeError(f"layout= gave {path!r} for {whose}; it is to give a relative path.")
    text = path.as_posix() if isinstance(path, PurePath) else path
    for part in text.split("/"):
        _check(part, whose)
    return PurePosixPath(text)


def _check(part: str, whose: str) -> None:
    """Refuse one part of a path, and say why."""
    if part in ("", ".", ".."):
        why = "that leads out of the folder, or nowhere"
    elif found := _FORBIDDEN.search(part):
        why = f"{found[0]!r} cannot be part of a name, or would lead out of the folder"
    elif part.lower().endswith(".part"):
        why = "that is what a file is called while it is on its way"
    elif part[-1] in ". ":
        why = "Windows cannot keep a name that ends with a dot or a space"
    elif _RESERVED.fullmatch(part):
        why = "on Windows that is a device"
    elif len(part.encode()) > LONGEST_NAME:
        why = f"a name can have {LONGEST_NAME} bytes, and it has {len(part.encode())}"
    else:
        return
    raise DownloadError(
        f"No file can be named for {whose}: {_short(part)}: {why}. "
        "Give layout= a function of item and asset key that returns another path."
    )


def _short(part: str) -> str:
    return repr(part) if len(part) <= 80 else f"{part[:60]!r}… ({len(part)} characters)"  # noqa: PLR2004


def _time(item: pystac.Item) -> str:
    words: Mapping[str, object] = item.properties
    stated = words.get("datetime") or words.get("start_datetime")
    if stated is None and item.datetime is not None:
        stated = datetime_to_str(item.datetime)
    return str(stated or "undated").replace(":", "-")


def _by_scene(item: pystac.Item) -> list[str]:
    return [f"{_time(item)}_{item.id}"]


def _by_collection(item: pystac.Item) -> list[str]:
    return [item.collection_id or "no-collection", _time(item).partition("T")[0], item.id]


_FOLDERS: Mapping[str, Callable[[pystac.Item], list[str]]] = {
    "provider": _by_scene,
    "collection": _by_collection,
}
