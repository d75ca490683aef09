"""Check the request formulas for large clusters: ``python benchmarks/thousand_workers.py``.

The functions are the formulas of the page *A thousand workers*. Up to 64 simulated workers, each a
process that runs the package's own code, work against a sandbox whose tokens and URLs expire within
seconds. Compares the formulas with the requests that the sandbox logs, records both and the numbers
for 1,000 workers, and fails if a formula is wrong. ``--only`` selects a simulation.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import requests
from records import begin, record

from constellr_stac import ConstellrAuth, Password, Token
from constellr_stac._process import STATE
from constellr_stac._pushed import PushedValue
from constellr_stac.auth.session import api_session
from constellr_stac.config import origin
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.prefetch import Fetcher
from constellr_stac.reading.renewal import MOST_ITEMS, Batches
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

    from records import Record

    from constellr_stac.auth.credentials import Credential

HOUR, DAY = 3600.0, 86400.0
_LONGEST_LEAD = 300.0
_POLL = 0.05


# The formulas; all times in seconds


def lead(life: float) -> float:
    """Return how long before its expiry a value may be renewed; half of it is random."""
    return min(life / 5, _LONGEST_LEAD)


def renewals(life: float, duration: float) -> float:
    """Return how often a value of this lifetime is fetched, including the first time."""
    return 1 + duration // (life - 0.75 * lead(life))


def own_token_requests(workers: int, life: float, duration: float) -> float:
    """Return the token requests of workers with their own password."""
    return workers * renewals(life, duration)


def shared_token_requests(life: float, duration: float) -> float:
    """Return the token requests of a client that shares its tokens with any number of workers."""
    return renewals(life, duration)


def readers(workers: int, pieces: int) -> float:
    """Return how many workers read part of a scene that is split into ``pieces`` chunks."""
    return workers * (1 - (1 - 1 / workers) ** pieces)


def items_renewed(workers: int, scenes: int, pieces: int, life: float, duration: float) -> float:
    """Return how many pre-signed items are renewed; each worker needs those that it reads."""
    return scenes * readers(workers, pieces) * renewals(life, duration)


def own_searches(items: float, scenes_in_chunk: int) -> float:
    """Return the requests of workers that renew the items of a chunk with one search."""
    return items / min(scenes_in_chunk, MOST_ITEMS)


def shared_searches(items: float) -> float:
    """Return the searches of a client that collects the items of many workers."""
    return items / MOST_ITEMS


def object_requests(scenes: int, pieces: int, files: int = 1) -> int:
    """Return the GETs of files below 1 MiB, ``files`` per scene."""
    return scenes * pieces * files


# A simulated worker


@dataclass(frozen=True)
class Job:
    """The work of one simulated worker."""

    api_url: str
    username: str
    password: str
    shared: bool
    """Whether tokens are pushed through the pipe, and there is no password."""
    references: tuple[str, ...] = ()
    """Assets to read one after another; with a duration, assets whose URLs to keep fresh."""
    duration: float = 0.0


def work(job: Job, start: Barrier, pipe: Connection) -> None:
    """Do a job with the package's own code; send the error or ``None``."""
    password = None if job.shared else Password(job.username, job.password)
    auth = ConstellrAuth(password, base_url=job.api_url)
    if job.shared:
        pushed: PushedValue[Credential] = PushedValue(lambda _number: None)
        STATE.add_pushed(("api", origin(job.api_url)), pushed)
        threading.Thread(target=_receive, args=(pushed, pipe), daemon=True).start()
    resolver = AssetResolver(auth)
    fetcher = Fetcher(resolver)
    references = [AssetRef.parse(uri) for uri in job.references]
    start.wait()
    try:
        if job.duration:
            _use(auth, resolver, references, job.duration)
        else:
            auth.token()
            for reference in references:
                fetcher.wait(fetcher.start(reference))
    except Exception as error:  # noqa: BLE001 - the parent process prints it
        pipe.send(repr(error))
    else:
        pipe.send(None)


def _use(
    auth: ConstellrAuth, resolver: AssetResolver, references: list[AssetRef], duration: float
) -> None:
    """Keep a token and the URLs of ``references`` fresh for a while."""
    began = time.monotonic()
    ask_at = began
    with api_session(auth) as session:
        while time.monotonic() < began + duration:
            auth.token()
            for reference in references:
                resolver.url(reference)
            if not references and time.monotonic() >= ask_at:
                session.get(f"{auth.base_url}/stac").raise_for_status()
                ask_at += 2
            time.sleep(_POLL)


def _receive(pushed: PushedValue[Credential], pipe: Connection) -> None:
    while True:
        number, value = pipe.recv()
        pushed.put(number, Token(value))


# Simulations


