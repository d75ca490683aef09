"""Write constraints that hold every direct dependency at the lowest version it is allowed.

``python .ci/lowest.py FILE`` reads ``pyproject.toml``: the dependencies, the extras and the
group of the tests. What those depend on in turn is pip's choice.
"""

from __future__ import annotations

import sys
import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement

settings = tomllib.loads(Path("pyproject.toml").read_text())
project = settings["project"]
requirements = chain(
    project["dependencies"],
    *project["optional-dependencies"].values(),
    settings["dependency-groups"]["tests"],
)
lowest = set()
for requirement in map(Requirement, requirements):
    if requirement.name == project["name"]:
        continue  # an extra made of extras
    (bound,) = (clause for clause in requirement.specifier if clause.operator == ">=")
    marker = f"; {requirement.marker}" if requirement.marker else ""
    lowest.add(f"{requirement.name}=={bound.version}{marker}\n")
Path(sys.argv[1]).write_text("".join(sorted(lowest)))
