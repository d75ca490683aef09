"""Credentials on dask clusters of real processes: sharing, renewal, requests and secrets."""

from __future__ import annotations

import asyncio
import functools
import gzip
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus

import cloudpickle
import dask
import numpy as np
import pytest
import rasterio
import requests
import stackstac
import xarray as xr
from distributed import Client, Event, LocalCluster, wait
from distributed.protocol.serialize import Serialize

import constellr_stac
from constellr_stac import (
    ApiKey,
    AssetReadError,
    ConstellrAuth,
    Password,
    Signer,
    Token,
    WorkerError,
    check_workers,
    share_credentials,
)
from constellr_stac import config as settings
from constellr_stac.cluster import (
    CredentialsNotSharedWarning,
    UnencryptedClusterWarning,
    WorkerRow,
    WorkerTable,
    WorkerVersionWarning,
)
from constellr_stac.cluster import share as sharing
from constellr_stac.cluster.check import _warn_about_versions
from constellr_stac.cluster.messages import PushMessage, encoded
from constellr_stac.cluster.probe import versions
from constellr_stac.cluster.share import _warn_if_unencrypted
from constellr_stac.errors import CredentialsNotFoundError
from constellr_stac.sandbox import Fault, Sandbox
from forked_workers import local_cluster
from on_workers import (
    LOGS,
    environment,
    forget_files,
    found,
    log_everything,
    no_route,
    plugins,
    process,
    slowly,
    tokens_held,
)
from real_scenes import SCENES, truth
from renewals import items_renewed, searches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pystac
    from numpy.typing import NDArray

    from object_store import Swift

pytestmark = pytest.mark.slow

WORKERS = 2
FREE = "127.0.0.1:0"  # for the dashboard
NAME = ("lstprecision", "scene")
SMALL = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": FREE}
PRESIGNED = pytest.mark.parametrize("presigned", [False, True], ids=["s3", "presigned"])


@dataclass
class User:
    """A sandbox user who passes credentials in code only."""

    sandbox: Sandbox

    @cached_property
    def auth(self) -> ConstellrAuth:
        """The account's password."""
        password = Password(self.sandbox.username, self.sandbox.password)
        return ConstellrAuth(password, base_url=self.sandbox.api_url)

    @property
    def signer(self) -> Signer:
        """A signer with the current session."""
        return Signer(
            credentials=self.sandbox.aws,
            endpoint=self.sandbox.s3_url,
            expires_in=timedelta(seconds=2),
        )

    def keys(self) -> dict[str, Any]:
        """Return the current session, to be renewed within seconds."""
        return {**self.sandbox.aws, "expires_at": datetime.now(UTC) + timedelta(seconds=6)}

    @cached_property
    def items(self) -> list[pystac.Item]:
        """The scenes, by time."""
        api = constellr_stac.open_client(f"{self.sandbox.api_url}/stac", auth=self.auth)
        return sorted(api.search().items(), key=lambda item: item.id)

    def cube(self, scenes: int = 15, **arguments: Any) -> xr.DataArray:
        """Temperatures, one chunk per scene."""
        arguments = {"chunks": {"time": 1}, "auth": self.auth, "signer": self.signer, **arguments}
        cube: xr.DataArray = constellr_stac.load(self.items[:scenes], "lst", **arguments).lst
        return cube

    def requests(self, path: str) -> int:
        """Count the requests to a path."""
        return sum(exchange.path.startswith(path) for exchange in self.sandbox.requests)

    @property
    def secrets(self) -> set[bytes]:
        """All secrets so far: passed, issued, sent and signed."""
        plain = {self.sandbox.password, self.sandbox.api_key}
        plain.add(self.sandbox.password.partition(":")[2])  # the rest is encoded in several ways
        plain |= {str(self.sandbox.aws[name]) for name in ("secret_access_key", "token")}
        for exchange in self.sandbox.requests:
            plain.add(exchange.headers.get("authorization", "").removeprefix("Bearer "))
            query = parse_qs(exchange.query)
            for name in ("X-Amz-Signature", "X-Amz-Security-Token"):
                plain |= set(query.get(name, ()))
        return {secret.encode() for secret in plain if secret}


