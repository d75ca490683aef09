"""Limits are values that each entry point takes and passes on to reads and requests."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

import constellr_stac
from constellr_stac import ConstellrAuth, Limits, OdcDriver, Password
from constellr_stac.auth.session import api_session
from constellr_stac.errors import APIConnectionError
from constellr_stac.orders import OrdersClient
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from constellr_stac.cube.arguments import Engine

LIMITS = Limits(retry_deadline=7, read_timeout=3)


def test_limits_pickle_and_belong_to_a_resolver() -> None:
    """Resolvers with other limits are different, and share no fetcher."""
    resolver = AssetResolver(limits=LIMITS)
    assert pickle.loads(pickle.dumps(resolver)) == resolver  # noqa: S301 - our own pickle
    assert pickle.loads(pickle.dumps(resolver)).limits == LIMITS  # noqa: S301 - our own pickle
    assert resolver != AssetResolver()
    assert resolver == AssetResolver(limits=Limits(retry_deadline=7, read_timeout=3))
    assert OdcDriver(limits=LIMITS).fetcher is not OdcDriver().fetcher


def test_limits_reach_sessions_and_clients(sandbox: Sandbox) -> None:
    """The API session, the STAC client and the orders client carry the limits given."""
    auth = ConstellrAuth()
    client: Any = constellr_stac.open_client(auth=auth, limits=LIMITS)
    for session in (
        api_session(auth, limits=LIMITS),
        client._stac_io.session,
        OrdersClient(auth, limits=LIMITS).session,
    ):
        assert vars(session)["limits"] == LIMITS
    again = pickle.loads(pickle.dumps(client._stac_io))  # noqa: S301 - our own pickle
    assert again.session.limits == LIMITS


def test_limits_of_the_caller_bound_the_token_request() -> None:
    """``POST /token`` waits as long as the ``limits=`` of the call that needs it."""
    limits = Limits(read_timeout=0.2, retry_deadline=0.3)
    with Sandbox() as sandbox:
        sandbox.fail(Fault("/token", kind="stall", seconds=5, times=None))
        password, url = Password("u", "p"), sandbox.api_url
        uses: tuple[Callable[[], object], ...] = (
            lambda: constellr_stac.open_client(url, auth=password, limits=limits),
            lambda: next(OrdersClient(password, base_url=url, limits=limits).list()),
            lambda: ConstellrAuth(password, base_url=url, limits=limits).token(),
        )
        for use in uses:
            with pytest.raises(APIConnectionError, match="/token was not answered"):
                use()


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_load_passes_limits_to_the_graph(sandbox: Sandbox, engine: Engine) -> None:
    """The graph of a cube holds the limits, on both engines."""
    items = constellr_stac.open_client().search(max_items=1).item_collection()
    cube = constellr_stac.load(items, ["lst"], engine=engine, limits=LIMITS)
    assert b"retry_deadline" in pickle.dumps(dict(cube.lst.__dask_graph__()))


def test_limits_are_positive_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument comes before its environment variable, which comes before the default."""
    monkeypatch.setenv("CONSTELLR_READ_TIMEOUT", "4")
    assert Limits().read_timeout == 4
    assert Limits(read_timeout=5).read_timeout == 5
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            Limits(read_timeout=wrong)
    monkeypatch.setenv("CONSTELLR_READ_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="'soon'"):
        Limits()
