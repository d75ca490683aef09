"""File names of the pages in ``docs/``."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BUILT = {"search", "genindex", "modindex", "py-modindex"}
"""Pages that Sphinx generates; it would overwrite a page of that name."""


def test_page_names_are_listed_and_not_reserved() -> None:
    """Each page is in the sidebar, and none has a name that Sphinx generates."""
    found = (path.relative_to(DOCS) for path in DOCS.rglob("*.md") if "_build" not in path.parts)
    pages = {path.with_suffix("").as_posix() for path in found}
    sidebar = set((DOCS / "index.md").read_text().splitlines())
    assert pages & BUILT == set()
    assert pages - {"index"} <= sidebar
