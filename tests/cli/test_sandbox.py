"""``sandbox``, ``doctor`` and ``demo``."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests
import xarray as xr

from real_scenes import SCENES, truth
from shell import constellr, started
from weak_network import AnswerServer

if TYPE_CHECKING:
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sandbox_prints_exports(number: signal.Signals) -> None:
    """The printed variables work, and a signal stops everything."""
    with started("sandbox", "--api-key") as (process, output, _):
        variables: dict[str, str] = {}
        while "AWS_ENDPOINT_URL_S3" not in variables:
            export, assignment = shlex.split(output.readline())
            assert export == "export"
            name, _, variables[name] = assignment.partition("=")
        url = variables["CONSTELLR_API_URL"]
        key = {"X-Api-Key": variables["CONSTELLR_API_KEY"]}
        assert requests.get(f"{url}/products", headers=key, timeout=60).status_code == 200
        process.send_signal(number)
        assert process.wait(120) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/products", headers=key, timeout=60)


def test_program_runs_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gets only the sandbox's settings; its exit code is returned."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    code = (
        "import os, sys, constellr_stac as c;"
        "print('AWS_PROFILE' in os.environ, c.open_client().search().matched()); sys.exit(7)"
    )
    run = constellr("sandbox", "--presigned", "--", sys.executable, "-c", code)
    assert (run.returncode, run.stdout, run.stderr) == (7, "False 15\n", "")
    run = constellr("sandbox", "--", "no-such-program")
    assert run.returncode == 1
    assert "no-such-program: No such file or directory" in run.stderr


def test_sandbox_json() -> None:
    """``--json`` prints the variables as an object."""
    with started("sandbox", "--json") as (process, output, _):
        text = ""
        while not text.endswith("}\n"):
            text += output.readline()
        assert json.loads(text)["AWS_REGION"] == "eu-central-1"
        process.terminate()
        assert process.wait(120) == 0


def test_doctor_runs_all_checks(sandbox: Sandbox) -> None:
    """Versions, API, clock, credential, object store and an asset are checked."""
    run = constellr("doctor", "--json")
    assert run.returncode == 0
    findings = {each["what"]: each for each in json.loads(run.stdout)}
    looked = ["versions", "extras", "network", "API", "clock", "credential", "object store"]
    assert list(findings) == [*looked, "bucket", "asset"]
    assert {each["state"] for each in findings.values()} <= {"ok", "note"}
    assert findings["asset"]["detail"].startswith("1,024 of ")
    assert re.search(r"read in \d+\.\d\d s$", findings["asset"]["detail"])
    assert "no proxy for the API, no proxy for the object store" in findings["network"]["detail"]
    assert "clock of the store" in findings["bucket"]["detail"]
    assert "CONSTELLR_USERNAME" in findings["credential"]["detail"]
    assert sandbox.password not in run.stdout


def test_doctor_detects_clock_skew(sandbox: Sandbox) -> None:
    """A skew of 15 minutes is a failure: S3 refuses such signatures."""
    from datetime import timedelta

    sandbox.advance(timedelta(minutes=20))
    run = constellr("doctor")
    assert run.returncode == 1
    [line] = [line for line in run.stdout.splitlines() if "  clock " in line]
    assert line.startswith("failed")
    assert re.search(r"\b1(19|20)\d s behind", line)


def test_doctor_shows_the_network(sandbox: Sandbox) -> None:
    """Certificates, the proxy for API and store, and the region by which the bucket answers."""
    import certifi

    proxy = "http://127.0.0.1:9"
    company = {"REQUESTS_CA_BUNDLE": certifi.where(), "HTTPS_PROXY": proxy}
    elsewhere = {"CONSTELLR_API_URL": "https://api.example.com", "AWS_ENDPOINT_URL_S3": ""}
    run = constellr("doctor", "--json", **company, **elsewhere)
    details = {each["what"]: each["detail"] for each in json.loads(run.stdout)}
    assert f"those of REQUESTS_CA_BUNDLE={certifi.where()}" in details["network"]
    assert f"{proxy} for the API, {proxy} for the object store" in details["network"]
    assert f"the proxy {proxy} refused" in details["API"]
    states = {"x-amz-bucket-region": "eu-north-1"}
    with AnswerServer(lambda _: (403, states, b"")) as store:
        run = constellr("doctor", "--json", AWS_ENDPOINT_URL_S3=store.url)
    details = {each["what"]: each["detail"] for each in json.loads(run.stdout)}
    assert store.paths[0] == "/constellr-sandbox"
    assert "answers from eu-north-1, while its URLs are signed for" in details["bucket"]
    assert "set AWS_REGION=eu-north-1" in details["bucket"]


def test_doctor_detects_a_wrong_url(sandbox: Sandbox) -> None:
    """A server that answers need not be the API."""
    run = constellr("doctor", CONSTELLR_API_URL=f"{sandbox.api_url}/elsewhere")
    assert run.returncode == 1
    last = run.stdout.splitlines()[-1]
    assert last.startswith("failed  API ")
    assert "answers 404" in last
    assert "check CONSTELLR_API_URL" in last


@pytest.mark.parametrize(
    ("environment", "code", "last"),
    [
        ({"CONSTELLR_PASSWORD": "wrong-42"}, 3, "credential"),
        ({"CONSTELLR_PASSWORD": ""}, 3, "credential"),
        ({"CONSTELLR_API_URL": "http://127.0.0.1:9"}, 1, "API"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-42"}, 1, "asset"),
    ],
    ids=["wrong password", "no credential", "no API", "asset that cannot be read"],
)
def test_doctor_stops_at_a_required_check(
    sandbox: Sandbox, environment: dict[str, str], code: int, last: str
) -> None:
    """A failed required check is the last one and sets the exit code."""
    run = constellr("doctor", **environment)
    assert run.returncode == code
    *_, line = (line for line in run.stdout.splitlines() if not line.startswith(" "))
    assert line.startswith(f"failed  {last} ")
    assert "wrong-42" not in run.stdout + run.stderr


def test_demo_runs_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 scenes with the medians of their metadata, a figure and a cube."""
    for name in [name for name in os.environ if name.startswith(("CONSTELLR_", "AWS_"))]:
        # no ambient credentials
        assert name in ("AWS_EC2_METADATA_DISABLED", "CONSTELLR_RETRY_DEADLINE")
    monkeypatch.chdir(tmp_path)
    run = constellr("demo")
    assert run.returncode == 0, run.stderr
    table = [line.split() for line in run.stdout.splitlines() if line.startswith("2023-")]
    expected = {
        f"{folder.name[-16:-12]}-{folder.name[-12:-10]}-{folder.name[-10:-8]}": truth(folder.name)
        for folder in SCENES.iterdir()
    }
    assert len(table) == len(expected) == 15
    for date, _time, _solar, kelvin, celsius, _clear, cloud in table:
        assert float(kelvin) == pytest.approx(expected[date].median, abs=0.01)
        assert float(celsius) == pytest.approx(expected[date].median - 273.15, abs=0.01)
        assert float(cloud) == pytest.approx(100 * (expected[date].cloud == 1).mean(), abs=0.6)
    assert "All 15 medians match the scenes' metadata within 0.01 K" in run.stdout
    fetched = re.search(r"(\d+) tokens and renewed the URLs of (\d+) scenes", run.stderr)
    assert fetched is not None
    tokens, scenes = map(int, fetched.groups())
    assert tokens >= 2
    assert scenes == 15
    assert "Traceback" not in run.stderr

    folder = tmp_path / "constellr-demo"
    assert sorted(path.name for path in folder.iterdir()) == ["la-harbor.png", "la-harbor.zarr"]
    assert (folder / "la-harbor.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_zarr(folder / "la-harbor.zarr") as cube:
        name = str(cube["id"].to_numpy()[0])
        np.testing.assert_array_equal(cube["lst"][0], truth(name).kelvin)
        assert cube["lst"].attrs["units"] == "K"
