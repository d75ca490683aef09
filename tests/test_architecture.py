"""Import rules, module size, public names and import cost of the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import constellr_stac

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = Path(constellr_stac.__file__).parent

LEVELS = (
    {"_local", "_pushed", "_secret", "_text", "limits"},
    {"_process", "_refresh", "errors"},
    {"_files", "config"},
    {"auth", "geometry"},
    {"stac.items"},
    {"layers", "signing"},
    {"stac", "orders"},
    {"reading"},
    {"cube", "downloads"},
    {"cluster", "delivery", "analysis", "plot"},
    {"accessor"},
    {"cli"},
)
"""Import levels: a package imports only from levels above its own in this list."""

SANDBOX = "sandbox"
"""Imports base modules only, and is imported by the command line only."""

BASE = {"errors", "config", "_secret", "_text", "limits"}

PUBLIC = {
    "ApiKey",
    "ConstellrAuth",
    "Limits",
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
    "open_cube",
    "orders",
    "plot",
    "request_modifier",
    "sandbox",
    "scenes",
    "search_order",
    "share_credentials",
    "sign",
    "sign_inplace",
    "stable",
    *constellr_stac._NAMES["errors"],
}


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}
"""Every module of the package by its dotted name."""


def imports(name: str, path: Path) -> set[str]:
    """Return the package's modules that a module imports, also inside functions."""
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
    return {t if t in MODULES else t.rpartition(".")[0] for t in found} - {name}


def package(name: str) -> str:
    """Return the module or subpackage directly below ``constellr_stac``."""
    return name.partition(".")[0]


@cache
def graph() -> dict[str, set[str]]:
    """Return the package's modules and what of the package each imports."""
    return {name: imports(name, path) for name, path in MODULES.items()}


def level_entry(name: str) -> str:
    """Return the entry of :data:`LEVELS` for a module."""
    listed = set().union(*LEVELS)
    return name if name in listed else package(name)


def test_contributing_names_modules_that_exist() -> None:
    """Every path in the map of the package is one of a module."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`([a-z_]+/[a-z_0-9]+\.py)`", text)
    missing = {path for path in paths if not (PACKAGE / path).exists()}
    assert len(paths) > 30
    assert missing - {"tests/test_architecture.py"} == set()


def test_every_package_has_a_level() -> None:
    """LEVELS lists every package, and no package that does not exist."""
    assert {level_entry(name) for name in MODULES} - {SANDBOX} == set().union(*LEVELS)


def test_imports_point_down() -> None:
    """A module imports only from lower levels and from its own package."""
    level = {entry: number for number, entries in enumerate(LEVELS) for entry in entries}

    def allowed(name: str, target: str) -> bool:
        if package(name) == package(target):
            return True
        if package(name) == SANDBOX:
            return package(target) in BASE
        if package(target) == SANDBOX:
            return package(name) == "cli"
        return level[level_entry(target)] < level[level_entry(name)]

    pairs = [(name, target) for name, targets in graph().items() for target in targets]
    assert [pair for pair in pairs if not allowed(*pair)] == []


def test_no_circular_imports() -> None:
    """Also within subpackages."""
    TopologicalSorter(graph()).prepare()


EXTRA_MODULES = {"cluster", "plot", "sandbox"}
"""Modules that belong to an extra, which provides their imports."""

DECLARED = [Requirement(text) for text in requires("constellr-stac") or ()]
KNOWN = {canonicalize_name(one.name) for one in DECLARED}
REQUIRED = {canonicalize_name(one.name) for one in DECLARED if "extra" not in str(one.marker)}
OPTIONAL = {"pytest", "tqdm"}
"""Imported only if they are installed."""


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return the distributions that provide each top-level package."""
    return packages_distributions()


def test_imports_are_declared() -> None:
    """Module-level imports are dependencies; others belong at least to an extra."""
    undeclared = []
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        deferred = {part for node in ast.walk(tree) if is_deferred(node) for part in ast.walk(node)}
        for node in ast.walk(tree):
            allowed = KNOWN if node in deferred or package(name) in EXTRA_MODULES else REQUIRED
            for other in third_party(node) - OPTIONAL:
                provided = {canonicalize_name(each) for each in distributions()[other]}
                undeclared += [] if allowed & provided else [(name, other)]
    assert undeclared == []


