"""Reading while URLs end, credentials rotate and servers fail; and no byte too many."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
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
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window
from stackstac.raster_spec import RasterSpec

import constellr_stac
from constellr_stac import AssetReadError, Signer, StackstacReader
from constellr_stac._process import STATE
from constellr_stac.errors import SceneLeftEmptyWarning
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.prefetch import HEAD_BYTES, Fetcher
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Fault, Sandbox
from real_scenes import found, signed_in, truth
from stored_files import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import xarray as xr

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
GRID = GeoBox((400, 400), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes with knobs, and sets the environment to use the last one."""
    running: list[Sandbox] = []

    def start(**knobs: Any) -> Sandbox:
        sandbox = Sandbox(**knobs).start()
        running.append(sandbox)
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.stop()


def cube_of(sandbox: Sandbox, count: int = 15, **arguments: Any) -> xr.Dataset:
    """Load the first scenes of a sandbox on their known grid; nothing is read yet."""
    items = found(sandbox)[:count]
    sandbox.clear_requests()
    cube: xr.Dataset = constellr_stac.load(items, ["lst"], geobox=GRID, **arguments)
    return cube


def assert_true(cube: xr.Dataset) -> None:
    """Every scene is what its file holds."""
    for number, item_id in enumerate(cube.id.values):
        np.testing.assert_array_equal(cube.lst[number], truth(item_id).kelvin)


def statuses(sandbox: Sandbox, server: str) -> list[int | None]:
    """The answers that a server gave, in order."""
    return [exchange.status for exchange in sandbox.requests if exchange.server == server]


# One request a scene, all under way together


def test_a_scene_under_a_mebibyte_is_one_request(sandbox: Sandbox) -> None:
    """Header and pixels come with the same GET."""
    cube = cube_of(sandbox)
    assert_true(cube.compute())
    assert statuses(sandbox, "store") == [206] * 15


@ENGINES
def test_the_scenes_of_a_chunk_are_fetched_together(
    make: Callable[..., Sandbox], engine: Any
) -> None:
    """On one thread, 15 scenes take about as long as one."""
    sandbox = make(latency=1)
    cube = cube_of(sandbox, engine=engine, chunks={"time": 15})
    with dask.config.set(scheduler="synchronous"):
        cube.compute()
    first, *_, last = (exchange.when for exchange in sandbox.requests)
    assert (last - first) < timedelta(seconds=1)
    assert statuses(sandbox, "store") == [206] * 15


def test_bands_of_one_file_share_its_bytes(sandbox: Sandbox) -> None:
    """Four masks of a file are not four downloads."""
    items = found(sandbox)[:1]
    sandbox.clear_requests()
    names = ["cloud_mask", "castshadow_mask", "landwater_mask", "static_landwater_mask"]
    cube = constellr_stac.load(items, names, geobox=GRID)
    with dask.config.set(scheduler="threads", num_workers=4):
        cube.compute()
    assert 1 <= len(statuses(sandbox, "store")) <= 4
    fetcher = Fetcher(AssetResolver())
    reference = AssetRef(items[0].assets["scl_mask_30m"].href)
    sandbox.clear_requests()
    fetches = [fetcher.start(reference) for _ in range(4)]
    assert len({fetcher.file(fetch).head for fetch in fetches}) == 1
    assert statuses(sandbox, "store") == [206]


def test_nothing_is_fetched_for_chunks_that_are_not_computed(sandbox: Sandbox) -> None:
    """A slice of a cube costs a slice."""
    cube = cube_of(sandbox, chunks={"time": 1})
    cube.isel(time=slice(3, 5)).compute()
    asked = {exchange.path.split("/")[-2] for exchange in sandbox.requests}
    assert asked == set(cube.id.values[3:5])


# Bounds on what is fetched ahead