@contextmanager
def user(**options: Any) -> Iterator[User]:
    """Run a sandbox for one user."""
    with Sandbox(**options) as sandbox:
        yield User(sandbox)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the DEBUG logs of workers, scheduler and client."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def cluster(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two worker processes without credentials in their environment."""
    handler = log_everything(logs / "client-and-scheduler.log")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("CONSTELLR_", "AWS_")):
                patch.delenv(name)
        patch.setenv(LOGS, str(logs))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("worker-home")))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        with local_cluster(
            n_workers=WORKERS,
            threads_per_worker=2,
            silence_logs=False,
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster:
            yield cluster
    handler.close()
    for name in ("", "distributed"):
        logging.getLogger(name).removeHandler(handler)
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture
def client(cluster: Any) -> Iterator[Client]:
    """A client of the two workers; a test's additions are removed."""
    with Client(cluster) as client:
        until(lambda: len(workers_by_name(client)) == WORKERS)
        yield client
        cluster.scale(WORKERS)


def expected(items: list[pystac.Item]) -> NDArray[Any]:
    """Return the files' values read with rasterio: float32, dims (time, y, x)."""
    return np.stack([truth(item.id).kelvin for item in items])


def slow(cube: xr.DataArray, seconds: float) -> xr.DataArray:
    """Delay each chunk, so that a compute outlasts its first credentials."""
    return cube.copy(data=cube.data.map_blocks(slowly, seconds=seconds, dtype=cube.dtype))


def read_on_each(client: Client, me: User) -> None:
    """Read different data on each worker, so that none gets it from another."""
    workers = client.nthreads()
    cubes = [me.cube(2 + number) for number in range(len(workers))]
    reads = [
        client.compute(cube, workers=[worker], allow_other_workers=False)
        for cube, worker in zip(cubes, workers, strict=True)
    ]
    for cube, read in zip(cubes, client.gather(reads), strict=True):
        np.testing.assert_array_equal(read, expected(me.items[: cube.sizes["time"]]))


def until(condition: Callable[[], object], *, seconds: float = 120) -> None:
    """Wait until ``condition`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def workers_by_name(client: Client) -> dict[Any, str]:
    """Return the workers' addresses."""
    scheduler: Any = client.scheduler
    workers = client.sync(scheduler.identity)["workers"]
    return {facts["name"]: address for address, facts in workers.items()}


# Sharing and renewal


@PRESIGNED
def test_compute_outlasts_tokens_urls_and_sessions(client: Client, *, presigned: bool) -> None:
    """Workers without credentials keep reading; only the client fetches tokens."""
    life = timedelta(seconds=3)
    with user(presigned=presigned, token_lifetime=life, url_lifetime=life) as me:
        cube = slow(me.cube(), 1)
        before = me.requests("/token")
        with share_credentials(client, me.auth, me.keys) as shared:
            values = cube.compute()
            feeds = shared._pusher.feeds
            # The first token may predate the sharing; the next may be under way.
            until(lambda: 0 <= feeds["api"].message.number - me.requests("/token") + before <= 1)
            numbers = {kind: feed.message.number for kind, feed in feeds.items()}
        np.testing.assert_array_equal(values, expected(me.items))
        reads = [e.when for e in me.sandbox.requests if e.server == "store"]
        assert max(reads) - min(reads) > life
        assert numbers["api"] >= 2
        assert presigned or numbers["s3"] >= 2


def test_revoked_token_is_replaced_once_for_all_workers(client: Client) -> None:
    """Each worker reports the refusal; one new token serves all."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        cube = me.cube()
        me.sandbox.revoke_tokens()
        me.sandbox.clear_requests()
        check_workers(client, auth=me.auth)
        np.testing.assert_array_equal(cube.compute(), expected(me.items))
        assert me.requests("/token") == 1
        assert {e.status for e in me.sandbox.requests if e.server == "store"} == {206}


def test_two_clients_do_not_mix(cluster: Any, client: Client) -> None:
    """Each graph reads with its own client's token and AWS keys, whoever shared last."""
    with user() as me, Client(cluster.scheduler_address, set_as_default=False) as other_client:
        legacy = me.sandbox.accounts["legacy"]
        password = Password(legacy.username, legacy.password)
        other = ConstellrAuth(password, base_url=me.sandbox.api_url)
        wrong = {"access_key_id": "ASIAOTHER", "secret_access_key": "x", "token": "session"}
        with share_credentials(client, me.auth, lambda: me.sandbox.aws):
            with share_credentials(other_client, other, wrong):
                me.sandbox.clear_requests()
                check_workers(client, auth=me.auth)
                mine = _authorizations(me.sandbox)
                np.testing.assert_array_equal(me.cube(4).compute(), expected(me.items[:4]))
                assert 403 not in {each.status for each in me.sandbox.requests}
                me.sandbox.clear_requests()
                check_workers(other_client, auth=other)
                assert not mine & _authorizations(me.sandbox)
                with pytest.raises(WorkerError, match="store: "):
                    check_workers(other_client, me.items, auth=other, signer=me.signer)
                theirs = me.cube(3, auth=other)
                failed = other_client.compute(theirs)
                with pytest.raises(AssetReadError, match="403"):
                    failed.result()
                np.testing.assert_array_equal(me.cube(3).compute(), expected(me.items[:3]))
            stranger = ConstellrAuth(Password("stranger", "x"), base_url=me.sandbox.api_url)
            with pytest.raises(WorkerError, match="share_credentials: those of another account"):
                check_workers(client, auth=stranger)


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_files_are_fetched_by_one_worker(client: Client, engine: Any) -> None:
    """Once each, for all variables and chunks of a step, as ``explain`` says."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        load = functools.partial(constellr_stac.load, me.items, auth=me.auth, engine=engine)
        cubes = {
            "default": load(),
            "sliced": load(chunks={"time": 4}).isel(time=slice(4, 12)),
            "joined": load(["lst"], mask="clear", groupby="solar_day"),
            "split": load(chunks={"time": 1, "y": 200}),
        }
        for kind, cube in cubes.items():
            told = constellr_stac.explain(cube).requests
            client.run(forget_files)
            me.sandbox.clear_requests()
            values = cube.compute()
            sent = len([e for e in me.sandbox.requests if e.server == "store"])
            # dask moves tasks of busy workers, and more of short ones
            assert told <= sent <= told * (1.3 if kind in ("sliced", "split") else 1.1), kind
            if kind in ("default", "split"):
                assert told == 30
                np.testing.assert_array_equal(values.lst, expected(me.items))


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_items_of_unlike_assets_are_read_on_workers(client: Client, engine: Any) -> None:
    """One lacks a band, another has it under a key of its own."""
    with user() as me:
        items = constellr_stac.stable(me.items[:6])
    for item in items:
        item.clear_links()
        for asset in item.assets.values():
            asset.href = str(SCENES / item.id / Path(asset.href).name)
    del items[1].assets["scl_mask_30m"]
    items[2].assets["heat"] = items[2].assets.pop("lst")
    cube = constellr_stac.load(
        items, ["lst", "cloud_mask"], engine=engine, chunks={"time": 1, "y": 200}
    )
    assert constellr_stac.explain(cube).files == 11
    values = cube.compute()
    np.testing.assert_array_equal(values.lst, expected(items))
    assert (values.cloud_mask[1] == 255).all()


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_placed_chunks_have_keys_of_their_own(cluster: Any, client: Client, engine: Any) -> None:
    """Else a scheduler whose workers have changed is given other tasks of equal keys."""
    with user() as me:
        chunks = {"time": 1, "y": 200}
        load = functools.partial(me.cube, 2, chunks=chunks, engine=engine, signer=me.signer)
        placed, again = load(), load()
        cluster.scale(WORKERS + 1)
        client.wait_for_workers(WORKERS + 1, timeout=120)
        plain = load()
    assert placed.data.name == again.data.name
    assert dict(plain.__dask_graph__()).keys().isdisjoint(dict(placed.__dask_graph__()))


def test_workers_are_known_while_the_client_refreshes_its_information(cluster: Any) -> None:
    """In the background it replaces the last ``scheduler_info`` by one that lists no workers."""
    with (
        dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}),
        Client(cluster) as client,
        user() as me,
    ):
        until(lambda: len(workers_by_name(client)) == WORKERS)
        names = {me.cube(1, chunks={"y": 200}, signer=me.signer).data.name for _ in range(20)}
        assert len(names) == 1
        for _ in range(3):
            assert len(check_workers(client, auth=False)) == WORKERS


def test_a_cube_is_built_while_a_client_connects(cluster: Any) -> None:
    """Asynchronous ones know no workers until they are awaited."""

    async def build(me: User) -> xr.DataArray:
        client = Client(cluster.scheduler_address, asynchronous=True)
        cube = me.cube(2)
        async with client:
            return cube

    with user() as me:
        cube = asyncio.run(build(me))
        np.testing.assert_array_equal(cube, expected(me.items[:2]))


def _authorizations(sandbox: Sandbox) -> set[str]:
    """Return the tokens sent to the API so far."""
    sent = (each.headers.get("authorization") for each in sandbox.requests)
    return {each for each in sent if each is not None}


def test_workers_without_a_route_to_the_api(client: Client) -> None:
    """The client renews the URLs of pre-signed items, once for each and all workers together."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        cube = me.cube(chunks={"time": 5, "y": 100})
        client.run(no_route, int(me.sandbox.api_url.rpartition(":")[2]))
        try:
            me.sandbox.clear_requests()
            np.testing.assert_array_equal(cube.compute(), expected(me.items))
            renewed = items_renewed(me.sandbox)
            assert set(renewed) == {item.id for item in me.items}
            assert len(renewed) <= WORKERS * len(me.items)
            assert searches(me.sandbox) < len(me.items)
            table = check_workers(client, me.items, auth=me.auth)
            assert {row.read for row in table} == {1024}
            with pytest.raises(WorkerError, match=r"(?s)API: .*No route to host.*share_credent"):
                check_workers(client, auth=me.auth, timeout=15)
        finally:
            client.run(no_route, None)


def test_refused_token_without_replacement(client: Client) -> None:
    """Workers do not wait for a replacement that will not come; the compute fails."""
    with user(presigned=True) as me:
        cube = me.cube(4)
        alone = ConstellrAuth(me.auth.token(), base_url=me.sandbox.api_url)
        with share_credentials(client, alone):
            me.sandbox.revoke_tokens()
            began = time.monotonic()
            with pytest.raises(AssetReadError, match=r"\(pushed by the dask client.*was refused"):
                cube.compute()
            assert time.monotonic() - began < 25  # they wait for 30


def test_workers_wait_for_an_unavailable_token_service(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token service that is down for seconds does not fail the compute."""
    monkeypatch.setenv("CONSTELLR_RETRY_DEADLINE", "3")
    with user(presigned=True) as me, share_credentials(client, me.auth) as shared:
        cube = me.cube(4)
        me.sandbox.fail(Fault("/token", status=503, times=5))  # all attempts within 3 s
        me.sandbox.revoke_tokens()
        np.testing.assert_array_equal(cube.compute(), expected(me.items[:4]))
        assert shared._pusher.feeds["api"].message.trouble == ""


def test_error_names_the_clients_reason(client: Client) -> None:
    """The worker's error repeats why the client has no replacement."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        cube = me.cube(4)
        me.sandbox.fail(Fault("/token", status=401, times=None))
        me.sandbox.revoke_tokens()
        reason = r"the client has no other: POST http://127\.0\.0\.1:\d+/token answered 401"
        with pytest.raises(AssetReadError, match=reason):
            cube.compute()


def test_expired_sessions_are_replaced_by_the_client(client: Client) -> None:
    """AWS credentials that expire early are fetched again from their source."""
    with user() as me, share_credentials(client, me.auth, lambda: me.sandbox.aws) as shared:
        np.testing.assert_array_equal(me.cube(4).compute(), expected(me.items[:4]))
        me.sandbox.rotate_aws()
        np.testing.assert_array_equal(me.cube(8).compute(), expected(me.items[:8]))
        assert {e.status for e in me.sandbox.requests if e.server == "store"} > {206}
        assert shared._pusher.feeds["s3"].message.number == 2


def test_environment_of_the_client_is_shared(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``share_credentials(client)`` needs no arguments with credentials in the environment."""
    with user() as me:
        for name, value in me.sandbox.environment().items():
            monkeypatch.setenv(name, value)
        with share_credentials(client) as shared:
            cube = constellr_stac.load(me.items[:4], "lst", chunks={"time": 1})
            np.testing.assert_array_equal(cube.lst.compute(), expected(me.items[:4]))
            assert shared.lent == (f"Token for {me.sandbox.api_url}", "AWS credentials")


def test_swift_accepts_renewed_sessions(client: Client, swift: Swift) -> None:
    """An S3 that verifies signatures and expiry accepts the workers' requests."""
    given: list[datetime] = []

    def keys() -> dict[str, Any]:
        given.append(datetime.now(UTC) + timedelta(seconds=6))
        return {
            "access_key_id": swift.access_key,
            "secret_access_key": swift.secret_key,
            "token": "a session",
            "expires_at": given[-1],
        }

    with user() as me:
        items = me.items[:8]
        for item in items:
            file = SCENES / item.id / "lst.tiff"
            item.assets["lst"].href = swift.put("cluster", f"{item.id}.tiff", file.read_bytes())
            item.assets = {"lst": item.assets["lst"]}
        signer = Signer(credentials=keys(), endpoint=swift.endpoint)
        cube = constellr_stac.load(
            items, "lst", chunks={"time": 1}, auth=me.auth, signer=signer
        ).lst
        with share_credentials(client, False, keys):  # noqa: FBT003 - no credential for the API
            began = datetime.now(UTC)
            np.testing.assert_array_equal(slow(cube, 1.5).compute(), expected(items))
    assert max(given) > began + timedelta(seconds=8)


# Number of requests


def test_one_token_per_process(client: Client) -> None:
    """Workers with their own password fetch one token each, and each item once."""
    with user(presigned=True) as me:
        owner = me.sandbox.accounts["owner"]
        client.run(
            environment, CONSTELLR_USERNAME=owner.username, CONSTELLR_PASSWORD=owner.password
        )
        try:
            cube = me.cube(chunks={"time": 1, "y": 100})
            me.sandbox.clear_requests()
            np.testing.assert_array_equal(cube.compute(), expected(me.items))
        finally:
            client.run(environment, CONSTELLR_USERNAME=None, CONSTELLR_PASSWORD=None)
        assert 1 <= me.requests("/token") <= WORKERS
        renewed = items_renewed(me.sandbox)
        assert len(me.items) <= len(renewed) <= WORKERS * len(me.items)


def test_workers_with_shared_tokens_request_none(client: Client) -> None:
    """Workers fetch only items and objects."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        cube = me.cube(chunks={"time": 1, "y": 100})
        me.sandbox.clear_requests()
        np.testing.assert_array_equal(cube.compute(), expected(me.items))
        assert me.requests("/token") == 0
        renewed = items_renewed(me.sandbox)
        assert len(me.items) <= len(renewed) <= WORKERS * len(me.items)


# Sending the credential itself


def test_sent_credential_outlives_the_client(cluster: Any, client: Client) -> None:
    """With ``send_credential`` workers renew their own tokens, also those that join later."""
    with user(presigned=True) as me:
        with Client(cluster, set_as_default=False) as other:
            shared = share_credentials(other, me.auth, send_credential=True)
        try:
            cluster.scale(WORKERS + 1)
            client.wait_for_workers(WORKERS + 1, timeout=120)
            me.sandbox.revoke_tokens()
            me.sandbox.clear_requests()
            read_on_each(client, me)
            assert me.requests("/token") == 1 + WORKERS + 1  # the client's and each worker's
            assert set(client.run(tokens_held, me.sandbox.api_url).values()) == {1}
        finally:
            client.unregister_worker_plugin(shared.name)
        assert client.get_metadata([shared.name]) is None  # the client was gone
        assert set(client.run(tokens_held, me.sandbox.api_url).values()) == {0}
        with pytest.raises(CredentialsNotFoundError):
            client.run(found, me.sandbox.api_url)


def test_api_key_requires_send_credential(client: Client) -> None:
    """An API key has no token to share."""
    with user(presigned=True, api_key_mode=True) as me:
        me.auth = ConstellrAuth(ApiKey(me.sandbox.api_key), base_url=me.sandbox.api_url)
        with pytest.raises(ValueError, match="send_credential=True"):
            share_credentials(client, me.auth)
        with share_credentials(client, me.auth, send_credential=True):
            np.testing.assert_array_equal(me.cube(4).compute(), expected(me.items[:4]))
        assert me.requests("/token") == 0


def test_asynchronous_code_uses_a_thread(cluster: Any) -> None:
    """Calls on the client's event loop are an error; in a thread they work."""

    async def called(me: User) -> None:
        async with Client(cluster.scheduler_address, asynchronous=True) as client:
            with pytest.raises(TypeError, match=r"to_thread\(share_credentials"):
                share_credentials(client, me.auth)
            with pytest.raises(TypeError, match=r"to_thread\(check_workers"):
                check_workers(client)
            shared = await asyncio.to_thread(share_credentials, client, me.auth)
            table = await asyncio.to_thread(check_workers, client, me.items, auth=me.auth)
            assert len(table) == WORKERS
            with pytest.raises(TypeError, match=r"to_thread\(SharedCredentials\.close"):
                shared.close()
            await asyncio.to_thread(shared.close)
            with pytest.raises(CredentialsNotFoundError):
                await client.run(found, me.sandbox.api_url)

    with user(presigned=True) as me:
        me.items  # noqa: B018 - search before the event loop runs
        asyncio.run(called(me))


def test_long_lived_keys_are_not_shared(
    client: Client, swift: Swift, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys found are skipped with a warning, keys passed are an error, by default."""
    with user() as me:
        keys = {"access_key_id": swift.access_key, "secret_access_key": swift.secret_key}
        with pytest.raises(ValueError, match="do not expire"):
            share_credentials(client, me.auth, keys)
        for name, value in swift.environment().items():
            monkeypatch.setenv(name, value)
        with (
            pytest.warns(CredentialsNotSharedWarning, match="AWS_ACCESS_KEY_ID"),
            share_credentials(client, me.auth) as shared,
        ):
            assert shared.lent == (f"Token for {me.sandbox.api_url}",)
        with share_credentials(client, me.auth, send_credential=True) as shared:
            assert shared.lent == (f"Password for {me.sandbox.api_url}", "AWS credentials")


# Worker lifecycle


def test_killed_and_added_workers(cluster: Any, client: Client) -> None:
    """Tasks can read in every worker process."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        result = client.compute(slow(me.cube(), 0.2))
        until(lambda: me.requests("/constellr-sandbox"))
        processes = client.run(process)
        os.kill(next(iter(processes.values())), signal.SIGKILL)
        cluster.scale(WORKERS + 1)
        np.testing.assert_array_equal(result.result(), expected(me.items))
        until(lambda: len(set(client.run(process).values()) - set(processes.values())) == 2)
        sources = client.run(found, me.sandbox.api_url)
        assert len(sources) == WORKERS + 1
        assert all("pushed by the dask client" in source for source in sources.values())
        me.sandbox.clear_requests()
        read_on_each(client, me)
        assert me.requests("/token") == 0


def test_restarted_workers_get_credentials_again(client: Client) -> None:
    """``client.restart()`` clears the scheduler's metadata; workers request the credentials."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        client.restart()
        np.testing.assert_array_equal(me.cube(4).compute(), expected(me.items[:4]))


def test_close_removes_credentials(client: Client) -> None:
    """After the block, workers and scheduler hold no credentials."""
    with user(presigned=True) as me:
        worker = [next(iter(client.nthreads()))]
        with share_credentials(client, me.auth) as shared:
            client.compute(me.cube(1), workers=worker).result()
            assert all("Token" in text for text in client.run(found, me.sandbox.api_url).values())
            assert client.get_metadata([shared.name]) is not None
        with pytest.raises(CredentialsNotFoundError):
            client.run(found, me.sandbox.api_url)
        closed = r"(?s)closed by the client \(process \d+ on .*Keep the `with` block"
        with pytest.raises(AssetReadError, match=closed):
            client.compute(me.cube(1), workers=worker).result()  # signed URLs are removed too
        assert client.get_metadata([shared.name]) is None
        assert repr(shared).endswith(": closed>")
        shared.close()


def test_unregistering_the_plugin_removes_credentials(client: Client) -> None:
    """``client.unregister_worker_plugin`` also stops the client and clears the scheduler."""
    with user(presigned=True) as me:
        shared = share_credentials(client, me.auth)
        client.unregister_worker_plugin(shared.name)
        with pytest.raises(CredentialsNotFoundError):
            client.run(found, me.sandbox.api_url)
        until(lambda: client.get_metadata([shared.name]) is None)
        until(lambda: not shared._pusher._thread.is_alive())
        shared.close()


def test_close_after_the_client_is_closed(cluster: Any, client: Client) -> None:
    """Credentials are removed even if the client was closed first."""
    with user(presigned=True) as me:
        other = Client(cluster.scheduler_address, set_as_default=False)
        with share_credentials(other, me.auth) as shared:
            other.close()
            assert client.get_metadata([shared.name]) is not None
        assert client.get_metadata([shared.name]) is None
        with pytest.raises(CredentialsNotFoundError):
            client.run(found, me.sandbox.api_url)


def test_client_may_close_while_items_are_renewed(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that renews them for workers ends without an exception."""
    with user(presigned=True) as me:
        other = Client(cluster.scheduler_address, set_as_default=False)
        with share_credentials(other, me.auth) as shared:
            pusher = shared._pusher
            monkeypatch.setattr(pusher._items, "all_of", lambda _: other.close() or {NAME: {}})
            pusher._renew([("tcp://127.0.0.1:9", 1, NAME)], None)


# Operations on cubes


def test_operations_on_cubes(client: Client, tmp_path: Path) -> None:
    """``persist``, ``rechunk``, ``map_blocks`` and ``to_zarr`` give the files' values."""
    with user(presigned=True) as me, share_credentials(client, me.auth):
        cube, values = me.cube(), expected(me.items)
        kept = cube.persist()
        wait(kept)
        np.testing.assert_array_equal(kept, values)
        by_pixel = cube.chunk({"time": -1, "y": 100, "x": 100})
        np.testing.assert_array_equal(by_pixel.max("time"), np.nanmax(values, axis=0))
        warmer = cube.data.map_blocks(np.add, 1, dtype=cube.dtype)
        np.testing.assert_array_equal(warmer.compute(), values + 1)
        cube.to_dataset().to_zarr(tmp_path / "cube.zarr", zarr_format=2)
        stored = xr.open_zarr(tmp_path / "cube.zarr").lst
        np.testing.assert_array_equal(stored, values)


@PRESIGNED
def test_plain_stackstac_uses_the_clients_settings(
    client: Client, monkeypatch: pytest.MonkeyPatch, *, presigned: bool
) -> None:
    """A reader created on a worker uses the client's API and store until close."""
    with user(presigned=presigned) as me:
        for name, value in me.sandbox.environment().items():
            monkeypatch.setenv(name, value)
        bounds = tuple(me.cube(1).odc.geobox.boundingbox)
        stacked = stackstac.stack(
            constellr_stac.stable(me.items[:4]),
            ["lst"],
            epsg=32611,
            resolution=30,
            bounds=bounds,
            snap_bounds=False,
            reader=constellr_stac.StackstacReader,
        )
        with share_credentials(client):
            values = stacked[:, 0].compute()
        np.testing.assert_array_equal(values.astype("float32"), expected(me.items[:4]))
        assert set(client.run(settings.api_url).values()) == {settings.DEFAULT_API_URL}


@pytest.mark.parametrize("scheduler", ["threads", "processes", "synchronous"])
@PRESIGNED
def test_schedulers_without_a_cluster(
    scheduler: str, *, presigned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's local schedulers use the environment's credentials."""
    with user(presigned=presigned) as me:
        for name, value in me.sandbox.environment().items():
            monkeypatch.setenv(name, value)
        cube = constellr_stac.load(me.items[:4], "lst", chunks={"time": 1}).lst
        me.sandbox.clear_requests()
        with dask.config.set(scheduler=scheduler, num_workers=2):
            np.testing.assert_array_equal(cube.compute(), expected(me.items[:4]))
        processes = 2 if scheduler == "processes" else 0
        assert me.requests("/token") <= processes * presigned
        # Dask may open in one process and read in another; the main process reads nothing.
        assert me.requests("/constellr-sandbox") <= 4 * max(processes, 1)


def test_other_engines_are_told_about_the_environment() -> None:
    """Without a dask client, errors do not speak of ``share_credentials``."""
    with user(presigned=True) as me:
        cube = me.cube(1)
        with (
            dask.config.set(scheduler="processes", num_workers=1),
            pytest.raises(AssetReadError) as caught,
        ):
            cube.compute()
        assert "given in code: not pickled" in str(caught.value)
        assert "in the environment of this process" in str(caught.value)
        assert "share_credentials" not in str(caught.value)


def test_workers_in_the_process_of_the_client() -> None:
    """``processes=False``: the client keeps its own credential and shares no pushed one."""
    with (
        user(presigned=True, token_lifetime=timedelta(seconds=2)) as me,
        LocalCluster(processes=False, protocol="tcp", **SMALL) as cluster,
        Client(cluster) as client,
        share_credentials(client, me.auth) as shared,
    ):
        until(lambda: shared._pusher.feeds["api"].message.number >= 3)
        np.testing.assert_array_equal(me.cube(4).compute(), expected(me.items[:4]))
        until(lambda: shared._pusher.feeds["api"].message.number >= 4)


# Secrets


def test_secrets_appear_nowhere(cluster: Any, client: Client, logs: Path, tmp_path: Path) -> None:
    """Not in the graph, the scheduler's tasks, state or events, nor in any DEBUG log."""
    life = timedelta(seconds=2)
    for presigned in (False, True):
        with user(presigned=presigned, token_lifetime=life) as me:
            for send in (False, True):
                with share_credentials(client, me.auth, me.keys, send_credential=send) as shared:
                    cube = me.cube()
                    graph = cloudpickle.dumps(cube.data.dask) + cloudpickle.dumps(cube)
                    graph += repr(cube).encode() + repr(dict(cube.data.dask)).encode()
                    kept = cube.persist()
                    wait(kept)
                    me.sandbox.revoke_tokens()
                    me.cube(3).compute()
                    client.dump_cluster_state(str(tmp_path / "state"))
                    exposed = {
                        "graph": graph,
                        "tasks": _stored_tasks(cluster),
                        "state": gzip.decompress((tmp_path / "state.msgpack.gz").read_bytes()),
                        "events": repr(client.get_events()).encode(),
                        "plugins": repr(cluster.scheduler.worker_plugins).encode(),
                        "value": repr(shared).encode() + repr(vars(shared)).encode(),
                        "worker logs": repr(client.get_worker_logs()).encode(),
                        "scheduler logs": repr(client.get_scheduler_logs()).encode(),
                        "pages": _pages(cluster),
                    }
                    del kept
                exposed |= {file.name: file.read_bytes() for file in logs.iterdir()}
                assert len(me.secrets) > 8
                assert [
                    (where, text[max(text.find(secret) - 200, 0) : text.find(secret)])
                    for where, text in exposed.items()
                    for secret in me.secrets
                    if secret in text
                ] == []
    written = b"".join(file.read_bytes() for file in logs.iterdir())
    assert b"Starting Worker plugin constellr-credentials" in written
    assert b"'op': 'set_metadata'" in written or b"set_metadata" in written
    assert b"GET /stac/collections" in written


def test_messages_mask_themselves() -> None:
    """A logged message shows no secret, even if the transport passes objects unserialized."""
    message = encoded({"api": PushMessage(Token("t0ken"), 1)})
    assert b"t0ken" in bytes(message)
    assert "t0ken" not in f"{message} {message!r} { {'value': Serialize(message)} }"


def _pages(cluster: Any) -> bytes:
    """Return the scheduler's dashboard pages."""
    address = f"http://127.0.0.1:{cluster.scheduler.http_server.port}"
    worker = quote_plus(next(iter(cluster.scheduler.workers)))
    pages = ["main/workers", f"worker/{worker}", "main/logs", f"logs/{worker}"]
    texts = [requests.get(f"{address}/info/{page}.html", timeout=60) for page in pages]
    assert [answer.status_code for answer in texts] == [200] * len(pages)
    return b"".join(answer.content for answer in texts)


def _stored_tasks(cluster: Any) -> bytes:
    tasks = cluster.scheduler.tasks.values()
    assert len(tasks) >= 15
    return b"".join(cloudpickle.dumps(task.run_spec) + repr(task).encode() for task in tasks)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("tcp://127.0.0.1:8786", True),
        ("tcp://[::1]:8786", True),
        ("inproc://10.0.0.5/1/2", True),
        ("tls://10.0.0.5:8786", True),
        ("gateway://gateway.example.com:443/cluster", True),
        ("tcp://10.0.0.5:8786", False),
        ("ws://scheduler.example.com:80", False),
    ],
)
def test_unencrypted_connections_warn(address: str, *, private: bool) -> None:
    """Remote connections of scheduler and workers need TLS."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _warn_if_unencrypted(["tcp://127.0.0.1:1", address])
    assert [w.category for w in caught] == ([] if private else [UnencryptedClusterWarning])
    assert private or address in str(caught[0].message)


def test_unencrypted_warning_comes_first(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning precedes any sending and points at the caller's line."""
    monkeypatch.setattr(sharing, "is_loopback", lambda host: host != "127.0.0.1")
    with user() as me:
        with pytest.warns(UnencryptedClusterWarning, match="tcp://127") as warned:
            share_credentials(client, me.auth).close()
        assert warned[0].filename == __file__
        names = set(client.run(plugins).popitem()[1])
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnencryptedClusterWarning)
            with pytest.raises(UnencryptedClusterWarning):
                share_credentials(client, me.auth)
        assert set(client.run(plugins).popitem()[1]) == names


def test_what_cannot_be_shared(cluster: Any, client: Client) -> None:
    """A wrong argument is an immediate error and leaves nothing on the cluster."""
    with user() as me:
        with pytest.raises(TypeError, match=r"distributed\.Client, not a LocalCluster"):
            share_credentials(cluster, me.auth)
        with pytest.raises(ValueError, match="Nothing to share"):
            share_credentials(client, False)  # noqa: FBT003 - no credential for the API
        wrong = ConstellrAuth(Password("nobody", "wrong"), base_url=me.sandbox.api_url)
        with pytest.raises(constellr_stac.AuthenticationError):
            share_credentials(client, wrong)


# check_workers


@PRESIGNED
def test_check_workers_reads_on_every_worker(client: Client, *, presigned: bool) -> None:
    """One row per worker: versions, source of the credential, and a kilobyte read."""
    with user(presigned=presigned) as me, share_credentials(client, me.auth, me.keys):
        me.sandbox.clear_requests()
        table = check_workers(client, me.items, auth=me.auth, signer=me.signer)
        assert [row.worker for row in table] == sorted(client.nthreads())
        assert {row.read for row in table} == {1024}
        assert {row.credential for row in table} == {"pushed by the dask client, share_credentials"}
        assert {row.gdal for row in table} == {rasterio.__gdal_version__}
        reads = [e for e in me.sandbox.requests if e.server == "store"]
        assert {e.headers["range"] for e in reads} == {"bytes=0-1023"}
        assert me.requests("/token") == 0
        for text in (repr(table), table._repr_html_()):
            assert all(row.worker in text for row in table)
        assert len(repr(table).splitlines()) == 1 + WORKERS


def test_failing_workers_are_named(client: Client) -> None:
    """One error names each worker and the reason: no credential, no key for the bucket."""
    with user() as me:
        workers = client.nthreads()
        with pytest.raises(WorkerError) as caught:
            check_workers(client, auth=me.auth)
        assert all(worker in str(caught.value) for worker in workers)
        assert "API: CredentialsNotFoundError: " in str(caught.value)
        assert "CONSTELLR_API_KEY: not set" in str(caught.value)
        assert "share_credentials(client)" in str(caught.value)
        assert len(caught.value.table) == WORKERS
        with (
            share_credentials(client, me.auth, aws=False),
            pytest.raises(
                WorkerError, match=r"(?s)store: .*No AWS credentials .*share_credentials"
            ),
        ):
            check_workers(client, me.items, auth=me.auth, signer=me.signer)
        alone = ConstellrAuth(me.auth.token(), base_url=me.sandbox.api_url)
        with share_credentials(client, alone, aws=False):
            me.sandbox.revoke_tokens()
            with pytest.raises(WorkerError, match=r"AuthenticationError: GET http.* answered 401"):
                check_workers(client, auth=me.auth)
        with share_credentials(client, me.auth, me.keys):
            me.sandbox.delete(me.items[0].assets["lst"].href.partition("sandbox/")[2])
            with pytest.raises(WorkerError, match="404"):
                check_workers(client, me.items, auth=me.auth, signer=me.signer)


def test_workers_need_no_api_for_s3_items(client: Client) -> None:
    """Workers with AWS keys alone pass."""
    with user() as me, share_credentials(client, False, me.keys):  # noqa: FBT003
        me.items  # noqa: B018 - the client searches
        me.sandbox.clear_requests()
        table = check_workers(client, me.items, auth=me.auth, signer=me.signer)
        assert {row.read for row in table} == {1024}
        assert {each.server for each in me.sandbox.requests} == {"store"}


def test_worker_without_the_package_is_named(cluster: Any, client: Client) -> None:
    """It does not end the sharing, and errors say what to install."""
    program = "from distributed.cli.dask_worker import main; main()"
    options = ["--no-nanny", "--no-dashboard", "--preload", "without_constellr", "--name", "bare"]
    with (
        user() as me,
        share_credentials(client, me.auth),
        subprocess.Popen(
            [sys.executable, "-c", program, cluster.scheduler_address, *options],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        ) as worker,
    ):
        try:
            until(lambda: "bare" in workers_by_name(client))
            workers = workers_by_name(client)
            bare = workers.pop("bare")
            with pytest.raises(WorkerError) as caught:
                check_workers(client, auth=me.auth)
            assert f"{bare}: constellr_stac is not installed there" in str(caught.value)
            with pytest.warns(CredentialsNotSharedWarning, match=bare) as warned:
                shared = share_credentials(client, me.auth, lambda: me.sandbox.aws)
            assert warned[0].filename == __file__
            with shared:
                others = {"workers": list(workers.values()), "allow_other_workers": False}
                read = client.compute(me.cube(4), **others)
                np.testing.assert_array_equal(read.result(), expected(me.items[:4]))
        finally:
            worker.terminate()
            worker.wait()


def test_version_differences_warn() -> None:
    """The warning names the worker and its version."""
    ours = versions()
    here = WorkerRow("tcp://10.0.0.1:1", ours["constellr_stac"], ours["gdal"])
    other = replace(here, worker="tcp://10.0.0.2:1", gdal="3.4.1")
    with pytest.warns(WorkerVersionWarning, match=r"tcp://10\.0\.0\.2:1 has gdal 3\.4\.1"):
        _warn_about_versions(WorkerTable([here, other]))
    _warn_about_versions(WorkerTable([here]))


def test_cluster_without_workers() -> None:
    """A cluster without workers is an error; one that adapts starts some."""
    with (
        user(presigned=True) as me,
        LocalCluster(processes=False, protocol="tcp", **{**SMALL, "n_workers": 0}) as cluster,
        Client(cluster) as client,
    ):
        with pytest.raises(WorkerError, match=r"no workers for 0\.1 s"):
            check_workers(client, me.items, auth=me.auth, timeout=0.1)
        cluster.adapt(minimum=0, maximum=1, interval="100ms")
        with share_credentials(client, me.auth):
            assert len(check_workers(client, me.items, auth=me.auth)) == 1


def test_busy_workers_are_named(client: Client) -> None:
    """After the timeout, the error says so."""
    enough = Event("enough", client)
    busy = [client.submit(enough.wait, pure=False) for _ in range(2 * WORKERS)]
    try:
        until(lambda: sum(map(len, client.processing().values())) == 2 * WORKERS)
        with pytest.raises(WorkerError, match=r"no answer within 1 s\. Is the worker busy"):
            check_workers(client, auth=False, timeout=1)
    finally:
        enough.set()
    wait(busy)


@contextmanager
def bare_scheduler() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address of a scheduler without the package, and its process."""
    program = "from distributed.cli.dask_scheduler import main; main()"
    options = ["--host", "tcp://127.0.0.1:0", "--no-dashboard", "--preload", "without_constellr"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *options],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    ) as scheduler:
        try:
            said = iter(scheduler.stderr or ())
            yield next(line for line in said if "Scheduler at:" in line).split()[-1], scheduler
        finally:
            scheduler.terminate()
            scheduler.communicate()


def test_scheduler_without_the_package() -> None:
    """The error says where to install it."""
    with (
        bare_scheduler() as (address, _),
        Client(address) as client,
        pytest.raises(WorkerError, match="The scheduler cannot"),
    ):
        check_workers(client, auth=False)


def test_a_lost_scheduler_is_not_waited_for() -> None:
    """A cube is built for this process, as without a client."""
    with user() as me, bare_scheduler() as (address, scheduler), Client(address) as client:
        scheduler.kill()
        until(lambda: client.status == "connecting")
        cube = me.cube(2, chunks={"time": 1, "y": 200})
    assert not any(layer.startswith("place-") for layer in cube.data.dask.layers)


def test_tls(tmp_path: Path) -> None:
    """Sharing, renewal through the client, checks and closing over TLS, without a warning."""
    with (
        user(presigned=True) as me,
        local_cluster(
            n_workers=1, threads_per_worker=1, security=True, local_directory=str(tmp_path)
        ) as cluster,
        Client(cluster) as client,
    ):
        assert cluster.scheduler_address.startswith("tls://")
        with share_credentials(client, me.auth) as shared:
            me.sandbox.revoke_tokens()
            check_workers(client, me.items, auth=me.auth)
            np.testing.assert_array_equal(me.cube(4).compute(), expected(me.items[:4]))
        assert client.get_metadata([shared.name]) is None
