"""Change one token of the core at a time, and see whether a test fails: ``tox run -e mutants``.

``python tests/mutants.py [--number 500] [--seed 1] [--only RE] [--jobs 2] [--seconds 60]
[--keep FOLDER]``. cosmic-ray changes a copy of the tree. For each mutant the tests run that
reach its line in a run without changes: its package's own first, then the quickest, as many as
take ``--seconds``. Prints the mutants that no test notices, and fails if they are more than
one in twenty. A run with a folder that was kept goes on where that one ended.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import difflib
import functools
import importlib
import itertools
import json
import os
import py_compile
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from coverage.numbits import numbits_to_nums

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cosmic_ray.work_item import MutationSpec

CORE = ("auth", "signing", "reading", "layers", "cube", "orders")
TESTS = (*(f"tests/{name}" for name in (*CORE, "stac", "analysis")), "tests/test_pushed.py", "src")
ROOT = Path(__file__).parents[1]
IMPORTED = (  # once, before each run of pytest is forked
    *("boto3", "botocore.auth", "dask.array", "geopandas", "odc.stac", "pandas"),
    *("pystac_client", "rasterio.warp", "rioxarray", "stackstac", "starlette", "uvicorn", "xarray"),
)
SWIFT = 5.0  # seconds that its start takes
ACCEPTED = 0.05  # the share of mutants that may survive
KILLED = "killed"


class Recorder:
    """Notes how long each test takes, and which ones fail without a change."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Count the start of Swift for each test that uses it."""
        for item in items:
            self.seconds[item.nodeid] += SWIFT * ("swift" in getattr(item, "fixturenames", ()))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a phase of a test."""
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)


def fork(run: Callable[[], int], log: Path | None = None) -> int:
    """Call ``run`` in a new process, with a log in a session of its own; return its number."""
    if child := os.fork():
        return child
    status = 1
    try:
        if log is not None:
            os.setsid()
            stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
        status = run()
    except BaseException:  # noqa: BLE001 - nothing may run on in the copy of this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def finish(child: int, seconds: float) -> bool:
    """Wait for a process, end what it started; return whether it succeeded within ``seconds``."""
    end, ended, status = time.monotonic() + seconds, 0, 0
    while not ended and time.monotonic() < end:
        time.sleep(0.05)
        ended, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    return bool(ended) and status == 0


def run_pytest(*arguments: str, plugins: Sequence[object] = ()) -> int:
    """Run the tests that ``arguments`` name."""
    fixed = [*("-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants")]
    fixed += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported before
    return int(pytest.main([*fixed, *arguments], plugins=plugins))


def measure(copy: Path) -> int:
    """Run the tests without changes; keep how long each takes, and which lines it reaches."""
    recorder = Recorder()
    options = ("--cov=constellr_stac", "--cov-context=test", "--cov-report=")
    run_pytest(*options, f"--basetemp={copy.parent / 'tmp'}", *TESTS, plugins=[recorder])
    passed = {k: v for k, v in recorder.seconds.items() if k not in recorder.failed}
    (copy.parent / "seconds.json").write_text(json.dumps(passed))
    return 0


def mutations() -> list[MutationSpec]:
    """Return all mutations of the core's code, annotations left out."""
    modules = sorted(p for name in CORE for p in Path("src/constellr_stac", name).glob("*.py"))
    hints = {module: annotated(module) for module in modules}
    return [
        mutation
        for item in _all_work_items(modules, {})
        for mutation in item.mutations
        if not any(start <= mutation.start_pos < end for start, end in hints[mutation.module_path])
    ]