def test_fetching_ahead_is_bounded_in_requests(make: Callable[..., Sandbox]) -> None:
    """No more than so many are under way at once."""
    sandbox = make(latency=0.1)
    references = [AssetRef(item.assets["lst"].href) for item in found(sandbox)]
    sandbox.clear_requests()
    fetcher = Fetcher(AssetResolver(), max_requests=4)
    fetches = [fetcher.start(reference) for reference in references]
    for fetch in fetches[::-1]:
        fetcher.file(fetch)
    times = sorted(exchange.when for exchange in sandbox.requests)
    # Four at a time and the reader's own: of any six, the last began after the first had ended.
    for earlier, later in zip(times, times[5:], strict=False):
        assert later - earlier >= timedelta(seconds=0.09)


def test_fetching_ahead_is_bounded_in_bytes_and_blocks_no_reader(sandbox: Sandbox) -> None:
    """What does not fit waits; who needs it now gets it now; what was read makes room."""
    references = [AssetRef(item.assets["lst"].href) for item in found(sandbox)]
    sandbox.clear_requests()
    fetcher = Fetcher(AssetResolver(), max_bytes=2 * HEAD_BYTES)
    fetches = [fetcher.start(reference) for reference in references]
    fetcher.file(fetches[0])
    assert len(fetcher.file(fetches[-1]).head) > 100_000
    began = [fetch.started for fetch in fetches]
    assert began[-1]
    assert not all(began)
    held = fetcher._bytes
    while fetches:
        fetcher.file(fetches.pop(0))
    gc.collect()
    fetcher._proceed()
    assert fetcher._bytes == 0 < held
    assert len(statuses(sandbox, "store")) == 15


def test_a_reader_does_not_wait_for_a_place_in_the_line(sandbox: Sandbox) -> None:
    """Where as much is under way as may be, who needs a file now fetches it."""
    slow, needed = (AssetRef(item.assets["lst"].href) for item in found(sandbox)[:2])
    sandbox.clear_requests()
    sandbox.fail(Fault("lst.tiff", kind="stall", seconds=1))
    fetcher = Fetcher(AssetResolver(), max_requests=1)
    ahead = fetcher.start(slow)
    until(lambda: sandbox.requests)
    assert fetcher.file(fetcher.start(needed)).whole
    assert not ahead.result.done()
    assert fetcher.file(ahead).whole


# URLs that end, credentials that rotate


@ENGINES
@pytest.mark.parametrize("presigned", [False, True], ids=["s3", "presigned"])
def test_a_cube_outlives_its_urls(
    make: Callable[..., Sandbox], engine: Any, *, presigned: bool
) -> None:
    """URLs that live two seconds serve a compute that lasts longer, and one long after."""
    sandbox = make(presigned=presigned, url_lifetime=timedelta(seconds=2))
    signer = Signer(expires_in=timedelta(seconds=2))
    cube = cube_of(sandbox, engine=engine, signer=signer, chunks={"time": 1})
    slow = cube.lst.data.map_blocks(_slowly, dtype="float32")
    with dask.config.set(scheduler="synchronous"):
        slow.compute()
    assert 403 not in statuses(sandbox, "store")
    sandbox.advance(timedelta(0))
    assert_true(cube.compute())


def _slowly(block: Any) -> Any:
    time.sleep(0.2)
    return block


def test_an_item_is_asked_for_once_however_many_read_it(make: Callable[..., Sandbox]) -> None:
    """A storm of refusals is one renewal for each item, not one for each chunk."""
    sandbox = make(presigned=True)
    cube = cube_of(sandbox, chunks={"time": 1, "y": 100, "x": 100})
    sandbox.advance(timedelta(hours=2))  # every signature has ended, and nobody here knows
    with dask.config.set(scheduler="threads", num_workers=8):
        assert_true(cube.compute())
    renewed = [
        exchange.path
        for exchange in sandbox.requests
        if exchange.method == "GET" and exchange.server == "api"
    ]
    assert len(renewed) == len(set(renewed)) == 15


