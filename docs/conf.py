"""Sphinx configuration; build with ``tox run -e docs``."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import TYPE_CHECKING

# Import before autodoc changes the annotations of pydantic's BaseModel: later models would fail.
import constellr_stac.sandbox.running  # noqa: F401

if TYPE_CHECKING:
    from docutils.nodes import TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "constellr_stac"
author = "The constellr_stac developers"
project_copyright = author
release = installed("constellr-stac")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
nb_merge_streams = True
html_theme = "furo"
html_title = "constellr_stac"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b3392c", "color-brand-content": "#b3392c"},
    "dark_css_variables": {"color-brand-primary": "#f0876f", "color-brand-content": "#f0876f"},
}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

doctest_test_doctest_blocks = ""  # pytest runs those in docstrings
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# References to other projects are not linked: the docs are built without a network.
nitpick_ignore_regex = [
    (r"py:.*", r"(dask|distributed|odc|pystac|pystac_client|stackstac|warnings|xarray)\..*"),
]


def setup(app: Sphinx) -> None:
    """Correct how the extensions read types and docstrings."""
    app.connect("missing-reference", _type_as_text)
    app.connect("autodoc-process-docstring", _no_type_before_a_colon, priority=400)


def _type_as_text(
    _app: Sphinx, _env: BuildEnvironment, node: pending_xref, content: TextElement
) -> TextElement | None:
    """Render an undocumented type in a signature as text; other references must resolve."""
    written_by_hand = "refexplicit" in node
    return None if written_by_hand else content


def _no_type_before_a_colon(
    _app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading "How often: weekly" as type and description."""
    if what in {"attribute", "data", "property"}:
        lines[:1] = [line.replace(": ", "\N{RATIO} ") for line in lines[:1]]
