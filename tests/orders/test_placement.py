"""An order is never placed twice, and the caller always knows."""

from __future__ import annotations

import json
import pickle
import random
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args
from uuid import uuid4

import pytest
import requests
from requests.adapters import HTTPAdapter

from broken_line import Cut, Line
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.sandbox import Sandbox

pytestmark = pytest.mark.slow

BATCH = "/orders/batch"
ORDERS = "/orders$"
HASTE = (1.0, 0.15)
"""Seconds to wait: a server that takes longer has a client that does not know."""


@dataclass
class World:
    """A sandbox, an area in it, and a line to it that may break."""

    sandbox: Sandbox
    line: Line
    area: str
    colleague: OrdersClient
    """Somebody else of the organization, on a line that works."""

    def client(self, **options: Any) -> OrdersClient:
        """Return a client at the end of the line."""
        options = {"today": lambda: TODAY, "sleep": lambda _seconds: None, **options}
        owner = self.sandbox.accounts["owner"]
        return OrdersClient(
            Password(owner.username, owner.password), base_url=self.line.url, **options
        )

    def placed(self, comment: str) -> list[dict[str, Any]]:
        """Return what the server holds of an order with this comment."""
        return [order for order in self.sandbox.orders if order["comment"] == comment]


@pytest.fixture(scope="module", params=["older", "newer"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The API of one age, behind a line."""
    with (
        open_sandbox(newer=request.param == "newer") as sandbox,
        Line(sandbox.api_url, f"POST {BATCH}", "GET /orders?") as line,
        client_of(sandbox) as colleague,
    ):
        area = colleague.create_aoi(new_name(), FIELD)
        yield World(sandbox, line, str(area.id), colleague)


Point = Literal["before sending", "while sending", "before the work", "after the work", "answer"]
POINTS = get_args(Point)
Outcome = Literal["placed", "refused", "unreachable", "unknown", "placed or unknown"]


@dataclass(frozen=True)
class Mishap:
    """Something that goes wrong when an order is placed, and what the caller learns of it."""

    point: Point
    outcome: Outcome
    faults: tuple[Fault, ...] = ()
    cut: Cut | None = None
    options: dict[str, Any] = field(default_factory=dict)
    is_blind: bool = False
    """Whether the orders cannot be looked for either."""


def random_mishaps(chance: random.Random) -> dict[str, Mishap]:
    """Return all that can go wrong, each at a random point of its kind, by name."""
    share = chance.random() * 0.999
    how: Any = chance.choice(["reset", "close"])
    failure = chance.choice([500, 502, 503, 504, 408, 302, 599])
    refusal = chance.choice([400, 403, 404, 409, 413, 422])
    scrap = chance.choice(SCRAP)
    good = chance.choice([200, 201])
    wait = chance.choice([{"Retry-After": "0"}, {}])

    def fault(kind: Any = "status", **options: Any) -> Fault:
        return Fault(BATCH, kind=kind, **options)

    def no_listing(status: int, skip: int = 0) -> Fault:
        return Fault(ORDERS, method="GET", status=status, skip=skip, times=None)

    refused = fault(status=401)
    busy = fault(status=429, headers=wait)
    return {
        "nobody there": Mishap("before sending", "unreachable", cut=Cut("refuse")),
        "listing fails first": Mishap(
            "before sending",
            "refused",
            (no_listing(500),),
            options={"session": requests.Session()},
        ),
        "no token": Mishap("before sending", "refused", (refused, Fault("/token", status=403))),
        "cut while sending": Mishap("while sending", "unknown", cut=Cut("request", share, how)),
        "cut at the first byte": Mishap("while sending", "unknown", cut=Cut("request", 0.0, how)),
        "hangs while sending": Mishap(
            "while sending",
            "unknown",
            cut=Cut("request", share, "hang"),
            options={"timeout": HASTE},
        ),
        "token refused": Mishap("before the work", "placed", (refused,)),
        "token refused twice": Mishap("before the work", "refused", (refused, refused)),
        "token refused, then failed": Mishap(
            "before the work", "unknown", (refused, fault(status=failure))
        ),
        "asked to wait": Mishap("before the work", "placed", (busy,) * chance.randint(1, 5)),
        "asked to wait for ever": Mishap(
            "before the work", "refused", (fault(status=429, times=None),)
        ),
        "asked to wait, then refused": Mishap(
            "before the work", "refused", (busy, fault(status=refusal))
        ),
        "refused": Mishap("before the work", "refused", (fault(status=refusal),)),
        "failed": Mishap("before the work", "unknown", (fault(status=failure),)),
        "answered scrap, did nothing": Mishap(
            "before the work", "unknown", (fault(status=good, body=scrap),)
        ),
        "reset before the work": Mishap("before the work", "unknown", (fault("reset"),)),
        "no answer in time": Mishap(
            "before the work",
            "unknown",
            (fault("reset", seconds=0.25),),
            options={"timeout": HASTE},
        ),
        "slower than the client": Mishap(
            "after the work",
            "placed or unknown",
            (fault("stall", seconds=0.25),),
            options={"timeout": HASTE, "sleep": lambda seconds: time.sleep(seconds / 100)},
        ),
        "reset after the work": Mishap("after the work", "placed", (fault("commit_then_reset"),)),
        "cut after the work": Mishap("after the work", "placed", cut=Cut("answer", 0.0, how)),
        "hangs after the work": Mishap(
            "after the work", "placed", cut=Cut("answer", 0.0, "hang"), options={"timeout": HASTE}
        ),
        "failed after the work": Mishap(
            "after the work", "placed", (fault("commit_then_status", status=failure),)
        ),
        "token refused, then reset after the work": Mishap(
            "after the work", "placed", (refused, fault("commit_then_reset"))
        ),
        "reset after the work, blind": Mishap(
            "after the work",
            "unknown",
            (fault("commit_then_reset"), no_listing(500, skip=1)),
            options={"session": requests.Session()},
            is_blind=True,
        ),
        "may order, not list, reset": Mishap(
            "after the work",
            "unknown",
            (no_listing(403), fault("commit_then_reset")),
            is_blind=True,
        ),
        "cut while answering": Mishap("answer", "placed", cut=Cut("answer", share, how)),
        "hangs while answering": Mishap(
            "answer", "placed", cut=Cut("answer", share, "hang"), options={"timeout": HASTE}
        ),
        "half an answer": Mishap("answer", "placed", (fault("truncate"),)),
        "asked to wait, then half an answer": Mishap(
            "answer", "placed", (*(busy,) * 5, fault("truncate"))
        ),
        "answered scrap": Mishap(
            "answer", "placed", (fault("commit_then_status", status=good, body=scrap),)
        ),
        "may order, not list": Mishap("answer", "placed", (no_listing(403),)),
        "nothing": Mishap("answer", "placed"),
    }


@pytest.mark.parametrize("seed", range(7))
def test_whatever_happens_no_order_is_placed_twice(world: World, seed: int) -> None:
    """At every point of placing an order, whatever fails, the ledger and the caller agree."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    mishaps = random_mishaps(chance)
    assert {mishap.point for mishap in mishaps.values()} == {*POINTS}
    for name, mishap in chance.sample(list(mishaps.items()), len(mishaps)):
        comment = str(uuid4())
        count = chance.randint(1, 3)
        wanted = [
            wish(world.area, comment=comment, frequency=chance.choice(["monthly", "max_frequency"]))
            for _ in range(count)
        ]
        earlier: set[str] = set()
        if chance.random() < 0.3:  # somebody has had the same idea
            earlier = {str(order.id) for order in world.colleague.create(wanted, check=False)}
        sandbox, line = world.sandbox, world.line
        for fault in mishap.faults:
            sandbox.fail(fault)
        line.cut = mishap.cut
        sandbox.clear_requests()
        with world.client(**mishap.options) as client:
            outcome, told = attempt(client, wanted)
        sandbox.clear_faults()
        if mishap.cut is not None and mishap.cut.part == "refuse":
            line.listen()
        assert line.cut is None, f"{name} did not happen"
        ours = {order["id"] for order in world.placed(comment)} - earlier
        told_ids = {order.id for order in told}
        worked = [sent for sent in batches_sent(sandbox) if sent.status not in (401, 429)]

        assert outcome in mishap.outcome, name
        if outcome == "placed":
            assert told_ids == ours, name
            assert len(told) == len(ours) == count, name
        elif outcome == "unknown":
            assert told_ids <= ours, name
            assert len(ours) in (0, count), name
            assert not ours or mishap.is_blind or "slower" in name, name
        else:
            assert ours == set(), name
        assert len(worked) <= 1, name
    for mishap in mishaps.values():
        if "session" in mishap.options:
            mishap.options["session"].close()


def attempt(client: OrdersClient, wanted: list[dict[str, Any]]) -> tuple[str, list[Order]]:
    """Place orders; return what the caller learns, and the orders the caller is told of."""
    try:
        return "placed", client.create(wanted, check=False)
    except OrderOutcomeUnknown as unknown:
        return "unknown", list(unknown.found)
    except APIError:
        return "refused", []
    except APIConnectionError:
        return "unreachable", []


SCRAP = [
    *(b"", b"[]", b"{}", b"<html>", b"[{}]", b"null", b'[{"id": "1"}]', b'[{"id": "\xff"}]'),
    b"[" * 100_000,
    b"[%s]" % (b"9" * 5000),
]
NOWHERE = ["http://[", "http://a:99999999/", "/\xff", "http://"]
BEYOND_READING: list[dict[str, Any]] = [
    *({"status": status} for status in (302, 408, 500, 502, 503, 504, 599)),
    *({"status": status, "body": body} for status in (201, 500) for body in SCRAP),
    *({"status": 302, "headers": {"Location": location}} for location in NOWHERE),
    {"status": 500, "body": b'{"detail": [{"loc": null, "msg": "sorry"}]}'},
    {"status": 201, "headers": {"Content-Encoding": "gzip"}, "body": b"no gzip"},
]


@pytest.mark.parametrize("answer", BEYOND_READING, ids=lambda answer: str(answer)[:60])
def test_no_such_answer_is_taken_for_yes_or_no(world: World, answer: dict[str, Any]) -> None:
    """What failed after the work, or answers what nobody can read, is looked for and found."""
    wanted = wish(world.area, comment=str(uuid4()))
    world.sandbox.fail(Fault(BATCH, kind="commit_then_status", **answer))
    [placed] = world.client().create(wanted)
    assert [order["id"] for order in world.placed(wanted["comment"])] == [placed.id]


def test_whatever_a_look_is_answered_the_next_look_finds(world: World) -> None:
    """A listing that nobody can read does not hide an order either."""
    wanted = wish(world.area, comment=str(uuid4()))
    client = world.client()
    for answer in BEYOND_READING:
        world.sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
        world.sandbox.fail(Fault(ORDERS, method="GET", skip=1, **answer))
        [placed] = client.create(wanted, check=False)
        assert world.placed(wanted["comment"])[-1]["id"] == placed.id
        world.sandbox.clear_faults()
    assert len(world.placed(wanted["comment"])) == len(BEYOND_READING)


def test_fewer_orders_than_were_sent_are_no_answer(world: World) -> None:
    """An answer that leaves an order out does not hide it."""
    wanted = wish(world.area, comment=str(uuid4()))
    [other] = world.colleague.create(wish(world.area, comment="another"))
    body = json.dumps([other.to_dict()]).encode()
    world.sandbox.fail(Fault(BATCH, kind="commit_then_status", status=201, body=body))
    placed = world.client().create([wanted, wanted])
    assert {order.id for order in placed} == {
        order["id"] for order in world.placed(wanted["comment"])
    }
    assert len(placed) == 2


def test_an_order_without_an_id_is_no_answer(world: World) -> None:
    """An answer that only repeats the order does not say that it was placed."""
    wanted = wish(world.area, comment=str(uuid4()))
    body = json.dumps([wanted]).encode()
    world.sandbox.fail(Fault(BATCH, kind="commit_then_status", status=201, body=body))
    [placed] = world.client().create(wanted)
    assert [order["id"] for order in world.placed(wanted["comment"])] == [placed.id]


def test_a_host_that_does_not_answer_the_call_got_no_order() -> None:
    """Where no connection came to be in time, it is certain that nothing was sent."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(3):  # the queue is full: nobody picks up
            caller = stack.enter_context(socket.socket())
            caller.settimeout(0)
            caller.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}"
        client = OrdersClient(ApiKey("key"), base_url=url, timeout=(0.1, 0.1))
        stack.enter_context(client)
        with pytest.raises(APIConnectionError) as failed:
            client._ask("POST", BATCH, data=b"{}")
        assert isinstance(failed.value.__cause__, requests.ConnectTimeout)
        assert never_sent(failed.value)
        client.session.proxies["http"] = "http://127.0.0.1:9"  # nobody
        with pytest.raises(APIConnectionError) as failed:
            client._ask("POST", BATCH, data=b"{}")
        assert isinstance(failed.value.__cause__, requests.exceptions.ProxyError)
        assert never_sent(failed.value)


def test_orders_whose_answer_was_lost_are_returned_in_sequence(world: World) -> None:
    """What is found is what was sent, each order its own, in the sequence sent."""
    comment = str(uuid4())
    wanted = [wish(world.area, comment=comment, tags=[tag]) for tag in ("a", "b", "a", "c")]
    world.line.cut = Cut("answer")
    placed = world.client().create(wanted, comment="Urgent")
    assert [order.tag_names for order in placed] == [("a",), ("b",), ("a",), ("c",)]
    assert len({order.id for order in placed}) == 4
    assert len(world.placed(comment)) == 4


def test_an_earlier_order_of_somebody_else_is_not_taken_for_ours(world: World) -> None:
    """An identical order that was there before does not make ours placed."""
    wanted = wish(world.area, comment=str(uuid4()))
    [earlier] = world.colleague.create(wanted)
    world.line.cut = Cut("request", 0.5)
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        world.client().create(wanted)
    assert unknown.value.found == ()
    assert [order["id"] for order in world.placed(wanted["comment"])] == [earlier.id]


def test_an_earlier_order_far_down_the_list_is_not_taken_for_ours(world: World) -> None:
    """The list is longer than what is noted before sending: older orders stay old."""
    wanted = wish(world.area, comment=str(uuid4()))
    world.colleague.create(wanted)
    for _ in range(5):
        world.colleague.create([wish(world.area, comment="another")] * 25)
    world.line.cut = Cut("request", 0.5)
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        world.client().create(wanted)
    assert unknown.value.found == ()


def test_the_same_order_of_somebody_else_at_the_same_time_is_told(world: World) -> None:
    """Which of two new identical orders is ours, nobody can say: the caller gets both."""
    wanted = wish(world.area, comment=str(uuid4()))
    world.line.before = lambda: world.colleague.create(wanted)
    world.line.cut = Cut("answer")
    with pytest.raises(OrderOutcomeUnknown, match="2 orders like these") as unknown:
        world.client().create(wanted)
    assert {order.id for order in unknown.value.found} == {
        order["id"] for order in world.placed(wanted["comment"])
    }
    assert len(unknown.value.found) == 2


def test_one_of_two_identical_orders_is_not_both(world: World) -> None:
    """Two equal orders of a batch count twice: one that appeared does not stand for two."""
    wanted = wish(world.area, comment=str(uuid4()))
    world.line.before = lambda: world.colleague.create(wanted)
    world.line.cut = Cut("request", 0.5)
    with pytest.raises(OrderOutcomeUnknown, match="1 orders like these") as unknown:
        world.client().create([wanted, wanted])
    assert len(unknown.value.found) == 1


def test_our_order_is_found_among_many_new_ones(world: World) -> None:
    """However much others order meanwhile, ours is found, on whatever page."""
    wanted = wish(world.area, comment=str(uuid4()))
    others = [wish(world.area, comment="another")] * 25

    def order_much() -> None:
        for _ in range(5):
            world.colleague.create(others, check=False)

    world.line.before = order_much
    world.line.cut = Cut("answer")
    [placed] = world.client().create(wanted)
    assert [order["id"] for order in world.placed(wanted["comment"])] == [placed.id]


@pytest.mark.parametrize("age", ["older", "newer"])
def test_a_server_whose_clock_is_wrong_makes_no_difference(age: str) -> None:
    """Orders are found by the server's own ids and times, never by this machine's clock."""
    with open_sandbox(newer=age == "newer") as sandbox, client_of(sandbox) as client:
        sandbox.advance(timedelta(days=300))
        area = client.create_aoi(new_name(), FIELD)
        client.create(wish(area))
        sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
        [placed] = client.create(wish(area))
        assert placed.id in {order["id"] for order in sandbox.orders}


def test_an_order_that_arrives_late_is_found_by_looking_again(world: World) -> None:
    """``look_again`` tells later what could not be told, from a saved error too."""
    wanted = wish(world.area, comment=str(uuid4()))
    client = world.client(timeout=HASTE)
    world.sandbox.fail(Fault(BATCH, kind="stall", seconds=0.5))
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        client.create(wanted)
    with pytest.raises(OrderOutcomeUnknown, match="0 orders like these"):
        client.look_again(unknown.value)
    saved = pickle.loads(pickle.dumps(unknown.value))  # noqa: S301 - our own
    until = time.monotonic() + 5
    while not world.placed(wanted["comment"]) and time.monotonic() < until:
        time.sleep(0.01)
    [placed] = client.look_again(saved)
    assert [order["id"] for order in world.placed(wanted["comment"])] == [placed.id]
    assert client.look_again(unknown.value) == [placed]


def test_an_unknown_outcome_says_what_to_do(world: World) -> None:
    """The error carries the payload, what was found, the status, and the next step."""
    world.sandbox.fail(Fault(BATCH, status=502))
    client = world.client()
    wanted = wish(world.area, comment=str(uuid4()))
    with pytest.raises(OrderOutcomeUnknown) as unknown:
        client.create(wanted, comment="Urgent")
    error = unknown.value
    assert error.status_code == 502
    assert error.request_url == f"{world.line.url}{BATCH}"
    assert error.payload == client.create(wanted, comment="Urgent", dry_run=True)
    for words in ("502", "Nothing was sent again", "look_again", "costs money"):
        assert words in str(error)
    for _ in range(2):
        with pytest.raises(OrderOutcomeUnknown, match=r"still unknown\. 0 orders like") as unknown:
            client.look_again(error)
        error = unknown.value
        assert str(error).count("look_again") == 1
        assert error.status_code == 502


def test_the_servers_pause_is_kept(world: World) -> None:
    """429 is waited out as ``Retry-After`` says: in seconds, as a date, or longer each time."""
    waited: list[float] = []
    client = world.client(sleep=waited.append)
    wanted = wish(world.area)
    until = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    for headers in ({"Retry-After": "7"}, {"Retry-After": until}, {}, {"Retry-After": "soon"}):
        world.sandbox.fail(Fault(BATCH, status=429, headers=headers))
    client.create(wanted)
    assert waited[0] == 7
    assert 28 <= waited[1] <= 31
    assert waited[2:] == [4, 8]


def test_a_pause_of_hours_is_left_to_the_caller(world: World) -> None:
    """Who is asked to come back tomorrow is told so at once."""
    waited: list[float] = []
    world.sandbox.fail(Fault(BATCH, status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(RateLimitError):
        world.client(sleep=waited.append).create(wish(world.area))
    assert waited == []


def test_an_interruption_is_marked(world: World) -> None:
    """Ctrl-C while an order is on its way, or looked for, says so on its way out."""

    class Interrupted(HTTPAdapter):
        """Passes a request on, and is interrupted before the answer."""

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            super().send(*args, **kwargs)
            raise KeyboardInterrupt

    client = world.client()
    client.session.mount(f"{world.line.url}{BATCH}", Interrupted())
    with pytest.raises(KeyboardInterrupt) as interrupted:
        client.create(wish(world.area))
    note = "Orders were just being placed: look at the newest ones."
    assert interrupted.value.__notes__ == [note]

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    world.sandbox.fail(Fault(BATCH, kind="commit_then_reset"))
    with pytest.raises(KeyboardInterrupt) as interrupted:
        world.client(sleep=interrupt).create(wish(world.area))
    assert interrupted.value.__notes__ == [note]
    world.sandbox.fail(Fault(BATCH, status=429))
    with pytest.raises(KeyboardInterrupt) as interrupted:
        world.client(sleep=interrupt).create(wish(world.area))
    assert not hasattr(interrupted.value, "__notes__")


def test_no_adapter_below_sends_an_order_again(world: World) -> None:
    """Retrying is off in the transport: urllib3 would send a POST again after some TLS errors."""
    client = world.client()
    placing: Any = client.session.get_adapter(f"{client.base_url}{BATCH}")
    reading: Any = client.session.get_adapter(f"{client.base_url}/orders")
    assert placing.max_retries.total == 0
    assert reading.max_retries.total > 0


def test_a_redirect_is_not_followed(world: World) -> None:
    """An order goes to the API and nowhere else; where it was redirected, it is looked for."""
    world.sandbox.clear_requests()
    location = {"Location": f"{world.line.url}/orders/batch"}
    world.sandbox.fail(Fault(BATCH, status=307, headers=location))
    with pytest.raises(OrderOutcomeUnknown):
        world.client().create(wish(world.area))
    assert len(batches_sent(world.sandbox)) == 1


def test_an_order_goes_over_no_connection_that_lay_idle(world: World) -> None:
    """A connection that died unnoticed since the last order would leave the next one unknown."""
    client, connections = world.client(), []
    for _ in range(2):
        world.line.before = lambda: connections.append(world.line.decoded)
        client.create(wish(world.area))
    assert connections[0] < connections[1]


def test_what_is_sent_is_json_that_every_server_reads(world: World) -> None:
    """A NaN in a field of the user's own is refused, not sent as something that is no JSON."""
    world.sandbox.clear_requests()
    with pytest.raises(ValueError, match="JSON"):
        world.client().create(wish(world.area, novelty=float("nan")), check=False)
    assert batches_sent(world.sandbox) == []
    world.client().create(wish(world.area, comment="Grüße"))
    assert json.loads(batches_sent(world.sandbox)[-1].body)["orders"][0]["comment"] == "Grüße"