def test_what_is_refused_for_good_is_asked_for_once(make: Callable[..., Sandbox]) -> None:
    """Not once for each asset: the API gives no other URL than the one that is refused, too."""
    sandbox = make(presigned=True)
    items = found(sandbox)[:3]
    sandbox.clear_requests()
    sandbox.fail(Fault("tiff", server="store", status=403, times=None))
    cube = constellr_stac.load(
        items, ["lst", "cloud_mask"], geobox=GRID, chunks={"time": 1, "y": 100}, errors="nan"
    )
    with pytest.warns(SceneLeftEmptyWarning), dask.config.set(num_workers=8):
        assert np.isnan(cube.lst.compute()).all()
    assert (cube.cloud_mask.compute() == 255).all()
    renewed = [each.path for each in sandbox.requests if "/items/" in each.path]
    assert len(renewed) == len(set(renewed)) == 3
    sandbox.clear_faults()
    assert_true(cube.compute())


def test_what_a_search_signed_is_used_by_every_cube(make: Callable[..., Sandbox]) -> None:
    """No item is asked for again while its signature lasts; neither for a cube made later."""
    sandbox = make(presigned=True)
    cube_of(sandbox, 2).compute()
    later = cube_of(sandbox)
    assert_true(later.compute())
    assert statuses(sandbox, "api") == []


@ENGINES
def test_items_that_were_signed_here_are_signed_again(sandbox: Sandbox, engine: Any) -> None:
    """Where the API answers with ``s3://`` hrefs, what ``sign`` made of them outlives itself."""
    items = Signer(expires_in=timedelta(minutes=1)).sign(found(sandbox)[:2])
    cube = constellr_stac.load(items, ["lst"], geobox=GRID, chunks={"time": 1}, engine=engine)
    packed = cloudpickle.dumps(cube)
    assert not signed_in(packed)
    sandbox.advance(timedelta(minutes=10))  # every signature has ended, and nobody here knows
    sandbox.clear_requests()
    assert_true(cube.compute())
    assert sum("/items/" in each.path for each in sandbox.requests) == 2
    STATE.clear("fetcher")  # as in another process
    assert_true(cloudpickle.loads(packed).compute())


def test_credentials_that_rotate_are_noticed_for_what_was_signed_here(sandbox: Sandbox) -> None:
    """A refusal has them looked up again, however an ``s3://`` href came to be signed."""
    given = [sandbox.aws]
    signer = Signer(credentials=lambda: given[0])
    items = signer.sign(found(sandbox)[:2])
    cube = constellr_stac.load(items, ["lst"], geobox=GRID, signer=signer)
    for _ in range(2):
        given[0] = sandbox.rotate_aws()
        signer.credentials._discarded_at = None  # as if a minute had passed
        assert_true(cube.compute())


def test_an_older_search_does_not_bring_back_what_has_ended(make: Callable[..., Sandbox]) -> None:
    """Items found a while ago are read with the newer signature that is held."""
    sandbox = make(presigned=True, url_lifetime=timedelta(seconds=2))
    items = found(sandbox)[:2]
    time.sleep(2)
    for _ in range(2):
        constellr_stac.load(items, ["lst"], geobox=GRID).compute()
        asked = statuses(sandbox, "api")
    assert asked.count(200) == len(asked)
    assert sum("/items/" in each.path for each in sandbox.requests) == 2


@ENGINES
def test_plain_engines_hold_no_signature_and_outlive_them(
    make: Callable[..., Sandbox], engine: Any
) -> None:
    """With ``stable()``, plain graphs have no signature, equal keys, and read when it has ended."""
    sandbox = make(presigned=True, url_lifetime=timedelta(seconds=2))

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
    values = first.compute()
    for number, item in enumerate(items):
        np.testing.assert_array_equal(values[number].astype("float32"), truth(item.id).kelvin)
    assert [e.status for e in sandbox.requests if "/items/" in e.path] == [200] * 3
    assert [e.status for e in sandbox.requests if e.server == "store"] == [206] * 3


def test_a_missing_object_is_not_renewed(make: Callable[..., Sandbox]) -> None:
    """A 404 is final: the item is not asked for."""
    sandbox = make(presigned=True)
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