@dataclass(frozen=True)
class Outcome:
    """A formula's result and the counted requests."""

    workers: int
    what: str
    formula: float
    counted: float
    tolerance: float = 0.0
    """The accepted relative difference, where chance plays a part."""
    at_least: bool = False
    """Whether more is accepted: a busy machine spreads renewals further."""

    @property
    def holds(self) -> bool:
        """Whether the formula matches the count."""
        if self.at_least and self.counted > self.formula:
            return True
        return abs(self.counted - self.formula) <= self.tolerance * self.formula


@contextmanager
def running(sandbox: Sandbox, jobs: list[Job]) -> Iterator[list[Connection]]:
    """Start a process for each job, and wait for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [__name__, "constellr_stac.reading.prefetch", "constellr_stac.sandbox"]
    )
    start = context.Barrier(len(jobs) + 1)
    pipes = [context.Pipe() for _ in jobs]
    processes = [
        context.Process(target=work, args=(job, start, far), daemon=True)
        for job, (_, far) in zip(jobs, pipes, strict=True)
    ]
    for process in processes:
        process.start()
    sandbox.clear_requests()
    start.wait()
    ends = [near for near, _ in pipes]
    yield ends
    failures = [failure for failure in (end.recv() for end in ends) if failure is not None]
    for process in processes:
        process.join()
    if failures:
        sys.exit(f"{len(failures)} of {len(jobs)} workers failed: {failures[0]}")


def tokens(workers: int, *, shared: bool) -> list[Outcome]:
    """Count token requests while tokens of ten seconds expire."""
    life, duration = 10.0, 13.0
    with Sandbox(token_lifetime=timedelta(seconds=life)) as sandbox:
        jobs = [_job(sandbox, shared=shared, duration=duration)] * workers
        with running(sandbox, jobs) as ends:
            if shared:
                _push(sandbox, ends, duration)
        asked = [exchange.when for exchange in sandbox.requests if exchange.path == "/token"]
    if shared:
        formula = shared_token_requests(life, duration)
        return [Outcome(workers, "tokens, shared by the client", formula, len(asked))]
    formula = own_token_requests(workers, life, duration)
    rows = [Outcome(workers, "tokens, each its own", formula, len(asked))]
    if workers >= 16:
        wave = sorted(asked)[workers : 2 * workers]
        spread = (wave[-1] - wave[0]).total_seconds()
        what = "seconds over which renewals spread, at least"
        rows.append(Outcome(workers, what, lead(life) / 2, spread, 0.2, at_least=True))
    return rows


def _push(sandbox: Sandbox, ends: list[Connection], duration: float) -> None:
    """Renew the token as a dask client does, and push each new one to all workers."""
    auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
    began, last, number = time.monotonic(), None, 0
    while time.monotonic() < began + duration:
        token = auth.token()
        if token is not None and token != last:
            last, number = token, number + 1
            for end in ends:
                end.send((number, token.value.reveal()))  # type: ignore[union-attr]
        time.sleep(_POLL)


def scenes(workers: int) -> list[Outcome]:
    """Read 15 scenes in 16 chunks each, distributed at random as by a busy scheduler."""
    pieces = 16
    with Sandbox(presigned=True) as sandbox:
        references = _references(sandbox)
        chance = random.Random(workers)  # noqa: S311 - a simulation
        assigned: list[list[str]] = [[] for _ in range(workers)]
        for reference in references * pieces:
            chance.choice(assigned).append(reference)
        jobs = [_job(sandbox, references=tuple(each)) for each in assigned]
        with running(sandbox, jobs):
            pass
        items = sum("/items/" in exchange.path for exchange in sandbox.requests)
        objects = sum(exchange.server == "store" for exchange in sandbox.requests)
    count = len(references)
    return [
        Outcome(
            workers,
            "items, pre-signed",
            items_renewed(workers, count, pieces, HOUR, 0),
            items,
            0.15,
        ),
        Outcome(workers, "objects", object_requests(count, pieces), objects),
    ]


def signatures(workers: int) -> list[Outcome]:
    """Keep the URLs of three scenes fresh for longer than their ten seconds."""
    life, duration = 10.0, 13.0
    with Sandbox(presigned=True, url_lifetime=timedelta(seconds=life)) as sandbox:
        references = tuple(_references(sandbox)[:3])
        jobs = [_job(sandbox, references=references, duration=duration)] * workers
        with running(sandbox, jobs):
            pass
        items = sum("/items/" in exchange.path for exchange in sandbox.requests)
    formula = len(references) * workers * renewals(life, duration)
    return [Outcome(workers, "items, when URLs expire", formula, items)]


def collected(workers: int) -> list[Outcome]:
    """Collect for five seconds what this many workers of two threads want, as the client does."""
    plan, seconds, searches = Plan(workers=workers), 5.0, []

    def search(names: list[int], _failure: Exception | None) -> None:
        time.sleep(0.3)  # an answer of the API
        searches.append(len(names))

    batches, chunks = Batches(search), workers * plan.threads / plan.seconds_for_chunk
    began, added = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        while added < now * chunks:
            batches.add(range(plan.scenes_in_chunk))
            added += 1
        time.sleep(0.001)
    items = added * plan.scenes_in_chunk
    while sum(searches) < items:
        time.sleep(0.01)
    formula = shared_searches(items)
    return [Outcome(workers, f"searches for {items:,} items, shared", formula, len(searches), 0.2)]


def refusals(workers: int) -> list[Outcome]:
    """Refuse the first token request of each worker with 429; all succeed later."""
    with Sandbox() as sandbox:
        later = Fault("/token", status=429, headers={"Retry-After": "1"}, times=workers)
        jobs = [_job(sandbox)] * workers
        sandbox.fail(later)
        with running(sandbox, jobs):
            pass
        asked = [exchange.when for exchange in sandbox.requests if exchange.path == "/token"]
    waited = (max(asked) - min(asked)).total_seconds()
    return [
        Outcome(workers, "tokens after 429", 2 * workers, len(asked)),
        Outcome(workers, "429: Retry-After respected (1 = yes)", 1, float(waited >= 1)),
    ]


def _job(sandbox: Sandbox, *, shared: bool = False, **what: Any) -> Job:
    return Job(sandbox.api_url, sandbox.username, sandbox.password, shared=shared, **what)


def _references(sandbox: Sandbox) -> list[str]:
    """Return the asset references of all scenes' temperatures, as in a graph."""
    auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
    page = requests.post(
        f"{sandbox.api_url}/stac/search", json={"limit": 100}, auth=auth, timeout=60
    ).json()
    return [
        str(
            AssetRef(
                item["assets"]["lst"]["href"].partition("?")[0],
                item["collection"],
                item["id"],
                "lst",
            )
        )
        for item in page["features"]
    ]


