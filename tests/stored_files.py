"""Files of items in a sandbox's bucket, and what downloads have made of them."""

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
    """Bytes that are the same each time, and not the same at any two places."""
    return hashlib.shake_128(bytes([number])).digest(LONG)


def an_item(sandbox: Sandbox, files: Mapping[str, bytes], name: str = "scene") -> dict[str, Any]:
    """Put files into the sandbox's bucket, and return the item whose assets they are."""
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


def store(sandbox: Sandbox) -> list[Exchange]:
    """The requests to the store."""
    return [exchange for exchange in sandbox.requests if exchange.server == "store"]


def ranges(sandbox: Sandbox) -> list[str | None]:
    """What part each request to the store asked for."""
    return [asked.headers.get("range") for asked in store(sandbox)]


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for documents and what is kept for the next run."""
    ours = ("catalog.json", "manifest.json", "lstprecision.json", ".download.lock")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in ours
        and not (path.suffix == ".json" and b'"Feature"' in path.read_bytes())
    }


def manifest(folder: Path) -> dict[str, Any]:
    """What the manifest says of the files."""
    return dict(json.loads((folder / "manifest.json").read_bytes())["files"])


def decoded(folder: Path) -> list[pystac.Item]:
    """The items of a folder, as anybody reads them."""
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    return sorted(catalog.get_items(recursive=True), key=lambda item: item.id)


def until(happened: Callable[[], object]) -> None:
    """Wait for what happens soon."""
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def once(happened: Callable[[], object], then: Callable[[], object]) -> Iterator[None]:
    """While the block runs, wait for something and then do something, once."""

    def wait() -> None:
        until(happened)
        then()

    waiting = threading.Thread(target=wait)
    waiting.start()
    yield
    waiting.join()
