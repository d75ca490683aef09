"""Derive paths from items and hrefs, valid on every system and inside the folder.

Servers' strings are not trusted. Nothing is read from disk.
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

__all__ = ["LONGEST_NAME", "Layout", "check_path", "destination", "file_name", "item_document"]

Layout: TypeAlias = (
    Literal["provider", "collection", "flat"] | Callable[[pystac.Item, str], str | PurePath]
)
"""A named layout, or a function that returns the path of an item's asset."""

LONGEST_NAME = 255 - len(".part")
"""Maximum bytes (UTF-8) of a name: the usual limit of file systems, less the ``.part`` suffix."""

_FORBIDDEN = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
)
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\..*)?",
    re.IGNORECASE,
)


def destination(item: pystac.Item, key: str, layout: Layout) -> PurePosixPath:
    """Return the path of a file, relative to the folder, by a layout of :func:`.download`.

    Raises:
        DownloadError: The path would leave the folder, or is invalid on some system.
        ValueError: The layout is unknown.
    """
    owner = f"asset {key!r} of item {item.id!r}"
    if callable(layout):
        return check_path(layout(item, key), owner)
    href = item.assets[key].href
    name = file_name(href)
    if layout == "provider":
        parts = [f"{_time(item)}_{item.id}", name]
    elif layout == "collection":
        date = _time(item).partition("T")[0]
        parts = [item.collection_id or "no-collection", date, item.id, name]
    elif layout == "flat":
        parts = [name if name.startswith(item.id) else f"{item.id}_{name}"]
    else:
        raise ValueError(
            f'layout must be "provider", "collection", "flat" or a callable, not {layout!r}.'
        )
    shown = redact_url(href) if "://" in href else href
    for part in parts:
        _check(part, f"{owner} ({shown!r})")
    return PurePosixPath(*parts)


def item_document(item: pystac.Item, first: PurePosixPath) -> PurePosixPath:
    """Return the path of an item's JSON: next to its first file."""
    return first.parent / check_path(f"{item.id}.json", f"item {item.id!r}")


def file_name(href: str) -> str:
    """Return the last segment of an href's path, percent-decoded if it is a URL.

    Example:
        >>> file_name("https://b.example/LA%20harbor/a%2Bb.tiff?X-Amz-Signature=1f")
        'a+b.tiff'
        >>> file_name("s3://b/50%25.tiff")
        '50%25.tiff'
    """
    if urlsplit(href).scheme in ("http", "https", "file"):
        return unquote(urlsplit(href).path.rpartition("/")[2])
    return re.split(r"[/\\]", href)[-1]


def check_path(path: str | PurePath, owner: str) -> PurePosixPath:
    """Return ``path`` if it is valid on every system and stays in the folder.

    Raises:
        DownloadError: It is absolute, contains ``..``, or is invalid on some system.

    Example:
        >>> check_path("a/lst.tiff", "an asset")
        PurePosixPath('a/lst.tiff')
    """
    if not isinstance(path, str | PurePath):
        raise TypeError(f"layout= returned {path!r} for {owner}, not a relative path.")
    text = path.as_posix() if isinstance(path, PurePath) else path
    for part in text.split("/"):
        _check(part, owner)
    return PurePosixPath(text)


def _check(part: str, owner: str) -> None:
    """Raise if a path segment is invalid, with the reason."""
    if part in ("", ".", ".."):
        why = "it is empty or leads out of the folder"
    elif found := _FORBIDDEN.search(part):
        why = f"{found[0]!r} is not allowed in file names"
    elif part.lower().endswith(".part"):
        why = "this suffix is for incomplete downloads"
    elif part[-1] in ". ":
        why = "Windows does not allow names that end with a dot or a space"
    elif _RESERVED.fullmatch(part):
        why = "it is a device name on Windows"
    elif len(part.encode()) > LONGEST_NAME:
        why = f"it has {len(part.encode())} bytes; the maximum is {LONGEST_NAME}"
    else:
        return
    raise DownloadError(
        f"No file name for {owner}: {_short(part)}: {why}. "
        "Pass layout= as a function of item and asset key that returns another path."
    )


def _short(part: str) -> str:
    return repr(part) if len(part) <= 80 else f"{part[:60]!r}… ({len(part)} characters)"  # noqa: PLR2004


def _time(item: pystac.Item) -> str:
    properties: Mapping[str, object] = item.properties
    time = properties.get("datetime") or properties.get("start_datetime")
    if time is None and item.datetime is not None:
        time = datetime_to_str(item.datetime)
    return str(time or "undated").replace(":", "-")