def test_credentials_that_rotate_between_chunks_are_noticed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys in the environment are used; a callable is asked again."""
    cube = cube_of(sandbox, chunks={"time": 1})
    cube.isel(time=0).compute()
    aws = sandbox.rotate_aws()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws["secret_access_key"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", aws["token"])
    assert_true(cube.compute())
    asked = []

    def provide() -> dict[str, Any]:
        asked.append(1)
        return sandbox.aws

    provided = cube_of(sandbox, signer=Signer(credentials=provide), chunks={"time": 1})
    provided.isel(time=0).compute()
    sandbox.rotate_aws()
    assert_true(provided.compute())
    assert 2 <= len(asked) <= 4


@ENGINES
def test_a_token_revoked_in_the_middle_is_renewed(
    make: Callable[..., Sandbox], engine: Any
) -> None:
    """The items that are left can still be asked for, with one new token."""
    sandbox = make(presigned=True)
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
    assert_true(cube)
    assert 5 <= len([e for e in sandbox.requests if "/items/" in e.path and e.status == 200]) <= 10
    assert len([e for e in sandbox.requests if e.path == "/token"]) == 1


# What fails on the way


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
def test_a_passing_failure_is_got_over(sandbox: Sandbox, fault: Fault) -> None:
    """What trying again can help is tried again, after the pause that was asked for."""
    cube = cube_of(sandbox, 1)
    sandbox.fail(fault)
    assert_true(cube.compute())
    when = [exchange.when for exchange in sandbox.requests]
    assert len(when) == (fault.times or 0) + 1
    if fault.status == 503:
        assert when[1] - when[0] >= timedelta(seconds=1)


def test_a_pause_may_be_asked_for_as_a_date(sandbox: Sandbox) -> None:
    """Retry-After has two forms; what is neither asks for nothing."""
    cube = cube_of(sandbox, 1)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    words = {"Retry-After": format_datetime(until, usegmt=True)}
    sandbox.fail(Fault("lst.tiff", status=503, headers=words))
    sandbox.fail(Fault("lst.tiff", status=503, headers={"Retry-After": "soon"}))
    assert_true(cube.compute())
    assert [exchange.when >= until for exchange in sandbox.requests] == [False, True, True]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("lst.tiff", kind="reset", times=None), "connection failed"),
        (Fault("lst.tiff", status=500, times=None), "500"),
        (Fault("lst.tiff", status=403, times=None), "403"),
        (Fault("lst.tiff", status=206, body=b"II*\0 not a file", times=None,
               headers={"Content-Range": "bytes 0-14/15"}), "not a readable GeoTIFF"),
    ],
    ids=["reset", "500", "403", "corrupt"],
)  # fmt: skip
@ENGINES
def test_a_lasting_failure_names_item_asset_and_cause(
    sandbox: Sandbox, fault: Fault, words: str, engine: Any
) -> None:
    """Tried a bounded number of times, then an error without a signature."""
    cube = cube_of(sandbox, 1, engine=engine)
    sandbox.fail(fault)
    with pytest.raises(AssetReadError, match=words) as caught:
        cube.compute()
    assert len(sandbox.requests) <= 4
    assert cube.id.values[0] in str(caught.value)
    assert "X-Amz" not in str(caught.value)
    assert "X-Amz" not in str(caught.value.request_url)


@ENGINES
def test_a_scene_that_cannot_be_read_is_left_empty_on_request(
    sandbox: Sandbox, engine: Any
) -> None:
    """The others are whole, and one warning names it."""
    bad = found(sandbox)[1].id
    sandbox.delete(f"LA harbor+port/{bad}/lst.tiff")
    cube = cube_of(sandbox, 3, engine=engine, errors="nan", chunks={"y": 100}, signer=Signer())
    with pytest.warns(SceneLeftEmptyWarning, match=bad) as caught:
        computed = cube.compute(scheduler="synchronous")
    assert len([each for each in caught if each.category is SceneLeftEmptyWarning]) == 1
    assert np.isnan(computed.lst[1]).all()
    assert_true(computed.isel(time=[0, 2]))


@ENGINES
def test_a_scene_that_cannot_be_read_does_not_have_to_tell_the_grid(
    sandbox: Sandbox, engine: Any
) -> None:
    """Left empty on request, it is another scene of the area whose header is read."""
    items = found(sandbox)[:3]
    sandbox.delete(f"LA harbor+port/{items[0].id}/lst.tiff")
    with pytest.raises(AssetReadError, match=items[0].id):
        constellr_stac.load(items, ["lst"], engine=engine)
    cube = constellr_stac.load(items, ["lst"], engine=engine, errors="nan")
    assert cube.odc.geobox == GRID
    with pytest.warns(SceneLeftEmptyWarning, match=items[0].id):
        computed = cube.compute()
    assert np.isnan(computed.lst[0]).all()
    assert_true(computed.isel(time=[1, 2]))
    for item in items[1:]:
        sandbox.delete(f"LA harbor+port/{item.id}/lst.tiff")
    with pytest.raises(AssetReadError, match="404"):
        constellr_stac.load(items, ["lst"], engine=engine, errors="nan")


@ENGINES
def test_each_cube_warns_of_its_own_empty_scenes(sandbox: Sandbox, engine: Any) -> None:
    """What was told of one cube is told of the next, too."""
    items = found(sandbox)[:2]
    sandbox.delete(f"LA harbor+port/{items[1].id}/lst.tiff")
    for _ in range(2):
        cube = constellr_stac.load(items, ["lst"], geobox=GRID, errors="nan", engine=engine)
        with pytest.warns(SceneLeftEmptyWarning, match=items[1].id):
            cube.compute()


def test_an_error_travels_whole_between_processes(sandbox: Sandbox) -> None:
    """Dask's process scheduler hands on the same error, with its status."""
    cube = cube_of(sandbox, 1)
    sandbox.delete(f"LA harbor+port/{cube.id.values[0]}/lst.tiff")
    with (
        dask.config.set(scheduler="processes", num_workers=1),
        pytest.raises(AssetReadError) as caught,
    ):
        cube.compute()
    assert caught.value.status_code == 404


