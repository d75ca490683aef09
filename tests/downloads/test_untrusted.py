"""Laws of downloads from a server that answers with something else, into a folder with traps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from constellr_stac import Limits, download
from constellr_stac._files import open_to_write
from constellr_stac.downloads.kinds import kind_error
from constellr_stac.errors import DownloadError
from hostile_bodies import not_tiffs, tiff
from stored_files import make_item

if TYPE_CHECKING:
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox


def test_a_geotiff_begins_like_one(tmp_path: Path) -> None:
    """A file that is a TIFF by name or type begins like one and is not cut off."""
    path = tmp_path / "file.part"
    for name, body in not_tiffs(tmp_path / "x.tif", "http://h").items():
        path.write_bytes(body)
        assert kind_error(path, "lst.tiff", None, Limits()), name
        assert kind_error(path, "lst", "image/tiff; application=geotiff", Limits()), name
    path.write_bytes(tiff(side=200))
    assert kind_error(path, "lst.tiff", "image/tiff", Limits()) is None
    path.write_bytes(tiff(side=200)[:-1000])
    assert kind_error(path, "lst.tiff", None, Limits()) == "it is truncated"


@pytest.mark.parametrize(
    ("name", "body", "fine"),
    [
        ("metadata.json", b'{"a": 1}', True),
        ("metadata.json", b"<html>", False),
        ("metadata.json", b'{"a": ', False),
        ("metadata.json", b"", False),
        ("preview.png", b"\x89PNG\r\n", True),
        ("preview.png", b"\x1f\x8b\x08", False),
        ("preview.jpg", b"\xff\xd8\xff\xe0", True),
        ("readme.txt", b"text", True),
        ("readme.txt", b"", False),
        ("readme.txt", b"<!DOCTYPE HTML><p>", False),
        ("page.html", b"<!DOCTYPE HTML><p>", True),
        ("a.xml", b"<?xml version='1.0'?>\n<Error><Code>SlowDown</Code></Error>", False),
        ("a.bin", b"", True),
        ("a.bin", b"\x1f\x8b\x08", False),
        ("a.tar.gz", b"\x1f\x8b\x08", True),
    ],
)
def test_other_files_are_checked_by_their_kind(
    name: str,
    body: bytes,
    fine: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    """A login page, an error document or a compressed answer is not kept under another name."""
    path = tmp_path / "file.part"
    path.write_bytes(body)
    assert (kind_error(path, name, None, Limits()) is None) is fine


@pytest.mark.parametrize(
    "trap",
    [
        "lst.tiff.part",
        "scene.json.part",
        "manifest.json.part",
        "manifest.jsonl",
        ".download.lock",
        "folder",
    ],
)
def test_nothing_is_written_through_links(trap: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """A link below the folder leads nowhere; the folder itself may be a link."""
    item = make_item(sandbox, {})
    item["assets"]["lst"] = {"href": sandbox.put("a/lst.tiff", tiff())}
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    folder = tmp_path / "scenes"
    scene = folder / "2023-06-24T11-23-58Z_scene"
    if trap == "folder":
        folder.mkdir()
        scene.symlink_to(outside)
    else:
        scene.mkdir(parents=True)
        parent = scene if trap.startswith(("lst", "scene")) else folder
        (parent / trap).symlink_to(outside / "file")
    if trap == "manifest.jsonl":  # deleted at the start
        download(item, folder, progress=False)
    else:
        with pytest.raises(DownloadError, match="link"):
            download(item, folder, progress=False)
    assert [each.name for each in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "mine"


def test_the_folder_may_be_a_link(sandbox: Sandbox, tmp_path: Path) -> None:
    """A download root that is a link is where the user wants the files."""
    item = make_item(sandbox, {"a": b"a"})
    (tmp_path / "disk").mkdir()
    (tmp_path / "scenes").symlink_to(tmp_path / "disk")
    assert len(download(item, tmp_path / "scenes", progress=False).written) == 1


@pytest.mark.parametrize("guard", ["look", "open"])
@pytest.mark.parametrize("append", [False, True])
def test_each_guard_against_links_suffices(
    guard: str,
    append: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link is refused where the system cannot (Windows), and if it is made after the look."""
    (tmp_path / "file").write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    if guard == "look":
        monkeypatch.delattr(os, "O_NOFOLLOW")
    else:
        monkeypatch.setattr(type(link), "is_symlink", lambda _self: False)
    with pytest.raises(OSError, match=r"[Ll]ink"):
        open_to_write(link, append=append)
    assert (tmp_path / "file").read_text() == "mine"


def test_nothing_is_written_to_a_pipe(tmp_path: Path) -> None:
    """A pipe is refused, whether or not somebody reads it; nothing waits for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        open_to_write(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="not a regular file"):
        open_to_write(pipe)
    os.close(reader)
