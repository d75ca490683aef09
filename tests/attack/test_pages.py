"""Terminals: text of a server reaches no table, error or file name with control characters."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest

import constellr_stac
from constellr_stac import ApiKey, open_client
from constellr_stac._text import shown
from constellr_stac.errors import ConstellrError
from ordering import wish
from replaying import Replayed, replaying
from shell import constellr, converse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from replaying import Replaying

HOSTILE = "a\x1b[2J\r\x07\x9b1m\u202efft\u2066\x00"
OWN_SEQUENCES = re.compile(r"\x1b\[([0-9;]*m|\?25[hl]|1A|2K)|\r")
"""Colours, and what redraws a line while the command waits."""
LANDING = {"type": "Catalog", "id": "a", "description": "", "stac_version": "1.0.0", "links": []}
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": HOSTILE,
    "collection": HOSTILE,
    "geometry": {"type": "Point", "coordinates": [8, 49]},
    "bbox": [8, 49, 8, 49],
    "properties": {"datetime": "2026-06-01T00:00:00Z", "title": HOSTILE},
    "links": [],
}


@pytest.fixture
def server() -> Iterator[Replaying]:
    """Return an API that says the same wherever it may."""
    with replaying() as server:
        asset = {"href": f"{server.url}/{HOSTILE}.tiff", "title": HOSTILE, "type": "image/tiff"}
        item = {**ITEM, "assets": {HOSTILE: asset}}
        order = {**wish("a"), "id": HOSTILE, "state": HOSTILE, "comment": HOSTILE}
        server.answers["/stac"] = _json({**LANDING, "title": HOSTILE})
        server.answers["/stac/search"] = _json({"features": [item], "links": []})
        server.answers["/orders"] = _json({"count": 1, "items": [order]})
        server.answers["/products"] = Replayed(json.dumps({"detail": HOSTILE}).encode(), 422)
        yield server


def _json(content: Any) -> Replayed:
    return Replayed(json.dumps(content).encode())


@pytest.mark.parametrize("command", ["search --json", "orders list", "products"])
def test_pages_hold_no_control_characters(command: str, server: Replaying) -> None:
    """Neither a table nor JSON nor an error message controls the terminal."""
    env = {"CONSTELLR_API_URL": server.url, "CONSTELLR_API_KEY": "key"}
    run = constellr(*command.split(), **env)
    for text in (run.stdout, run.stderr):
        controls = {char for char in text if unicodedata.category(char) in ("Cc", "Cf")}
        assert controls <= {"\n"}
    assert "1b[2J" in run.stdout + run.stderr
    if "--json" in command:
        assert json.loads(run.stdout)["features"][0]["id"] == HOSTILE


@pytest.mark.parametrize("command", ["search", "search --json", "orders list", "products"])
def test_terminals_get_own_sequences_only(
    command: str, server: Replaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal as well, where the command writes sequences of its own."""
    monkeypatch.setenv("CONSTELLR_API_URL", server.url)
    monkeypatch.setenv("CONSTELLR_API_KEY", "key")
    _, screen = converse(command.split(), columns=400)
    assert "1b[2J" in screen
    assert shown(OWN_SEQUENCES.sub("", screen)) == OWN_SEQUENCES.sub("", screen)


def test_file_names_hold_no_control_characters(server: Replaying, tmp_path: Path) -> None:
    """A file is named without them or not written; the error says so likewise."""
    items = list(open_client(server.url, auth=ApiKey("key")).search().items())
    assert [item.id for item in items] == [HOSTILE]
    with pytest.raises(ConstellrError) as error:
        constellr_stac.download(items, tmp_path, progress=False)
    assert shown(str(error.value)) == str(error.value)
    assert all(path.name.isprintable() for path in tmp_path.rglob("*"))