@pytest.mark.parametrize("presigned", [False, True], ids=["s3", "presigned"])
def test_drivers_and_readers_travel_without_a_secret(
    make: Callable[..., Sandbox], *, presigned: bool
) -> None:
    """After they have read, too; and on the other side they read again."""
    sandbox = make(presigned=presigned)
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


def test_what_came_from_another_process_is_fetched_together(sandbox: Sandbox) -> None:
    """Nothing is fetched where sources are only passed on; with the first read all come."""

    def reader(item: pystac.Item) -> StackstacReader:
        return StackstacReader(
            url=item.assets["lst"].href,
            spec=RasterSpec(32611, tuple(GRID.boundingbox), (30.0, 30.0)),
            resampling=Resampling.nearest,
            dtype=np.dtype("float32"),
            fill_value=np.nan,
        )

    packed = cloudpickle.dumps([reader(item) for item in constellr_stac.stable(found(sandbox)[:5])])
    deadline = time.monotonic() + 5
    while len(statuses(sandbox, "store")) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)  # those of the readers that are gone, if they began before that
    sandbox.clear_requests()
    packed = cloudpickle.dumps(cloudpickle.loads(packed))
    readers = cloudpickle.loads(packed)
    assert statuses(sandbox, "store") == []
    readers[0].read(Window(0, 0, 400, 400))
    deadline = time.monotonic() + 20
    while len(statuses(sandbox, "store")) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_credential_will_do_to_read_with(
    make: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for ``open_client``: items are asked for with it, and with nothing else."""
    sandbox = make(presigned=True)
    items = found(sandbox)[:1]
    me = constellr_stac.Password(sandbox.username, sandbox.password)
    sandbox.advance(timedelta(hours=2))
    for name in ("CONSTELLR_USERNAME", "CONSTELLR_PASSWORD"):
        monkeypatch.delenv(name)
    cube = constellr_stac.load(items, ["lst"], geobox=GRID, auth=me).compute()
    assert_true(cube)
    driver = constellr_stac.OdcDriver(auth=me)
    stable = constellr_stac.stable(items, auth=me)
    plain = odc.stac.load(stable, ["lst"], geobox=GRID, driver=driver)
    np.testing.assert_array_equal(plain.lst, cube.lst)
    assert constellr_stac.describe(items, auth=me).without_grid == 0
    assert len(constellr_stac.download(items, tmp_path, assets="lst", auth=me).written) == 1
    with pytest.raises(TypeError, match="not a str"):
        constellr_stac.load(items, ["lst"], geobox=GRID, auth="k3y")  # type: ignore[call-overload]


def test_the_scheme_of_an_href_may_be_in_capitals(sandbox: Sandbox) -> None:
    """``S3://`` is read as it is signed (RFC 3986: schemes are the same in either case)."""
    (item,) = found(sandbox)[:1]
    item.assets["lst"].href = item.assets["lst"].href.replace("s3://", "S3://")
    cube = constellr_stac.load([item], ["lst"], geobox=GRID)
    assert "AWS credentials" in constellr_stac.explain(cube).ends
    assert_true(cube.compute())


def test_a_policy_that_there_is_not_is_refused() -> None:
    """A driver with ``errors="ignore"`` would leave scenes empty that nobody gave up."""
    with pytest.raises(ValueError, match="'ignore'"):
        constellr_stac.OdcDriver(errors="ignore")  # type: ignore[arg-type]


def test_another_process_reads_with_what_it_finds(sandbox: Sandbox) -> None:
    """A graph computed in other processes needs nothing from this one."""
    cube = cube_of(sandbox, 2)
    with dask.config.set(scheduler="processes", num_workers=1):
        assert_true(cube.compute())


# Long files


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    """An LSTfusion area of 3,700 x 3,700 pixels, in blocks of 512, and its numbers."""
    path = tmp_path_factory.mktemp("long") / "lst.tiff"
    numbers = np.random.default_rng(1).integers(27000, 33000, (3700, 3700), dtype="uint16")
    with rasterio.open(
        path, "w", driver="COG", height=3700, width=3700, count=1, dtype="uint16", nodata=65535,
        crs="EPSG:32611", transform=from_origin(300000.0, 3800000.0, 30, 30), blocksize=512,
        compress="deflate",
    ) as file:  # fmt: skip
        file.write(numbers, 1)
    return path.read_bytes(), (numbers * 0.01).astype("float32")


def long_item(sandbox: Sandbox, content: bytes) -> pystac.Item:
    """Serve a long file as an item of LSTfusion."""
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
def test_a_long_file_whole_is_two_requests(
    sandbox: Sandbox, long_file: tuple[bytes, Any], engine: Any
) -> None:
    """Its beginning, and the rest at once."""
    content, kelvin = long_file
    item = long_item(sandbox, content)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    cube = constellr_stac.load([item], ["lst"], geobox=grid, chunks={}, engine=engine).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin)
    assert statuses(sandbox, "store") == [206, 206]


