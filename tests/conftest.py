"""Shared fixtures: real servers on loopback, and a clean environment."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from object_store import Swift, running_swift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.sandbox import Sandbox

# --doctest-modules imports every file; these are helpers and programs.
collect_ignore = [
    "schemas",
    "consumer",
    "upstream",
    *(
        path.name
        for path in Path(__file__).parent.glob("*.py")
        if not path.name.startswith("test_")
    ),
]

# No time limits, since machines may be busy; on CI, the same examples in every run.
_UNTIMED: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("here", **_UNTIMED)
hypothesis.settings.register_profile("ci", **_UNTIMED, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "here")

_SMOKE = 13  # every thirteenth test
_OURS = (
    *("CONSTELLR_", "AWS_", "GDAL_", "CPL_", "VSI_", "NETRC"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_"),
)
_RETRY_DEADLINE = "30"  # seconds, enough on a busy machine; the default is two minutes
_SHORT_DEADLINE = "3"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--smoke``: about 300 of the quick tests; ``--attack`` ``--cases``."""
    parser.addoption("--smoke", action="store_true", help="run about 300 of the quick tests")
    parser.addoption("--attack", action="store_true", help="try all hostile forms, not a sample")
    parser.addoption("--cases", type=int, default=20, help="how many random scenes to compare")
    parser.addoption("--first-case", type=int, default=0, help="the seed of the first of them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apply ``--smoke``; run what takes longest first, beside the others."""
    items.sort(key=lambda item: not item.path.name.startswith(("test_soak", "test_outages")))
    if config.getoption("--smoke"):
        if "CI" in os.environ and hasattr(os, "nice"):
            os.nice(10)  # all tests run beside them, and take longest
        items[:] = [
            item
            for item in items
            if "slow" not in item.keywords and zlib.crc32(item.nodeid.encode()) % _SMOKE == 0
        ]


@pytest.fixture
def _retry_deadline(request: pytest.FixtureRequest) -> str:
    """For how long requests are repeated."""
    return _SHORT_DEADLINE if request.node.get_closest_marker("fails") else _RETRY_DEADLINE


@pytest.fixture(autouse=True)
def _clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, _retry_deadline: str
) -> None:
    """Hide the developer's credentials, settings, proxies and keyring from every test."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CONSTELLR_RETRY_DEADLINE", _retry_deadline)
    home = str(tmp_path_factory.mktemp("home"))
    for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # no requests to 169.254.169.254
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture(scope="session")
def attack(request: pytest.FixtureRequest) -> bool:
    """Whether to try all hostile forms (``tox -e attack``), not a sample of them."""
    return bool(request.config.getoption("--attack"))


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    """OpenStack Swift's S3, shared by the tests of the session."""
    with running_swift(tmp_path_factory.mktemp("swift")) as swift:
        yield swift


@pytest.fixture
def sandbox(
    constellr_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, _retry_deadline: str
) -> Sandbox:
    """The documented API and its object store, with the environment set to use them."""
    monkeypatch.setenv("CONSTELLR_RETRY_DEADLINE", _retry_deadline)
    return constellr_sandbox