def annotated(module: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where annotations begin and end: they are not evaluated."""
    nodes = (
        hint
        for node in ast.walk(ast.parse(module.read_text()))
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if hint is not None
    )
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in nodes
    ]


def chosen_tests(mutation: MutationSpec, keep: Path, seconds: float) -> list[str]:
    """Return the tests that reach a mutation: its module's and package's first."""
    cost = json.loads((keep / "seconds.json").read_text())
    path = keep / "copy" / mutation.module_path
    span = set(range(mutation.start_pos[0], mutation.end_pos[0] + 1))
    with sqlite3.connect(keep / "copy" / ".coverage") as data:
        rows = data.execute(
            "select context, numbits from line_bits join file on file.id = file_id "
            "join context on context.id = context_id where path = ?",
            (str(path),),
        ).fetchall()
    reached = [(test.rpartition("|")[0], numbits_to_nums(lines)) for test, lines in rows]
    reached = [(test, lines) for test, lines in reached if test in cost]
    area, module = mutation.module_path.parent.name, mutation.module_path.stem
    tests = {test for test, lines in reached if not span.isdisjoint(lines)}
    if not tests:  # executed at import
        tests = {test for test, _ in reached} | {test for test in cost if f"/{area}/" in test}

    def distance(test: str) -> tuple[bool, bool, float]:
        return f"test_{module}." not in test, f"/{area}/" not in test, cost[test]

    ordered = sorted(tests, key=distance)
    total = itertools.accumulate(cost[test] for test in ordered)
    return [test for test, end in zip(ordered, total, strict=True) if end < seconds] or ordered[:1]


def attempt(mutation: MutationSpec, tests: list[str], folder: Path, seconds: float) -> str:
    """Apply a mutation to the current folder and run its tests; return what happened."""
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        if not tests or after is None:
            return "not run" if after else "not made"
        (folder / "tests.txt").write_text("\n".join(tests))
        arguments = ("-x", f"--basetemp={folder / 'tmp'}", f"@{folder / 'tests.txt'}")
        child = fork(lambda: run_pytest(*arguments), folder / "log")
        passed = finish(child, 120 + 10 * seconds)
    name = str(mutation.module_path)
    change = difflib.unified_diff(
        before.split("\n"), after.split("\n"), name, name, n=1, lineterm=""
    )
    return "\n".join(change) if passed else KILLED


def work(job: int, given: argparse.Namespace, chosen: list[tuple[int, MutationSpec]]) -> int:
    """Try every ``given.jobs``-th mutation in a copy of its own; add a line of results for each."""
    folder = given.keep / f"job{job}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(given.keep / "copy", folder / "copy")
    enter(folder / "copy")
    for number, mutation in chosen[job :: given.jobs]:
        tests = chosen_tests(mutation, given.keep, given.seconds)
        begin = time.monotonic()
        result = attempt(mutation, tests, folder, given.seconds)
        took = round(time.monotonic() - begin, 1)
        line = {"number": number, "module": str(mutation.module_path), "result": result}
        with (given.keep / "results.jsonl").open("a") as file:
            file.write(
                json.dumps({**line, "tests": len(tests), "limit": given.seconds, "took": took})
                + "\n"
            )
    return 0


def enter(copy: Path) -> None:
    """Go into a copy, and import the package from there; the unchanged modules are compiled."""
    os.chdir(copy)
    sys.path.insert(0, str(copy / "src"))
    os.environ["PYTHONPATH"] = str(copy / "src")
    compileall.compile_dir(
        "src", quiet=1, force=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
    )


def prepare(given: argparse.Namespace) -> None:
    """Copy the tree and measure its tests, if a run before has not done so."""
    copy = given.keep / "copy"
    if not (given.keep / "seconds.json").exists():
        ignored = shutil.ignore_patterns(".*", "__pycache__", "_build", "benchmarks", "dist")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT, copy, ignore=ignored)
        enter(copy)
        finish(fork(lambda: measure(copy), given.keep / "measure.log"), 3600)
        sys.path.remove(str(copy / "src"))


def main() -> None:
    """Try a sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=500, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--only", default="", help="a regular expression of modules' paths")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for each mutant")
    parser.add_argument("--keep", type=Path, help="the folder to begin or go on in")
    given = parser.parse_args()
    os.environ.update(CI="1", OPENBLAS_NUM_THREADS="1")
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=["explicit", "generate"]
    )
    for name in IMPORTED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as temporary:
        given.keep = (given.keep or Path(temporary)).absolute()
        given.keep.mkdir(exist_ok=True)
        prepare(given)
        os.chdir(given.keep / "copy")
        every = mutations()
        chosen = random.Random(given.seed).sample(every, min(given.number, len(every)))  # noqa: S311
        numbered = [
            (k, each)
            for k, each in enumerate(chosen)
            if re.search(given.only, str(each.module_path))
        ]
        kept = results(given.keep)
        todo = [each for each in numbered if not settled(kept.get(each[0]), given.seconds)]
        todo.sort(key=lambda each: each[0] in kept)  # what survived fewer tests comes last
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        children = [fork(functools.partial(work, job, given, todo)) for job in range(given.jobs)]
        for child in children:
            os.waitpid(child, 0)
        kept = results(given.keep)
        sys.exit(report([kept[number] for number, _ in numbered if number in kept], len(every)))


def results(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the last result of each mutant."""
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return {line["number"]: line for line in map(json.loads, lines)}


def settled(result: dict[str, Any] | None, seconds: float) -> bool:
    """Return whether a mutant was killed, or survived tests of at least ``seconds``."""
    return result is not None and (result["result"] == KILLED or result["limit"] >= seconds)


def report(tried: list[dict[str, Any]], number: int) -> bool:
    """Print the survivors and a table; return whether there are too many."""
    areas = Counter(Path(each["module"]).parent.name for each in tried)
    survivors = [each for each in tried if each["result"] != KILLED]
    survived = Counter(Path(each["module"]).parent.name for each in survivors)
    for each in survivors:
        print(f"{each['number']} ({each['tests']} tests): {each['result']}\n")  # noqa: T201
    for area in sorted(areas):
        print(f"{area:10} {areas[area]:4} mutants, {survived[area]:3} not noticed")  # noqa: T201
    share = len(survivors) / max(1, len(tried))
    print(f"{len(tried)} of {number} mutants, {1 - share:.1%} noticed")  # noqa: T201
    return share > ACCEPTED


if __name__ == "__main__":
    main()
