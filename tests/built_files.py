"""Check an sdist and a wheel: ``python built_files.py FOLDER AGAIN`` (``tox run -e dist``).

Two builds of the same tree are equal; the wheel holds the package and nothing else; the sdist holds
what its own tests need.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

LARGEST = 6 << 20  # bytes; the sandbox's scenes are most of it


def main(folder: Path, again: Path) -> None:
    """Check both files."""
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    for path in (sdist, wheel):
        assert path.read_bytes() == (again / path.name).read_bytes(), f"{path.name} differs"
        assert path.stat().st_size < LARGEST, f"{path.name} has {path.stat().st_size} bytes"
    wheel_names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"constellr_stac"}, tops
    assert "constellr_stac/py.typed" in wheel_names
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    modules = {name.removeprefix("src/") for name in names if name.startswith("src/")}
    assert wheel_names >= {name for name in modules if name.endswith(".py")}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py", "tox.ini"} <= names
    left = {name for name in names if name.endswith((".pyc", ".part")) or "/." in name}
    assert not left, left
    print(f"{sdist.name}: {len(names)} files; {wheel.name}: {len(wheel_names)} files")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
