"""Sphinx configuration; build with ``tox run -e docs``."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.cli import get_docs_for_click

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from page import substitutions

# Import before autodoc changes the annotations of pydantic's BaseModel: later models would fail.
import constellr_stac.sandbox.running  # noqa: F401
from constellr_stac.cli.app import app

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
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
nb_execution_mode = "force"  # a cached page would not notice that the code has changed
nb_execution_in_temp = True  # pages write files
nb_execution_timeout = 300  # seconds a cell
nb_merge_streams = True
nb_ipywidgets_js: dict[str, str] = {}  # no scripts of other hosts
html_theme = "furo"
html_title = "constellr_stac"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b3392c", "color-brand-content": "#b3392c"},
    "dark_css_variables": {"color-brand-primary": "#f0876f", "color-brand-content": "#f0876f"},
}

myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_substitutions = substitutions()
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# The docs are built without a network. inventories/ lists the names that pages and docstrings
# use, in Sphinx's first format, which is text; a name that is missing there breaks the build.
_PROJECTS = {
    "distributed": "https://distributed.dask.org/en/stable/",
    "geopandas": "https://geopandas.org/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "odc_geo": "https://odc-geo.readthedocs.io/en/latest/",
    "odc_stac": "https://odc-stac.readthedocs.io/en/latest/",
    "pandas": "https://pandas.pydata.org/docs/",
    "pystac": "https://pystac.readthedocs.io/en/stable/",
    "pystac_client": "https://pystac-client.readthedocs.io/en/stable/",
    "python": "https://docs.python.org/3/",
    "xarray": "https://docs.xarray.dev/en/stable/",
}
_FULL_NAMES = {
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "Path": "pathlib.Path",
    "date": "datetime.date",
    "datetime": "datetime.datetime",
    "gpd.GeoDataFrame": "geopandas.GeoDataFrame",
    "pd.DataFrame": "pandas.DataFrame",
    "pystac.collection.Collection": "pystac.Collection",
    "pystac_client.item_search.ItemSearch": "pystac_client.ItemSearch",
    "timedelta": "datetime.timedelta",
    "xarray.core.dataarray.DataArray": "xarray.DataArray",
    "xarray.core.dataset.Dataset": "xarray.Dataset",
    "xr.DataArray": "xarray.DataArray",
    "xr.Dataset": "xarray.Dataset",
}
intersphinx_mapping = {
    name: (address, f"inventories/{name}.txt") for name, address in _PROJECTS.items()
}


def setup(app: Sphinx) -> None:
    """Generate the commands' page, and correct how the extensions read types and docstrings."""
    app.connect("builder-inited", _write_commands)
    app.connect("missing-reference", _full_name, priority=400)  # before intersphinx
    app.connect("missing-reference", _type_as_text, priority=900)  # and after it
    app.connect("autodoc-process-docstring", _no_type_before_a_colon, priority=400)


def _write_commands(_app: Sphinx) -> None:
    """Write what typer knows of each command to a file that ``commands.md`` includes."""
    command = typer.main.get_command(app)
    for group in (command, *command.commands.values()):
        for each in getattr(group, "commands", {}).values():
            each.short_help = each.help.partition("\n\n")[0]  # typer cuts it at 45 characters
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="constellr")
    text = text.replace("\b", "")  # click's mark of lines that stay as they are
    text = re.sub(r"^  (?=\S)", "    ", text, flags=re.MULTILINE)  # examples are code
    text = re.sub(r"^(Examples?:)$", r"\1\n", text, flags=re.MULTILINE)
    path = Path(__file__).parent / "_build" / "commands.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.partition("\n")[2])  # commands.md has the title


def _full_name(
    _app: Sphinx, _env: BuildEnvironment, node: pending_xref, _content: TextElement
) -> None:
    """Name a type as its own documentation does, not as the module that is annotated."""
    target = node["reftarget"]
    node["reftarget"] = _FULL_NAMES.get(target, target)


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