def test_a_long_file_in_the_chunks_of_auto_is_three_requests(
    sandbox: Sandbox, long_file: tuple[bytes, Any]
) -> None:
    """As many as plain odc-stac makes: its beginning once, and a range for each strip."""
    content, kelvin = long_file
    cube = constellr_stac.load([long_item(sandbox, content)], ["lst"])
    assert cube.lst.data.numblocks == (1, 2, 1)
    sandbox.clear_requests()  # one was for the grid, which the item does not state
    np.testing.assert_array_equal(cube.lst[0].compute(), kelvin)
    assert statuses(sandbox, "store") == [206] * 3


def test_parts_of_a_long_file_are_fetched_side_by_side(
    make: Callable[..., Sandbox], long_file: tuple[bytes, Any]
) -> None:
    """A window that touches blocks of many rows waits about once for all of them."""
    content, kelvin = long_file
    sandbox = make(latency=0.5)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    window = (slice(0, 3700), slice(1600, 1900))
    item = long_item(sandbox, content)
    began = time.perf_counter()
    cube = constellr_stac.load([item], ["lst"], geobox=grid[window]).compute()
    assert time.perf_counter() - began < 7 * 0.5
    np.testing.assert_array_equal(cube.lst[0], kelvin[window])
    assert len(statuses(sandbox, "store")) == 1 + 8


