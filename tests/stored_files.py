"""Files of items in a sandbox's bucket, and helpers to read downloads."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pystac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from constellr_stac.sandbox import Exchange, Sandbox

LONG = 1_500_003


def long_bytes(number: int = 0) -> bytes:
    """Return deterministic bytes without repetition."""
    return hashlib.shake_128(bytes([number])).digest(LONG)


def make_item(sandbox: Sandbox, files: Mapping[str, bytes], name: str = "scene") -> dict[str, Any]:
    """Put files into the sandbox's bucket and return an item with them as assets."""
    assets = {
        key: {"href": sandbox.put(f"{name} a+b/{key}.bin", content), "type": "application/x"}
        for key, content in files.items()
    }
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": "lstprecision",
        "geometry": None,
        "properties": {"datetime": "2023-06-24T11:23:58Z"},
        "links": [],
        "assets": assets,
    }
    sandbox.add_item(item)
    return item


def store_requests(sandbox: Sandbox) -> list[Exchange]:
    """Return the requests to the store."""
    return [exchange for exchange in sandbox.requests if exchange.server == "store"]


def ranges(sandbox: Sandbox) -> list[str | None]:
    """Return the range header of each request to the store."""
    return [asked.headers.get("range") for asked in store_requests(sandbox)]


def files(folder: Path) -> dict[str, bytes]:
    """Return a folder's files, without documents and the lock."""
    ours = ("catalog.json", "manifest.json", "lstprecision.json", ".download.lock")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in ours
        and not (path.suffix == ".json" and b'"Feature"' in path.read_bytes())
    }


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest's files."""
    return dict(json.loads((folder / "manifest.json").read_bytes())["files"])


def read_items(folder: Path) -> list[pystac.Item]:
    """Return the items of a folder's catalog."""
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    return sorted(catalog.get_items(recursive=True), key=lambda item: item.id)


def wait_until(happened: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def when(happened: Callable[[], object], then: Callable[[], object]) -> Iterator[None]:
    """During the block, wait for a condition and then act, once."""

    def wait() -> None:
        wait_until(happened)
        then()

    waiting = threading.Thread(target=wait)
    waiting.start()
    yield
    waiting.join()
