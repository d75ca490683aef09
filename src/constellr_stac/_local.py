"""Which files of this machine an item may name: the one policy.

An item that came from a server names none: its assets are http(s) URLs, ``s3://`` URLs, or
relative to its own URL. Other items, made in code or read from disk, may name regular files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["catalog_of", "is_local", "links_of", "local_path", "open_regular"]

_REMOTE = ("http", "https", "s3")


def is_local(href: str) -> bool:
    """Return whether an href is anything but an http(s) or ``s3://`` URL.

    Example:
        >>> is_local("https://b.example/lst.tiff"), is_local("file:///etc/passwd")
        (False, True)
        >>> is_local("C:/lst.tiff"), is_local("../lst.tiff"), is_local("/vsicurl/http://a.b/c")
        (True, True, True)
    """
    try:
        return urlsplit(href).scheme not in _REMOTE
    except ValueError:  # an invalid host
        return True


def local_path(href: str) -> Path:
    """Return the path of a local href."""
    is_url = href.lower().startswith("file:")
    return Path(url2pathname(urlsplit(href).path) if is_url else href)


def catalog_of(item: Any) -> str:
    """Return the base URL of the catalog that an item came from; empty if from no server.

    It is known from the root link, else from the self link.

    Args:
        item: A STAC object, or its dict.

    Example:
        >>> catalog_of({"links": [{"rel": "root", "href": "https://api.example/stac"}]})
        'https://api.example'
    """
    found: dict[str, str] = {}
    for rel, href in links_of(item):
        if rel in ("root", "self") and isinstance(href, str):
            found.setdefault(rel, href)
    for rel in ("root", "self"):
        if found.get(rel, "").lower().startswith(("http:", "https:")):
            return found[rel].partition("?")[0].partition("/stac")[0].rstrip("/")
    return ""


def links_of(item: Any) -> list[tuple[Any, Any]]:
    """Return the relation and the href of each link of a STAC object or its dict."""
    if isinstance(item, dict):
        links = item.get("links") or ()
        return [(link.get("rel"), link.get("href")) for link in links if isinstance(link, dict)]
    links = getattr(item, "links", ())
    return [(link.rel, link.get_target_str()) for link in links]


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; a pipe or a device could block or never end.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{str(path)!r} is not a regular file")
    return os.fdopen(file, "rb")
