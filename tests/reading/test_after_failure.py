"""What is changed after a failure counts for the next call."""

from __future__ import annotations

import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac import AssetReadError, ConstellrAuth, Limits, Password, Signer
from constellr_stac.errors import SceneLeftEmptyWarning
from constellr_stac.layers.item_bands import asset_bands
from constellr_stac.reading.asset_ref import AssetRef, asset_ref
from constellr_stac.reading.band_source import BandRead, BandSource, MaskRead
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.prefetch import Fetcher
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Fault, Sandbox
from layer_files import EPSG, ORIGIN, stored_numbers, written_item
from stored_files import wait_until
from weak_network import AnswerServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.cube.arguments import Engine


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_replaced_keys_are_used_by_the_next_compute(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """Not the failure of a fetch that the first compute had started."""
    items = constellr_stac.open_client().search(collections=["lstprecision"]).item_collection()
    right = sandbox.environment()
    cube = constellr_stac.load(items, ["lst"], engine=engine, chunks={"time": 1})
    for _ in range(2):
        for name, value in right.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(AssetReadError, match="403"):
            cube.compute()
        for name, value in right.items():
            monkeypatch.setenv(name, value)
        assert cube.compute().lst.notnull().any()


def test_reader_that_joins_a_refused_fetch_asks_again() -> None:
    """The fetch began with keys that have been replaced since."""
    allowed, arrived, go = threading.Event(), threading.Event(), threading.Event()

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        arrived.set()
        go.wait(60)
        return (200, {}, b"pixels") if allowed.is_set() else (403, {}, b"")

    with AnswerServer(answer) as server:
        fetcher = Fetcher(AssetResolver(limits=Limits(retry_deadline=2)))
        reference = AssetRef(f"{server.url}/lst.tiff")
        first = fetcher.start(reference)
        assert arrived.wait(60)
        second = fetcher.start(reference)
        assert second is first
        go.set()
        wait_until(first.result.done)
        allowed.set()
        assert fetcher.wait(second).head == b"pixels"


@pytest.mark.parametrize("late", ["lst", "scl_mask_30m"])
def test_reader_that_left_a_scene_empty_asks_again(late: str, tmp_path: Path) -> None:
    """A reader that is kept reads what has come since, be it the values or their mask."""
    item = written_item(tmp_path, ["lst", "scl_mask_30m"])
    value, mask = (
        BandRead(str(asset_ref(item, key)), asset_bands(item, key)[0]) for key in item.assets
    )
    grid = GeoBox((12, 12), from_origin(*ORIGIN, 30, 30), f"EPSG:{EPSG}")
    path = Path(item.assets[late].href)
    body = path.read_bytes()
    path.unlink()
    read = value._replace(masks=(MaskRead(mask, (0,)),))
    source = BandSource(Fetcher(AssetResolver()), read, errors="nan", cube=late)
    params = RasterLoadParams(dtype="float32", resampling="nearest")
    with pytest.warns(SceneLeftEmptyWarning):
        assert not np.isfinite(source.read(grid, params).values).any()
    path.write_bytes(body)
    clear = stored_numbers("scl_mask_30m")[0] == 0
    values = source.read(grid, params).values
    assert np.isfinite(values[clear]).any()
    assert np.isnan(values[~clear]).all()


def test_edited_credentials_file_is_read_after_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also within a minute of the last search."""
    pytest.importorskip("botocore")
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))

    def store(key: str) -> None:
        path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")

    now = datetime(2026, 8, 24, tzinfo=UTC)
    store("AKIAONE")
    signer = Signer(clock=lambda: now)
    for number, key in enumerate(["AKIAONE", "AKIATWO", "AKIATHREE"]):
        store(key)
        now += timedelta(seconds=2)
        if number:
            signer.refused(signer.sign("s3://scenes/lst.tiff"))
        assert f"Credential={key}" in signer.sign("s3://scenes/lst.tiff")


@pytest.fixture
def broken_headers(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server whose first answer breaks off in its headers, before or in the length."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npixels"
    answers = [whole[: request.param], whole]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for part in answers:
                client, _ = listener.accept()
                with client:
                    client.recv(65536)
                    client.sendall(part)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("broken_headers", "logged"), [(20, True), (32, False)], indirect=["broken_headers"]
)
def test_headers_that_break_off_are_no_empty_body(
    broken_headers: str, caplog: pytest.LogCaptureFixture, *, logged: bool
) -> None:
    """The request is repeated, and urllib3's warning has no signature."""
    caplog.set_level(logging.DEBUG)
    url = f"{broken_headers}/lst.tiff?X-Amz-Signature=5ec2e7"
    transfer = Transfer(AssetResolver(limits=Limits(retry_deadline=3)), 1)
    assert transfer.get(AssetRef(url), 0, 100)[0] == b"pixels"
    assert ("Failed to parse headers" in caplog.text) == logged
    assert "5ec2e7" not in caplog.text


@pytest.mark.parametrize("presigned", [False, True])
def test_url_that_ends_on_its_way_is_renewed(*, presigned: bool) -> None:
    """Also the second one in a row: such a refusal says nothing about the credentials."""
    life = timedelta(seconds=1)
    with Sandbox(presigned=presigned, url_lifetime=life) as sandbox:
        auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        asked: list[int] = []

        def keys() -> dict[str, Any]:
            asked.append(1)
            return sandbox.aws

        signer = Signer(credentials=keys, endpoint=sandbox.s3_url, expires_in=life)
        found = constellr_stac.open_client(auth=auth).search(max_items=1)
        reference = asset_ref(next(found.items()), "lst")
        resolver = AssetResolver(auth, signer, Limits(retry_deadline=100))
        for _ in range(2):
            sandbox.fail(Fault("lst.tiff", kind="stall", seconds=1.2))
        assert len(Transfer(resolver, 1).get(reference, 0, 100)[0]) == 100
        refused = [each for each in sandbox.requests if each.status == 403]
        assert len(refused) >= 2  # more on a busy machine
        assert len(asked) <= 1
