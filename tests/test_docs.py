"""The examples and the reference in ``docs/`` are correct."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text()
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
}
BLOCK = re.compile(r"^ *```(\S[^\n]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"\b(py|python3?|pycon|ipython3?|doctest|testcode)\b")
PYTEST = ":caption: test_report.py"
MEASURED = re.compile(r"\d+ times (?:as|faster|slower|less|more)|takes \d[\d.]* (?:m?s|MiB|MB)\b")
"""A speed or a size that somebody measured."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Return each block's first line, without the fence, and what is below it."""
    return [(kind, textwrap.dedent(below)) for kind, below in BLOCK.findall(PAGES[page])]


DOCUMENTED = re.compile(r"^\.\. (?:auto\w+|py:data):: (?:[\w.]+\.)?(\w+)$", re.MULTILINE)
MODULES = ("", ".cluster", ".downloads", ".orders", ".plot", ".sandbox")
"""The package, and its modules with public names."""


@pytest.mark.parametrize("page", PAGES)
def test_pages_hide_no_code(page: str) -> None:
    """Python is a cell, which the build runs as shown, or says above it that it is not run."""
    for kind, below in blocks(page):
        if kind == "{code-cell}":
            assert not below.startswith((":", "---")), (
                "an option of a cell may hide it or its errors"
            )
        else:
            assert not PYTHON.search(kind) or below.startswith((":caption: Not run here: ", PYTEST))
    is_run = PAGES[page].startswith("---\nfile_format: mystnb\n")
    assert is_run == ("{code-cell}" in PAGES[page])


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if ":caption:" in text])
def test_python_that_is_not_run_matches_the_api(page: str) -> None:
    """It parses, and its names and keyword arguments exist."""
    for kind, below in blocks(page):
        if not PYTHON.search(kind):
            continue
        for node in ast.walk(ast.parse(below.partition("\n\n")[2])):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("constellr_stac."):
                resolve(ast.unparse(node))
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("constellr_stac."):
                keywords = {word.arg: ... for word in node.keywords if word.arg}
                signature = inspect.signature(resolve(ast.unparse(node.func)))
                signature.bind_partial(*node.args, **keywords)


@pytest.mark.parametrize("page", PAGES)
def test_names_on_pages_exist(page: str) -> None:
    """Every dotted name of the package that a page mentions can be imported."""
    for name in re.findall(r"\bconstellr_stac(?:\.[A-Za-z]\w*)+", PAGES[page]):
        resolve(name)


def test_numbers_of_benchmarks_come_from_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show what ``benchmarks/results`` has, all of it; no measured number is typed."""
    monkeypatch.syspath_prepend(DOCS.parent / "benchmarks")
    shown = {name for text in PAGES.values() for name in re.findall(r"\{\{ (\w+) \}\}", text)}
    assert shown == import_module("page").substitutions().keys()
    typed = re.sub(r"```.*?```|\{\{.*?\}\}", "", PAGES["benchmarks"], flags=re.DOTALL)
    assert re.findall(r"\b\d\S*", typed) == []
    others = [*PAGES.values(), (DOCS.parent / "README.md").read_text()]
    assert [found for text in others for found in MEASURED.findall(text)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("tutorials/")])
def test_tutorials_open_with_a_question_and_say_what_is_next(page: str) -> None:
    """The first paragraph is one question; the last section leads on."""
    _, opening, *_ = PAGES[page].partition("\n# ")[2].split("\n\n")
    assert re.fullmatch(r"\*[^*]+\?\*", opening)
    assert "](" in PAGES[page].rpartition("\n## ")[2]


@pytest.mark.slow
def test_cells_of_a_page_run_when_pasted(tmp_path: Path) -> None:
    """One page, chosen by the commit, since the build of the documentation runs all of them."""
    pages = [page for page, text in PAGES.items() if "{code-cell}" in text]
    command = ["git", "rev-parse", "--short=7", "HEAD"]
    head = subprocess.run(command, cwd=DOCS, capture_output=True, check=False, text=True)
    page = pages[int(head.stdout or "0", base=16) % len(pages)]
    code = "\n".join(below for kind, below in blocks(page) if kind == "{code-cell}")
    environment = {**os.environ, "MPLBACKEND": "agg"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, f"{page}: {run.stderr}"


@pytest.mark.slow
def test_the_page_on_tests_has_tests_that_pass(tmp_path: Path) -> None:
    """Its blocks, saved as they are in a file, are run by pytest with the installed plugin."""
    page = blocks("how_to/test_your_program")
    parts = [below.partition("\n\n")[2] for _, below in page if below.startswith(PYTEST)]
    (tmp_path / "test_report.py").write_text("\n\n".join(parts))
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (run.returncode, run.stdout.count("3 passed")) == (0, 1), run.stdout


def resolve(name: str) -> Any:
    """Return the object that a dotted name refers to."""
    try:
        return pkgutil.resolve_name(name)
    except (AttributeError, ImportError) as error:
        raise AssertionError(f"There is no {name}") from error


@pytest.mark.parametrize("room", MODULES)
def test_every_public_name_is_in_the_reference(room: str) -> None:
    """Every public name is documented on a page."""
    documented = {name for text in PAGES.values() for name in DOCUMENTED.findall(text)}
    module = import_module(f"constellr_stac{room}")
    names = {name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)}
    assert names - documented == set()
