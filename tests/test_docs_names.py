"""What the pages in ``docs/`` are called."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BUILT = {"search", "genindex", "modindex", "py-modindex"}
"""Pages that Sphinx writes itself, over one of ours that has the same name."""


def test_no_page_is_written_over() -> None:
    """Each page is in the sidebar, and none has a name that Sphinx keeps for a page of its own."""
    pages = {path.stem for path in DOCS.glob("*.md")}
    sidebar = set((DOCS / "index.md").read_text().splitlines())
    assert pages & BUILT == set()
    assert pages - {"index"} <= sidebar