@ENGINES
def test_a_window_of_a_long_file_reads_its_blocks(
    sandbox: Sandbox, long_file: tuple[bytes, Any], engine: Any
) -> None:
    """A chunk far inside costs the beginning and the blocks it touches."""
    content, kelvin = long_file
    item = long_item(sandbox, content)
    grid = GeoBox((3700, 3700), from_origin(300000.0, 3800000.0, 30, 30), "EPSG:32611")
    window = (slice(2600, 2900), slice(1100, 1400))
    cube = constellr_stac.load([item], ["lst"], geobox=grid[window], engine=engine).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin[window])
    came = sum(_length(exchange.headers["range"]) for exchange in sandbox.requests)
    block = len(content) * (512 / 3700) ** 2 * 0.75  # overviews take a quarter of the file
    assert came < HEAD_BYTES + 6 * block
    assert len(sandbox.requests) <= 3


@ENGINES
def test_chunks_of_whole_blocks_read_each_block_once(
    sandbox: Sandbox, long_file: tuple[bytes, Any], engine: Any
) -> None:
    """Where nothing is resampled, no neighbour of a window is read: the file comes once in all."""
    content, kelvin = long_file
    item = long_item(sandbox, content)
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
def test_a_kernel_reaches_as_far_as_it_needs(tmp_path: Path, resampling: Any) -> None:
    """A coarse cube of a long file without overviews is the same in small chunks as in one."""
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

    # GDAL itself weighs the pixels at the edges of chunks a little differently.
    np.testing.assert_allclose(cube(y=15, x=15).lst, cube().lst, atol=0.5)


def _length(header: str) -> int:
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1


def test_a_coarse_cube_of_a_long_file_reads_an_overview(
    sandbox: Sandbox, long_file: tuple[bytes, Any]
) -> None:
    """A picture of the whole does not cost the whole, and looks like it."""
    content, kelvin = long_file
    item = long_item(sandbox, content)
    cube = constellr_stac.load([item], ["lst"], crs="EPSG:32611", resolution=480).compute()
    assert abs(float(cube.lst.mean()) - float(kelvin.mean())) < 0.5
    came = sum(_length(exchange.headers["range"]) for exchange in sandbox.requests)
    assert came < len(content) / 4


# Other hrefs


