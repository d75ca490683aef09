"""Bounds: bodies that grow when they are decoded, that never end, or that drip."""

from __future__ import annotations

import functools
import json
import socket
import threading
import tracemalloc
import zlib
from contextlib import contextmanager
from pathlib import Path
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

    from pystac_client import Client

MEBIBYTE = 1 << 20
SHORT = (
    *(("/stac", 200), ("/token", 200), ("/stac/search", 503), ("/stac/collections/c", 302)),
    *(("/orders/batch", 201), ("/orders", 401), ("/areas-of-interest/a", 422)),
)
CLASSES = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
EXTENT = {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}}
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


def _uses(url: str, file: Path) -> dict[str, Callable[[], object]]:
    """Return a call that asks each endpoint, by path."""
    orders = OrdersClient(ApiKey("key"), base_url=url, sleep=lambda _seconds: None)
    field = {"type": "Polygon", "coordinates": [[[8, 49], [8.1, 49], [8.1, 49.1], [8, 49]]]}

    def client() -> Client:
        return open_client(url, auth=ApiKey("key"))

    def collection() -> Any:
        return client().get_collection("c")

    return {
        "/token": token_of(url, Password("u", "p")).get,
        "/stac": client,
        "/stac/conformance": lambda: client().get_collection("c"),
        "/stac/search": lambda: list(client().search().items()),
        "/stac/collections": lambda: list(client().get_collections()),
        "/stac/collections/c": collection,
        "/stac/collections/c/items/i": lambda: collection().get_item("i"),
        "/orders": lambda: list(orders.list()),
        "/orders/batch": lambda: orders._placer._send(Batch([ORDER]), Snapshot(frozenset())),
        "/orders/a": lambda: orders.get("a"),
        "/orders/meta/use-cases": orders.use_cases,
        "/products": orders.products,
        "/areas-of-interest": lambda: list(orders.list_aois()),
        "/areas-of-interest/a": lambda: orders.get_aoi("a"),
        "/areas-of-interest/geometry-info": lambda: orders.geometry_info(field),
        "/areas-of-interest/convert": lambda: orders.convert_aoi(file),
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Send bombs with a sample of statuses, or with all of them from all endpoints."""
    if "bombed" in metafunc.fixturenames:
        statuses = (200, 201, 302, 401, 422, 503)
        every = [
            (path, status) for path in _uses("http://127.0.0.1:9", Path()) for status in statuses
        ]
        metafunc.parametrize("bombed", every if metafunc.config.getoption("--attack") else SHORT)


def test_memory_is_bounded_for_gzip_bombs(
    bombed: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of 200 MiB in 200 KiB costs no more than the limit and little besides."""
    path, status = bombed
    monkeypatch.setenv("CONSTELLR_ANSWER_BYTES", str(8 * MEBIBYTE))
    file = tmp_path / "a.kml"
    file.write_text("<kml/>")
    headers = {"Content-Encoding": "gzip", "Location": "/stac", "Retry-After": "0"}
    with replaying() as server:
        landing = {**LANDING, "conformsTo": None if path == "/stac/conformance" else CLASSES}
        collection = {**LANDING, "type": "Collection", "id": "c", "license": "x", "extent": EXTENT}
        server.answers["/stac"] = Replayed(json.dumps(landing).encode())
        server.answers["/stac/collections/c"] = Replayed(json.dumps(collection).encode())
        server.answers["/orders"] = Replayed(b'{"count": 0, "items": []}')
        server.answers[path] = Replayed(_bomb(200), status, headers)
        assert _peak(_uses(server.url, file)[path]) < 100


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
        asset = AssetRef(f"{server.url}/lst.tiff")
        assert Transfer(AssetResolver(), 1).get(asset, 0, 100)[0] == _bomb(200)[:100]
        assert {headers["Accept-Encoding"] for _, headers in server.seen} == {"identity"}


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
        errors: list[str] = []

        def use() -> None:
            try:
                uses[what]()
            except ConstellrError as error:
                errors.append(str(error))

        thread = threading.Thread(target=use, daemon=True)
        thread.start()
        thread.join(60)  # otherwise a failure of this law would not end
        assert not thread.is_alive()
        assert "answer_time" in errors[0]


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
