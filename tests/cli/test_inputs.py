"""Parsing of inputs and writing of outputs."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from constellr_stac.cli.errors import Failure
from constellr_stac.cli.inputs import bbox, duration, from_json
from constellr_stac.cli.order_files import read_batch
from constellr_stac.cli.output import replacing
from constellr_stac.cli.scenes import items_in
from constellr_stac.cli.terminal import Terminal

UNITS = {"": 1, "s": 1, "ms": 0.001, "m": 60, "min": 60, "h": 3600, "d": 86_400}


@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)))
def test_durations(count: int, unit: str) -> None:
    """A number with a unit is a duration; a bare number is seconds."""
    assert duration(f"{count}{unit}") == timedelta(seconds=count * UNITS[unit])


@pytest.mark.parametrize("text", ["", "h", "-1h", "1y", "1 2", "nan", "1e9", "9" * 400 + "d"])
def test_invalid_durations(text: str) -> None:
    """Anything else is wrong usage."""
    with pytest.raises(typer.BadParameter):
        duration(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "0,50,1,40", "0,-91,1,0", "0,0,nan,1"])
def test_invalid_boxes(text: str) -> None:
    """An invalid bounding box is wrong usage; one across the antimeridian is valid."""
    with pytest.raises(typer.BadParameter):
        bbox(text)
    assert bbox("179,-1,-179,1") == (179.0, -1.0, -179.0, 1.0)


def test_json_output_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """Times become strings, NaN becomes null, other values are unchanged."""
    when = datetime(2026, 7, 1, 12, tzinfo=UTC)
    Terminal().json({"time": when, "path": Path("a"), "nan": float("nan"), 1: [(True, None, 2.5)]})
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-07-01T12:00:00Z",
        "path": "a",
        "nan": None,
        "1": [[True, None, 2.5]],
    }


def test_json_input_strips_bom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON written by PowerShell is read, with its byte-order mark."""
    (tmp_path / "items.json").write_text("[1]", "utf-8-sig")
    assert from_json(str(tmp_path / "items.json")) == [1]
    with (tmp_path / "items.json").open(encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        assert from_json("-") == [1]


def test_narrow_terminal_hides_last_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that do not fit are hidden and named; numbers align right."""
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    Terminal().table(("name", "count", "remark"), [("first one", 7, "long"), ("b", 12, "x" * 9)])
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "name       count",
        "first one      7",
        "b             12",
    ]
    assert "remark" in captured.err


def test_items_in_stac_json() -> None:
    """One item, an ItemCollection, or a list of either; anything else is wrong usage."""
    item = {"type": "Feature", "id": "a", "assets": {}}
    page = {"type": "FeatureCollection", "features": [item, item]}
    assert list(items_in(item)) == [item]
    assert list(items_in([page, item])) == [item] * 3
    for other in (None, 3, {}, {"type": "Feature", "id": "a"}, [item, "b"]):
        with pytest.raises(typer.BadParameter):
            list(items_in(other))


@pytest.mark.parametrize(
    ("text", "count", "comment"),
    [
        ("product_name: LSTfusion", 1, None),
        ('[{"product_name": "LSTfusion"}, {"product_name": "LSTzoom"}]', 2, None),
        ("comment: 12\norders: [{product_name: LSTfusion}]", 1, "12"),
    ],
)
def test_forms_of_a_batch(tmp_path: Path, text: str, count: int, comment: str | None) -> None:
    """One order, a list, or orders with batch fields, in YAML or JSON."""
    path = tmp_path / "orders.yaml"
    path.write_text(text)
    batch = read_batch(str(path))
    assert (len(batch["orders"]), batch.get("comment")) == (count, comment)


def test_tags_become_strings(tmp_path: Path) -> None:
    """YAML parses the tag 2026 as a number; tags stay strings."""
    path = tmp_path / "order.yaml"
    path.write_text("tags: [field42, 2026, 2026-06-01, 1.5, true]")
    [order] = read_batch(str(path))["orders"]
    assert order["tags"] == ["field42", "2026", "2026-06-01", "1.5", True]


@pytest.mark.parametrize("is_folder", [False, True])
def test_replacing_is_atomic(tmp_path: Path, *, is_folder: bool) -> None:
    """A file or folder is replaced completely or left unchanged, without leftovers."""
    path = tmp_path / "result"

    def write(where: Path, text: str) -> None:
        if is_folder:
            where.mkdir()
            where /= "inside"
        where.write_text(text)

    write(path, "old")
    with pytest.raises(OSError, match="full"), replacing(path) as part:  # noqa: PT012
        write(part, "half")
        raise OSError("full")
    content = path / "inside" if is_folder else path
    assert content.read_text() == "old"
    with replacing(path) as part:
        write(part, "new")
        written = part.stat().st_ino
    assert content.read_text() == "new"
    assert path.stat().st_ino == written  # renamed, not copied
    assert [each.name for each in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".part"), "No space left on device"),
        (RuntimeError("NetCDF: HDF error"), "NetCDF: HDF error"),
    ],
    ids=["OSError", "NetCDF"],
)
def test_disk_errors_name_the_file(tmp_path: Path, error: Exception, reason: str) -> None:
    """A disk error names the output file and what to do."""
    path = tmp_path / "result.nc"
    pattern = f"Cannot write .*result.nc': {reason}. Free space"
    with pytest.raises(Failure, match=pattern), replacing(path) as part:  # noqa: PT012
        part.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []
