"""Files appear whole, go on where they stopped, and make a catalogue that opens offline."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
import pytest
import requests
import xarray as xr

import constellr_stac
from constellr_stac import (
    AssetReadError,
    AuthenticationError,
    ConstellrAuth,
    CredentialsNotFoundError,
    DownloadError,
    Password,
    SigningError,
    download,
)
from constellr_stac.errors import IncompleteDownloadError
from constellr_stac.sandbox import Fault, Sandbox
from stored_files import (
    LONG,
    an_item,
    decoded,
    files,
    long_bytes,
    manifest,
    once,
    ranges,
    store,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.downloads.naming import Layout
    from object_store import Swift

# Files


def test_scenes_come_whole(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every file of every scene is there, as it is in the store; one request brought each."""
    done = download(sandbox.items, tmp_path / "new" / "scenes", layout="flat")
    found = files(tmp_path / "new" / "scenes")
    assert len(found) == len(done.written) == len(store(sandbox)) == 45
    for item in sandbox.items:
        for asset in item["assets"].values():
            held = sandbox._running.catalogue.object(
                asset["href"].partition(sandbox.bucket + "/")[2]
            )
            assert held is not None
            name = f"{item['id']}_{asset['href'].rpartition('/')[2]}"
            assert found[name] == held.read(0, held.size)
    assert sorted(path.name for path in done.written) == sorted(found)
    assert done.bytes == sum(map(len, found.values()))
    assert done.skipped == ()


