"""Run the tests of odc-loader, odc-stac, stackstac and pystac-client with our parts in theirs.

The tests come from the source distributions of the installed versions. :mod:`upstream_plugin` says
which tests do not apply, and why.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
SUITES = {
    "odc-loader": ("src/odc/loader", "src"),
    "odc-stac": ("tests", "."),
    "stackstac": ("stackstac/tests", "."),
    "pystac-client": ("tests", "."),
}
"""The tests of a distribution, and the folder of its modules."""

NOT_RUN = {
    "stackstac": ["test_stac_types.py"],  # needs sat-stac
    # These need helpers, data and recordings that are not distributed.
    "pystac-client": [
        f"test_{name}.py"
        for name in (
            "base_search", "cli", "client", "collection_client", "collection_search",
            "item_search", "stac_api_io", "warnings",
        )
    ],
}  # fmt: skip
"""Modules that cannot be imported."""


def sources(name: str, folder: str) -> Path:
    """Download and unpack the source distribution of the installed version."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
         f"{name}=={version(name)}", "-d", folder],
        check=True,
    )  # fmt: skip
    (archive,) = Path(folder).glob(f"{name.replace('-', '[-_]')}-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def run(name: str) -> int:
    """Run one suite; return pytest's exit code."""
    tests, modules = SUITES[name]
    with tempfile.TemporaryDirectory() as folder:
        root = sources(name, folder)
        path = [str(HERE), str(root / modules), os.environ.get("PYTHONPATH", "")]
        ignored = [f"--ignore={root / tests / module}" for module in NOT_RUN.get(name, ())]
        print(f"{name} {version(name)}", flush=True)  # noqa: T201 - a program's output
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "upstream_plugin", "-c", os.devnull,
             "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "ignore",
             "-o", "consider_namespace_packages=true", f"--rootdir={root}", *ignored, tests],
            check=False, cwd=root, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(max(run(name) for name in sys.argv[1:] or SUITES))
