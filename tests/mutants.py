"""Change one token of the core at a time, and see whether a test fails: ``tox run -e mutants``.

``python tests/mutants.py [--number 500] [--seed 1] [--only RE]``. cosmic-ray changes a
copy of the tree. For each mutant the quick tests run that reach its line in a run without changes.
Prints the mutants that no test notices, and fails if they are more than one in twenty.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_and_test
from coverage.numbits import numbits_to_nums

if TYPE_CHECKING:
    from cosmic_ray.work_item import MutationSpec

CORE = ("auth", "signing", "reading", "layers", "cube", "orders")
ROOT = Path(__file__).parents[1]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
TIMEOUT = 300.0  # seconds; a mutant that never ends counts as noticed
ACCEPTED = 0.05  # the share of mutants that may survive

Reached = dict[str, dict[int, set[str]]]


def reached_lines(copy: Path) -> Reached:
    """Run the quick tests of the core; return the tests that reach each line of each module."""
    folders = [f"tests/{name}" for name in CORE]
    options = ["-n", "2", "--cov=constellr_stac", "--cov-context=test", "--cov-report="]
    subprocess.run([*PYTEST, *options, *folders], cwd=copy, env=environment(copy), check=False)
    reached: Reached = defaultdict(lambda: defaultdict(set))
    with sqlite3.connect(copy / ".coverage") as data:
        rows = data.execute(
            "select path, context, numbits from line_bits join file on file.id = file_id "
            "join context on context.id = context_id"
        )
        for path, context, lines in rows:
            test = context.partition("|")[0]
            for line in numbits_to_nums(lines):
                reached[path][line].add(test)
    return reached


def environment(copy: Path) -> dict[str, str]:
    """Return the environment in which the copy is imported and nothing is cached."""
    return {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


def mutations(copy: Path) -> list[MutationSpec]:
    """Return all mutations of the core's code, annotations left out."""
    modules = [p for name in CORE for p in (copy / "src/constellr_stac" / name).glob("*.py")]
    hints = {module: annotated(module) for module in modules}
    return [
        mutation
        for item in _all_work_items(sorted(modules), {})
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


def survives(mutation: MutationSpec, reached: Reached, copy: Path) -> str | None:
    """Apply a mutation and run its tests; return the change if all of them pass."""
    lines = reached[str(mutation.module_path)]
    span = range(mutation.start_pos[0], mutation.end_pos[0] + 1)
    tests = set().union(*(lines[line] for line in span)) - {""}
    if not tests:  # executed at import
        tests = set().union(*lines.values()) - {""}
    arguments = copy / "tests.txt"
    arguments.write_text("\n".join(sorted(tests)))
    command = shlex.join([*PYTEST, "-x", f"@{arguments}"]) if tests else "true"
    result = mutate_and_test([mutation], command, TIMEOUT)
    return None if result.is_killed else result.diff or f"{mutation} cannot be made"


def main() -> None:
    """Try a sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=500, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--only", default="", help="a regular expression of modules' paths")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "docs", "benchmarks", "dist")
        shutil.copytree(ROOT, copy, ignore=ignored)
        os.environ.update(environment(copy))
        os.chdir(copy)
        reached, every = reached_lines(copy), mutations(copy)
        chosen = random.Random(given.seed).sample(every, min(given.number, len(every)))  # noqa: S311
        chosen = [each for each in chosen if re.search(given.only, str(each.module_path))]
        tried, survived = Counter[str](), Counter[str]()
        for number, mutation in enumerate(chosen):
            area = mutation.module_path.parent.name
            tried[area] += 1
            change = survives(mutation, reached, copy)
            survived[area] += change is not None
            if change is not None:
                print(f"{number}: {mutation.operator_name}\n{change}", flush=True)  # noqa: T201
    for area in sorted(tried):
        print(f"{area:10} {tried[area]:4} mutants, {survived[area]:3} not noticed")  # noqa: T201
    share = survived.total() / tried.total()
    print(f"{tried.total()} of {len(every)} mutants, {1 - share:.1%} noticed")  # noqa: T201
    sys.exit(share > ACCEPTED)


if __name__ == "__main__":
    main()
