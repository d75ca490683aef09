"""Reading with expiring URLs, rotating credentials and failing servers; number of requests."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask
import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import stackstac
from dask.base import tokenize
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window
from stackstac.raster_spec import RasterSpec

import constellr_stac
from constellr_stac import AssetReadError, Signer, StackstacReader
from constellr_stac._process import STATE
from constellr_stac.errors import SceneLeftEmptyWarning
from constellr_stac.layers.item_bands import asset_bands
from constellr_stac.reading.asset_ref import AssetRef, asset_ref
from constellr_stac.reading.band_source import BandRead
from constellr_stac.reading.lengths import HEAD_BYTES
from constellr_stac.reading.prefetch import Fetcher
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.reading.step_source import StepRead, StepSource
from constellr_stac.sandbox import Fault, Sandbox
from real_scenes import SCENES, found, signed_in, truth
from renewals import items_renewed
from stored_files import wait_until
from weak_network import AnswerServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    import xarray as xr

    from weak_network import Answer

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
GRID = GeoBox((400, 400), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")


@pytest.fixture
def make_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes with options, and set the environment to use the last one."""
    running: list[Sandbox] = []

    def start(**options: Any) -> Sandbox:
        sandbox = Sandbox(**options).start()
        running.append(sandbox)
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.stop()


def cube_of(sandbox: Sandbox, count: int = 15, **arguments: Any) -> xr.Dataset:
    """Load the first scenes of a sandbox on their known grid, lazily."""
    items = found(sandbox)[:count]
    sandbox.clear_requests()
    cube: xr.Dataset = constellr_stac.load(items, ["lst"], geobox=GRID, **arguments)
    return cube


def assert_equals_files(cube: xr.Dataset) -> None:
    """Assert that every scene equals its file."""
    for number, item_id in enumerate(cube.id.values):
        np.testing.assert_array_equal(cube.lst[number], truth(item_id).kelvin)


def statuses(sandbox: Sandbox, server: str) -> list[int | None]:
    """Return the statuses that a server sent, in order."""
    return [exchange.status for exchange in sandbox.requests if exchange.server == server]


