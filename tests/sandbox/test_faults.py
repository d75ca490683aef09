"""Laws of faults that strike at random, and of throttling."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from constellr_stac.sandbox import Fault

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox


def _statuses(sandbox: Sandbox, url: str, **fault: Any) -> list[int]:
    sandbox.clear_faults()
    sandbox.fail(Fault(".", status=503, times=None, **fault))
    with requests.Session() as session:
        return [session.get(url).status_code for _ in range(60)]


@pytest.mark.parametrize("server", ["api", "store"])
def test_rates_are_reproducible(sandbox: Sandbox, server: str) -> None:
    """A rate fails about its share of the requests, the same ones for the same seed."""
    url = {"api": f"{sandbox.api_url}/stac", "store": f"{sandbox.s3_url}/none/x"}[server]
    first = _statuses(sandbox, url, rate=0.3, seed=1)
    assert 6 <= first.count(503) <= 30
    assert first == _statuses(sandbox, url, rate=0.3, seed=1)
    assert first != _statuses(sandbox, url, rate=0.3, seed=2)


def test_throttle_slows_the_body(sandbox: Sandbox) -> None:
    """A throttled body is whole, and takes its size over the speed."""
    url = f"{sandbox.api_url}/openapi.json"
    fast = requests.get(url, timeout=60)
    speed = 4 * len(fast.content)
    sandbox.fail(Fault("openapi", kind="throttle", bytes_per_second=speed))
    started = time.monotonic()
    assert requests.get(url, timeout=60).content == fast.content
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 1.5}, {"kind": "throttle"}])
def test_impossible_faults_are_refused(wrong: dict[str, Any]) -> None:
    """A rate is a probability, and throttling needs a speed."""
    with pytest.raises(ValueError, match=r"rate|bytes_per_second"):
        Fault(".", status=503, **wrong)
