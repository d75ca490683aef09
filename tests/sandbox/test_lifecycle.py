"""Start, stop, faults and scenes of the sandbox."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import requests
from rasterio.transform import from_origin

import constellr_stac.sandbox
from constellr_stac.sandbox import Exchange, Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(constellr_stac.sandbox.__file__).parent / "scenes" / "la_harbor"
NAME = "LSTPRECISION_SBA01_B5Z0Q1H9_20260213T092026Z"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    done.stderr = without_slow_calls(done.stderr)
    return done


def without_slow_calls(errors: str) -> str:
    """Return what was written, except that calls were slow, as they are on a busy machine."""
    return re.sub(r"(?m)^Executing <.*> took [\d.]+ seconds\n", "", errors)


def token_of(sandbox: Sandbox) -> str:
    """Log in."""
    form = {"username": sandbox.username, "password": sandbox.password}
    answer = requests.post(f"{sandbox.api_url}/token", data=form, timeout=60)
    return str(answer.json()["access_token"])


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    """A logged-in session; the request log is empty."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token_of(sandbox)}"
        sandbox.clear_requests()
        yield session


def is_open(url: str) -> bool:
    """Return whether a port is listening."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


# Starting and stopping


def test_imports_are_light() -> None:
    """Package, pytest plugin and command import nothing of the extra until used."""
    heavy = "starlette uvicorn cql2 botocore pydantic shapely numpy rasterio pyproj asyncio"
    done = run(
        "import sys, constellr_stac.sandbox, constellr_stac.sandbox.serve\n"
        "light = set(sys.modules)\n"
        "import constellr_stac.sandbox.pytest_plugin\n"
        f"heavy = set({heavy!r}.split())\n"
        "print(sorted(heavy & light), sorted((heavy - {'asyncio'}) & set(sys.modules)))"
    )
    assert (done.stdout, done.stderr) == ("[] []\n", "")


def test_missing_extra_is_named() -> None:
    """Creating a sandbox without the extra says what to install."""
    done = run(
        "import sys\n"
        "from constellr_stac.errors import MissingExtraError\n"
        "from constellr_stac.sandbox import Sandbox\n"
        "for name in ('starlette', 'python_multipart', 'cql2', 'uvicorn', 'botocore'):\n"
        "    sys.modules[name] = sys.modules[name.removeprefix('python_')] = None\n"
        "    try:\n"
        "        Sandbox()\n"
        "    except MissingExtraError as error:\n"
        "        print(error.__cause__.name, error)\n"
        "    for blocked in {name, name.removeprefix('python_')}:\n"
        "        del sys.modules[blocked]\n"
    )
    fragment = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    assert [name.partition(".")[0] for name, _ in fragment] == [
        *("starlette", "python_multipart", "cql2", "uvicorn", "botocore")
    ]
    assert all("pip install 'constellr-stac[sandbox]'" in text for _, text in fragment)


def test_fresh_process_is_quick_and_silent() -> None:
    """A start takes few seconds of CPU; no warning, thread or socket is left."""
    done = run(
        "import gc, threading, time, urllib.error, urllib.request\n"
        "start = time.process_time()\n"
        "from constellr_stac.sandbox import Sandbox\n"
        "with Sandbox() as sandbox:\n"
        "    took = time.process_time() - start\n"
        "    try:\n"
        "        urllib.request.urlopen(sandbox.api_url + '/stac', timeout=60)\n"
        "    except urllib.error.HTTPError as error:\n"
        "        print(error.code)\n"
        "        error.close()\n"
        "gc.collect()\n"
        "print(took < 10, threading.active_count())"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("401\nTrue 1\n", "", 0)


def test_start_and_stop_are_fast() -> None:
    """Start and stop wait for nothing, and a new connection leaks nothing."""
    start = time.perf_counter()
    for _ in range(10):
        with Sandbox() as sandbox:
            assert is_open(sandbox.api_url)
    assert time.perf_counter() - start < 30
    gc.collect()


def test_stop_closes_ports_and_threads(sandbox: Sandbox) -> None:
    """Both ports are closed, both threads have ended, and a restart works."""

    def threads() -> int:  # other threads of this process may end or start meanwhile
        return sum(each.name.startswith("constellr-sandbox") for each in threading.enumerate())

    assert threads() == 2
    with Sandbox() as other:
        urls = (other.api_url, other.s3_url)
        assert all(is_open(url) for url in urls)
        assert threads() == 4
    assert not any(is_open(url) for url in urls)
    assert threads() == 2
    gc.collect()
    assert is_open(sandbox.api_url)


def test_exception_stops_the_sandbox() -> None:
    """A failing test leaves no server running."""
    url = ""

    def fail() -> None:
        nonlocal url
        with Sandbox() as sandbox:
            url = sandbox.api_url
            msg = "on purpose"
            raise LookupError(msg)

    with pytest.raises(LookupError, match="on purpose"):
        fail()
    assert not is_open(url)


def test_manual_start_and_stop() -> None:
    """``start`` and ``stop`` equal a with statement; state survives a stop."""
    sandbox = Sandbox()
    assert repr(sandbox) == "<Sandbox stopped>"
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.api_url
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.environment()
    sandbox.stop()
    assert sandbox.start() is sandbox
    with pytest.raises(RuntimeError, match="already running"):
        sandbox.start()
    first = token_of(sandbox)
    sandbox.stop()
    sandbox.stop()
    with sandbox:
        headers = {"Authorization": f"Bearer {first}"}
        answer = requests.get(f"{sandbox.api_url}/products", headers=headers, timeout=60)
        assert answer.status_code == 200


def test_several_sandboxes_are_independent(sandbox: Sandbox) -> None:
    """Each has its own ports and credentials; others refuse them."""
    with Sandbox() as other:
        assert len({sandbox.api_url, sandbox.s3_url, other.api_url, other.s3_url}) == 4
        headers = {"Authorization": f"Bearer {token_of(sandbox)}"}
        answer = requests.get(f"{other.api_url}/products", headers=headers, timeout=60)
        assert answer.status_code == 401
        for name in ("username", "region", "bucket"):
            assert getattr(sandbox, name) == getattr(other, name)
        assert sandbox.password != other.password
        assert sandbox.api_key != other.api_key


def test_clients_do_not_delay_stop(caplog: pytest.LogCaptureFixture) -> None:
    """Idle, busy and half-sent connections are dropped immediately and silently."""
    sandbox = Sandbox().start()
    sandbox.fail(Fault("/token", kind="stall", seconds=60))
    parts = urlsplit(sandbox.api_url)
    with (
        requests.Session() as idle,
        socket.create_connection((parts.hostname, parts.port), timeout=60) as half,
        socket.create_connection((parts.hostname, parts.port), timeout=60) as stalled,
    ):
        idle.get(f"{sandbox.api_url}/stac", timeout=60)
        half.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123")
        stalled.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while len(sandbox.requests) < 3:
            time.sleep(0.005)
        start = time.perf_counter()
        sandbox.stop()
        assert time.perf_counter() - start < 30
        assert [half.recv(1), stalled.recv(1)] == [b"", b""]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_stopping_under_load() -> None:
    """Each concurrent request gets a complete answer or a broken connection."""
    sandbox = Sandbox().start()
    url = f"{sandbox.api_url}/stac"
    enough = threading.Event()

    def ask(_: int) -> set[int]:
        seen = set()
        with requests.Session() as session:
            while True:
                try:
                    seen.add(session.get(url, timeout=60).status_code)
                except requests.ConnectionError:
                    return seen
                if len(sandbox.requests) > 100:
                    enough.set()

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        assert enough.wait(60)
        sandbox.stop()
        assert set().union(*(one.result(60) for one in asked)) == {401}
    gc.collect()
    assert not is_open(url)


def test_connecting_while_it_stops() -> None:
    """Connections during a stop leak no socket (which would be a ResourceWarning)."""

    def connect_until_closed(url: str, first: threading.Event) -> None:
        while is_open(url):
            first.set()

    with ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            sandbox = Sandbox().start()
            first = threading.Event()
            connecting = pool.submit(connect_until_closed, sandbox.api_url, first)
            assert first.wait(60)
            sandbox.stop()
            connecting.result(60)
    gc.collect()


# Faults


def test_reset_is_a_reset(sandbox: Sandbox) -> None:
    """A TCP reset without an answer; the request is not processed."""
    sandbox.fail(Fault("^/token$", kind="reset"))
    parts = urlsplit(sandbox.api_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert [(entry.path, entry.status) for entry in sandbox.requests] == [("/token", None)]
    assert token_of(sandbox)


def test_truncated_answer_ends_early(sandbox: Sandbox, session: requests.Session) -> None:
    """Fewer bytes than promised arrive, then the connection closes."""
    whole = session.get(f"{sandbox.api_url}/stac", timeout=60)
    sandbox.fail(Fault("^/stac$", kind="truncate"))
    answer = session.get(f"{sandbox.api_url}/stac", timeout=60, stream=True)
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == whole.headers["Content-Length"]
    received: list[bytes] = []
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        received.extend(answer.iter_content(1))
    assert b"".join(received) == whole.content[: len(whole.content) // 2]
    assert session.get(f"{sandbox.api_url}/stac", timeout=60).content == whole.content


def test_stalled_request_is_answered(sandbox: Sandbox, session: requests.Session) -> None:
    """A stalled request is answered unless its client gave up; others are not delayed."""
    sandbox.fail(Fault("^/stac$", kind="stall", seconds=0.2))
    start = time.perf_counter()
    assert session.get(f"{sandbox.api_url}/stac", timeout=60).status_code == 200
    assert time.perf_counter() - start >= 0.2
    sandbox.fail(Fault("^/stac$", kind="stall", seconds=30))
    with pytest.raises(requests.ReadTimeout):
        session.get(f"{sandbox.api_url}/stac", timeout=0.1)
    assert session.get(f"{sandbox.api_url}/stac", timeout=60).status_code == 200


def new_area(sandbox: Sandbox, session: requests.Session, name: str) -> requests.Response:
    """Register an area."""
    ring = [[9, 1], [9.1, 1], [9.1, 1.1], [9, 1.1], [9, 1]]
    body = {"name": name, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    return session.post(f"{sandbox.api_url}/areas-of-interest", json=body, timeout=60)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("status", 0),
        ("reset", 0),
        ("commit_then_status", 1),
        ("commit_then_reset", 1),
        ("truncate", 1),
    ],
)
def test_faults_commit_as_documented(
    sandbox: Sandbox, session: requests.Session, kind: Any, kept: int
) -> None:
    """A fault's kind decides whether the request is processed, whatever the client sees."""
    status = 502 if kind.endswith("status") else None
    sandbox.fail(Fault("/areas", method="POST", kind=kind, status=status, body=b"down"))
    if status:
        answer = new_area(sandbox, session, "one")
        assert (answer.status_code, answer.content) == (502, b"down")
    else:
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            new_area(sandbox, session, "one")
    assert [area["name"] for area in sandbox.areas] == ["one"] * kept
    assert new_area(sandbox, session, "one").status_code == (409 if kept else 201)
    assert len(sandbox.areas) == 1


