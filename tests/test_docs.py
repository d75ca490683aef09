"""What the pages in ``docs/`` say is so."""

from __future__ import annotations

import ast
import contextlib
import doctest
import inspect
import io
import os
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.stem: path.read_text() for path in sorted(DOCS.glob("*.md"))}
BLOCK = re.compile(
    r"^```\{(?P<kind>test\w+)\}[^\n]*\n(?:^:[^\n]*\n)*(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
DOCUMENTED = re.compile(r"^\.\. (?:auto\w+|py:data):: (?:[\w.]+\.)?(\w+)$", re.MULTILINE)
ROOMS = ("", ".cluster", ".downloads", ".orders", ".plot", ".sandbox")
"""The package, and the modules of it whose names are public as well."""


@pytest.fixture
def _own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a page does to the environment and the working directory ends with it."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("_own_place")
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```{testcode}" in text])
def test_the_examples_of_a_page_run(page: str) -> None:
    """One after another, as somebody would type them, and print what the page says."""
    blocks = [(found["kind"], found["text"]) for found in BLOCK.finditer(PAGES[page])]
    said: dict[str, Any] = {}
    printed = ""
    try:
        for kind, text in blocks:
            if kind in ("testsetup", "testcode"):
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(text, said)  # noqa: S102 - the page's own code
                printed = out.getvalue()
            elif kind == "testoutput":
                assert doctest.OutputChecker().check_output(text, printed, doctest.ELLIPSIS), (
                    printed
                )
    finally:
        for kind, text in blocks:
            if kind == "testcleanup":
                exec(text, said)  # noqa: S102 - likewise


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python" in text])
def test_examples_that_need_an_account_name_what_there_is(page: str) -> None:
    """What cannot be run here is Python all the same, and calls what there is as it can be."""
    for text in re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE):
        prompts = re.findall(r"^>>> (.*)$", text, re.MULTILINE)
        for node in ast.walk(ast.parse("\n".join(prompts) or text)):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("constellr_stac."):
                named(node)
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("constellr_stac."):
                keywords = {word.arg: ... for word in node.keywords if word.arg}
                inspect.signature(named(node.func)).bind_partial(*node.args, **keywords)


def named(node: ast.expr) -> Any:
    """Return what a dotted name of the package stands for."""
    try:
        return pkgutil.resolve_name(ast.unparse(node))
    except AttributeError as error:
        raise AssertionError(f"There is no {ast.unparse(node)}") from error


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_reference(room: str) -> None:
    """What may be imported is explained on a page."""
    documented = {name for text in PAGES.values() for name in DOCUMENTED.findall(text)}
    module = import_module(f"constellr_stac{room}")
    names = {name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)}
    assert names - documented == set()