@contextmanager
def held(items: list[pystac.Item]) -> Iterator[AnswerServer]:
    """Serve the scenes' files, but none before all of them are asked for."""
    together = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        if len(set(server.paths)) == len(items):
            together.set()
        assert together.wait(60)
        body = (SCENES / request.path[1:]).read_bytes()
        return 206, {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"}, body

    with AnswerServer(answer) as server:
        for item in items:
            item.assets["lst"].href = f"{server.url}/{item.id}/lst.tiff"
        yield server


# One concurrent request per scene


def test_small_scene_is_one_request(sandbox: Sandbox) -> None:
    """Header and pixels of a file under 1 MiB come with one GET."""
    cube = cube_of(sandbox)
    assert_equals_files(cube.compute())
    assert statuses(sandbox, "store") == [206] * 15


@ENGINES
def test_scenes_of_a_chunk_are_fetched_concurrently(sandbox: Sandbox, engine: Any) -> None:
    """On one thread, 15 scenes are asked for before the first has come."""
    items = found(sandbox)
    with held(items) as server, dask.config.set(scheduler="synchronous"):
        cube = constellr_stac.load(items, ["lst"], geobox=GRID, engine=engine, chunks={"time": 15})
        assert_equals_files(cube.compute())
    assert len(server.paths) == 15


def test_bands_of_one_file_share_one_fetch(sandbox: Sandbox) -> None:
    """Four masks of a file are fetched once."""
    items = found(sandbox)[:1]
    sandbox.clear_requests()
    names = ["cloud_mask", "castshadow_mask", "landwater_mask", "static_landwater_mask"]
    cube = constellr_stac.load(items, names, geobox=GRID)
    with dask.config.set(scheduler="threads", num_workers=4):
        cube.compute()
    assert statuses(sandbox, "store") == [206]


def test_bytes_stay_until_all_readers_have_come(sandbox: Sandbox) -> None:
    """Within the bound; the least recently used ones go first."""
    refs = [AssetRef(item.assets["lst"].href) for item in found(sandbox)[:4]]
    sandbox.clear_requests()
    fetcher = Fetcher(AssetResolver(), max_bytes=2 * HEAD_BYTES)

    def read(ref: AssetRef, reader: str) -> int:
        size = fetcher.wait(fetcher.start(ref, reader=reader, readers=2)).size
        gc.collect()
        return size

    read(refs[0], "lst")
    read(refs[0], "mask")  # the last one
    wait_until(lambda: not fetcher.holds(refs[0]))  # nor does the thread that fetched it
    *_, size = [read(ref, "lst") for ref in (*refs[1:3], refs[1])]
    assert len(statuses(sandbox, "store")) == 3
    fetcher._max_bytes = HEAD_BYTES + size
    read(refs[3], "lst")
    wait_until(lambda: [fetcher.holds(ref) for ref in refs] == [False, True, False, True])


def test_only_computed_chunks_are_fetched(sandbox: Sandbox) -> None:
    """A slice of a cube fetches the files of the slice only."""
    cube = cube_of(sandbox, chunks={"time": 1})
    cube.isel(time=slice(3, 5)).compute()
    asked = {exchange.path.split("/")[-2] for exchange in sandbox.requests}
    assert asked == set(cube.id.values[3:5])


# Prefetch limits


def test_prefetch_requests_are_bounded(make_sandbox: Callable[..., Sandbox]) -> None:
    """At most ``max_requests`` prefetches are in flight."""
    sandbox = make_sandbox(latency=0.1)
    asset_refs = [AssetRef(item.assets["lst"].href) for item in found(sandbox)]
    sandbox.clear_requests()
    fetcher = Fetcher(AssetResolver(), max_requests=4)
    fetches = [fetcher.start(asset_ref) for asset_ref in asset_refs]
    for fetch in fetches[::-1]:
        fetcher.wait(fetch)
    times = sorted(exchange.when for exchange in sandbox.requests)
    # Four prefetches and the reader's own: of any six, the last began after the first ended.
    for earlier, later in zip(times, times[5:], strict=False):
        assert later - earlier >= timedelta(seconds=0.09)


def test_nothing_stays_for_readers_that_do_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only one of two bands is computed, the bytes are freed some seconds later."""
    monkeypatch.setattr("constellr_stac.reading.prefetch._IDLE", 2.0)
    path = tmp_path / "lst.tiff"
    path.write_bytes(bytes(1000))
    fetcher, reference = Fetcher(AssetResolver()), AssetRef(str(path))
    assert fetcher.wait(fetcher.start(reference, reader="one", readers=2)).whole
    assert fetcher.holds(reference)
    wait_until(lambda: not fetcher.holds(reference))
    wait_until(lambda: is_free(fetcher))


def is_free(fetcher: Fetcher) -> bool:
    """Return whether nothing is held; threads may still be leaving what they have fetched."""
    gc.collect()
    fetcher._proceed()
    return fetcher._bytes == 0


def test_prefetch_bytes_are_bounded(sandbox: Sandbox) -> None:
    """Fetches over the limit wait, readers do not, and read files free their bytes."""
    asset_refs = [AssetRef(item.assets["lst"].href) for item in found(sandbox)]
    sandbox.clear_requests()
    fetcher = Fetcher(AssetResolver(), max_bytes=2 * HEAD_BYTES)
    fetches = [fetcher.start(asset_ref) for asset_ref in asset_refs]
    fetcher.wait(fetches[0])
    assert len(fetcher.wait(fetches[-1]).head) > 100_000
    started = [fetch.started for fetch in fetches]
    assert started[-1]
    assert not all(started)
    held = fetcher._bytes
    while fetches:
        fetcher.wait(fetches.pop(0))
    assert held > 0
    wait_until(lambda: is_free(fetcher))
    assert len(statuses(sandbox, "store")) == 15


def test_reader_does_not_wait_for_prefetches() -> None:
    """With all prefetch slots taken, a reader still fetches its file at once."""
    begun, proceed = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        if request.path == "/ahead":
            begun.set()
            proceed.wait(60)
        return 200, {}, b"pixels"

    with AnswerServer(answer) as server:
        fetcher = Fetcher(AssetResolver(), max_requests=1)
        ahead = fetcher.start(AssetRef(f"{server.url}/ahead"))
        assert begun.wait(60)
        assert fetcher.wait(fetcher.start(AssetRef(f"{server.url}/needed"))).whole
        assert not ahead.result.done()
        proceed.set()
        assert fetcher.wait(ahead).whole


# Expiring URLs and rotating credentials


@ENGINES
@pytest.mark.parametrize("presigned", [False, True], ids=["s3", "presigned"])
def test_cube_outlives_its_urls(
    make_sandbox: Callable[..., Sandbox], engine: Any, *, presigned: bool
) -> None:
    """URLs that live three seconds serve a longer compute, and one long after."""
    sandbox = make_sandbox(presigned=presigned, url_lifetime=timedelta(seconds=3))
    signer = Signer(expires_in=timedelta(seconds=3))
    cube = cube_of(sandbox, engine=engine, signer=signer, chunks={"time": 1})
    slow = cube.lst.data.map_blocks(_delayed, dtype="float32")
    with dask.config.set(scheduler="synchronous"):
        slow.compute()
    assert statuses(sandbox, "store").count(403) <= 2  # of ten; a busy machine may send some late
    assert_equals_files(cube.compute())


def sign_for_an_hour(sandbox: Sandbox) -> None:
    """Let URLs live long from now on, however busy this machine is."""
    running = sandbox._running
    running.options = replace(running.options, url_lifetime=timedelta(hours=1))


def _delayed(block: Any) -> Any:
    time.sleep(0.3)
    return block


def test_each_item_is_renewed_once(make_sandbox: Callable[..., Sandbox]) -> None:
    """Many refused chunks of an item cause one renewal."""
    sandbox = make_sandbox(presigned=True)
    cube = cube_of(sandbox, chunks={"time": 1, "y": 100, "x": 100})
    sandbox.advance(timedelta(hours=2))  # expires every signature on the server only
    with dask.config.set(scheduler="threads", num_workers=8):
        assert_equals_files(cube.compute())
    renewed = items_renewed(sandbox)
    assert len(renewed) == len(set(renewed)) == 15
    assert len([each for each in sandbox.requests if each.server == "api"]) < 15


def test_permanent_refusal_renews_each_item_once(make_sandbox: Callable[..., Sandbox]) -> None:
    """Also with several assets per item, when renewed URLs are refused too."""
    sandbox = make_sandbox(presigned=True)
    items = found(sandbox)[:3]
    sandbox.clear_requests()
    sandbox.fail(Fault("tiff", server="store", status=403, times=None))
    cube = constellr_stac.load(
        items, ["lst", "cloud_mask"], geobox=GRID, chunks={"time": 1, "y": 100}, errors="nan"
    )
    with pytest.warns(SceneLeftEmptyWarning), dask.config.set(num_workers=8):
        assert np.isnan(cube.lst.compute()).all()
    assert (cube.cloud_mask.compute() == 255).all()
    renewed = items_renewed(sandbox)
    assert len(renewed) == len(set(renewed)) == 3
    sandbox.clear_faults()
    assert_equals_files(cube.compute())


def test_signed_urls_are_shared_between_cubes(make_sandbox: Callable[..., Sandbox]) -> None:
    """An item is not requested again while its signature is valid."""
    sandbox = make_sandbox(presigned=True)
    cube_of(sandbox, 2).compute()
    later = cube_of(sandbox)
    assert_equals_files(later.compute())
    assert statuses(sandbox, "api") == []


@ENGINES
def test_locally_signed_items_are_signed_again(sandbox: Sandbox, engine: Any) -> None:
    """``sign`` results for ``s3://`` hrefs are renewed after they expire."""
    items = Signer(expires_in=timedelta(minutes=1)).sign(found(sandbox)[:2])
    cube = constellr_stac.load(items, ["lst"], geobox=GRID, chunks={"time": 1}, engine=engine)
    packed = cloudpickle.dumps(cube)
    assert not signed_in(packed)
    sandbox.advance(timedelta(minutes=10))  # expires every signature on the server only
    sandbox.clear_requests()
    assert_equals_files(cube.compute())
    assert len(items_renewed(sandbox)) == 2
    STATE.clear("fetcher")  # as in another process
    assert_equals_files(cloudpickle.loads(packed).compute())


def test_rotated_credentials_renew_locally_signed_urls(sandbox: Sandbox) -> None:
    """A refusal reloads the credentials, also for ``s3://`` hrefs signed earlier."""
    given = [sandbox.aws]
    signer = Signer(credentials=lambda: given[0])
    items = signer.sign(found(sandbox)[:2])
    cube = constellr_stac.load(items, ["lst"], geobox=GRID, signer=signer)
    for _ in range(2):
        given[0] = sandbox.rotate_aws()
        signer.credentials._discarded_at = None  # as if a minute had passed
        assert_equals_files(cube.compute())


def test_older_items_use_the_newer_signature(make_sandbox: Callable[..., Sandbox]) -> None:
    """Items of an old search are read with the newer cached signature."""
    sandbox = make_sandbox(presigned=True, url_lifetime=timedelta(seconds=2))
    items = found(sandbox)[:2]
    time.sleep(2)
    sign_for_an_hour(sandbox)
    for _ in range(2):
        constellr_stac.load(items, ["lst"], geobox=GRID).compute()
        asked = statuses(sandbox, "api")
    assert asked.count(200) == len(asked)
    assert len(items_renewed(sandbox)) == 2


@ENGINES
def test_stable_items_in_plain_engines(make_sandbox: Callable[..., Sandbox], engine: Any) -> None:
    """Plain graphs of ``stable()`` items have no signature, equal keys, and never expire."""
    sandbox = make_sandbox(presigned=True, url_lifetime=timedelta(seconds=2))

    def build(items: list[pystac.Item]) -> Any:
        if engine == "odc":
            cube = odc.stac.load(
                items, ["lst"], geobox=GRID, chunks={}, driver="constellr_stac.OdcDriver"
            )
            return cube.lst
        bounds = tuple(GRID.boundingbox)
        stacked = stackstac.stack(
            items, ["lst"], epsg=32611, resolution=30, bounds=bounds, reader=StackstacReader
        )
        return stacked[:, 0]

    items = constellr_stac.stable(found(sandbox)[:3])
    assert [item.to_dict() for item in constellr_stac.stable(items)] == [
        item.to_dict() for item in items
    ]
    first = build(items)
    time.sleep(1)
    second = build(constellr_stac.stable(found(sandbox)[:3]))
    assert tokenize(first.data) == tokenize(second.data)
    assert not signed_in(cloudpickle.dumps(first))
    sandbox.clear_requests()
    time.sleep(2)
    sign_for_an_hour(sandbox)
    values = first.compute()
    for number, item in enumerate(items):
        np.testing.assert_array_equal(values[number].astype("float32"), truth(item.id).kelvin)
    assert len(items_renewed(sandbox)) == 3
    assert {e.status for e in sandbox.requests if e.server == "api"} == {200}
    assert [e.status for e in sandbox.requests if e.server == "store"] == [206] * 3


def test_missing_object_is_not_renewed(make_sandbox: Callable[..., Sandbox]) -> None:
    """A 404 is final; the item is not requested again."""
    sandbox = make_sandbox(presigned=True)
    cube = cube_of(sandbox, 1)
    (key,) = (f"LA harbor+port/{cube.id.values[0]}/lst.tiff",)
    sandbox.delete(key)
    with pytest.raises(AssetReadError, match="404") as caught:
        cube.compute()
    assert statuses(sandbox, "store") == [404]
    assert statuses(sandbox, "api") == []
    assert caught.value.status_code == 404
    for part in ("'lst'", cube.id.values[0], "lst.tiff"):
        assert part in str(caught.value)
    assert "X-Amz" not in str(caught.value)


def test_rotated_credentials_are_used_between_chunks(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment and from a callable."""
    cube = cube_of(sandbox, chunks={"time": 1})
    cube.isel(time=0).compute()
    aws = sandbox.rotate_aws()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws["secret_access_key"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", aws["token"])
    assert_equals_files(cube.compute())
    asked = []

    def provide() -> dict[str, Any]:
        asked.append(1)
        return sandbox.aws

    provided = cube_of(sandbox, signer=Signer(credentials=provide), chunks={"time": 1})
    provided.isel(time=0).compute()
    sandbox.rotate_aws()
    assert_equals_files(provided.compute())
    assert 2 <= len(asked) <= 4


@ENGINES
def test_token_revoked_during_compute_is_renewed(
    make_sandbox: Callable[..., Sandbox], engine: Any
) -> None:
    """The remaining items are requested with one new token."""
    sandbox = make_sandbox(presigned=True)
    cube = cube_of(sandbox, chunks={"time": 1}, engine=engine)
    done: list[None] = []

    def revoke(block: Any) -> Any:
        done.append(None)
        if len(done) == 5:
            sandbox.revoke_tokens()
            sandbox.advance(timedelta(hours=2))
        return block

    revoked = cube.lst.data.map_blocks(revoke, dtype="float32", meta=cube.lst.data._meta)
    with dask.config.set(scheduler="synchronous"):
        cube["lst"] = ("time", "y", "x"), revoked.compute()
    assert_equals_files(cube)
    assert 5 <= len([e for e in sandbox.requests if "/items/" in e.path and e.status == 200]) <= 10
    assert len([e for e in sandbox.requests if e.path == "/token"]) == 1


# Failures


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lst.tiff", kind="reset"),
        Fault("lst.tiff", kind="truncate"),
        Fault("lst.tiff", status=500, times=2),
        Fault("lst.tiff", status=503, headers={"Retry-After": "1"}),
        Fault("lst.tiff", status=429),
        Fault("lst.tiff", status=206, body=b"II*", headers={"Content-Range": "bytes 0-14/15"}),
        Fault("lst.tiff", status=206, body=b"II*\0 not a file",
              headers={"Content-Range": "bytes 0-14/15"}),
    ],
    ids=["reset", "truncated", "500", "503", "429", "too few bytes", "corrupt"],
)  # fmt: skip
def test_transient_failure_is_retried(sandbox: Sandbox, fault: Fault) -> None:
    """After ``Retry-After`` where it is given."""
    cube = cube_of(sandbox, 1)
    sandbox.fail(fault)
    assert_equals_files(cube.compute())
    when = [exchange.when for exchange in sandbox.requests]
    assert len(when) == (fault.times or 0) + 1
    if fault.status == 503:
        assert when[1] - when[0] >= timedelta(seconds=1)


def test_retry_after_date(sandbox: Sandbox) -> None:
    """Retry-After may be an HTTP date; an invalid value is ignored."""
    cube = cube_of(sandbox, 1)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    headers = {"Retry-After": format_datetime(until, usegmt=True)}
    sandbox.fail(Fault("lst.tiff", status=503, headers=headers))
    sandbox.fail(Fault("lst.tiff", status=503, headers={"Retry-After": "soon"}))
    assert_equals_files(cube.compute())
    assert [exchange.when >= until for exchange in sandbox.requests] == [False, True, True]


@pytest.mark.fails
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("lst.tiff", kind="reset", times=None), r"Connection reset.* Tried \d times in"),
        (Fault("lst.tiff", status=500, times=None), "500"),
        (Fault("lst.tiff", status=403, times=None), "403"),
        (Fault("lst.tiff", status=206, body=b"II*\0 not a file", times=None,
               headers={"Content-Range": "bytes 0-14/15"}), "not a readable GeoTIFF"),
    ],
    ids=["reset", "500", "403", "corrupt"],
)  # fmt: skip
@ENGINES
def test_permanent_failure_names_item_asset_and_cause(
    sandbox: Sandbox, fault: Fault, words: str, engine: Any
) -> None:
    """The time of attempts is bounded, their pauses grow, and the error hides the signature."""
    cube = cube_of(sandbox, 1, engine=engine)
    sandbox.fail(fault)
    with pytest.raises(AssetReadError, match=words) as caught:
        cube.compute()
    assert len(sandbox.requests) <= 8
    assert cube.id.values[0] in str(caught.value)
    assert "X-Amz" not in str(caught.value)
    assert "X-Amz" not in str(caught.value.request_url)


@ENGINES
def test_unreadable_scene_is_nan_on_request(sandbox: Sandbox, engine: Any) -> None:
    """The other scenes are complete, and one warning names the scene."""
    bad = found(sandbox)[1].id
    sandbox.delete(f"LA harbor+port/{bad}/lst.tiff")
    cube = cube_of(sandbox, 3, engine=engine, errors="nan", chunks={"y": 100}, signer=Signer())
    with pytest.warns(SceneLeftEmptyWarning, match=bad) as caught:
        computed = cube.compute(scheduler="synchronous")
    assert len([each for each in caught if each.category is SceneLeftEmptyWarning]) == 1
    assert np.isnan(computed.lst[1]).all()
    assert_equals_files(computed.isel(time=[0, 2]))


@ENGINES
def test_grid_does_not_need_the_unreadable_scene(sandbox: Sandbox, engine: Any) -> None:
    """With ``errors="nan"``, the header of another scene of the area is read."""
    items = found(sandbox)[:3]
    sandbox.delete(f"LA harbor+port/{items[0].id}/lst.tiff")
    with pytest.raises(AssetReadError, match=items[0].id):
        constellr_stac.load(items, ["lst"], engine=engine)
    cube = constellr_stac.load(items, ["lst"], engine=engine, errors="nan")
    assert cube.odc.geobox == GRID
    with pytest.warns(SceneLeftEmptyWarning, match=items[0].id):
        computed = cube.compute()
    assert np.isnan(computed.lst[0]).all()
    assert_equals_files(computed.isel(time=[1, 2]))
    for item in items[1:]:
        sandbox.delete(f"LA harbor+port/{item.id}/lst.tiff")
    with pytest.raises(AssetReadError, match="404"):
        constellr_stac.load(items, ["lst"], engine=engine, errors="nan")


@ENGINES
def test_each_cube_warns_about_empty_scenes(sandbox: Sandbox, engine: Any) -> None:
    """A warning for one cube does not suppress that for the next."""
    items = found(sandbox)[:2]
    sandbox.delete(f"LA harbor+port/{items[1].id}/lst.tiff")
    for _ in range(2):
        cube = constellr_stac.load(items, ["lst"], geobox=GRID, errors="nan", engine=engine)
        with pytest.warns(SceneLeftEmptyWarning, match=items[1].id):
            cube.compute()


def test_error_keeps_its_status_between_processes(sandbox: Sandbox) -> None:
    """Dask's process scheduler raises the same error, with its status."""
    cube = cube_of(sandbox, 1)
    sandbox.delete(f"LA harbor+port/{cube.id.values[0]}/lst.tiff")
    with (
        dask.config.set(scheduler="processes", num_workers=1),
        pytest.raises(AssetReadError) as caught,
    ):
        cube.compute()
    assert caught.value.status_code == 404


@pytest.mark.parametrize("presigned", [False, True], ids=["s3", "presigned"])
def test_pickled_drivers_and_readers_have_no_secret(
    make_sandbox: Callable[..., Sandbox], *, presigned: bool
) -> None:
    """Also after a read; unpickled, they read again."""
    sandbox = make_sandbox(presigned=presigned)
    item = constellr_stac.stable(found(sandbox)[:1])[0]
    driver = constellr_stac.OdcDriver()
    cube = odc.stac.load([item], ["lst"], geobox=GRID, chunks={}, driver=driver)
    reader = StackstacReader(
        url=item.assets["lst"].href,
        spec=RasterSpec(32611, tuple(GRID.boundingbox), (30.0, 30.0)),
        resampling=Resampling.nearest,
        dtype=np.dtype("float32"),
        fill_value=np.nan,
    )
    window = Window(0, 0, 400, 400)
    expected = cube.lst[0].compute()
    np.testing.assert_array_equal(reader.read(window), expected)
    packed = cloudpickle.dumps((driver, reader, cube))
    assert not signed_in(packed)
    aws = sandbox.aws
    for secret in (sandbox.password, aws["secret_access_key"], aws["token"]):
        assert secret.encode() not in packed
    _, its_reader, its_cube = cloudpickle.loads(packed)
    np.testing.assert_array_equal(its_reader.read(window), expected)
    np.testing.assert_array_equal(its_cube.lst[0].compute(), expected)


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_unpickled_sources_of_a_chunk_are_fetched_together(sandbox: Sandbox, engine: str) -> None:
    """Also in plain odc-stac and stackstac, whose sources are opened by one process for another."""
    items = constellr_stac.stable(found(sandbox)[:5])
    with held(items) as server:
        values = computed_elsewhere(items, engine)
    for number, item in enumerate(items):
        np.testing.assert_array_equal(values[number], truth(item.id).kelvin)
    assert len(set(server.paths)) == 5  # a busy machine may fetch them twice, always together


def computed_elsewhere(items: list[pystac.Item], engine: str) -> Any:
    """Compute a cube of plain odc-stac or stackstac in another process."""
    chunks: dict[str, Any] = {"time": 5, "y": 400, "x": 400}
    if engine == "odc":
        driver = constellr_stac.OdcDriver()
        cube = odc.stac.load(items, ["lst"], geobox=GRID, chunks=chunks, driver=driver).lst
    else:
        grid = {"epsg": 32611, "resolution": 30, "bounds": tuple(GRID.boundingbox)}
        cube = stackstac.stack(
            items, assets=["lst"], chunksize=(5, 1, 400, 400), reader=StackstacReader, **grid
        )[:, 0]
    packed = cloudpickle.loads(cloudpickle.dumps(cube))
    with dask.config.set(scheduler="processes", num_workers=1):
        return packed.compute()


@pytest.mark.parametrize(
    ("room", "full", "requests"),
    [(256 << 20, None, 3), (1, None, 6), (256 << 20, [False, False, True] * 2, 6)],
)
def test_scenes_of_a_step_stay_while_there_is_room(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    full: list[bool] | None,
    requests: int,
) -> None:
    """For other chunks that read them; without room all are freed, and are fetched again."""
    if full:
        monkeypatch.setattr(Fetcher, "is_full", property(lambda _: full.pop(0)))
    items = constellr_stac.stable(found(sandbox)[:3])
    layers = [BandRead(str(asset_ref(item, "lst")), asset_bands(item, "lst")[0]) for item in items]
    step = StepRead(tuple((tuple(GRID.boundingbox), each) for each in layers))
    sandbox.clear_requests()
    source = StepSource(Fetcher(AssetResolver(), max_bytes=room), step)
    expected = truth(items[0].id).kelvin
    for item in items[1:]:
        expected = np.where(np.isnan(expected), truth(item.id).kelvin, expected)
    for _ in range(2):
        pixels = source.read(GRID, RasterLoadParams("float32", np.nan, resampling="nearest"))
        np.testing.assert_array_equal(pixels.values, expected)
    assert len(statuses(sandbox, "store")) == requests


def test_auth_accepts_a_credential(
    make_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in ``open_client``, ``auth=`` may be a credential; only it is used."""
    sandbox = make_sandbox(presigned=True)
    items = found(sandbox)[:1]
    me = constellr_stac.Password(sandbox.username, sandbox.password)
    sandbox.advance(timedelta(hours=2))
    for name in ("CONSTELLR_USERNAME", "CONSTELLR_PASSWORD"):
        monkeypatch.delenv(name)
    cube = constellr_stac.load(items, ["lst"], geobox=GRID, auth=me).compute()
    assert_equals_files(cube)
    driver = constellr_stac.OdcDriver(auth=me)
    stable = constellr_stac.stable(items, auth=me)
    plain = odc.stac.load(stable, ["lst"], geobox=GRID, driver=driver)
    np.testing.assert_array_equal(plain.lst, cube.lst)
    assert constellr_stac.describe(items, auth=me).without_grid == 0
    assert len(constellr_stac.download(items, tmp_path, assets="lst", auth=me).written) == 1
    with pytest.raises(TypeError, match="not a str"):
        constellr_stac.load(items, ["lst"], geobox=GRID, auth="k3y")  # type: ignore[call-overload]


def test_uppercase_href_scheme(sandbox: Sandbox) -> None:
    """``S3://`` is read and signed like ``s3://`` (RFC 3986: schemes are case-insensitive)."""
    (item,) = found(sandbox)[:1]
    item.assets["lst"].href = item.assets["lst"].href.replace("s3://", "S3://")
    cube = constellr_stac.load([item], ["lst"], geobox=GRID)
    assert "AWS credentials" in constellr_stac.explain(cube).ends
    assert_equals_files(cube.compute())


def test_unknown_errors_policy_is_refused() -> None:
    """``errors="ignore"`` does not mean ``errors="nan"``."""
    with pytest.raises(ValueError, match="'ignore'"):
        constellr_stac.OdcDriver(errors="ignore")  # type: ignore[arg-type]


def test_other_processes_find_their_own_credentials(sandbox: Sandbox) -> None:
    """A graph computed in another process needs nothing from this one."""
    cube = cube_of(sandbox, 2)
    with dask.config.set(scheduler="processes", num_workers=1):
        assert_equals_files(cube.compute())


# Large files


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    """An LSTfusion file of 3,700 x 3,700 pixels in blocks of 512, and its values."""
    path = tmp_path_factory.mktemp("long") / "lst.tiff"
    numbers = np.random.default_rng(1).integers(27000, 33000, (3700, 3700), dtype="uint16")
    with rasterio.open(
        path, "w", driver="COG", height=3700, width=3700, count=1, dtype="uint16", nodata=65535,
        crs="EPSG:32611", transform=from_origin(300000.0, 3800000.0, 30, 30), blocksize=512,
        compress="deflate",
    ) as file:  # fmt: skip
        file.write(numbers, 1)
    return path.read_bytes(), (numbers * 0.01).astype("float32")


def large_item(sandbox: Sandbox, content: bytes) -> pystac.Item:
    """Serve a large file as an LSTfusion item."""
    href = sandbox.put("fusion/lst_20250601T12Z.tiff", content)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    item = pystac.Item.from_dict(
        {
            "type": "Feature", "stac_version": "1.1.0", "id": "day", "collection": "lstfusion",
            "geometry": grid.geographic_extent.json,
            "bbox": list(grid.geographic_extent.boundingbox),
            "properties": {"datetime": "2025-06-01T12:00:00Z", "gsd": 30}, "links": [],
            "assets": {"lst": {"href": href, "type": "image/tiff"}},
        }
    )  # fmt: skip
    sandbox.clear_requests()
    return item


@ENGINES
def test_whole_large_file_is_two_requests(
    sandbox: Sandbox, large_file: tuple[bytes, Any], engine: Any
) -> None:
    """The first MiB, and the rest."""
    content, kelvin = large_file
    item = large_item(sandbox, content)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    cube = constellr_stac.load([item], ["lst"], geobox=grid, chunks={}, engine=engine).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin)
    assert statuses(sandbox, "store") == [206, 206]


def test_large_file_in_auto_chunks_is_three_requests(
    sandbox: Sandbox, large_file: tuple[bytes, Any]
) -> None:
    """As in plain odc-stac: the first MiB, and a range for each strip."""
    content, kelvin = large_file
    cube = constellr_stac.load([large_item(sandbox, content)], ["lst"])
    assert cube.lst.data.numblocks == (1, 2, 1)
    sandbox.clear_requests()  # one was for the grid
    np.testing.assert_array_equal(cube.lst[0].compute(), kelvin)
    assert statuses(sandbox, "store") == [206] * 3


def test_ranges_of_a_large_file_are_fetched_concurrently(
    sandbox: Sandbox, large_file: tuple[bytes, Any]
) -> None:
    """Those of a window over eight block rows are asked for before the first has come."""
    content, kelvin = large_file
    together = threading.Barrier(8)

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        if first:
            together.wait(60)
        body = content[first : last + 1]
        place = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
        return 206, {"Content-Range": place}, body

    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    window = (slice(0, 3700), slice(1600, 1900))
    item = large_item(sandbox, content)
    with AnswerServer(answer) as server:
        item.assets["lst"].href = f"{server.url}/lst.tiff"
        cube = constellr_stac.load([item], ["lst"], geobox=grid[window]).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin[window])
    assert len(server.paths) == 1 + 8


@ENGINES
def test_window_of_a_large_file_reads_its_blocks(
    sandbox: Sandbox, large_file: tuple[bytes, Any], engine: Any
) -> None:
    """A small window fetches the first MiB and the blocks it covers."""
    content, kelvin = large_file
    item = large_item(sandbox, content)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    window = (slice(2600, 2900), slice(1100, 1400))
    cube = constellr_stac.load([item], ["lst"], geobox=grid[window], engine=engine).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin[window])
    received = sum(_length(exchange.headers["range"]) for exchange in sandbox.requests)
    block = len(content) * (512 / 3700) ** 2 * 0.75  # overviews are a quarter of the file
    assert received < HEAD_BYTES + 6 * block
    assert len(sandbox.requests) <= 3