def test_faults_are_counted(sandbox: Sandbox, session: requests.Session) -> None:
    """Faults skip, repeat, queue and can be cleared."""
    url = f"{sandbox.api_url}/products"

    def statuses(count: int) -> list[int]:
        return [session.get(url, timeout=60).status_code for _ in range(count)]

    sandbox.fail(Fault("products", status=503, skip=1, times=2))
    sandbox.fail(Fault("products", status=429, headers={"Retry-After": "7"}))
    assert statuses(5) == [429, 503, 503, 200, 200]
    sandbox.fail(Fault("products", status=500, times=None))
    assert statuses(4) == [500] * 4
    sandbox.clear_faults()
    sandbox.fail(Fault("^/products", method="POST", status=500))
    sandbox.fail(Fault("^/products", server="store", status=500))
    sandbox.fail(Fault("^/product$", status=500))
    assert statuses(2) == [200, 200]


def test_fault_sets_the_answer(sandbox: Sandbox, session: requests.Session) -> None:
    """Status, headers and body come from the fault."""
    headers = {"Retry-After": "7", "Content-Type": "application/json"}
    sandbox.fail(Fault("products", status=429, headers=headers, body=b'{"detail": "slow down"}'))
    answer = session.get(f"{sandbox.api_url}/products", timeout=60)
    assert (answer.status_code, answer.json()) == (429, {"detail": "slow down"})
    assert answer.headers["Retry-After"] == "7"
    assert "Date" in answer.headers


