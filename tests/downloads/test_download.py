"""Downloads are complete and resumable, with a catalog that opens offline."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    files,
    long_bytes,
    make_item,
    manifest,
    ranges,
    read_items,
    store_requests,
    wait_until,
    when,
)
from weak_network import AnswerServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler

    from constellr_stac.downloads.naming import Layout
    from object_store import Swift
    from weak_network import Answer

# Files


def test_scenes_are_complete(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every file of every scene equals its object and needs one request."""
    done = download(sandbox.items, tmp_path / "new" / "scenes", layout="flat")
    found = files(tmp_path / "new" / "scenes")
    assert len(found) == len(done.written) == len(store_requests(sandbox)) == 45
    for item in sandbox.items:
        for asset in item["assets"].values():
            held = sandbox._running.catalogue.objects.get(
                asset["href"].partition(sandbox.bucket + "/")[2]
            )
            assert held is not None
            name = f"{item['id']}_{asset['href'].rpartition('/')[2]}"
            assert found[name] == held.read(0, held.size)
    assert sorted(path.name for path in done.written) == sorted(found)
    assert done.bytes == sum(map(len, found.values()))
    assert done.skipped == ()


def test_file_is_synced_before_rename(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The synced bytes are renamed within their folder."""
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


def test_repr(sandbox: Sandbox, tmp_path: Path) -> None:
    """The result has a one-line repr."""
    item = make_item(sandbox, {"a": bytes(2_000_000), "b": b""})
    text = repr(download(item, tmp_path))
    assert re.fullmatch(rf"<Downloaded 2 files, 2\.0 MB, in \d+\.\d s to '{tmp_path}'>", text)
    text = repr(download(item, tmp_path))
    assert text.startswith("<Downloaded 0 files, 0 bytes, in ")
    assert text.endswith(", 2 files already present>")


def test_empty_search(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is written for an empty search."""
    client = constellr_stac.open_client()
    done = download(client.search(ids=["nothing"]), tmp_path / "scenes")
    assert (done.written, done.skipped, done.bytes) == ((), (), 0)
    assert not (tmp_path / "scenes").exists()


def test_search_is_accepted(sandbox: Sandbox, tmp_path: Path) -> None:
    """A search is accepted in place of items."""
    search = constellr_stac.open_client().search(datetime="2023-07-26/2023-07-28")
    done = download(search, tmp_path, assets="lst")
    assert [path.parent.name[:10] for path in done.written] == ["2023-07-26", "2023-07-28"]


def test_swift_s3(swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another S3 server works, and its MD5 ETag is checked."""
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
def test_local_files_are_copied(tmp_path: Path, scheme: str) -> None:
    """Paths and file URLs are copied."""
    (tmp_path / "lst.bin").write_bytes(long_bytes())
    item = pystac.Item("x", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    item.add_asset("lst", pystac.Asset(scheme.format(tmp_path / "lst.bin")))
    download(item, tmp_path / "copy")
    assert list(files(tmp_path / "copy").values()) == [long_bytes()]


def test_max_workers(tmp_path: Path) -> None:
    """Exactly ``max_workers`` files are fetched at once."""
    ten, under_way, counts = threading.Barrier(10), set[str](), []

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        under_way.add(request.path)
        ten.wait(60)
        time.sleep(0.1)  # for others
        counts.append(len(under_way))
        under_way.remove(request.path)
        return 200, {}, b"pixels"

    item = pystac.Item("x", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    with AnswerServer(answer) as server:
        for number in range(20):
            item.add_asset(f"f{number}", pystac.Asset(f"{server.url}/f{number}.bin"))
        download(item, tmp_path, max_workers=10)
    assert len(counts) == 20
    assert max(counts) == 10


def test_invalid_arguments(sandbox: Sandbox, tmp_path: Path) -> None:
    """Invalid arguments are refused before anything is done."""
    with pytest.raises(ValueError, match="max_workers must be at least 1, not 0"):
        download(sandbox.items, tmp_path / "x", max_workers=0)
    with pytest.raises(ValueError, match='verify must be True, False or "structure"'):
        download(sandbox.items, tmp_path / "x", verify="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="No item has an asset 'lts'"):
        download(sandbox.items, tmp_path / "x", assets="lts")
    assert not (tmp_path / "x").exists()
    assert store_requests(sandbox) == []


# Resuming


def is_partial(folder: Path) -> bool:
    """Return whether some bytes of a file have been written."""
    return any(part.stat().st_size for part in folder.rglob("*.bin.part"))


def interrupted(sandbox: Sandbox, item: dict[str, Any], folder: Path, **how: Any) -> Path:
    """Let a download fail in the middle of its only file; return its part."""
    sandbox.fail(Fault(".bin", server="store", kind="truncate"))
    sandbox.fail(Fault(".bin", server="store", status=404))
    with pytest.raises(IncompleteDownloadError):
        download(item, folder, **how)
    sandbox.clear_requests()
    (part,) = folder.rglob("*.part")
    assert part.stat().st_size == LONG // 2
    return part


def test_next_run_resumes(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only the missing bytes are requested."""
    item = make_item(sandbox, {"lst": long_bytes()})
    part = interrupted(sandbox, item, tmp_path)
    assert part.read_bytes() == long_bytes()[: LONG // 2]
    assert not part.with_suffix("").exists()
    done = download(item, tmp_path)
    assert ranges(sandbox) == [f"bytes={LONG // 2}-"]
    digest = hashlib.md5(long_bytes(), usedforsecurity=False).hexdigest()
    assert store_requests(sandbox)[0].headers["if-range"].strip('"') == digest
    assert [path.read_bytes() for path in done.written] == [long_bytes()]
    assert done.bytes == LONG - LONG // 2
    assert list(tmp_path.rglob("*.part")) == []


def test_changed_object_restarts(sandbox: Sandbox, tmp_path: Path) -> None:
    """Bytes of two versions are not mixed."""
    item = make_item(sandbox, {"lst": long_bytes()})
    interrupted(sandbox, item, tmp_path)
    make_item(sandbox, {"lst": long_bytes(1)})
    done = download(item, tmp_path)
    assert [path.read_bytes() for path in done.written] == [long_bytes(1)]
    assert [request.status for request in store_requests(sandbox)] == [200]


def truncate(sandbox: Sandbox, name: str) -> None:
    """Send half of a file, and let the next request for it wait for what a test does meanwhile."""
    sandbox.fail(Fault(name, server="store", kind="truncate"))
    sandbox.fail(Fault(name, server="store", kind="stall", seconds=1))


def test_object_changed_during_a_run_restarts(sandbox: Sandbox, tmp_path: Path) -> None:
    """Bytes of two versions are not mixed within one run, either."""
    item = make_item(sandbox, {"lst": long_bytes()})
    other = long_bytes(1)
    truncate(sandbox, ".bin")
    with when(lambda: is_partial(tmp_path), lambda: sandbox.put("scene a+b/lst.bin", other)):
        done = download(item, tmp_path)
    assert [path.read_bytes() for path in done.written] == [other]
    assert [request.status for request in store_requests(sandbox)] == [200, 200]


def test_damaged_part_is_discarded(sandbox: Sandbox, tmp_path: Path) -> None:
    """The bytes of an earlier run are verified too; the file is fetched again."""
    item = make_item(sandbox, {"lst": long_bytes()})
    part = interrupted(sandbox, item, tmp_path)
    part.write_bytes(bytes(LONG // 2))
    done = download(item, tmp_path)
    assert ranges(sandbox) == [f"bytes={LONG // 2}-", None]
    assert [path.read_bytes() for path in done.written] == [long_bytes()]


@pytest.mark.parametrize("size", [0, 1, LONG - 1, LONG, LONG + 7])
def test_part_of_any_length_is_resumed(sandbox: Sandbox, tmp_path: Path, size: int) -> None:
    """Parts that are empty, incomplete, complete or too long give a complete file."""
    item = make_item(sandbox, {"lst": long_bytes()})
    part = interrupted(sandbox, item, tmp_path)
    part.write_bytes((long_bytes() + b"+" * 7)[:size])
    assert [path.read_bytes() for path in download(item, tmp_path).written] == [long_bytes()]
    came = sum(request.status == 200 for request in store_requests(sandbox))
    assert came == (0 if size > 0 else 1)


def test_unrecorded_part_is_discarded(sandbox: Sandbox, tmp_path: Path) -> None:
    """A part without a record restarts."""
    item = make_item(sandbox, {"lst": long_bytes()})
    folder = tmp_path / "2023-06-24T11-23-58Z_scene"
    folder.mkdir()
    (folder / "lst.bin.part").write_bytes(b"anything")
    assert [path.read_bytes() for path in download(item, tmp_path).written] == [long_bytes()]
    assert ranges(sandbox) == [None]


def test_temporary_failures_are_retried(sandbox: Sandbox, tmp_path: Path) -> None:
    """A reset, a status, a short body and a stall are retried."""
    item = make_item(sandbox, {key: long_bytes(number) for number, key in enumerate("abcd")})
    sandbox.fail(Fault("a.bin", kind="reset"))
    sandbox.fail(Fault("b.bin", status=503, headers={"Retry-After": "0"}))
    sandbox.fail(Fault("c.bin", kind="truncate", times=2))
    sandbox.fail(Fault("d.bin", kind="stall", seconds=0.3))
    done = download(item, tmp_path)
    assert [path.read_bytes() for path in done.written] == [long_bytes(n) for n in range(4)]


def test_expired_urls_are_renewed(tmp_path: Path) -> None:
    """URLs that expire during a transfer, or before it, are renewed."""
    with Sandbox(presigned=True, url_lifetime=timedelta(seconds=60)) as sandbox:
        auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        names = {f"f{number}": long_bytes(number) for number in range(4)}
        make_item(sandbox, names)
        url = sandbox.api_url + "/stac/collections/lstprecision/items/scene"
        item = requests.get(url, auth=auth, timeout=60).json()
        sandbox.advance(timedelta(seconds=30))
        truncate(sandbox, "f0.bin")
        end = timedelta(seconds=120)
        with when(lambda: is_partial(tmp_path), lambda: sandbox.advance(end)):
            done = download(item, tmp_path, auth=auth, max_workers=1)
        assert [path.read_bytes() for path in done.written] == list(names.values())
        statuses = [request.status for request in store_requests(sandbox)]
        assert 403 in statuses
        assert 206 in statuses
        assert "X-Amz" not in (tmp_path / "manifest.json").read_text()


def test_rotated_credentials_are_renewed(sandbox: Sandbox, tmp_path: Path) -> None:
    """AWS credentials that expire during a transfer are requested again."""
    signer = constellr_stac.Signer(credentials=lambda: sandbox.aws)
    item = make_item(sandbox, {"a": long_bytes()})
    truncate(sandbox, "a.bin")
    with when(lambda: is_partial(tmp_path), sandbox.rotate_aws):
        done = download(item, tmp_path, signer=signer)
    assert [path.read_bytes() for path in done.written] == [long_bytes()]


# Existing files


def test_second_run_sends_no_request(sandbox: Sandbox, tmp_path: Path) -> None:
    """Files of an earlier run are skipped and unchanged."""
    item = make_item(sandbox, {"a": b"a", "b": b"b"})
    download(item, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    sandbox.clear_requests()
    done = download(item, tmp_path)
    assert (len(done.written), len(done.skipped)) == (0, 2)
    assert sandbox.requests == []
    lock = tmp_path / ".download.lock"
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert before | {lock: 0} == after | {lock: 0}


def test_new_assets_and_scenes_are_added(sandbox: Sandbox, tmp_path: Path) -> None:
    """New assets and scenes are added to the existing ones."""
    first, second = sandbox.items[:2]
    download(first, tmp_path, assets="lst")
    sandbox.clear_requests()
    done = download([first, second], tmp_path, assets=["lst", "scl_mask_30m"])
    assert (len(done.written), len(done.skipped)) == (3, 1)
    assert len(store_requests(sandbox)) == 3
    items = read_items(tmp_path)
    assert [sorted(item.assets) for item in items] == [["lst", "scl_mask_30m"]] * 2
    assert len(manifest(tmp_path)) == 4


def test_overwrite_downloads_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """Existing files are downloaded again only with ``overwrite``."""
    item = make_item(sandbox, {"a": b"old"})
    download(item, tmp_path)
    make_item(sandbox, {"a": b"new!"})
    assert len(download(item, tmp_path).skipped) == 1
    done = download(item, tmp_path, overwrite=True)
    assert [path.read_bytes() for path in done.written] == [b"new!"]
    ((_, said),) = manifest(tmp_path).items()
    assert said["size"] == 4


def test_files_of_the_provider_example_are_adopted(sandbox: Sandbox, tmp_path: Path) -> None:
    """Files written by the provider's example are not downloaded again."""
    item = sandbox.items[0]
    run_provider_example(item, tmp_path)
    sandbox.clear_requests()
    done = download(item, tmp_path)
    assert (len(done.written), len(done.skipped)) == (0, len(item["assets"]))
    assert done.bytes == 0
    assert len(manifest(tmp_path)) == len(item["assets"])
    assert len(read_items(tmp_path)) == 1


def run_provider_example(item: dict[str, Any], folder: Path) -> None:
    """Download as the provider's documentation shows."""
    name = f"{item['properties']['datetime'].replace(':', '-')}_{item['id']}"
    (folder / name).mkdir(parents=True)
    for asset in item["assets"].values():
        url = constellr_stac.sign(asset["href"])
        path = folder / name / asset["href"].rpartition("/")[2]
        path.write_bytes(requests.get(url, timeout=60).content)


@pytest.mark.parametrize("content", [b"another", b"other"], ids=["length", "digest"])
def test_different_existing_file_is_kept(sandbox: Sandbox, tmp_path: Path, content: bytes) -> None:
    """An existing file that differs is reported and kept; ``overwrite`` replaces it."""
    item = make_item(sandbox, {"a": b"asset", "b": b"b"})
    path = tmp_path / "2023-06-24T11-23-58Z_scene" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(IncompleteDownloadError, match="differs from asset 'a'") as caught:
        download(item, tmp_path)
    assert list(caught.value.failures) == [path]
    assert path.read_bytes() == content
    assert [there.name for there in caught.value.downloaded.written] == ["b.bin"]
    download(item, tmp_path, overwrite=True)
    assert path.read_bytes() == b"asset"


def test_modified_file_is_detected(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file whose size differs from the manifest is reported."""
    item = make_item(sandbox, {"a": long_bytes()})
    (path,) = download(item, tmp_path).written
    path.write_bytes(b"short")
    with pytest.raises(IncompleteDownloadError, match="differs from"):
        download(item, tmp_path)


@pytest.mark.parametrize("there", ["a folder", "a file"])
def test_path_in_the_way_is_reported(sandbox: Sandbox, tmp_path: Path, there: str) -> None:
    """A folder in place of the file, or a file in place of its folder, is reported."""
    item = make_item(sandbox, {"a": b"a"})
    place = tmp_path / "2023-06-24T11-23-58Z_scene"
    if there == "a folder":
        (place / "a.bin").mkdir(parents=True)
    else:
        place.write_text("mine")
    with pytest.raises(DownloadError, match=re.escape(str(place))):
        download(item, tmp_path)
    assert store_requests(sandbox) == []
    assert there == "a folder" or place.read_text() == "mine"


def test_other_catalog_or_manifest_is_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """A catalog or manifest from elsewhere is not overwritten."""
    (tmp_path / "catalog.json").write_text("{}")
    with pytest.raises(DownloadError, match=r"has a catalog\.json that is not from a download"):
        download(sandbox.items[0], tmp_path)
    (tmp_path / "catalog.json").unlink()
    for text in ("{}", "[]", "no JSON", '{"type": "constellr_stac.download", "version": 99}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(DownloadError, match="is not a manifest of this version"):
            download(sandbox.items[0], tmp_path)
        assert (tmp_path / "manifest.json").read_text() == text
    assert store_requests(sandbox) == []


def test_folder_keeps_its_layout(sandbox: Sandbox, tmp_path: Path) -> None:
    """Another layout in the same folder is refused."""
    download(sandbox.items[0], tmp_path, layout="flat")
    with pytest.raises(DownloadError, match="have the layout 'flat', not 'provider'"):
        download(sandbox.items[0], tmp_path)


def test_concurrent_run_is_refused(tmp_path: Path) -> None:
    """A second run in the same folder is refused."""
    begun, proceed = threading.Event(), threading.Event()

    def answer(_: object) -> Answer:
        begun.set()
        proceed.wait(60)
        return 200, {}, b"pixels"

    item = pystac.Item("x", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    with AnswerServer(answer) as server, ThreadPoolExecutor(1) as pool:
        item.add_asset("a", pystac.Asset(f"{server.url}/a.bin"))
        first = pool.submit(download, item, tmp_path)
        assert begun.wait(60)
        with pytest.raises(DownloadError, match="Another download is running in"):
            download(item, tmp_path)
        proceed.set()
        assert len(first.result().written) == 1
        assert len(download(item, tmp_path).skipped) == 1


# Verification


def test_failed_verification_is_reported(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that fails verification is fetched twice and then reported; no file is left."""
    item = make_item(sandbox, {"a": b"right", "b": b"b"})
    item["assets"]["a"]["file:checksum"] = "1220" + hashlib.sha256(b"wrong").hexdigest()
    with pytest.raises(
        IncompleteDownloadError, match="failed verification twice: file:checksum"
    ) as caught:
        download(item, tmp_path)
    assert len(store_requests(sandbox)) == 3
    assert sorted(content for content in files(tmp_path).values()) == [b"b"]
    assert str(caught.value).startswith("1 file of 2 could not be downloaded.")
    done = download(item, tmp_path, verify=False)
    assert [path.read_bytes() for path in done.written] == [b"right"]


def test_manifest_record(sandbox: Sandbox, tmp_path: Path) -> None:
    """The manifest has source, size, SHA-256, time and checks of a file."""
    item = make_item(sandbox, {"a": b"pixels", "b": b"b"})
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


def test_verify_structure(sandbox: Sandbox, tmp_path: Path) -> None:
    """An invalid GeoTIFF is refused only with ``verify="structure"``."""
    good = sandbox.items[0]
    done = download(good, tmp_path / "good", verify="structure")
    assert len(done.written) == len(good["assets"])
    checked = {
        Path(path).name: said["checked"] for path, said in manifest(tmp_path / "good").items()
    }
    assert checked["lst.tiff"] == ["Content-Length", "structure"]
    assert checked["metadata.json"] == ["Content-Length"]
    bad = make_item(sandbox, {})
    bad["assets"]["lst"] = {"href": sandbox.put("bad/lst.tiff", b"II*\0 and then nothing")}
    download(bad, tmp_path / "bad")
    with pytest.raises(
        IncompleteDownloadError, match="failed verification twice: cannot be decoded"
    ):
        download(bad, tmp_path / "checked", verify="structure")


def test_verify_structure_of_existing_files(sandbox: Sandbox, tmp_path: Path) -> None:
    """Existing GeoTIFFs are decoded once; damage is reported."""
    good = sandbox.items[0]
    [tiff] = download(good, tmp_path, assets="lst").written
    sandbox.clear_requests()
    for _ in range(2):
        assert download(good, tmp_path, assets="lst", verify="structure").skipped == (tiff,)
    assert manifest(tmp_path)[str(tiff.relative_to(tmp_path))]["checked"] == [
        "Content-Length",
        "structure",
    ]
    bad = make_item(sandbox, {})
    bad["assets"]["lst"] = {"href": sandbox.put("bad/lst.tiff", b"II*\0 and then nothing")}
    [tiff] = download(bad, tmp_path).written
    with pytest.raises(IncompleteDownloadError, match=r"is damaged or was modified: .* decoded"):
        download(bad, tmp_path, verify="structure")
    tiff.write_bytes(tiff.read_bytes()[::-1])
    with pytest.raises(IncompleteDownloadError, match="checksum differs"):
        download(bad, tmp_path, verify="structure")
    assert [request.path for request in store_requests(sandbox)] == [
        "/constellr-sandbox/bad/lst.tiff"
    ]


# The folder as a catalog


@pytest.mark.parametrize(
    "layout", ["provider", "collection", "flat", lambda item, key: f"{item.id[-16:]}/x/{key}"]
)
def test_folder_is_a_catalog(tmp_path: Path, layout: Layout) -> None:
    """It opens offline, also after a move, and cubes have the same values."""
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
    items = read_items(tmp_path / "there")
    assert [item.id for item in items] == sorted(item["id"] for item in source)
    cube = constellr_stac.load(items, ["lst", "cloud_mask"]).compute()
    xr.testing.assert_identical(cube, expected)


def test_catalog_is_valid(sandbox: Sandbox, tmp_path: Path) -> None:
    """Items have file sizes and checksums; collections have extents."""
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
    """No document and no name contains a signature."""
    with Sandbox(presigned=True) as sandbox:
        auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        search = requests.post(sandbox.api_url + "/stac/search", json={}, auth=auth, timeout=60)
        item = search.json()["features"][0]
        signed = item["assets"]["lst"]["href"]
        assert "X-Amz-Signature" in signed
        item["assets"]["lst"] |= {"alternate": {"https": {"href": signed}}, "raw": signed}
        item["links"].append({"rel": "preview", "href": signed})
        download(item, tmp_path, auth=auth)
    (saved,) = read_items(tmp_path)
    (preview,) = saved.get_links("preview")
    assert preview.href == signed.partition("?")[0]
    assert saved.assets["lst"].extra_fields["raw"] == signed.partition("?")[0]
    for path in tmp_path.rglob("*"):
        assert "X-Amz" not in path.name
        assert path.is_dir() or b"X-Amz" not in path.read_bytes()


def test_no_query_is_saved(sandbox: Sandbox, tmp_path: Path) -> None:
    """Other queries are removed from recorded hrefs, too."""
    item = make_item(sandbox, {"a": b"a"})
    item |= {"collection": None}
    signed = constellr_stac.sign(item["assets"]["a"]["href"])
    item["assets"]["a"]["href"] = signed
    download(item, tmp_path)
    [record] = manifest(tmp_path).values()
    assert record["href"] == signed.partition("?")[0]


@pytest.mark.parametrize("name", ["catalog.json", "lstprecision.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"type": "Feature"}'])
def test_damaged_catalog_is_reported_and_rewritten(
    sandbox: Sandbox, tmp_path: Path, name: str, damage: str
) -> None:
    """A damaged document, such as after a power loss, is reported; without it, it is rewritten."""
    item = make_item(sandbox, {"one": b"1"})
    download(item, tmp_path)
    (tmp_path / name).write_text(damage)
    with pytest.raises(DownloadError, match=rf"{name}' is not a valid STAC .*Move it away"):
        download(item, tmp_path)
    (tmp_path / name).unlink()
    assert len(download(item, tmp_path).skipped) == 1
    assert [item.id for item in read_items(tmp_path)] == ["scene"]


def test_catalog_grows(sandbox: Sandbox, tmp_path: Path) -> None:
    """Runs add collections and items, each once."""
    one, two = (make_item(sandbox, {"a": b"a"}, name) for name in ("one", "two"))
    two |= {"collection": "lstfusion", "bbox": [1, 2, 3, 4], "geometry": None}
    alone = make_item(sandbox, {"a": b"a"}, "alone")
    del alone["collection"]
    for items in ([one], [one, two], [two, alone], [alone]):
        download(items, tmp_path)
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    assert sorted(child.id for child in catalog.get_children()) == ["lstfusion", "lstprecision"]
    assert [item.id for item in read_items(tmp_path)] == ["alone", "one", "two"]
    assert [item.id for item in catalog.get_items()] == ["alone"]


# Failures


def test_other_files_are_complete_after_a_failure(sandbox: Sandbox, tmp_path: Path) -> None:
    """The error names the missing file, the reason and the complete files."""
    item = make_item(sandbox, {"a": b"a", "b": b"b", "c": b"c"})
    sandbox.delete("scene a+b/b.bin")
    with pytest.raises(IncompleteDownloadError, match="404 NoSuchKey") as caught:
        download(item, tmp_path)
    error = caught.value
    assert error.status_code == 404
    assert [path.name for path in error.downloaded.written] == ["a.bin", "c.bin"]
    ((missing, why),) = error.failures.items()
    assert missing.name == "b.bin"
    assert isinstance(why, AssetReadError)
    assert sorted(read_items(tmp_path)[0].assets) == ["a", "c"]
    assert len(manifest(tmp_path)) == 2


@pytest.mark.parametrize(
    ("href", "said"),
    [
        ("ftp://host/lst.tiff", "ftp:// is not supported. Use s3://, https:// or a file"),
        ("http://127.0.0.1:99999/lst.tiff", "Port out of range"),
        ("/no/such/lst.tiff", "No such file or directory"),
    ],
)
def test_unreadable_hrefs(tmp_path: Path, href: str, said: str) -> None:
    """An unknown scheme, an invalid port and a missing path are reported as such."""
    item = pystac.Item("scene", None, None, datetime(2023, 6, 24, tzinfo=UTC), {})
    item.add_asset("lst", pystac.Asset(href))
    with pytest.raises(IncompleteDownloadError, match=re.escape(said)) as caught:
        download(item, tmp_path)
    assert "The other" not in str(caught.value)


def test_missing_credentials_write_nothing(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials to sign, no folder is created."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SigningError):
        download(sandbox.items, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("password", "error"), [("wrong", AuthenticationError), (None, CredentialsNotFoundError)]
)
def test_refused_credential_ends_the_run(
    tmp_path: Path, password: str | None, error: type[Exception]
) -> None:
    """An error that affects all files is raised once."""
    with Sandbox(presigned=True) as sandbox:
        good = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=sandbox.api_url)
        search = requests.post(sandbox.api_url + "/stac/search", json={}, auth=good, timeout=60)
        sandbox.advance(timedelta(hours=2))
        credential = None if password is None else Password(sandbox.username, password)
        sandbox.clear_requests()
        with pytest.raises(error):
            download(
                search.json(), tmp_path, auth=ConstellrAuth(credential, base_url=sandbox.api_url)
            )
        assert sum(request.path == "/token" for request in sandbox.requests) == (
            password is not None
        )


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """A run leaves no thread behind."""
    yield
    ours = ("constellr-download", "constellr-finish")
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith(ours)])