def test_any_https_url_and_any_path_are_read_as_they_are(sandbox: Sandbox, tmp_path: Path) -> None:
    """Foreign URLs are fetched without a credential; paths and file URLs are decoded."""
    items = found(sandbox)[:3]
    with Sandbox() as foreign:
        url = Signer(credentials=foreign.aws, endpoint=foreign.s3_url).sign(
            found_key(foreign, items[0].id)
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
            item.clear_links()  # or paths would be relative to the API
        foreign.clear_requests()
        assert_true(constellr_stac.load(items, ["lst"], geobox=GRID).compute())
        (exchange,) = foreign.requests
        assert "authorization" not in exchange.headers
        assert "x-api-key" not in exchange.headers


def found_key(sandbox: Sandbox, item_id: str) -> str:
    """The ``s3://`` href of a scene."""
    return f"s3://{sandbox.bucket}/LA harbor+port/{item_id}/lst.tiff"


def _scenes() -> Path:
    from real_scenes import SCENES

    return SCENES


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """With its path, and what to check."""
    reference = AssetRef(str(tmp_path / "gone.tiff"), "c", "i", "lst")
    fetcher = Fetcher(AssetResolver())
    with pytest.raises(AssetReadError, match=r"gone\.tiff.*No such file"):
        fetcher.file(fetcher.start(reference))


def test_an_answer_that_is_no_item_names_the_asset(make: Callable[..., Sandbox]) -> None:
    """What stands in the API's place, a portal that wants a login say, is told as that."""
    sandbox = make(presigned=True)
    cube = cube_of(sandbox, 1)
    sandbox.advance(timedelta(hours=2))
    for body in (b"<html>Log in", b'{"type": "Feature"}', b"[]", b"[" * 100_000):
        sandbox.fail(Fault("/items/", status=200, body=body))
        with pytest.raises(AssetReadError, match=r"'lst' .* did not return a STAC item") as caught:
            cube.compute()
        assert caught.value.status_code == 200
    sandbox.fail(Fault("/items/", status=302, headers={"Location": "http://["}))
    with pytest.raises(AssetReadError, match=r"asset 'lst' .* was not answered"):
        cube.compute()


def test_bytes_that_were_not_asked_for_are_no_missing_object(sandbox: Sandbox) -> None:
    """A server that sends the wrong part is asked again, and then that is what is said."""
    cube = cube_of(sandbox, 1)
    wrong = Fault(
        "lst.tiff", times=None, status=206, body=b"x", headers={"Content-Range": "bytes 0-9/10"}
    )
    sandbox.fail(wrong)
    with pytest.raises(AssetReadError, match=r"sent bytes other than .* Tried 4 times"):
        cube.compute()


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Range": "bytes 0-9/*"}, {"Content-Range": "bytes 0-{last}/{size}"}]
)
def test_a_part_of_another_place_is_not_taken_for_pixels(
    sandbox: Sandbox, tmp_path: Path, headers: dict[str, str]
) -> None:
    """A part says where in the file it is; what says otherwise, or nothing, is asked for again."""
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
    words = {name: text.format(**size) for name, text in headers.items()}
    sandbox.fail(Fault("long", skip=1, status=206, body=content[:length], headers=words))
    again = constellr_stac.load([item], ["lst"], geobox=window).lst.compute()
    np.testing.assert_array_equal(again, kelvin)
    assert len(sandbox.requests) == 3


def test_urls_that_have_ended_are_not_kept_for_ever() -> None:
    """A process that searches for days keeps what it can still use."""
    resolver = AssetResolver()

    def remember(number: int, signed_at: Any) -> None:
        href = f"https://b.example/{number}?X-Amz-Signature=1f&X-Amz-Expires=60&X-Amz-Date="
        item = pystac.Item(str(number), None, None, signed_at, {}, collection="c")
        item.add_asset("lst", pystac.Asset(f"{href}{signed_at:%Y%m%dT%H%M%SZ}"))
        resolver.remember(item)

    now = datetime.now(UTC)
    for number in range(5000):
        remember(number, now if number % 10 == 0 else now - timedelta(hours=1))
    assert {("c", str(number)) for number in range(0, 5000, 10)} <= resolver._items.keys()
    assert len(resolver._items) < 2000


def test_a_failed_fetch_is_not_kept(sandbox: Sandbox) -> None:
    """The next reader of an asset that failed may be luckier."""
    reference = AssetRef(found(sandbox)[0].assets["lst"].href)
    fetcher = Fetcher(AssetResolver())
    sandbox.fail(Fault("lst.tiff", status=404))
    first = fetcher.start(reference)
    with pytest.raises(AssetReadError):
        fetcher.file(first)
    assert fetcher.file(fetcher.start(reference)).whole


def test_a_fetcher_is_shared_by_a_process_and_not_with_its_children(sandbox: Sandbox) -> None:
    """Equal settings share connections and bounds; a fork begins with its own."""
    from constellr_stac.reading.prefetch import shared_fetcher

    here = shared_fetcher(AssetResolver())
    assert shared_fetcher(AssetResolver()) is here
    assert shared_fetcher(AssetResolver(signer=Signer(region="us-east-1"))) is not here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads and fork
        child = os.fork()
    if child == 0:
        os._exit(0 if shared_fetcher(AssetResolver()) is not here else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert threading.active_count() >= 1


@ENGINES
@pytest.mark.parametrize("presigned", [False, True])
def test_a_cube_is_read_on_in_a_forked_child(
    make: Callable[..., Sandbox], engine: Any, *, presigned: bool
) -> None:
    """The threads and connections of the parent, which has read already, are not waited for."""
    cube = cube_of(make(presigned=presigned), 3, engine=engine)
    with dask.config.set(scheduler="synchronous"):
        expected = cube.lst.values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads and fork
            child = os.fork()
        if child == 0:
            signal.alarm(30)  # what hangs ends
            alike = False
            try:
                alike = np.array_equal(cube.lst.values, expected, equal_nan=True)
            finally:
                os._exit(0 if alike else 1)
    assert os.waitpid(child, 0)[1] == 0
