"""The examples and the reference in ``docs/`` are correct."""

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
MODULES = ("", ".cluster", ".downloads", ".orders", ".plot", ".sandbox")
"""The package, and its modules with public names."""


@pytest.fixture
def _isolated_process_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Restore the environment and the working directory after a page."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("_isolated_process_state")
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```{testcode}" in text])
def test_page_examples_run(page: str) -> None:
    """In order, with the output that the page shows."""
    blocks = [(found["kind"], found["text"]) for found in BLOCK.finditer(PAGES[page])]
    namespace: dict[str, Any] = {}
    printed = ""
    try:
        for kind, text in blocks:
            if kind in ("testsetup", "testcode"):
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(text, namespace)  # noqa: S102 - code of the page
                printed = out.getvalue()
            elif kind == "testoutput":
                assert doctest.OutputChecker().check_output(text, printed, doctest.ELLIPSIS), (
                    printed
                )
    finally:
        for kind, text in blocks:
            if kind == "testcleanup":
                exec(text, namespace)  # noqa: S102 - code of the page


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python" in text])
def test_python_blocks_match_the_api(page: str) -> None:
    """Examples that need an account parse, and their names and keyword arguments exist."""
    for text in re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE):
        prompts = re.findall(r"^>>> (.*)$", text, re.MULTILINE)
        for node in ast.walk(ast.parse("\n".join(prompts) or text)):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("constellr_stac."):
                resolve(node)
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("constellr_stac."):
                keywords = {word.arg: ... for word in node.keywords if word.arg}
                inspect.signature(resolve(node.func)).bind_partial(*node.args, **keywords)


def resolve(node: ast.expr) -> Any:
    """Return the object that a dotted name refers to."""
    try:
        return pkgutil.resolve_name(ast.unparse(node))
    except AttributeError as error:
        raise AssertionError(f"There is no {ast.unparse(node)}") from error


@pytest.mark.parametrize("room", MODULES)
def test_every_public_name_is_in_the_reference(room: str) -> None:
    """Every public name is documented on a page."""
    documented = {name for text in PAGES.values() for name in DOCUMENTED.findall(text)}
    module = import_module(f"constellr_stac{room}")
    names = {name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)}
    assert names - documented == set()
