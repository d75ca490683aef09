"""The house as its plan has it: who may know whom, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import constellr_stac

PACKAGE = Path(constellr_stac.__file__).parent

LEVELS = (
    {"_pushed", "_secret", "_text"},
    {"_process", "_refresh", "errors"},
    {"_files", "config"},
    {"auth"},
    {"stac.items"},
    {"layers", "signing"},
    {"stac", "orders"},
    {"reading"},
    {"cube", "downloads"},
    {"cluster", "delivery", "analysis", "plot"},
    {"accessor"},
    {"cli"},
)
"""Who may import whom: a package imports only from the levels above its own in this list."""

SANDBOX = "sandbox"
"""Imports the base modules only, and only the command line imports it."""

BASE = {"errors", "config", "_secret", "_text"}

PUBLIC = {
    "ApiKey",
    "ConstellrAuth",
    "OdcDriver",
    "Password",
    "Signer",
    "StackstacReader",
    "Token",
    "check_workers",
    "default_credential",
    "describe",
    "download",
    "errors",
    "explain",
    "follow",
    "load",
    "load_order",
    "make_request_modifier",
    "open_client",
    "orders",
    "plot",
    "request_modifier",
    "sandbox",
    "search_order",
    "share_credentials",
    "sign",
    "sign_inplace",
    "stable",
    *constellr_stac._NAMES["errors"],
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name within it."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    }


def imports(name: str, path: Path) -> set[str]:
    """Return the modules of this package that a module imports, inside functions too."""
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = parent.split(".")[: -(node.level - 1) or None] if parent else []
            base = ["constellr_stac", *up] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            targets = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {t.removeprefix("constellr_stac.") for t in targets if t.startswith("constellr_")}
    known = modules()
    return {t if t in known else t.rpartition(".")[0] for t in found} - {name}


def package(name: str) -> str:
    """Return the module or subpackage directly below ``constellr_stac``."""
    return name.partition(".")[0]


GRAPH = {name: imports(name, path) for name, path in modules().items()}


def place(name: str) -> str:
    """Return the entry of :data:`LEVELS` that a module belongs to."""
    listed = set().union(*LEVELS)
    return name if name in listed else package(name)


def test_every_package_has_a_level() -> None:
    """A new package gets a level, and one that is gone is removed from the list."""
    assert {place(name) for name in GRAPH} - {SANDBOX} == set().union(*LEVELS)


@pytest.mark.parametrize("name", GRAPH)
def test_imports_point_down(name: str) -> None:
    """A module imports only from lower levels, and from its own package."""
    level = {entry: number for number, entries in enumerate(LEVELS) for entry in entries}
    others = {target for target in GRAPH[name] if package(target) != package(name)}
    if package(name) == SANDBOX:
        assert {package(target) for target in others} <= BASE
        return
    if package(name) != "cli":
        assert SANDBOX not in {package(target) for target in others}
    upward = {t for t in others if package(t) != SANDBOX and level[place(t)] >= level[place(name)]}
    assert not upward


def test_no_circles() -> None:
    """No two modules need each other, within a subpackage either."""
    TopologicalSorter(GRAPH).prepare()


EXTRA_ROOMS = {"cluster", "plot", "sandbox"}
"""Rooms that are an extra as a whole: what they import comes with it."""

DECLARED = [Requirement(text) for text in requires("constellr-stac") or ()]
AT_ALL = {canonicalize_name(one.name) for one in DECLARED}
ALWAYS = {canonicalize_name(one.name) for one in DECLARED if "extra" not in str(one.marker)}
IF_THERE = {"pytest", "tqdm"}
"""Imported only where somebody else has brought them."""
HOMES = packages_distributions()


@pytest.mark.parametrize("name", GRAPH)
def test_imports_are_declared(name: str) -> None:
    """What a module needs to be imported is a dependency; the rest at least an extra."""
    tree = ast.parse(modules()[name].read_text())
    later = {inner for node in ast.walk(tree) if lazy(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        allowed = AT_ALL if node in later or package(name) in EXTRA_ROOMS else ALWAYS
        for other in foreign(node) - IF_THERE:
            assert allowed & {canonicalize_name(home) for home in HOMES[other]}, other


def lazy(node: ast.AST) -> bool:
    """Say whether what is in ``node`` is not done when its module is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def foreign(node: ast.AST) -> set[str]:
    """Return the packages that an import statement names, other than ours and Python's."""
    if isinstance(node, ast.Import):
        names = {package(alias.name) for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = {package(node.module or "")}
    else:
        names = set()
    return names - sys.stdlib_module_names - {"constellr_stac"}


def test_rooms_are_small() -> None:
    """A module fits in the head."""
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_public_names() -> None:
    """The public names are the promised ones, each documented, and no module hides one."""
    assert set(constellr_stac.__all__) == PUBLIC
    assert set(dir(constellr_stac)) == PUBLIC
    assert [name for name in PUBLIC if not getattr(constellr_stac, name).__doc__] == []
    hidden = {package(name) for name in GRAPH} & PUBLIC
    assert hidden == {"errors", "orders", "plot", "sandbox"}  # these are modules on purpose


def test_public_names_are_what_type_checkers_see() -> None:
    """What is imported when used is what a type checker reads."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == constellr_stac._HOME | dict.fromkeys(constellr_stac._MODULES)


def test_unknown_name() -> None:
    """A name that is not there is an AttributeError like any other module's."""
    with pytest.raises(AttributeError, match="module 'constellr_stac' has no attribute 'lod'"):
        import_module("constellr_stac").lod  # noqa: B018 - the access is the test


@pytest.mark.parametrize("loading", ["load", "load_order"])
def test_cubes_have_their_accessor(loading: str) -> None:
    """Whoever can load a cube can say ``cube.constellr``, without an import of its own."""
    code = f"import constellr_stac, xarray; constellr_stac.{loading}; xarray.Dataset.constellr"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_light() -> None:
    """``import constellr_stac`` loads nothing but itself and Python's own.

    How long that takes is measured by ``benchmarks/importing.py``.
    """

    def loaded_by(statement: str) -> set[str]:
        code = f"import sys; {statement}; print(*sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True
        )
        return set(run.stdout.split())

    ours = {package(name) for name in loaded_by("import constellr_stac") - loaded_by("pass")}
    assert ours - sys.stdlib_module_names == {"constellr_stac"}