def is_deferred(node: ast.AST) -> bool:
    """Return whether ``node`` is not executed on import of its module."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def third_party(node: ast.AST) -> set[str]:
    """Return the third-party packages that an import statement names."""
    if isinstance(node, ast.Import):
        names = {package(alias.name) for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = {package(node.module or "")}
    else:
        names = set()
    return names - sys.stdlib_module_names - {"constellr_stac"}


def test_modules_are_small() -> None:
    """At most 300 lines; the tree of errors is one module, though longer."""
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name for name, count in lines.items() if count > 300} <= {"errors"}


def test_public_names() -> None:
    """They are the promised ones, each is documented, and no module name hides one."""
    assert set(constellr_stac.__all__) == PUBLIC
    assert set(dir(constellr_stac)) == PUBLIC
    assert [name for name in PUBLIC if not getattr(constellr_stac, name).__doc__] == []
    hidden = {package(name) for name in MODULES} & PUBLIC
    assert hidden == {"errors", "orders", "plot", "sandbox"}  # public modules


def test_public_names_match_the_type_checking_imports() -> None:
    """The lazy imports equal those under TYPE_CHECKING."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == constellr_stac._HOME | dict.fromkeys(constellr_stac._MODULES)


def test_unknown_name_raises_attribute_error() -> None:
    """With the usual message of a module."""
    with pytest.raises(AttributeError, match="module 'constellr_stac' has no attribute 'lod'"):
        import_module("constellr_stac").lod  # noqa: B018 - the access is under test


FORK = """
import os, sys, {imports}

def fork(target, *args):
    process = os.fork()
    if not process:
        target(*args)
        sys.stderr.flush()
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        sys.exit(f"{{args}} failed")
"""
"""Call functions in forks of a process that has imported libraries, which takes longest."""


def test_accessor_is_registered_by_loaders() -> None:
    """``cube.constellr`` needs no import of its own."""
    code = (
        FORK.format(imports="dask.array, pandas, rasterio, xarray")
        + """
def use(loading):
    import constellr_stac, xarray
    getattr(constellr_stac, loading)
    xarray.Dataset.constellr
for loading in ("load", "load_order", "open_cube"):
    fork(use, loading)
"""
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_threads_that_use_different_names_first_at_once_get_them() -> None:
    """None is given a module of odc.geo or shapely that another thread has begun to import."""
    code = (
        FORK.format(imports="dask.array, pandas, rasterio, xarray")
        + """
def at_once():
    import threading, constellr_stac
    constellr_stac.open_client
    names, failed = ("load", "download"), []
    together = threading.Barrier(len(names))
    def use(name):
        together.wait()
        try:
            getattr(constellr_stac, name)
        except Exception as error:
            failed.append((name, error))
    threads = [threading.Thread(target=use, args=(name,)) for name in names]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if failed:
        sys.exit(repr(failed))
assert not {"odc", "shapely"} & sys.modules.keys()
for _ in range(4):  # without care, two of three fail
    fork(at_once)
"""
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_that_parse_the_first_documents_at_once_get_them_whole() -> None:
    """All see the extensions of pystac, which it looks for when it parses the first document."""
    code = """
import sys, threading, constellr_stac, pystac
constellr_stac.open_client
item = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "geometry": None, "links": [],
        "assets": {}, "properties": {"datetime": "2023-06-24T11:23:58Z", "proj:epsg": 32613},
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"]}
found, together = [], threading.Barrier(8)
def code():
    return pystac.Item.from_dict(item).properties.get("proj:code")
def parse():
    together.wait()
    try:
        found.append(code())
    except Exception as error:
        found.append(repr(error))
threads = [threading.Thread(target=parse) for _ in range(8)]
sys.setswitchinterval(1e-5)
for thread in threads: thread.start()
for thread in threads: thread.join()
raise SystemExit(0 if found == [code()] * 8 else repr(found))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_loads_no_dependencies() -> None:
    """``import constellr_stac`` loads itself and the standard library only.

    The time is measured by ``benchmarks/importing.py``.
    """

    def loaded_by(statement: str) -> set[str]:
        code = f"import sys; {statement}; print(*sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True
        )
        return set(run.stdout.split())

    ours = {package(name) for name in loaded_by("import constellr_stac") - loaded_by("pass")}
    assert ours - sys.stdlib_module_names == {"constellr_stac"}