# A thousand workers


@dataclass(frozen=True)
class Plan:
    """A large compute, and its requests by the formulas."""

    workers: int = 1000
    threads: int = 2
    scenes: int = 200_000
    files: int = 2
    pieces: int = 1
    scenes_in_chunk: int = 8
    seconds_for_chunk: float = 10.0

    @property
    def duration(self) -> float:
        """Seconds for all chunks, on all threads."""
        chunks = self.scenes * self.pieces / self.scenes_in_chunk
        return chunks * self.seconds_for_chunk / (self.workers * self.threads)

    def __str__(self) -> str:
        return (
            f"{self.workers:,} workers of {self.threads} threads; {self.scenes:,} scenes of "
            f"{self.files} files; chunks of {self.scenes_in_chunk} scenes, "
            f"{self.seconds_for_chunk:g} s each: {self.duration:,.0f} s"
        )

    def rows(self) -> list[Record]:
        """Return the requests and their rates."""
        items = items_renewed(self.workers, self.scenes, self.pieces, HOUR, 0)
        counts = {
            "tokens, shared": 1.0,
            "tokens, each its own": float(self.workers),
            "searches for pre-signed items, shared": shared_searches(items),
            "searches for pre-signed items, each its own": own_searches(
                items, self.scenes_in_chunk
            ),
            "items, `s3://`": 0.0,
            "objects": float(object_requests(self.scenes, self.pieces, self.files)),
        }
        later = f"all at the start; {self.workers / (lead(DAY) / 2):.1f} a day later"
        rates = {"tokens, shared": "", "tokens, each its own": later}
        return [
            {
                "requests": name,
                "in all": round(count),
                "per second": rates.get(name, round(count / self.duration)),
            }
            for name, count in counts.items()
        ]


SIMULATIONS: dict[str, Callable[[int], list[Outcome]]] = {
    "own": lambda workers: tokens(workers, shared=False),
    "shared": lambda workers: tokens(workers, shared=True),
    "scenes": scenes,
    "signatures": signatures,
    "refusals": refusals,
    "collected": collected,
}


def main() -> None:
    """Run the simulations, for several numbers of workers."""
    arguments = begin(__doc__, workers=64)
    holds = True
    for name, simulate in SIMULATIONS.items():
        if arguments.only in name:
            numbers = _numbers(name, arguments.workers)
            outcomes = [outcome for workers in numbers for outcome in simulate(workers)]
            rows = [
                {
                    "workers": each.workers,
                    "requests": each.what,
                    "formula": each.formula,
                    "counted": each.counted,
                    "holds": "yes" if each.holds else "NO",
                }
                for each in outcomes
            ]
            record(arguments, f"Simulated: {name}", rows)
            holds = holds and all(outcome.holds for outcome in outcomes)
    record(arguments, str(Plan()), Plan().rows())
    if not holds:
        sys.exit("A formula is wrong.")


def _numbers(name: str, most: int) -> list[int]:
    """Return how many workers to simulate: 1, 4, 16 and so on."""
    if name == "collected":
        return [Plan.workers]
    return [number for number in (1, 4, 16) if number < most] + [most]


if __name__ == "__main__":
    main()