def test_invalid_faults_are_refused() -> None:
    """An invalid fault is an error on creation."""
    for arguments in ({"kind": "explode"}, {"kind": "status"}, {"kind": "commit_then_status"}):
        with pytest.raises(ValueError, match="fault"):
            Fault("/", **arguments)  # type: ignore[arg-type]  # on purpose


def test_request_log_is_complete(sandbox: Sandbox, session: requests.Session) -> None:
    """Each exchange is logged completely and in order; its repr shows no secret."""
    new_area(sandbox, session, "one")
    session.get(f"{sandbox.api_url}/areas-of-interest?limit=1", timeout=60)
    first, second = sandbox.requests
    assert (first.server, first.method, first.path, first.status) == (
        *("api", "POST", "/areas-of-interest", 201),
    )
    assert json.loads(first.body)["name"] == "one"
    assert first.headers["authorization"] == session.headers["Authorization"]
    assert (second.method, second.query, second.status) == ("GET", "limit=1", 200)
    assert first.when < second.when
    assert isinstance(first, Exchange)
    assert str(session.headers["Authorization"]) not in repr(sandbox.requests)
    sandbox.clear_requests()
    assert sandbox.requests == []


def test_secrets_stay_out_of_reprs(sandbox: Sandbox) -> None:
    """Neither the sandbox nor an account shows a password."""
    shown = repr(sandbox) + repr(sandbox.accounts)
    assert sandbox.api_url in shown
    assert all(account.password not in shown for account in sandbox.accounts.values())


