"""Bounds: bodies that grow when they are decoded, that never end, or that drip."""

from __future__ import annotations

import functools
import json
import socket
import threading
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pystac
import pytest

import constellr_stac
from constellr_stac import ApiKey, Limits, open_client
from constellr_stac.auth.credentials import Password
from constellr_stac.auth.token import token_of
from constellr_stac.errors import ConstellrError
from constellr_stac.orders import Order, OrdersClient
from constellr_stac.orders.lookup import Batch, Snapshot
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.resolver import AssetResolver
from replaying import Replayed, replaying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MEBIBYTE = 1 << 20
SHORT = {("/stac", 200), ("/token", 200), ("/stac/search", 503), ("/stac/collections/c", 302)}
LANDING = {
    "type": "Catalog",
    "id": "a",
    "stac_version": "1.0.0",
    "description": "",
    "links": [],
    "conformsTo": [],
}


ORDER = Order(
    area_of_interest_id="a",
    product_name="LSTfusion",
    frequency="daily",
    start_date="2026-06-01",
    end_date="2026-08-31",
)


@functools.cache
def _bomb(mebibytes: int) -> bytes:
    """Return gzip of a JSON string of so many MiB."""
    press = zlib.compressobj(9, wbits=31)
    zeros = bytes(MEBIBYTE)
    return (
        b"".join([press.compress(b'{"a": "'), *(press.compress(zeros) for _ in range(mebibytes))])
        + press.flush()
    )


@contextmanager
def _dripping(head: bytes, drop: bytes) -> Iterator[str]:
    """Serve a response that repeats a few bytes every 50 ms, for ever."""
    stop = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=[connection], daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(head)
                while not stop.wait(0.05):
                    connection.sendall(drop)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        stop.set()
        server.close()


def _item(asset: pystac.Asset, key: str = "a") -> pystac.Item:
    times = {"start_datetime": "2026-01-01T00:00:00Z", "end_datetime": "2026-01-01T00:00:00Z"}
    item = pystac.Item("a", None, None, None, times)
    item.add_asset(key, asset)
    return item


def _peak(call: Callable[[], object]) -> float:
    """Return the peak of Python's memory during a call that fails, in MiB."""
    tracemalloc.start()
    try:
        with pytest.raises(ConstellrError):
            call()
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "path", ["/stac", "/stac/search", "/stac/collections", "/stac/collections/c", "/token"]
)
@pytest.mark.parametrize("status", [200, 302, 401, 503])
def test_memory_is_bounded_for_gzip_bombs(
    path: str,
    status: int,
    attack: bool,  # noqa: FBT001 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A body of 200 MiB in 200 KiB costs no more than the limit and little besides."""
    if not attack and (path, status) not in SHORT:
        pytest.skip("in the long form")
    monkeypatch.setenv("CONSTELLR_ANSWER_BYTES", str(8 * MEBIBYTE))
    headers = {"Content-Encoding": "gzip", "Location": "/stac", "Retry-After": "0"}
    with replaying() as server:
        server.answers["/stac"] = Replayed(json.dumps(LANDING).encode())

        def use() -> None:
            if path == "/token":
                token_of(server.url, Password("u", "p")).get()
            client = open_client(server.url, auth=ApiKey("key"))
            if path.endswith("search"):
                list(client.search().items())
            list(client.get_collections())
            client.get_collection("c")

        bomb = Replayed(_bomb(200), status, headers)
        server.answers[path] = bomb
        assert _peak(use) < 100


def test_assets_are_not_decompressed(tmp_path: Path) -> None:
    """A gzip bomb as an asset is neither decoded in a read nor kept by a download."""
    with replaying() as server:
        server.answers["/lst.tiff"] = Replayed(_bomb(200), headers={"Content-Encoding": "gzip"})
        item = _item(pystac.Asset(f"{server.url}/lst.tiff", media_type="image/tiff"), "lst")
        with pytest.raises(ConstellrError):  # imports what it needs
            constellr_stac.load([item], ["lst"])
        assert _peak(lambda: constellr_stac.load([item], ["lst"])) < 100
        assert _peak(lambda: constellr_stac.download([item], tmp_path, progress=False)) < 100
        assert not list(tmp_path.rglob("*.tiff"))


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "status": (b"HTTP/1.1 2", b"0"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header": (OK + b"X: ", b"x"),
    "headers": (OK, b"X: x\r\n"),
    "body": (OK + b"Content-Length: 1000000\r\n\r\n", b" "),
    "body without length": (OK + b"Connection: close\r\n\r\n", b" "),
    "size of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"0\r\n", b"X: x\r\n"),
}


@pytest.mark.parametrize("form", DRIPS)
@pytest.mark.parametrize("what", ["answer", "token", "batch of orders", "asset", "download"])
def test_drips_end(what: str, form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A response that brings a byte now and then ends with the deadline, wherever it drips."""
    monkeypatch.setenv("CONSTELLR_ANSWER_TIME", "0.1")
    with _dripping(*DRIPS[form]) as url:
        item = _item(pystac.Asset(f"{url}/a.bin"))
        asset = AssetRef(f"{url}/a.tif")
        placer = OrdersClient(ApiKey("key"), base_url=url)._placer
        uses: dict[str, Callable[[], Any]] = {
            "answer": lambda: open_client(url, auth=ApiKey("key")),
            "token": lambda: token_of(url, Password("u", "p")).get(),
            "batch of orders": lambda: placer._send(Batch([ORDER]), Snapshot(None)),
            "asset": lambda: Transfer(AssetResolver(), 1).get(asset, 0, 500_000),
            "download": lambda: constellr_stac.download([item], tmp_path, progress=False),
        }
        started = time.monotonic()
        with pytest.raises(ConstellrError, match="answer_time"):
            uses[what]()
        assert time.monotonic() - started < 5


def test_announced_sizes_bound_a_download(tmp_path: Path) -> None:
    """A file that is longer than its item states is not kept, nor are the bytes beyond."""
    with replaying() as server:
        server.answers["/a.bin"] = Replayed(bytes(5 * MEBIBYTE))
        asset = pystac.Asset(f"{server.url}/a.bin", extra_fields={"file:size": MEBIBYTE})
        item = _item(asset)
        with pytest.raises(ConstellrError, match="announced"):
            constellr_stac.download([item], tmp_path, progress=False)
        kept = [path.stat().st_size for path in tmp_path.rglob("a.bin*")]
        assert sum(kept) < 3 * MEBIBYTE


def test_asset_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An asset that says it is too large is not read."""
    monkeypatch.setenv("CONSTELLR_ASSET_BYTES", "1000")
    assert Limits().asset_bytes == 1000
    with replaying() as server:
        server.answers["/a.tif"] = Replayed(bytes(5000))
        with pytest.raises(ConstellrError, match="asset_bytes"):
            Transfer(AssetResolver(), 1).stream(AssetRef(f"{server.url}/a.tif"), _Sink())


class _Sink:
    held = 0
    version = None

    def begin(self, source: Any) -> None: ...

    def take(self, piece: bytes) -> None: ...