def test_a_name_is_given_to_what_is_on_the_disk(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very bytes that were written out (fsync) are renamed, within their folder."""
    written_out: dict[int, tuple[int, str]] = {}
    fsync = os.fsync

    def seen(file: int) -> None:
        fsync(file)
        found = os.fstat(file)
        entries = (entry for folder, _, _ in os.walk(tmp_path) for entry in os.scandir(folder))
        names = [entry.path for entry in entries if entry.inode() == found.st_ino]
        written_out[found.st_ino] = found.st_size, names[0]

    monkeypatch.setattr(os, "fsync", seen)
    for path in download(sandbox.items[0], tmp_path).written:
        found = path.stat()
        assert written_out[found.st_ino] == (found.st_size, f"{path}.part")


def test_readable_result(sandbox: Sandbox, tmp_path: Path) -> None:
    """What was done is one line to read."""
    item = an_item(sandbox, {"a": bytes(2_000_000), "b": b""})
    told = repr(download(item, tmp_path))
    assert re.fullmatch(rf"<Downloaded 2 files, 2\.0 MB, in \d+\.\d s to '{tmp_path}'>", told)
    told = repr(download(item, tmp_path))
    assert told.startswith("<Downloaded 0 files, 0 bytes, in ")
    assert told.endswith(", 2 files there already>")


def test_a_search_that_finds_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is brought, nothing is made, nothing is wrong."""
    client = constellr_stac.open_client()
    done = download(client.search(ids=["nothing"]), tmp_path / "scenes")
    assert (done.written, done.skipped, done.bytes) == ((), (), 0)
    assert not (tmp_path / "scenes").exists()


def test_a_search_is_downloaded(sandbox: Sandbox, tmp_path: Path) -> None:
    """A search is as good as what it finds."""
    search = constellr_stac.open_client().search(datetime="2023-07-26/2023-07-28")
    done = download(search, tmp_path, assets="lst")
    assert [path.parent.name[:10] for path in done.written] == ["2023-07-26", "2023-07-28"]


def test_swift_s3(swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another S3 than ours gives the same; its MD5 is compared with."""
    for name, value in swift.environment().items():
        monkeypatch.setenv(name, value)
    href = swift.put("downloads", "LA harbor+port/50% ü.bin", long_bytes())
    item = pystac.Item("x", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    item.add_asset("lst", pystac.Asset(href))
    download(item, tmp_path)
    ((path, content),) = files(tmp_path).items()
    assert path == "2023-06-24T00-00-00Z_x/50% ü.bin"
    assert content == long_bytes()
    assert manifest(tmp_path)[path]["checked"] == ["Content-Length", "ETag"]


@pytest.mark.parametrize("scheme", ["{}", "file://{}"])
def test_files_on_disk_are_copied(tmp_path: Path, scheme: str) -> None:
    """An href of a file, too, is an href."""
    (tmp_path / "lst.bin").write_bytes(long_bytes())
    item = pystac.Item("x", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    item.add_asset("lst", pystac.Asset(scheme.format(tmp_path / "lst.bin")))
    download(item, tmp_path / "copy")
    assert list(files(tmp_path / "copy").values()) == [long_bytes()]


def test_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are fetched side by side, as many as asked for and no more."""
    with Sandbox(latency=1) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        item = an_item(sandbox, {f"f{number:02}": bytes(10) for number in range(20)})
        download(item, tmp_path / "one", max_workers=10)
        starts = [asked.when for asked in store(sandbox)]
        assert starts[9] - starts[0] < timedelta(seconds=1)
        assert starts[10] - starts[0] >= timedelta(seconds=1)


def test_arguments_out_of_range(sandbox: Sandbox, tmp_path: Path) -> None:
    """What makes no sense is refused before anything is done."""
    with pytest.raises(ValueError, match="max_workers= is at least 1, not 0"):
        download(sandbox.items, tmp_path / "x", max_workers=0)
    with pytest.raises(ValueError, match='verify= is True, False or "structure"'):
        download(sandbox.items, tmp_path / "x", verify="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="No item has an asset 'lts'"):
        download(sandbox.items, tmp_path / "x", assets="lts")
    assert not (tmp_path / "x").exists()
    assert store(sandbox) == []


# Going on


def some_of(folder: Path) -> bool:
    """Say whether some bytes of a file are there, and not all."""
    return any(part.stat().st_size for part in folder.rglob("*.bin.part"))


def interrupted(sandbox: Sandbox, item: dict[str, Any], folder: Path, **how: Any) -> Path:
    """Let a download end in the middle of its only file; return the part of it."""
    sandbox.fail(Fault(".bin", server="store", kind="truncate"))
    sandbox.fail(Fault(".bin", server="store", status=404))
    with pytest.raises(IncompleteDownloadError):
        download(item, folder, **how)
    sandbox.clear_requests()
    (part,) = folder.rglob("*.part")
    assert part.stat().st_size == LONG // 2
    return part


def test_another_run_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    """What has come stays, and only what is missing is asked for."""
    item = an_item(sandbox, {"lst": long_bytes()})
    part = interrupted(sandbox, item, tmp_path)
    assert part.read_bytes() == long_bytes()[: LONG // 2]
    assert not part.with_suffix("").exists()
    done = download(item, tmp_path)
    assert ranges(sandbox) == [f"bytes={LONG // 2}-"]
    assert store(sandbox)[0].headers["if-range"].strip('"') == hashlib.md5(long_bytes()).hexdigest()  # noqa: S324
    assert [path.read_bytes() for path in done.written] == [long_bytes()]
    assert done.bytes == LONG - LONG // 2
    assert list(tmp_path.rglob("*.part")) == []


def test_a_changed_object_begins_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    """Half of an object that is no more is not made whole with half of another."""
    item = an_item(sandbox, {"lst": long_bytes()})
    interrupted(sandbox, item, tmp_path)
    an_item(sandbox, {"lst": long_bytes(1)})
    done = download(item, tmp_path)
    assert [path.read_bytes() for path in done.written] == [long_bytes(1)]
    assert [asked.status for asked in store(sandbox)] == [200]


def test_an_object_that_changes_on_the_way_begins_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nor is it within one run."""
    item = an_item(sandbox, {"lst": long_bytes()})
    other = long_bytes(1)
    sandbox.fail(Fault(".bin", server="store", kind="truncate"))
    with once(lambda: some_of(tmp_path), lambda: sandbox.put("scene a+b/lst.bin", other)):
        done = download(item, tmp_path)
    assert [path.read_bytes() for path in done.written] == [other]
    assert [asked.status for asked in store(sandbox)] == [200, 200]


def test_a_part_that_was_damaged_is_not_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """What an earlier run has left is compared with, too; the file is fetched again."""
    item = an_item(sandbox, {"lst": long_bytes()})
    part = interrupted(sandbox, item, tmp_path)
    part.write_bytes(bytes(LONG // 2))
    done = download(item, tmp_path)
    assert ranges(sandbox) == [f"bytes={LONG // 2}-", None]
    assert [path.read_bytes() for path in done.written] == [long_bytes()]


@pytest.mark.parametrize("size", [0, 1, LONG - 1, LONG, LONG + 7])
def test_parts_of_any_length(sandbox: Sandbox, tmp_path: Path, size: int) -> None:
    """Nothing, all but a byte, everything, more than that: the file comes whole."""
    item = an_item(sandbox, {"lst": long_bytes()})
    part = interrupted(sandbox, item, tmp_path)
    part.write_bytes((long_bytes() + b"+" * 7)[:size])
    assert [path.read_bytes() for path in download(item, tmp_path).written] == [long_bytes()]
    came = sum(asked.status == 200 for asked in store(sandbox))
    assert came == (0 if size > 0 else 1)


def test_a_part_of_unknown_origin_begins_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    """A part that nobody has noted anything about is worth nothing."""
    item = an_item(sandbox, {"lst": long_bytes()})
    folder = tmp_path / "2023-06-24T11-23-58Z_scene"
    folder.mkdir()
    (folder / "lst.bin.part").write_bytes(b"anything")
    assert [path.read_bytes() for path in download(item, tmp_path).written] == [long_bytes()]
    assert ranges(sandbox) == [None]


def test_failures_on_the_way_are_survived(sandbox: Sandbox, tmp_path: Path) -> None:
    """A reset, a status, a short body and a pause end nothing."""
    item = an_item(sandbox, {key: long_bytes(number) for number, key in enumerate("abcd")})
    sandbox.fail(Fault("a.bin", kind="reset"))
    sandbox.fail(Fault("b.bin", status=503, headers={"Retry-After": "0"}))
    sandbox.fail(Fault("c.bin", kind="truncate", times=2))
    sandbox.fail(Fault("d.bin", kind="stall", seconds=0.3))
    done = download(item, tmp_path)
    assert [path.read_bytes() for path in done.written] == [long_bytes(n) for n in range(4)]


def test_signatures_that_end_are_renewed(tmp_path: Path) -> None:
    """URLs that live for seconds bring files that take longer, and items old ones."""
    with Sandbox(presigned=True, url_lifetime=timedelta(seconds=60)) as sandbox:
        auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        names = {f"f{number}": long_bytes(number) for number in range(4)}
        an_item(sandbox, names)
        url = sandbox.api_url + "/stac/collections/lstprecision/items/scene"
        item = requests.get(url, auth=auth, timeout=5).json()
        sandbox.advance(timedelta(seconds=30))
        sandbox.fail(Fault("f0.bin", server="store", kind="truncate"))
        end = timedelta(seconds=120)
        with once(lambda: some_of(tmp_path), lambda: sandbox.advance(end)):
            done = download(item, tmp_path, auth=auth, max_workers=1)
        assert [path.read_bytes() for path in done.written] == list(names.values())
        statuses = [asked.status for asked in store(sandbox)]
        assert 403 in statuses
        assert 206 in statuses
        assert "X-Amz" not in (tmp_path / "manifest.json").read_text()


def test_credentials_that_rotate_are_renewed(sandbox: Sandbox, tmp_path: Path) -> None:
    """AWS credentials that end on the way are asked for again."""
    signer = constellr_stac.Signer(credentials=lambda: sandbox.aws)
    item = an_item(sandbox, {"a": long_bytes()})
    sandbox.fail(Fault("a.bin", kind="truncate"))
    with once(lambda: some_of(tmp_path), sandbox.rotate_aws):
        done = download(item, tmp_path, signer=signer)
    assert [path.read_bytes() for path in done.written] == [long_bytes()]


# What is there already


def test_a_second_run_asks_for_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """What an earlier run has brought is not asked for again, and stays as it is."""
    item = an_item(sandbox, {"a": b"a", "b": b"b"})
    download(item, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    sandbox.clear_requests()
    done = download(item, tmp_path)
    assert (len(done.written), len(done.skipped)) == (0, 2)
    assert sandbox.requests == []
    lock = tmp_path / ".download.lock"
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert before | {lock: 0} == after | {lock: 0}


def test_what_is_new_is_brought(sandbox: Sandbox, tmp_path: Path) -> None:
    """More assets, and more scenes, come to those that are there."""
    first, second = sandbox.items[:2]
    download(first, tmp_path, assets="lst")
    sandbox.clear_requests()
    done = download([first, second], tmp_path, assets=["lst", "scl_mask_30m"])
    assert (len(done.written), len(done.skipped)) == (3, 1)
    assert len(store(sandbox)) == 3
    items = decoded(tmp_path)
    assert [sorted(item.assets) for item in items] == [["lst", "scl_mask_30m"]] * 2
    assert len(manifest(tmp_path)) == 4


def test_overwrite(sandbox: Sandbox, tmp_path: Path) -> None:
    """What is there is brought again when that is asked for, and only then."""
    item = an_item(sandbox, {"a": b"old"})
    download(item, tmp_path)
    an_item(sandbox, {"a": b"new!"})
    assert len(download(item, tmp_path).skipped) == 1
    done = download(item, tmp_path, overwrite=True)
    assert [path.read_bytes() for path in done.written] == [b"new!"]
    ((_, said),) = manifest(tmp_path).items()
    assert said["size"] == 4


def test_what_somebody_else_has_brought_is_taken_over(sandbox: Sandbox, tmp_path: Path) -> None:
    """The layout is the provider's own: what their example has brought need not come again."""
    item = sandbox.items[0]
    with_example(item, tmp_path)
    sandbox.clear_requests()
    done = download(item, tmp_path)
    assert (len(done.written), len(done.skipped)) == (0, len(item["assets"]))
    assert done.bytes == 0
    assert len(manifest(tmp_path)) == len(item["assets"])
    assert len(decoded(tmp_path)) == 1


def with_example(item: dict[str, Any], folder: Path) -> None:
    """Do as the example in the provider's documentation does."""
    name = f"{item['properties']['datetime'].replace(':', '-')}_{item['id']}"
    (folder / name).mkdir(parents=True)
    for asset in item["assets"].values():
        url = constellr_stac.sign(asset["href"])
        path = folder / name / asset["href"].rpartition("/")[2]
        path.write_bytes(requests.get(url, timeout=5).content)


@pytest.mark.parametrize("content", [b"another", b"other"], ids=["length", "digest"])
def test_another_file_of_that_name_is_left_alone(
    sandbox: Sandbox, tmp_path: Path, content: bytes
) -> None:
    """A file that is not the asset is named, not lost; overwrite replaces it."""
    item = an_item(sandbox, {"a": b"asset", "b": b"b"})
    path = tmp_path / "2023-06-24T11-23-58Z_scene" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(IncompleteDownloadError, match="is another file than asset 'a'") as caught:
        download(item, tmp_path)
    assert list(caught.value.failures) == [path]
    assert path.read_bytes() == content
    assert [there.name for there in caught.value.downloaded.written] == ["b.bin"]
    download(item, tmp_path, overwrite=True)
    assert path.read_bytes() == b"asset"


def test_a_file_of_ours_that_was_changed_is_noticed(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that is not as long as the manifest says is not taken for granted."""
    item = an_item(sandbox, {"a": long_bytes()})
    (path,) = download(item, tmp_path).written
    path.write_bytes(b"short")
    with pytest.raises(IncompleteDownloadError, match="is another file"):
        download(item, tmp_path)


@pytest.mark.parametrize("there", ["a folder", "a file"])
def test_what_is_no_file_is_in_the_way(sandbox: Sandbox, tmp_path: Path, there: str) -> None:
    """A folder where the file has to be, and a file where its folder has to be, are named."""
    item = an_item(sandbox, {"a": b"a"})
    place = tmp_path / "2023-06-24T11-23-58Z_scene"
    if there == "a folder":
        (place / "a.bin").mkdir(parents=True)
    else:
        place.write_text("mine")
    with pytest.raises(DownloadError, match=re.escape(str(place))):
        download(item, tmp_path)
    assert store(sandbox) == []
    assert there == "a folder" or place.read_text() == "mine"


def test_a_folder_of_somebody_else_is_left_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    """A catalogue, or a manifest, of another hand is not written over."""
    (tmp_path / "catalog.json").write_text("{}")
    with pytest.raises(DownloadError, match=r"has a catalog\.json that no download has made"):
        download(sandbox.items[0], tmp_path)
    (tmp_path / "catalog.json").unlink()
    for text in ("{}", "[]", "no JSON", '{"type": "constellr_stac.download", "version": 99}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(DownloadError, match="is not a manifest that this version"):
            download(sandbox.items[0], tmp_path)
        assert (tmp_path / "manifest.json").read_text() == text
    assert store(sandbox) == []


def test_a_folder_keeps_its_layout(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two layouts in one folder would be two of everything."""
    download(sandbox.items[0], tmp_path, layout="flat")
    with pytest.raises(DownloadError, match="have the layout 'flat', not 'provider'"):
        download(sandbox.items[0], tmp_path)


def test_one_run_at_a_time(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two runs never write to one file: the second one is told to wait."""
    item = an_item(sandbox, {"a": b"a"})
    sandbox.fail(Fault("a.bin", kind="stall", seconds=0.5))
    first = threading.Thread(target=download, args=(item, tmp_path))
    first.start()
    until(lambda: store(sandbox))
    with pytest.raises(DownloadError, match="Another download is at work in"):
        download(item, tmp_path)
    first.join()
    assert len(download(item, tmp_path).skipped) == 1


# What is said of a file


def test_what_comes_damaged_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that is not what it is said to be is fetched again, then refused; no name is left."""
    item = an_item(sandbox, {"a": b"right", "b": b"b"})
    item["assets"]["a"]["file:checksum"] = "1220" + hashlib.sha256(b"wrong").hexdigest()
    with pytest.raises(
        IncompleteDownloadError, match="came damaged, twice: file:checksum"
    ) as caught:
        download(item, tmp_path)
    assert len(store(sandbox)) == 3
    assert sorted(content for content in files(tmp_path).values()) == [b"b"]
    assert str(caught.value).startswith("1 file of 2 could not be downloaded.")
    done = download(item, tmp_path, verify=False)
    assert [path.read_bytes() for path in done.written] == [b"right"]


def test_what_is_said_is_written_down(sandbox: Sandbox, tmp_path: Path) -> None:
    """The manifest says where a file is from, how long it is, its SHA-256, when, and the proof."""
    item = an_item(sandbox, {"a": b"pixels", "b": b"b"})
    digest = "1220" + hashlib.sha256(b"pixels").hexdigest()
    item["assets"]["a"] |= {"file:checksum": digest, "file:size": 6}
    before = datetime.now(UTC).replace(microsecond=0)
    download(item, tmp_path)
    said = manifest(tmp_path)["2023-06-24T11-23-58Z_scene/a.bin"]
    assert before <= datetime.fromisoformat(said.pop("downloaded")) <= datetime.now(UTC)
    assert said == {
        "href": f"s3://{sandbox.bucket}/scene a+b/a.bin",
        "size": 6,
        "checksum": digest,
        "checked": ["file:size", "file:checksum", "Content-Length", "ETag"],
        "collection": "lstprecision",
        "item": "scene",
        "assets": ["a"],
    }


def test_structure_on_request(sandbox: Sandbox, tmp_path: Path) -> None:
    """A scene that is no GeoTIFF is refused when that is asked for, and taken otherwise."""
    good = sandbox.items[0]
    done = download(good, tmp_path / "good", verify="structure")
    assert len(done.written) == len(good["assets"])
    checked = {
        Path(path).name: said["checked"] for path, said in manifest(tmp_path / "good").items()
    }
    assert checked["lst.tiff"] == ["Content-Length", "structure"]
    assert checked["metadata.json"] == ["Content-Length"]
    bad = an_item(sandbox, {})
    bad["assets"]["lst"] = {"href": sandbox.put("bad/lst.tiff", b"II*\0 and then nothing")}
    download(bad, tmp_path / "bad")
    with pytest.raises(IncompleteDownloadError, match="came damaged, twice: it cannot be decoded"):
        download(bad, tmp_path / "checked", verify="structure")


def test_structure_of_what_is_there(sandbox: Sandbox, tmp_path: Path) -> None:
    """GeoTIFFs that came undecoded are decoded where they are; each once, and no damage passes."""
    good = sandbox.items[0]
    [tiff] = download(good, tmp_path, assets="lst").written
    sandbox.clear_requests()
    for _ in range(2):
        assert download(good, tmp_path, assets="lst", verify="structure").skipped == (tiff,)
    assert manifest(tmp_path)[str(tiff.relative_to(tmp_path))]["checked"] == [
        "Content-Length",
        "structure",
    ]
    bad = an_item(sandbox, {})
    bad["assets"]["lst"] = {"href": sandbox.put("bad/lst.tiff", b"II*\0 and then nothing")}
    [tiff] = download(bad, tmp_path).written
    with pytest.raises(IncompleteDownloadError, match=r"is not what was brought, .* decoded"):
        download(bad, tmp_path, verify="structure")
    tiff.write_bytes(tiff.read_bytes()[::-1])
    with pytest.raises(IncompleteDownloadError, match="it was changed since"):
        download(bad, tmp_path, verify="structure")
    assert [asked.path for asked in store(sandbox)] == ["/constellr-sandbox/bad/lst.tiff"]


# The folder as a catalogue


@pytest.mark.parametrize(
    "layout", ["provider", "collection", "flat", lambda item, key: f"{item.id[-16:]}/x/{key}"]
)
def test_the_folder_is_a_catalogue(tmp_path: Path, layout: Layout) -> None:
    """It opens offline, wherever it was moved to, and cubes of it have the same values."""
    with Sandbox() as sandbox:
        signer = constellr_stac.Signer(
            credentials=lambda: sandbox.aws, endpoint=sandbox.s3_url, region=sandbox.region
        )
        source = sandbox.items[:3]
        expected = constellr_stac.load(
            map(pystac.Item.from_dict, source), ["lst", "cloud_mask"], signer=signer
        ).compute()
        download(source, tmp_path / "here", layout=layout, signer=signer)
    (tmp_path / "here").rename(tmp_path / "there")
    items = decoded(tmp_path / "there")
    assert [item.id for item in items] == sorted(item["id"] for item in source)
    cube = constellr_stac.load(items, ["lst", "cloud_mask"]).compute()
    xr.testing.assert_identical(cube, expected)


def test_the_catalogue_is_valid(sandbox: Sandbox, tmp_path: Path) -> None:
    """Items say where they came from and what their files are; collections what they cover."""
    search = constellr_stac.open_client().search(limit=5)
    download(search, tmp_path)
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    (collection,) = catalog.get_children()
    assert isinstance(collection, pystac.Collection)
    assert collection.extent.temporal.to_dict() == {
        "interval": [["2023-06-24T11:23:58Z", "2023-08-26T17:50:31Z"]]
    }
    items = list(collection.get_items())
    assert len(items) == 15
    west, south, east, north = collection.extent.spatial.bboxes[0]
    for item in items:
        assert item.bbox is not None
        assert west <= item.bbox[0] < item.bbox[2] <= east
        assert south <= item.bbox[1] < item.bbox[3] <= north
        assert item.get_collection() is collection
        assert item.get_parent() is collection
        for asset in item.assets.values():
            path = Path(str(asset.get_absolute_href()))
            assert asset.extra_fields["file:size"] == path.stat().st_size
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert asset.extra_fields["file:checksum"] == "1220" + digest
    absolute = re.compile(rb'"href": "(?!\./|\.\./|http)')
    for document in tmp_path.rglob("*.json"):
        if document.name not in ("metadata.json", "manifest.json"):
            assert not absolute.search(document.read_bytes()), document


def test_no_signature_is_saved(tmp_path: Path) -> None:
    """Of a pre-signed URL, no document and no name keeps what opens it."""
    with Sandbox(presigned=True) as sandbox:
        auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        search = requests.post(sandbox.api_url + "/stac/search", json={}, auth=auth, timeout=5)
        item = search.json()["features"][0]
        signed = item["assets"]["lst"]["href"]
        assert "X-Amz-Signature" in signed
        item["assets"]["lst"] |= {"alternate": {"https": {"href": signed}}, "raw": signed}
        item["links"].append({"rel": "preview", "href": signed})
        download(item, tmp_path, auth=auth)
    (saved,) = decoded(tmp_path)
    (preview,) = saved.get_links("preview")
    assert preview.href == signed.partition("?")[0]
    assert saved.assets["lst"].extra_fields["raw"] == signed.partition("?")[0]
    for path in tmp_path.rglob("*"):
        assert "X-Amz" not in path.name
        assert path.is_dir() or b"X-Amz" not in path.read_bytes()


def test_what_is_asked_of_a_server_is_not_saved(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nor is any other query, whatever it means to whoever wrote it there."""
    item = an_item(sandbox, {"a": b"a"})
    item |= {"collection": None}
    signed = constellr_stac.sign(item["assets"]["a"]["href"])
    item["assets"]["a"]["href"] = signed
    download(item, tmp_path)
    [record] = manifest(tmp_path).values()
    assert record["href"] == signed.partition("?")[0]


@pytest.mark.parametrize("name", ["catalog.json", "lstprecision.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"type": "Feature"}'])
def test_a_damaged_catalogue_is_named_and_written_anew_without_it(
    sandbox: Sandbox, tmp_path: Path, name: str, damage: str
) -> None:
    """A disk that lost power may leave an empty file; the scenes are not to be lost with it."""
    item = an_item(sandbox, {"one": b"1"})
    download(item, tmp_path)
    (tmp_path / name).write_text(damage)
    with pytest.raises(DownloadError, match=rf"{name}' holds no STAC .*Move it away"):
        download(item, tmp_path)
    (tmp_path / name).unlink()
    assert len(download(item, tmp_path).skipped) == 1
    assert [item.id for item in decoded(tmp_path)] == ["scene"]


def test_a_catalogue_grows(sandbox: Sandbox, tmp_path: Path) -> None:
    """Run by run, collection by collection; no item is in it twice."""
    one, two = (an_item(sandbox, {"a": b"a"}, name) for name in ("one", "two"))
    two |= {"collection": "lstfusion", "bbox": [1, 2, 3, 4], "geometry": None}
    alone = an_item(sandbox, {"a": b"a"}, "alone")
    del alone["collection"]
    for items in ([one], [one, two], [two, alone], [alone]):
        download(items, tmp_path)
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    assert sorted(child.id for child in catalog.get_children()) == ["lstfusion", "lstprecision"]
    assert [item.id for item in decoded(tmp_path)] == ["alone", "one", "two"]
    assert [item.id for item in catalog.get_items()] == ["alone"]


# What cannot be brought


def test_one_missing_file_does_not_keep_the_others(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every other file is brought; the error names what is missing, why, and what is there."""
    item = an_item(sandbox, {"a": b"a", "b": b"b", "c": b"c"})
    sandbox.delete("scene a+b/b.bin")
    with pytest.raises(IncompleteDownloadError, match="404 NoSuchKey") as caught:
        download(item, tmp_path)
    error = caught.value
    assert error.status_code == 404
    assert [path.name for path in error.downloaded.written] == ["a.bin", "c.bin"]
    ((missing, why),) = error.failures.items()
    assert missing.name == "b.bin"
    assert isinstance(why, AssetReadError)
    assert sorted(decoded(tmp_path)[0].assets) == ["a", "c"]
    assert len(manifest(tmp_path)) == 2


@pytest.mark.parametrize(
    ("href", "said"),
    [
        ("ftp://host/lst.tiff", "ftp:// is not supported. Use s3://, https:// or a file"),
        ("http://127.0.0.1:99999/lst.tiff", "InvalidURL"),
        ("/no/such/lst.tiff", "No such file or directory"),
    ],
)
def test_hrefs_that_cannot_be_read(tmp_path: Path, href: str, said: str) -> None:
    """A scheme that is not known, a port that is none, a path to nothing: each is told as that."""
    item = pystac.Item("scene", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    item.add_asset("lst", pystac.Asset(href))
    with pytest.raises(IncompleteDownloadError, match=re.escape(said)) as caught:
        download(item, tmp_path)
    assert "The other" not in str(caught.value)


def test_without_credentials_nothing_is_made(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be signed, that is said before a folder is made."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SigningError):
        download(sandbox.items, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("password", "error"), [("wrong", AuthenticationError), (None, CredentialsNotFoundError)]
)
def test_a_refused_credential_ends_it(
    tmp_path: Path, password: str | None, error: type[Exception]
) -> None:
    """What concerns every file is raised as it is, once, and not once for each file."""
    with Sandbox(presigned=True) as sandbox:
        good = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        search = requests.post(sandbox.api_url + "/stac/search", json={}, auth=good, timeout=5)
        sandbox.advance(timedelta(hours=2))
        credential = None if password is None else Password(sandbox.username, password)
        sandbox.clear_requests()
        with pytest.raises(error):
            download(
                search.json(), tmp_path, auth=ConstellrAuth(credential, base_url=sandbox.api_url)
            )
        assert sum(asked.path == "/token" for asked in sandbox.requests) == (password is not None)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """A run leaves no thread behind."""
    yield
    ours = ("constellr-download", "constellr-land")
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith(ours)])
