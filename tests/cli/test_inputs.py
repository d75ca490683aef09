"""What the command line reads and writes, piece by piece."""

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
    """A number and a unit are a time span; a bare number is seconds."""
    assert duration(f"{count}{unit}") == timedelta(seconds=count * UNITS[unit])


@pytest.mark.parametrize("text", ["", "h", "-1h", "1y", "1 2", "nan", "1e9", "9" * 400 + "d"])
def test_no_durations(text: str) -> None:
    """What is no time span is wrong usage."""
    with pytest.raises(typer.BadParameter):
        duration(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "0,50,1,40", "0,-91,1,0", "0,0,nan,1"])
def test_no_boxes(text: str) -> None:
    """What is no box is wrong usage; one over the antimeridian is a box."""
    with pytest.raises(typer.BadParameter):
        bbox(text)
    assert bbox("179,-1,-179,1") == (179.0, -1.0, -179.0, 1.0)


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Times are text, what is no number is null, and everything else is as it was."""
    when = datetime(2026, 7, 1, 12, tzinfo=UTC)
    Terminal().json({"time": when, "path": Path("a"), "nan": float("nan"), 1: [(True, None, 2.5)]})
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-07-01T12:00:00Z",
        "path": "a",
        "nan": None,
        "1": [[True, None, 2.5]],
    }


def test_windows_marks_its_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What PowerShell writes into a file or a pipe is JSON, mark and all."""
    (tmp_path / "items.json").write_text("[1]", "utf-8-sig")
    assert from_json(str(tmp_path / "items.json")) == [1]
    with (tmp_path / "items.json").open(encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        assert from_json("-") == [1]


def test_columns_are_left_out_before_they_are_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no room, the last columns are left out and named; numbers stand right."""
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


def test_items_are_found_in_what_tools_print() -> None:
    """One item, a collection or a list of either; anything else is wrong usage."""
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
    """An order, a list of them, or orders with words on all: YAML or JSON."""
    path = tmp_path / "orders.yaml"
    path.write_text(text)
    batch = read_batch(str(path))
    assert (len(batch.orders), batch.comment) == (count, comment)


def test_tags_are_text(tmp_path: Path) -> None:
    """YAML takes a tag such as 2026 for a number, and nobody who writes it does."""
    path = tmp_path / "order.yaml"
    path.write_text("tags: [field42, 2026, 2026-06-01, 1.5, true]")
    [order] = read_batch(str(path)).orders
    assert order["tags"] == ["field42", "2026", "2026-06-01", "1.5", True]


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_fails_replaces_nothing(tmp_path: Path, *, is_folder: bool) -> None:
    """A file or folder is replaced at once, or left as it is; nothing else is left behind."""
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
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".part"), "No space left on device"),
        (RuntimeError("NetCDF: HDF error"), "NetCDF: HDF error"),
    ],
    ids=["the system's word", "NetCDF's word"],
)
def test_a_disk_that_will_not_is_told(tmp_path: Path, error: Exception, said: str) -> None:
    """What is said of a disk names the file that was wanted, and what to do."""
    path = tmp_path / "result.nc"
    told = f"result.nc' cannot be written: {said}. Make room"
    with pytest.raises(Failure, match=told), replacing(path) as part:  # noqa: PT012
        part.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []
