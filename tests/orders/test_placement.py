"""An order is never placed twice, and the caller always learns the outcome."""

from __future__ import annotations

import json
import pickle
import random
import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args
from uuid import uuid4

import pytest
import requests
import trustme

from broken_line import Break, BreakingProxy
from constellr_stac import (
    APIConnectionError,
    APIError,
    ApiKey,
    OrderOutcomeUnknown,
    Password,
    RateLimitError,
)
from constellr_stac.orders import Order, OrdersClient
from constellr_stac.orders.placement import never_sent
from constellr_stac.sandbox import Fault
from ordering import FIELD, TODAY, batches_sent, client_of, new_name, open_sandbox, wish
from stored_files import wait_until
from weak_network import AnswerServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

BATCH = "/orders/batch"
ORDERS = "/orders$"
SHORT_TIMEOUT = (1.0, 0.15)
"""Connect and read timeouts; a slower server leaves the outcome unknown."""


@dataclass
class Environment:
    """A sandbox, an area in it, and a proxy that can break connections."""

    sandbox: Sandbox
    proxy: BreakingProxy
    area: str
    colleague: OrdersClient
    """Another client of the organization, without the proxy."""

    def client(self, **options: Any) -> OrdersClient:
        """Return a client behind the proxy."""
        options = {"today": lambda: TODAY, "sleep": lambda _seconds: None, **options}
        owner = self.sandbox.accounts["owner"]
        return OrdersClient(
            Password(owner.username, owner.password), base_url=self.proxy.url, **options
        )

    def placed(self, comment: str) -> list[dict[str, Any]]:
        """Return the server's orders with this comment."""
        return [order for order in self.sandbox.orders if order["comment"] == comment]


@contextmanager
def opened(age: str) -> Iterator[Environment]:
    """One API version, behind a proxy."""
    with (
        open_sandbox(newer=age == "newer") as sandbox,
        BreakingProxy(sandbox.api_url, f"POST {BATCH}", "GET /orders?") as proxy,
        client_of(sandbox) as colleague,
    ):
        area = colleague.create_aoi(new_name(), FIELD)
        yield Environment(sandbox, proxy, str(area.id), colleague)


@pytest.fixture(scope="module", params=["older", "newer"])
def env(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An environment shared by the tests of the module."""
    with opened(request.param) as env:
        yield env


@pytest.fixture(params=["older", "newer"])
def empty_env(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An environment without orders."""
    with opened(request.param) as env:
        yield env


Stage = Literal["before sending", "while sending", "before the work", "after the work", "answer"]
STAGES = get_args(Stage)
Outcome = Literal["placed", "refused", "unreachable", "unknown", "placed or unknown"]


@dataclass(frozen=True)
class Failure:
    """A failure while an order is placed, and the outcome for the caller."""

    stage: Stage
    outcome: Outcome
    faults: tuple[Fault, ...] = ()
    next_break: Break | None = None
    options: dict[str, Any] = field(default_factory=dict)
    cannot_list: Literal["", "before", "after"] = ""
    """Whether listing orders fails, too: from the start, or once the batch is sent."""


def random_failures(chance: random.Random) -> dict[str, Failure]:
    """Return every failure by name, each at a random point of its stage."""
    share = chance.random() * 0.999
    how: Any = chance.choice(["reset", "close"])
    failure = chance.choice([302, 405, 408, 409, 413, 418, 425, 500, 502, 503, 504, 599])
    refusal = chance.choice([400, 403, 404, 422])
    unreadable = chance.choice(UNREADABLE)
    good = chance.choice([200, 201])
    wait = chance.choice([{"Retry-After": "0"}, {}])

    def fault(kind: Any = "status", **options: Any) -> Fault:
        return Fault(BATCH, kind=kind, **options)

    refused = fault(status=401)
    busy = fault(status=429, headers=wait)
    return {
        "unreachable": Failure("before sending", "unreachable", next_break=Break("refuse")),
        "listing fails first": Failure(
            "before sending",
            "refused",
            options={"session": requests.Session()},
            cannot_list="before",
        ),
        "no token": Failure("before sending", "refused", (refused, Fault("/token", status=403))),
        "cut while sending": Failure(
            "while sending", "unknown", next_break=Break("request", share, how)
        ),
        "cut at the first byte": Failure(
            "while sending", "unknown", next_break=Break("request", 0.0, how)
        ),
        "hangs while sending": Failure(
            "while sending",
            "unknown",
            next_break=Break("request", share, "hang"),
            options={"timeout": SHORT_TIMEOUT},
        ),
        "token refused": Failure("before the work", "placed", (refused,)),
        "token refused twice": Failure("before the work", "refused", (refused, refused)),
        "token refused, then failed": Failure(
            "before the work", "unknown", (refused, fault(status=failure))
        ),
        "429": Failure("before the work", "placed", (busy,) * chance.randint(1, 5)),
        "429 without end": Failure("before the work", "unknown", (fault(status=429, times=None),)),
        "429, then refused": Failure("before the work", "refused", (busy, fault(status=refusal))),
        "refused": Failure("before the work", "refused", (fault(status=refusal),)),
        "failed": Failure("before the work", "unknown", (fault(status=failure),)),
        "unreadable response, not placed": Failure(
            "before the work", "unknown", (fault(status=good, body=unreadable),)
        ),
        "reset before the work": Failure("before the work", "unknown", (fault("reset"),)),
        "no answer in time": Failure(
            "before the work",
            "unknown",
            (fault("reset", seconds=0.25),),
            options={"timeout": SHORT_TIMEOUT},
        ),
        "slower than the client": Failure(
            "after the work",
            "placed or unknown",
            (fault("stall", seconds=0.25),),
            options={"timeout": SHORT_TIMEOUT, "sleep": lambda seconds: time.sleep(seconds / 100)},
        ),
        "reset after the work": Failure("after the work", "placed", (fault("commit_then_reset"),)),
        "cut after the work": Failure(
            "after the work", "placed", next_break=Break("answer", 0.0, how)
        ),
        "hangs after the work": Failure(
            "after the work",
            "placed",
            next_break=Break("answer", 0.0, "hang"),
            options={"timeout": SHORT_TIMEOUT},
        ),
        "failed after the work": Failure(
            "after the work", "placed", (fault("commit_then_status", status=failure),)
        ),
        "401 or 429 after the work": Failure(
            "after the work",
            "placed",
            (fault("commit_then_status", status=chance.choice([401, 429]), headers=wait),),
        ),
        "429, then 401 after the work": Failure(
            "after the work", "placed", (busy, fault("commit_then_status", status=401))
        ),
        "token refused, then reset after the work": Failure(
            "after the work", "placed", (refused, fault("commit_then_reset"))
        ),
        "reset after the work, cannot list": Failure(
            "after the work",
            "unknown",
            (fault("commit_then_reset"),),
            options={"session": requests.Session()},
            cannot_list="after",
        ),
        "reset, no list permission": Failure(
            "after the work",
            "unknown",
            (fault("commit_then_reset"),),
            cannot_list="before",
        ),
        "cut during the response": Failure(
            "answer", "placed", next_break=Break("answer", share, how)
        ),
        "hangs during the response": Failure(
            "answer",
            "placed",
            next_break=Break("answer", share, "hang"),
            options={"timeout": SHORT_TIMEOUT},
        ),
        "half a response": Failure("answer", "placed", (fault("truncate"),)),
        "429, then half a response": Failure("answer", "placed", (*(busy,) * 5, fault("truncate"))),
        "unreadable response": Failure(
            "answer", "placed", (fault("commit_then_status", status=good, body=unreadable),)
        ),
        "429 after the work, cannot list": Failure(
            "after the work",
            "unknown",
            (fault("commit_then_status", status=429, headers=wait),),
            options={"session": requests.Session()},
            cannot_list="after",
        ),
        "no list permission": Failure("answer", "placed", cannot_list="before"),
        "nothing": Failure("answer", "placed"),
    }


@pytest.mark.parametrize("seed", range(7))
def test_no_failure_places_an_order_twice(empty_env: Environment, seed: int) -> None:
    """After a failure at any stage, the server's orders and the caller's outcome agree."""
    env, chance = empty_env, random.Random(seed)  # noqa: S311 - no secret
    failures = random_failures(chance)
    assert {failure.stage for failure in failures.values()} == {*STAGES}
    for name, failure in chance.sample(list(failures.items()), len(failures)):
        comment = str(uuid4())
        count = chance.randint(1, 3)
        requested = [
            wish(env.area, comment=comment, frequency=chance.choice(["monthly", "max_frequency"]))
            for _ in range(count)
        ]
        earlier: set[str] = set()
        if chance.random() < 0.3:  # someone else placed the same orders
            placed = env.colleague.create(requested, check=False, duplicate_ok=True)
            earlier = {str(order.id) for order in placed}
        with happening(failure, env), env.client(**failure.options) as client:
            outcome, reported = try_to_place(client, requested)
        assert env.proxy.next_break is None, f"{name} did not happen"
        ours = {order["id"] for order in env.placed(comment)} - earlier
        reported_ids = {order.id for order in reported}
        worked = [sent for sent in batches_sent(env.sandbox) if sent.status not in (401, 429)]

        assert outcome in failure.outcome, name
        if outcome == "placed":
            assert reported_ids == ours, name
            assert len(reported) == len(ours) == count, name
        elif outcome == "unknown":
            assert reported_ids <= ours, name
            assert len(ours) in (0, count), name
            assert not ours or failure.cannot_list or "slower" in name, name
        else:
            assert ours == set(), name
        assert len(worked) <= 1, name
    for failure in failures.values():
        if "session" in failure.options:
            failure.options["session"].close()


@contextmanager
def happening(failure: Failure, env: Environment) -> Iterator[None]:
    """Let a failure happen to the next batch."""
    sandbox, proxy = env.sandbox, env.proxy
    for fault in failure.faults:
        sandbox.fail(fault)
    status = 500 if "session" in failure.options else 403
    no_listing = Fault(ORDERS, method="GET", status=status, times=None)
    if failure.cannot_list == "before":
        sandbox.fail(no_listing)
    elif failure.cannot_list:
        proxy.before = partial(sandbox.fail, no_listing)
    proxy.next_break = failure.next_break
    sandbox.clear_requests()
    yield
    sandbox.clear_faults()
    if failure.next_break is not None and failure.next_break.part == "refuse":
        proxy.start()


def try_to_place(client: OrdersClient, requested: list[dict[str, Any]]) -> tuple[str, list[Order]]:
    """Place orders; return the outcome and the orders reported to the caller."""
    try:
        return "placed", client.create(requested, check=False, duplicate_ok=True)
    except OrderOutcomeUnknown as unknown:
        return "unknown", list(unknown.found)
    except APIError:
        return "refused", []
    except APIConnectionError:
        return "unreachable", []


UNREADABLE = [
    *(b"", b"[]", b"{}", b"<html>", b"[{}]", b"null", b'[{"id": "1"}]', b'[{"id": "\xff"}]'),
    b"[" * 100_000,
    b"[%s]" % (b"9" * 5000),
]
NOWHERE = ["http://[", "http://a:99999999/", "/\xff", "http://"]
BAD_RESPONSES: list[dict[str, Any]] = [
    *(
        {"status": status}
        for status in (302, 401, 405, 408, 409, 413, 418, 425, 429, 500, 502, 503, 504, 599)
    ),
    *({"status": status, "body": body} for status in (201, 500) for body in UNREADABLE),
    *({"status": 302, "headers": {"Location": location}} for location in NOWHERE),
    {"status": 500, "body": b'{"detail": [{"loc": null, "msg": "sorry"}]}'},
    {"status": 201, "headers": {"Content-Encoding": "gzip"}, "body": b"no gzip"},
]


@pytest.mark.parametrize("answer", BAD_RESPONSES, ids=lambda answer: str(answer)[:60])
def test_orders_are_found_after_unreadable_response(
    env: Environment, answer: dict[str, Any]
) -> None:
    """An order whose response failed or is unreadable is looked up and found."""
    requested = wish(env.area, comment=str(uuid4()))
    env.sandbox.fail(Fault(BATCH, kind="commit_then_status", **answer))
    [placed] = env.client().create(requested)
    assert [order["id"] for order in env.placed(requested["comment"])] == [placed.id]


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_documented_refusal_is_final(env: Environment, status: int) -> None:
    """A documented refusal is raised at once, without another look."""
    env.sandbox.clear_requests()
    env.sandbox.fail(Fault(BATCH, status=status))
    with pytest.raises(APIError) as refused:
        env.client().create(wish(env.area, comment=str(uuid4())))
    assert refused.value.status_code == status
    assert env.sandbox.requests[-1].path == BATCH
    assert len(batches_sent(env.sandbox)) == 1


def test_failed_lookup_is_repeated(empty_env: Environment) -> None:
    """An unreadable list does not hide an order."""
    env = empty_env
    with env.client() as client:
        for answer in BAD_RESPONSES:
            requested = wish(env.area, comment=str(uuid4()))
            env.sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
            env.sandbox.fail(Fault(ORDERS, method="GET", skip=1, **answer))
            [placed] = client.create(requested, check=False)
            assert [order["id"] for order in env.placed(requested["comment"])] == [placed.id]
            env.sandbox.clear_faults()


def test_response_with_fewer_orders_is_looked_up(env: Environment) -> None:
    """A response that omits an order does not hide it."""
    requested = wish(env.area, comment=str(uuid4()))
    [other] = env.colleague.create(wish(env.area, comment="another"))
    body = json.dumps([other.to_dict()]).encode()
    env.sandbox.fail(Fault(BATCH, kind="commit_then_status", status=201, body=body))
    placed = env.client().create([requested, requested], duplicate_ok=True)
    assert {order.id for order in placed} == {
        order["id"] for order in env.placed(requested["comment"])
    }
    assert len(placed) == 2


def test_response_without_ids_is_looked_up(env: Environment) -> None:
    """A response that only echoes the order does not confirm it."""
    requested = wish(env.area, comment=str(uuid4()))
    body = json.dumps([requested]).encode()
    env.sandbox.fail(Fault(BATCH, kind="commit_then_status", status=201, body=body))
    [placed] = env.client().create(requested)
    assert [order["id"] for order in env.placed(requested["comment"])] == [placed.id]


def test_connect_timeout_sent_nothing() -> None:
    """If no connection was established, nothing was sent."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(3):  # fill the queue, so that no connection is accepted
            caller = stack.enter_context(socket.socket())
            caller.settimeout(0)
            caller.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}"
        client = OrdersClient(ApiKey("key"), base_url=url, timeout=(0.1, 0.1))
        stack.enter_context(client)
        with pytest.raises(APIConnectionError) as failed:
            client._api.send("POST", BATCH, data=b"{}")
        assert isinstance(failed.value.__cause__, requests.ConnectTimeout)
        assert never_sent(failed.value)
        client = OrdersClient(ApiKey("key"), base_url="https://localhost:1")
        stack.enter_context(client)
        client.session.proxies["https"] = "http://127.0.0.1:9"  # no proxy there
        with pytest.raises(APIConnectionError) as failed:
            client._api.send("POST", BATCH, data=b"{}")
        assert isinstance(failed.value.__cause__, requests.exceptions.ProxyError)
        assert never_sent(failed.value)


def failure_of_batch(url: str) -> APIConnectionError:
    """Return the failure of a batch sent to a server."""
    with OrdersClient(ApiKey("key"), base_url=url) as client:
        with pytest.raises(APIConnectionError) as failed:
            client._api.send("POST", BATCH, data=b"{}")
        return failed.value


def test_refused_certificate_sent_nothing() -> None:
    """Nor did a bundle that cannot be read: the order is not reported as unknown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with AnswerServer(lambda _: (200, {}, b"[]"), context) as server:
        assert never_sent(failure_of_batch(server.url))
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
            assert never_sent(failure_of_batch(server.url))
        assert not server.paths


def test_earlier_failure_does_not_mean_that_nothing_was_sent() -> None:
    """A call in the except clause of a refused connection has that one as its context."""

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        raise ConnectionAbortedError

    with AnswerServer(answer) as server:
        try:
            requests.get("http://127.0.0.1:9", timeout=1)
        except requests.ConnectionError:
            assert not never_sent(failure_of_batch(server.url))
        assert server.paths == [BATCH]


def test_found_orders_keep_their_order(env: Environment) -> None:
    """Orders found by lookup are returned in the order sent."""
    comment = str(uuid4())
    requested = [wish(env.area, comment=comment, tags=[tag]) for tag in ("a", "b", "a", "c")]
    env.proxy.next_break = Break("answer")
    placed = env.client().create(requested, comment="Urgent", duplicate_ok=True)
    assert [order.tag_names for order in placed] == [("a",), ("b",), ("a",), ("c",)]
    assert len({order.id for order in placed}) == 4
    assert len(env.placed(comment)) == 4


def test_earlier_identical_order_is_not_ours(env: Environment) -> None:
    """An identical order that existed before does not count."""
    requested = wish(env.area, comment=str(uuid4()))
    [earlier] = env.colleague.create(requested)
    env.proxy.next_break = Break("request", 0.5)
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        env.client().create(requested, duplicate_ok=True)
    assert unknown.value.found == ()
    assert [order["id"] for order in env.placed(requested["comment"])] == [earlier.id]


def test_concurrent_identical_order_is_reported(env: Environment) -> None:
    """Two new identical orders cannot be told apart: the error has both."""
    requested = wish(env.area, comment=str(uuid4()))
    env.proxy.before = lambda: env.colleague.create(requested)
    env.proxy.next_break = Break("answer")
    with pytest.raises(OrderOutcomeUnknown, match="2 matching orders") as unknown:
        env.client().create(requested)
    assert {order.id for order in unknown.value.found} == {
        order["id"] for order in env.placed(requested["comment"])
    }
    assert len(unknown.value.found) == 2


def test_one_new_order_does_not_match_two(env: Environment) -> None:
    """Two equal orders of a batch need two new orders."""
    requested = wish(env.area, comment=str(uuid4()))
    env.proxy.before = lambda: env.colleague.create(requested)
    env.proxy.next_break = Break("request", 0.5)
    with pytest.raises(OrderOutcomeUnknown, match="1 matching orders") as unknown:
        env.client().create([requested, requested], duplicate_ok=True)
    assert len(unknown.value.found) == 1


def test_order_is_found_on_any_page(empty_env: Environment) -> None:
    """Our order is found among any number of new ones; an equal one from before is not ours."""
    env, requested = empty_env, wish(empty_env.area, comment=str(uuid4()))
    others = [wish(env.area, comment="another")] * 25

    def order_much() -> None:
        for _ in range(5):
            env.colleague.create(others, check=False, duplicate_ok=True)

    [earlier] = env.colleague.create(requested)
    order_much()
    env.proxy.before = order_much
    env.proxy.next_break = Break("answer")
    [placed] = env.client().create(requested, duplicate_ok=True)
    assert [order["id"] for order in env.placed(requested["comment"])] == [earlier.id, placed.id]


@pytest.mark.parametrize("age", ["older", "newer"])
def test_local_clock_is_not_used(age: str) -> None:
    """Orders are found by the server's ids and times only."""
    with open_sandbox(newer=age == "newer") as sandbox, client_of(sandbox) as client:
        sandbox.advance(timedelta(days=300))
        area = client.create_aoi(new_name(), FIELD)
        client.create(wish(area))
        sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
        [placed] = client.create(wish(area), duplicate_ok=True)
        assert placed.id in {order["id"] for order in sandbox.orders}


def test_look_again_finds_a_late_order(env: Environment) -> None:
    """``look_again`` finds an order placed later, also from a pickled error."""
    requested = wish(env.area, comment=str(uuid4()))
    client = env.client(timeout=SHORT_TIMEOUT)
    passes = threading.Event()
    env.proxy.before = partial(passes.wait, 60)
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        client.create(requested)
    with pytest.raises(OrderOutcomeUnknown, match="0 matching orders"):
        client.look_again(unknown.value)
    saved = pickle.loads(pickle.dumps(unknown.value))  # noqa: S301 - our own
    passes.set()
    wait_until(lambda: env.placed(requested["comment"]))
    [placed] = client.look_again(saved)
    assert [order["id"] for order in env.placed(requested["comment"])] == [placed.id]
    assert client.look_again(unknown.value) == [placed]


def test_unknown_outcome_error(env: Environment) -> None:
    """The error has the payload, the matching orders, the status and the next step."""
    env.sandbox.fail(Fault(BATCH, status=502))
    client = env.client()
    requested = wish(env.area, comment=str(uuid4()))
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        client.create(requested, comment="Urgent")
    error = unknown.value
    assert error.status_code == 502
    assert error.request_url == f"{env.proxy.url}{BATCH}"
    assert error.payload == client.create(requested, comment="Urgent", dry_run=True)
    for words in ("502", "Nothing was sent again", "look_again", "costs money"):
        assert words in str(error)
    for _ in range(2):
        with pytest.raises(OrderOutcomeUnknown, match=r"still unknown\. 0 matching") as unknown:
            client.look_again(error)
        error = unknown.value
        assert str(error).count("look_again") == 1
        assert error.status_code == 502


def test_retry_after_is_respected(env: Environment) -> None:
    """After 429 the client waits for ``Retry-After`` (seconds or a date), else exponentially."""
    waited: list[float] = []
    client = env.client(sleep=waited.append)
    requested = wish(env.area)
    until = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    for headers in ({"Retry-After": "7"}, {"Retry-After": until}, {}, {"Retry-After": "soon"}):
        env.sandbox.fail(Fault(BATCH, status=429, headers=headers))
    client.create(requested, duplicate_ok=True)
    assert waited[0] == 7
    assert 28 <= waited[1] <= 31
    assert waited[2:] == [4, 8]


def test_long_retry_after_is_raised(env: Environment) -> None:
    """A ``Retry-After`` of a day is not waited for; 429 is no documented refusal."""
    waited: list[float] = []
    env.sandbox.fail(Fault(BATCH, status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        env.client(sleep=waited.append).create(wish(env.area), duplicate_ok=True)
    assert isinstance(unknown.value.__cause__, RateLimitError)
    assert sum(waited) == 15


def test_batch_is_sent_again_only_after_a_look(env: Environment) -> None:
    """After 401 and 429 the orders are listed before the batch is sent again, also by the hook."""
    for status in (401, 429):
        env.sandbox.fail(Fault(BATCH, status=status, headers={"Retry-After": "0"}))
        env.sandbox.clear_requests()
        env.client().create(wish(env.area, comment=str(uuid4())))
        sent = [f"{each.method} {each.path}" for each in env.sandbox.requests]
        first, again = (n for n, each in enumerate(sent) if each == f"POST {BATCH}")
        assert "GET /orders" in sent[first:again]
    env.sandbox.fail(Fault(BATCH, status=401))
    env.sandbox.clear_requests()
    with requests.Session() as session:
        url = f"{env.sandbox.api_url}{BATCH}"
        answer = session.post(url, json={"orders": []}, auth=env.colleague.auth)
    assert answer.status_code == 401
    assert len(batches_sent(env.sandbox)) == 1


def test_transport_does_not_retry_orders(env: Environment) -> None:
    """Neither urllib3 nor the session repeats a batch."""
    client = env.client()
    placing: Any = client.session.get_adapter(f"{client.base_url}{BATCH}")
    reading: Any = client.session.get_adapter(f"{client.base_url}/orders")
    assert placing.max_retries.total == reading.max_retries.total == 0
    assert placing.repeats is None
    assert "GET" in reading.repeats


def test_redirect_is_not_followed(env: Environment) -> None:
    """A redirected order is looked up and not sent elsewhere."""
    env.sandbox.clear_requests()
    location = {"Location": f"{env.proxy.url}/orders/batch"}
    env.sandbox.fail(Fault(BATCH, status=307, headers=location))
    with pytest.raises(OrderOutcomeUnknown):
        env.client().create(wish(env.area), duplicate_ok=True)
    assert len(batches_sent(env.sandbox)) == 1


def test_orders_use_a_new_connection(env: Environment) -> None:
    """An idle connection may be dead, which would leave the outcome unknown."""
    client, connections = env.client(), []
    for _ in range(2):
        env.proxy.before = lambda: connections.append(env.proxy.connections)
        client.create(wish(env.area), duplicate_ok=True)
    assert connections[0] < connections[1]


def test_payload_is_strict_json(env: Environment) -> None:
    """A NaN in an extra field is refused; text is UTF-8."""
    env.sandbox.clear_requests()
    with pytest.raises(ValueError, match="JSON"):
        env.client().create(wish(env.area, novelty=float("nan")), check=False)
    assert batches_sent(env.sandbox) == []
    env.client().create(wish(env.area, comment="Grüße"))
    assert json.loads(batches_sent(env.sandbox)[-1].body)["orders"][0]["comment"] == "Grüße"