@ENGINES
def test_chunks_of_whole_blocks_read_each_block_once(
    sandbox: Sandbox, large_file: tuple[bytes, Any], engine: Any
) -> None:
    """Without resampling, no neighbouring block is read."""
    content, kelvin = large_file
    item = large_item(sandbox, content)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    window = (slice(1024, 2560), slice(1024, 2560))
    chunks = {"y": 512, "x": 512}
    cube = constellr_stac.load(
        [item], ["lst"], geobox=grid[window], chunks=chunks, engine=engine
    ).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin[window])
    assert len(sandbox.requests) == 1 + 9
    _, *blocks = sorted(_length(exchange.headers["range"]) for exchange in sandbox.requests[1:])
    assert blocks[-1] < 512 * 512 * 2


@pytest.mark.parametrize("resampling", ["lanczos", "average"])
def test_kernel_margin_is_sufficient(tmp_path: Path, resampling: Any) -> None:
    """A coarse cube without overviews is the same in small chunks as in one."""
    path = tmp_path / "lst.tiff"
    numbers = np.random.default_rng(2).integers(27000, 33000, (1536, 1536), dtype="uint16")
    grid = GeoBox((1536, 1536), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    with rasterio.open(
        path, "w", driver="GTiff", height=1536, width=1536, count=1, dtype="uint16",
        nodata=65535, crs="EPSG:32611", transform=grid.transform, tiled=True, blockxsize=256,
        blockysize=256,
    ) as file:  # fmt: skip
        file.write(numbers, 1)
    item = pystac.Item.from_dict(
        {
            "type": "Feature", "stac_version": "1.1.0", "id": "day", "collection": "lstfusion",
            "geometry": grid.geographic_extent.json, "links": [],
            "bbox": list(grid.geographic_extent.boundingbox),
            "properties": {"datetime": "2025-06-01T12:00:00Z", "gsd": 30},
            "assets": {"lst": {"href": str(path), "type": "image/tiff"}},
        }
    )  # fmt: skip

    def cube(**chunks: int) -> xr.Dataset:
        coarse = grid.zoom_out(19.5)
        loaded: xr.Dataset = constellr_stac.load(
            [item], ["lst"], geobox=coarse, resampling=resampling, chunks=chunks
        ).compute()
        return loaded

    np.testing.assert_allclose(cube(y=15, x=15).lst, cube().lst, atol=1e-3)


def _length(header: str) -> int:
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1


def test_coarse_cube_reads_an_overview(sandbox: Sandbox, large_file: tuple[bytes, Any]) -> None:
    """It fetches a fraction of the file, with the same mean."""
    content, kelvin = large_file
    item = large_item(sandbox, content)
    cube = constellr_stac.load([item], ["lst"], crs="EPSG:32611", resolution=480).compute()
    assert abs(float(cube.lst.mean()) - float(kelvin.mean())) < 0.5
    received = sum(_length(exchange.headers["range"]) for exchange in sandbox.requests)
    assert received < len(content) / 4


# Other hrefs


def test_https_urls_and_paths_are_read(sandbox: Sandbox, tmp_path: Path) -> None:
    """Foreign URLs are fetched without a credential; paths and file URLs are opened."""
    items = found(sandbox)[:3]
    with Sandbox() as foreign:
        url = Signer(credentials=foreign.aws, endpoint=foreign.s3_url).sign(
            href_of(foreign, items[0].id)
        )
        paths = []
        for item in items[1:]:
            path = tmp_path / f"{item.id} lst.tiff"
            path.write_bytes((_scenes() / item.id / "lst.tiff").read_bytes())
            paths.append(path)
        items[0].assets["lst"].href = url
        items[1].assets["lst"].href = str(paths[0])
        items[2].assets["lst"].href = paths[1].as_uri()
        for item in items:
            item.clear_links()  # else paths are relative to the API
        foreign.clear_requests()
        assert_equals_files(constellr_stac.load(items, ["lst"], geobox=GRID).compute())
        (exchange,) = foreign.requests
        assert "authorization" not in exchange.headers
        assert "x-api-key" not in exchange.headers


def href_of(sandbox: Sandbox, item_id: str) -> str:
    """Return the ``s3://`` href of a scene."""
    return f"s3://{sandbox.bucket}/LA harbor+port/{item_id}/lst.tiff"


def _scenes() -> Path:
    from real_scenes import SCENES

    return SCENES


def test_missing_file(tmp_path: Path) -> None:
    """The error names the path and the cause."""
    asset_ref = AssetRef(str(tmp_path / "gone.tiff"), "c", "i", "lst")
    fetcher = Fetcher(AssetResolver())
    with pytest.raises(AssetReadError, match=r"gone\.tiff.*No such file"):
        fetcher.wait(fetcher.start(asset_ref))


def test_invalid_item_response_names_the_asset(make_sandbox: Callable[..., Sandbox]) -> None:
    """For example a login page in place of the API."""
    sandbox = make_sandbox(presigned=True)
    cube = cube_of(sandbox, 1)
    sandbox.advance(timedelta(hours=2))
    for body in (b"<html>Log in", b'{"type": "Feature"}', b"[]", b"[" * 100_000):
        sandbox.fail(Fault("/items/", status=200, body=body))
        with pytest.raises(AssetReadError, match=r"'lst' .* not return this STAC item") as caught:
            cube.compute()
        assert caught.value.status_code == 200
    sandbox.fail(Fault("/items/", status=302, headers={"Location": "http://["}))
    with pytest.raises(AssetReadError, match=r"asset 'lst' .* was not answered"):
        cube.compute()


@pytest.mark.fails
def test_wrong_byte_range_is_retried_and_reported(sandbox: Sandbox) -> None:
    """It is not reported as a missing object."""
    cube = cube_of(sandbox, 1)
    wrong = Fault(
        "lst.tiff", times=None, status=206, body=b"x", headers={"Content-Range": "bytes 0-9/10"}
    )
    sandbox.fail(wrong)
    with pytest.raises(AssetReadError, match=r"sent bytes other than .* Tried \d times in"):
        cube.compute()


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Range": "bytes 0-9/*"}, {"Content-Range": "bytes 0-{last}/{size}"}]
)
def test_missing_or_wrong_content_range_is_retried(
    sandbox: Sandbox, tmp_path: Path, headers: dict[str, str]
) -> None:
    """The bytes are not used as pixels."""
    grid = GeoBox((1024, 1024), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")
    with rasterio.open(
        tmp_path / "lst.tiff", "w", driver="COG", height=1024, width=1024, count=1,
        dtype="uint16", nodata=65535, crs="EPSG:32611", transform=grid.transform, blocksize=256,
        compress="none", overviews="NONE",
    ) as file:  # fmt: skip
        file.write(np.arange(1024 * 1024, dtype="uint32").astype("uint16").reshape(1024, 1024), 1)
    content = (tmp_path / "lst.tiff").read_bytes()
    item = found(sandbox)[0]
    item.geometry = grid.geographic_extent.json
    item.assets["lst"].href = sandbox.put("long/lst.tiff", content)
    window = grid[900:1000, 600:700]
    kelvin = constellr_stac.load([item], ["lst"], geobox=window).lst.compute()
    length = _length(sandbox.requests[-1].headers["range"])
    sandbox.clear_requests()
    size = {"last": length - 1, "size": len(content)}
    filled = {name: text.format(**size) for name, text in headers.items()}
    sandbox.fail(Fault("long", skip=1, status=206, body=content[:length], headers=filled))
    again = constellr_stac.load([item], ["lst"], geobox=window).lst.compute()
    np.testing.assert_array_equal(again, kelvin)
    assert len(sandbox.requests) == 3


def test_expired_urls_are_evicted() -> None:
    """A long search session keeps valid URLs only."""
    resolver = AssetResolver()

    def remember(number: int, signed_at: Any) -> None:
        href = f"https://b.example/{number}?X-Amz-Signature=1f&X-Amz-Expires=60&X-Amz-Date="
        item = pystac.Item(str(number), None, None, signed_at, {}, collection="c")
        item.add_asset("lst", pystac.Asset(f"{href}{signed_at:%Y%m%dT%H%M%SZ}"))
        resolver.remember(item)

    now = datetime.now(UTC)
    for number in range(5000):
        remember(number, now if number % 10 == 0 else now - timedelta(hours=1))
    assert {("", "c", str(number)) for number in range(0, 5000, 10)} <= resolver._items.keys()
    assert len(resolver._items) < 2000


def test_failed_fetch_is_not_cached(sandbox: Sandbox) -> None:
    """The next reader of the asset fetches again."""
    asset_ref = AssetRef(found(sandbox)[0].assets["lst"].href)
    fetcher = Fetcher(AssetResolver())
    sandbox.fail(Fault("lst.tiff", status=404))
    first = fetcher.start(asset_ref)
    with pytest.raises(AssetReadError):
        fetcher.wait(first)
    assert fetcher.wait(fetcher.start(asset_ref)).whole


def test_fetcher_is_shared_within_a_process(sandbox: Sandbox) -> None:
    """Equal settings share connections and limits; a forked child has its own."""
    from constellr_stac.reading.prefetch import shared_fetcher

    here = shared_fetcher(AssetResolver())
    assert shared_fetcher(AssetResolver()) is here
    assert shared_fetcher(AssetResolver(signer=Signer(region="us-east-1"))) is not here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork with threads
        child = os.fork()
    if child == 0:
        os._exit(0 if shared_fetcher(AssetResolver()) is not here else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert threading.active_count() >= 1


@ENGINES
@pytest.mark.parametrize("presigned", [False, True])
def test_cube_is_read_in_a_forked_child(
    make_sandbox: Callable[..., Sandbox], engine: Any, *, presigned: bool
) -> None:
    """The child does not wait for the parent's threads and connections."""
    cube = cube_of(make_sandbox(presigned=presigned), 3, engine=engine)
    with dask.config.set(scheduler="synchronous"):
        expected = cube.lst.values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork with threads
            child = os.fork()
        if child == 0:
            signal.alarm(30)  # kills a child that hangs
            alike = False
            try:
                alike = np.array_equal(cube.lst.values, expected, equal_nan=True)
            finally:
                os._exit(0 if alike else 1)
    assert os.waitpid(child, 0)[1] == 0