# Shell and pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["False", "True"])
def test_serve_prints_exports(number: signal.Signals, mode: str, tmp_path: Path) -> None:
    """The output can be sourced and points to a sandbox, which a signal stops cleanly."""
    code = (
        "from constellr_stac.sandbox import Sandbox\n"
        "from constellr_stac.sandbox.serve import serve\n"
        f"serve(Sandbox(api_key_mode={mode}))\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "AWS_ENDPOINT_URL_S3" in line:
                    break
            (tmp_path / "exports").write_text("".join(lines), encoding="utf-8")
            script = '. "$1"; exec "$2" -c "import os, json; print(json.dumps(dict(os.environ)))"'
            shell = subprocess.run(
                ["/bin/sh", "-c", script, "sh", str(tmp_path / "exports"), sys.executable],
                capture_output=True,
                check=True,
            )
            env = json.loads(shell.stdout)
            if mode == "True":
                headers = {"X-Api-Key": env["CONSTELLR_API_KEY"]}
                url = f"{env['CONSTELLR_API_URL']}/products"
                assert requests.get(url, headers=headers, timeout=60).status_code == 200
            else:
                form = {
                    "username": env["CONSTELLR_USERNAME"],
                    "password": env["CONSTELLR_PASSWORD"],
                }
                url = f"{env['CONSTELLR_API_URL']}/token"
                assert requests.post(url, data=form, timeout=60).status_code == 200
            process.send_signal(number)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # only after a failure
    assert (rest, without_slow_calls(errors), process.returncode) == ("", "", 0)
    assert not is_open(env["CONSTELLR_API_URL"])
    assert not is_open(env["AWS_ENDPOINT_URL_S3"])


def test_fixture_for_users(tmp_path: Path) -> None:
    """The fixture is available in any project, with the environment pointing to it alone."""
    (tmp_path / "test_theirs.py").write_text(
        "import os\n"
        "def test_fixture(constellr_sandbox):\n"
        "    names = {n for n in os.environ if n.startswith(('CONSTELLR_', 'AWS_'))}\n"
        "    assert names == set(constellr_sandbox.environment())\n"
        "    for name, value in constellr_sandbox.environment().items():\n"
        "        assert os.environ[name] == value\n"
        "def test_after():\n"
        "    assert os.environ['AWS_PROFILE'] == 'mine'\n"
        "    assert 'AWS_ACCESS_KEY_ID' not in os.environ\n",
        encoding="utf-8",
    )
    (entry,) = entry_points(group="pytest11", name="constellr_stac")
    env = {"AWS_PROFILE": "mine", "CONSTELLR_TOKEN": "mine", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", entry.value],
        cwd=tmp_path,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout


# Custom scenes


def raster(path: Path) -> None:
    """Write a small UTM raster at 9 degrees east on the equator."""
    profile = {"driver": "GTiff", "width": 10, "height": 10, "count": 1, "dtype": "uint16"}
    grid = {"crs": "EPSG:32632", "transform": from_origin(500_000, 300, 30, 30)}
    with rasterio.open(path, "w", **profile, **grid) as target:
        target.write(np.full((1, 10, 10), 30_000, "uint16"))


def test_scene_without_metadata(tmp_path: Path) -> None:
    """Time comes from the name, place from the raster; every file is an asset."""
    folder = tmp_path / "mine" / NAME
    folder.mkdir(parents=True)
    for name in ("lst.tiff", f"{NAME}_vnir02.tiff"):
        raster(folder / name)
    (folder / "quicklook.png").write_bytes(b"png")
    with Sandbox(tmp_path / "mine") as sandbox:
        (item,) = sandbox.items
    assert (item["id"], item["collection"]) == (NAME, "lstprecision")
    assert item["properties"] == {"gsd": 30, "datetime": "2026-02-13T09:20:26Z"}
    assert item["bbox"] == pytest.approx([9, 0, 9.0027, 0.0027], abs=1e-4)
    assert item["geometry"]["type"] == "Polygon"
    prefix = f"s3://{sandbox.bucket}/mine scenes+masks/{NAME}"
    assert item["assets"] == {
        "lst": {"href": f"{prefix}/lst.tiff", "type": "image/tiff"},
        "vnir02": {"href": f"{prefix}/vnir02.tiff", "type": "image/tiff"},
        "quicklook": {"href": f"{prefix}/quicklook.png", "type": "image/png"},
    }


def test_fusion_scenes(tmp_path: Path) -> None:
    """LSTfusion's file names include the hour, their asset keys do not."""
    name = "LSTFUSION_MULTI_B5Z0Q1H9_20250818T110000Z"
    folder = tmp_path / name
    folder.mkdir()
    for stem in ("lst_20250818T11Z", "lst_std_20250818T11Z"):
        raster(folder / f"{stem}.tiff")
    (folder / "metadata_20250818T11Z.json").write_text("{}", encoding="utf-8")
    with Sandbox(tmp_path, newer=True) as sandbox:
        (item,) = sandbox.items
    assert item["collection"] == "lstfusion"
    assert set(item["assets"]) == {"lst", "lst_std", "metadata"}
    assert item["assets"]["lst"]["href"].endswith(f"/{name}/{name}_lst_20250818T11Z.tiff")


def test_metadata_takes_precedence(tmp_path: Path) -> None:
    """Metadata override name and raster; shipped scenes can be copied and served."""
    name = "LSTPRECISION_ECO01_9Q5B8K2T_20230624T112358Z"
    shutil.copytree(SHIPPED / name, tmp_path / "scene")
    with Sandbox(tmp_path) as sandbox, Sandbox() as shipped:
        (mine,) = sandbox.items
        (theirs,) = (item for item in shipped.items if item["id"] == name)
    assert mine["id"] == "scene"
    for field in ("geometry", "bbox", "collection", "properties"):
        assert mine[field] == theirs[field]


def test_folders_without_scenes_are_refused(tmp_path: Path) -> None:
    """A folder without scenes, or a scene without time or place, is an error."""
    with pytest.raises(ValueError, match="no scene in"):
        Sandbox(tmp_path)
    timeless = tmp_path / "timeless"
    timeless.mkdir()
    raster(timeless / "lst.tiff")
    with pytest.raises(ValueError, match=r"timeless.*when"):
        Sandbox(tmp_path)
    shutil.rmtree(timeless)
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "quicklook.png").write_bytes(b"png")
    with pytest.raises(ValueError, match=rf"{NAME}.*where"):
        Sandbox(tmp_path)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"token_lifetime": 60}, "token_lifetime= must be a timedelta, not 60"),
        ({"url_lifetime": "2s"}, "url_lifetime= must be a timedelta"),
        ({"today": "2026-01-01"}, "today= must be a date"),
        ({"latency": timedelta(seconds=1)}, "latency= must be a number of seconds"),
        ({"latency": -1}, "latency= must be a number of seconds"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], fragment: str) -> None:
    """An invalid option is an error on creation, not in a server's thread."""
    with pytest.raises((TypeError, ValueError), match=fragment):
        Sandbox(**options)


def test_items_are_validated(sandbox: Sandbox) -> None:
    """An item needs an id, a collection and properties."""
    with pytest.raises(ValueError, match="id, a collection and properties"):
        sandbox.add_item({"id": "x", "collection": "y"})
    item = {**sandbox.items[0], "id": "x", "collection": "mine"}
    sandbox.add_item(item)
    item["id"] = "changed since"
    assert [entry["id"] for entry in sandbox.items if entry["collection"] == "mine"] == ["x"]


def test_shipped_scenes_are_credited() -> None:
    """The package ships 15 scenes and names their source."""
    readme = (SHIPPED.parent / "README.md").read_text(encoding="utf-8")
    assert "NASA/JPL ECOSTRESS" in readme
    assert "LP DAAC" in readme
    assert len(list(SHIPPED.glob("*/lst.tiff"))) == 15
    with Sandbox(today=date(2023, 6, 1), delivery=timedelta(0)) as sandbox:
        assert sandbox.items == []
