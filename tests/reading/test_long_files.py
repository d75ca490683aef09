"""Windows of long files: which bytes are fetched, when, and how many are held."""

from __future__ import annotations

import functools
import os
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pystac
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac import AssetReadError, Limits
from constellr_stac.errors import SceneLeftEmptyWarning
from constellr_stac.reading.asset_file import ranges_of
from constellr_stac.reading.asset_ref import AssetRef, asset_ref
from constellr_stac.reading.blocks import spans_of
from constellr_stac.reading.directories import (
    Directory,
    MissingBytesError,
    check_count,
    read_directories,
)
from constellr_stac.reading.geotiff import RefusedFileError
from constellr_stac.reading.prefetch import Fetcher, shared_fetcher
from constellr_stac.reading.resolver import AssetResolver
from weak_network import AnswerServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
SIDE, STEP, LEFT, TOP = 1024, 30, 381060.0, 3746640.0
GRID = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, STEP, STEP), "EPSG:32611")
PLACE = np.s_[300:500, 600:700]
HEADER = 32 << 10
COG: dict[str, Any] = {
    "driver": "COG", "blocksize": 128, "overviews": "NONE", "compress": "deflate",
}  # fmt: skip
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
RNG = np.random.default_rng(16)


class Files:
    """Serves files in ranges; ``asked`` has the range of each request."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self.asked: list[tuple[str, int, int]] = []
        self.together = 0
        """Until so many requests are under way at the same time, those for blocks are held."""
        self.under_way, self.most = 0, 0
        self._changed = threading.Condition()

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        path = self.paths[request.path]
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        size = path.stat().st_size
        start, stop = int(first), min(int(last) + 1, size)
        with self._changed:
            self.asked.append((request.path, start, stop))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self._changed.notify_all()
            if start:
                self._changed.wait_for(lambda: self.most >= self.together, 20)
        with path.open("rb") as file:
            file.seek(start)
            body = file.read(stop - start)
        with self._changed:
            self.under_way -= 1
        return 206, {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, body

    @property
    def received(self) -> int:
        """The bytes sent."""
        return sum(stop - start for _, start, stop in self.asked)


@pytest.fixture
def files() -> Files:
    """A log of requests for files."""
    return Files()


@contextmanager
def served(files: Files, *paths: Path) -> Iterator[list[pystac.Item]]:
    """Serve files as items of one day each."""
    with AnswerServer(files.answer) as server:
        items = []
        for number, path in enumerate(paths):
            files.paths[f"/{number}/lst.tiff"] = path
            items.append(item_of(f"{server.url}/{number}/lst.tiff", number))
        yield items


def item_of(href: str, number: int = 0, grid: GeoBox = GRID) -> pystac.Item:
    """Return an LSTfusion item with one asset."""
    return pystac.Item.from_dict(
        {
            "type": "Feature", "stac_version": "1.1.0", "id": f"day{number:03}",
            "collection": "lstfusion", "geometry": grid.geographic_extent.json, "links": [],
            "bbox": list(grid.geographic_extent.boundingbox),
            "properties": {"datetime": f"2025-06-{number + 1:02}T12:00:00Z", "gsd": 30},
            "assets": {"lst": {"href": href, "type": "image/tiff"}},
        }
    )  # fmt: skip


def write(path: Path, *, mask: bool = False, bands: int = 1, **options: Any) -> Path:
    """Write a file of noise, which no codec makes much shorter."""
    options = {"driver": "GTiff", **options}
    numbers = RNG.integers(20000, 40000, (bands, SIDE, SIDE), dtype="uint16")
    profile = {
        "dtype": "uint16", "count": bands, "height": SIDE, "width": SIDE, "nodata": 65535,
        "crs": "EPSG:32611", "transform": GRID.transform,
    }  # fmt: skip
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile, **options) as file,
    ):
        file.write(numbers)
        if mask:
            file.write_mask(RNG.integers(0, 2, (SIDE, SIDE), dtype="uint8") * 255)
    return path


def kelvin(path: Path, place: Any = PLACE, band: int = 1) -> Any:
    """Return the values of a band, as rasterio reads them."""
    with rasterio.open(path) as file:
        values = (file.read(band) * 0.01).astype("float32")
        values[file.read_masks(band) == 0] = np.nan
    return values[place]


def needed(path: Path, place: Any = PLACE, band: int = 1, level: int | None = None) -> int:
    """Return the bytes of the blocks of a window, as GDAL states them."""
    with rasterio.open(path) as file:
        height, width = file.block_shapes[0]
        sizes = [
            int(file.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", band, level))
            for row in range(place[0].start // height, (place[0].stop - 1) // height + 1)
            for column in range(place[1].start // width, (place[1].stop - 1) // width + 1)
        ]
    return sum(sizes)


def move_directory_to_the_end(path: Path) -> None:
    """Copy a classic TIFF's directory behind the pixels, as other writers place it."""
    content = path.read_bytes()
    (offset,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, offset)
    directory = content[offset : offset + 2 + 12 * entries] + bytes(4)
    gap = b"\0" * (-len(content) % 2)
    moved = struct.pack("<I", len(content) + len(gap))
    path.write_bytes(content[:4] + moved + content[8:] + gap + directory)


FORMS: dict[str, dict[str, Any]] = {
    "cog": COG,
    "cog with mask": {**COG, "mask": True},
    "bands apart": {"bands": 3, "interleave": "band", **TILED},
    "bands together": {"bands": 3, "interleave": "pixel", **TILED},
    "long tables": {"tiled": True, "blockxsize": 16, "blockysize": 16},
    "big": {"BIGTIFF": "YES", "compress": "lzw", **TILED},
    "big-endian": {"ENDIANNESS": "BIG", **TILED},
    "mask": {"mask": True, **TILED},
    "strips": {"blockysize": 8},
    "compressed strips": {"blockysize": 8, "compress": "deflate"},
    "one strip": {"blockysize": SIDE},
    "directory at the end": TILED,
}


@pytest.mark.parametrize("form", FORMS)
def test_window_equals_the_file(form: str, tmp_path: Path, files: Files) -> None:
    """However a file is laid out, its window has the right values and comes in its blocks alone."""
    path = write(tmp_path / "lst.tiff", **FORMS[form])
    if form == "directory at the end":
        move_directory_to_the_end(path)
    with served(files, path, path) as items:
        for item in items:
            files.asked.clear()
            cube = constellr_stac.load([item], ["lst"], geobox=GRID[PLACE]).compute()
            np.testing.assert_array_equal(cube.lst[0], kelvin(path))
    masks_and_tables = 1.5 if "mask" in form else 1.1
    assert files.received <= HEADER + masks_and_tables * needed(path)
    assert files.asked[0][1:] == (0, HEADER), "the first file has shown that the second is long"


@pytest.mark.parametrize("kind", ["bands apart", "bands together"])
def test_a_later_band_comes_in_its_blocks(kind: str, tmp_path: Path, files: Files) -> None:
    """Stored apart, they begin behind those of the bands before it."""
    form = FORMS[kind] | {"blockxsize": 48, "blockysize": 48}
    path = write(tmp_path / "lst.tiff", **form)
    stated = {"data_type": "uint16", "scale": 0.01, "offset": 0, "nodata": 65535, "unit": "K"}
    with served(files, path, path) as items:
        for item in items:
            item.assets["stack"] = item.assets.pop("lst")
            item.assets["stack"].extra_fields["bands"] = [{"name": n, **stated} for n in "abc"]
            files.asked.clear()
            cube = constellr_stac.load([item], ["c"], geobox=GRID[PLACE]).compute()
            np.testing.assert_array_equal(cube.c[0], kelvin(path, band=3))
    assert files.received <= HEADER + 1.1 * needed(path, band=3)


COARSE: dict[str, Any] = COG | {"overviews": "AUTO", "resampling": "nearest"}


@pytest.mark.parametrize(
    ("grid", "level", "read"),
    [
        (GRID[290:500, 600:700].translate_pix(0.5, 0.5), None, np.s_[285:506, 595:706]),
        (GRID.zoom_out(4)[20:100, 150:200], 1, np.s_[15:105, 145:205]),
    ],
    ids=["shifted", "coarse"],
)
def test_resampling_fetches_the_pixels_around(
    grid: GeoBox, level: int | None, read: Any, tmp_path: Path, files: Files
) -> None:
    """The kernel needs up to five pixels on each side, also of an overview."""
    path = write(tmp_path / "lst.tiff", **COARSE)
    with served(files, path, path) as items:
        for item in items:
            files.asked.clear()
            constellr_stac.load([item], ["lst"], geobox=grid, resampling="bilinear").compute()
    assert files.received <= HEADER + 1.1 * needed(path, read, level=level)


@pytest.mark.parametrize("method", [None, "nearest", "lanczos"])
@pytest.mark.parametrize("shift", [0, 0.5])
def test_blocks_that_two_chunks_read_are_known(
    method: str | None, shift: float, tmp_path: Path
) -> None:
    """The middle one of nine chunks shares some; without resampling the others are its own."""
    fetcher = shared_fetcher(AssetResolver())
    file = fetcher.wait(fetcher.start(AssetRef(str(write(tmp_path / "lst.tiff", **COG)))))
    starts = [(row, column) for row in (20, 276, 532) for column in (0, 384, 768)]
    grid = GRID.translate_pix(shift, shift)
    chunks = [
        spans_of(file, 1, grid[row : row + 256, column : column + 384], method, None)[1]
        for row, column in sorted(starts, key=(276, 384).__eq__)
    ]
    others = {span for chunk in chunks[:-1] for span in chunk}
    own = {span for span, inside in chunks[-1].items() if inside}
    assert own
    assert own.isdisjoint(others)
    if not shift:
        assert own == chunks[-1].keys() - others


def test_prefetched_ranges_are_bounded(tmp_path: Path) -> None:
    """Their bytes count before they have come."""
    path = tmp_path / "lst.tiff"
    path.write_bytes(bytes(2 << 20))
    fetcher = Fetcher(AssetResolver())
    file = fetcher.wait(head := fetcher.start(AssetRef(str(path))))
    fetcher._max_bytes = len(file.head) + 120_000
    blocks = file.claim((start, start + 50_000) for start in range(1_100_000, 1_600_000, 100_000))
    assert [block.fetch.started for block in blocks] == [True, True, False, False, False]
    assert head.started


TYPES = {
    1: "B", 2: "c", 3: "H", 4: "I", 5: "2I", 6: "b", 7: "c", 8: "h", 9: "i", 10: "2i", 11: "f",
    12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip
"""The types of TIFF 6.0 and BigTIFF, as the struct module writes them."""


@pytest.mark.parametrize("kind", TYPES)
def test_values_of_each_type_are_fetched_in_full(kind: int) -> None:
    """Those that lie behind the head; GDAL would take a missing one for zeros."""
    count, place = 20_000, 1 << 20
    head = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 700, kind, count, place, 0)
    with pytest.raises(MissingBytesError) as caught:
        read_directories([(0, head)], 4 << 20)
    assert caught.value.spans == [(place, place + count * struct.calcsize("<" + TYPES[kind]))]


def test_values_of_all_entries_are_bounded() -> None:
    """A table of 1 MiB that 65 entries share counts 65 times."""
    entries = [struct.pack("<HHII", tag, 4, 1 << 18, 4096) for tag in range(1000, 1065)]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries)
    content = head.ljust(4096 + (1 << 20), b"\0")
    with pytest.raises(RefusedFileError, match="bytes of values"):
        read_directories([(0, content)], len(content))


def test_window_of_implausibly_many_blocks_is_refused() -> None:
    """All planes and masks count; 65,536 are allowed."""
    none = np.empty(0, int)
    image = Directory((9000, 9000), (16, 16), 1, 0, 1, 0, 0, none, none)
    rows, columns = slice(40, 9000), slice(24, 1800)
    count = len(np.unique(np.r_[rows] // 16)) * len(np.unique(np.r_[columns] // 16))
    assert 60_000 < count < 65_536
    check_count([image], rows, columns)
    with pytest.raises(RefusedFileError, match=f"has {2 * count} blocks"):
        check_count([image] * 2, rows, columns)


@ENGINES
def test_blocks_of_a_chunk_are_fetched_together(tmp_path: Path, files: Files, engine: Any) -> None:
    """On one thread, the blocks of all scenes of a chunk are asked for at once."""
    path = write(tmp_path / "lst.tiff", **COG)
    with served(files, *[path] * 7) as (first, *items), dask.config.set(scheduler="synchronous"):
        load = functools.partial(constellr_stac.load, geobox=GRID[PLACE], engine=engine)
        load([first], ["lst"]).compute()  # shows that its siblings are long
        files.asked.clear()
        files.together = len(items) + 1
        cube = load(items, ["lst"], chunks={"time": 6})
        for values in cube.lst.values:
            np.testing.assert_array_equal(values, kelvin(path))
    blocks = [start for _, start, _ in files.asked if start]
    assert len(blocks) > len(items)
    assert files.most >= files.together


@ENGINES
def test_only_the_needed_bytes_are_fetched(tmp_path: Path, files: Files, engine: Any) -> None:
    """Once a file has shown that its siblings are long: a header each, and 1.2 times the blocks."""
    path = write(tmp_path / "lst.tiff", **COG)
    with served(files, *[path] * 9) as items:
        constellr_stac.load(items[:1], ["lst"], geobox=GRID[PLACE], engine=engine).compute()
        files.asked.clear()
        constellr_stac.load(items[1:], ["lst"], geobox=GRID[PLACE], engine=engine).compute()
    assert files.received <= 8 * (HEADER + 1.2 * needed(path))


@ENGINES
def test_block_of_two_chunks_is_fetched_once(tmp_path: Path, files: Files, engine: Any) -> None:
    """Chunks that are not aligned with the blocks share what they have in common."""
    path = write(tmp_path / "lst.tiff", **COG)
    place = np.s_[60:1000, 60:1000]
    with served(files, path) as items:
        cube = constellr_stac.load(
            items, ["lst"], geobox=GRID[place], chunks={"y": 128, "x": 128}, engine=engine
        ).compute()
        np.testing.assert_array_equal(cube.lst[0], kelvin(path, place))
    assert files.received < 1.05 * path.stat().st_size


@ENGINES
def test_explain_tells_what_is_fetched(tmp_path: Path, files: Files, engine: Any) -> None:
    """Requests and bytes are exact, also where chunks share blocks."""
    path = write(tmp_path / "lst.tiff", mask=True, **COG)
    for place, chunks in ((PLACE, {"time": 4}), (np.s_[60:700, 60:700], {"time": 2, "y": 256})):
        with served(files, *[path] * 4) as items, dask.config.set(scheduler="synchronous"):
            cube = constellr_stac.load(
                items, ["lst"], geobox=GRID[place], chunks=chunks, engine=engine
            )
            plan = constellr_stac.explain(cube)
            files.asked.clear()
            cube.compute()
        assert (plan.requests, plan.bytes_to_fetch) == (len(files.asked), files.received)


@pytest.mark.parametrize("known", ["size", "etag", "local"])
def test_rewritten_file_is_not_mixed(tmp_path: Path, files: Files, known: str) -> None:
    """If the file is replaced after its head was read, all of it is read anew."""
    one = write(tmp_path / "one.tiff", **TILED)
    options = {**COG, "compress": "none"} if known == "size" else TILED
    other = write(tmp_path / "other.tiff", **options)
    place = np.s_[:1000, :64]  # in the head, and behind it
    assert (one.stat().st_size == other.stat().st_size) == (known != "size")
    path = tmp_path / "lst.tiff"
    path.write_bytes(one.read_bytes())

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = files.answer(request)
        if known == "etag":
            headers["ETag"] = f'"{path.stat().st_ino}"'
        if len(files.asked) == 1:
            other.replace(path)
        return status, headers, body

    right = kelvin(other, place)
    with AnswerServer(answer) as server:
        files.paths["/lst.tiff"] = path
        item = item_of(str(path) if known == "local" else f"{server.url}/lst.tiff")
        cube = constellr_stac.load([item], ["lst"], geobox=GRID[place], chunks={})
        if known == "local":
            source = shared_fetcher(AssetResolver())
            reference = AssetRef.parse(str(asset_ref(item, "lst")))
            file = source.wait(source.start(reference))
            other.replace(path)
            with pytest.raises(RefusedFileError, match="rewritten"):
                file.regions(file.claim([(2_000_000, 2_000_100)]))
        np.testing.assert_array_equal(cube.compute().lst[0], right)


def test_ranges_are_joined_over_small_gaps() -> None:
    """Requests are saved where little is fetched for nothing, the smallest gaps first."""
    spans = [(0, 800), (800, 1600), (1650, 2450), (2500, 3300), (9000, 9100), (3500, 4300)]
    assert ranges_of(spans) == [
        [(0, 800), (800, 1600), (1650, 2450), (2500, 3300), (3500, 4300)],
        [(9000, 9100)],
    ]
    assert ranges_of([]) == []


def huge(form: str) -> bytes:
    """Return the head of a hostile TIFF of 3 MiB."""
    head = b"II*\0" + struct.pack("<I", 8)
    entries = {
        "loop": [(256, 4, 1, 1)],
        "endless table": [(324, 4, 2**30, 100)],
        "no pixels": [(256, 4, 1, 0), (257, 4, 1, 0)],
        "table past the end": [(324, 4, 100, (3 << 20) - 6)],
    }[form]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (head + directory + struct.pack("<I", 8 if form == "loop" else 0)).ljust(3 << 20, b"\0")


def test_windows_are_bounded_and_files_are_not(tmp_path: Path) -> None:
    """A setting bounds the decoded bytes of a window, however wide, high or far it is."""
    item, limits = item_of(str(write(tmp_path / "lst.tiff", **TILED))), Limits(window_bytes=50_000)
    for place in (np.s_[:40, :1000], np.s_[:1000, :40], np.s_[800:, 800:]):
        cube = constellr_stac.load([item], ["lst"], geobox=GRID[place], limits=limits)
        with pytest.raises(AssetReadError, match=r"limits\.window_bytes"):
            cube.compute()
    small = constellr_stac.load([item], ["lst"], geobox=GRID[900:, 900:], limits=limits)
    np.testing.assert_array_equal(small.lst[0], kelvin(tmp_path / "lst.tiff", np.s_[900:, 900:]))


@pytest.mark.parametrize("form", ["loop", "endless table", "no pixels", "table past the end"])
def test_implausible_directories_are_refused(form: str, tmp_path: Path, files: Files) -> None:
    """They cost a few requests and end in an error that names the file."""
    path = tmp_path / "lst.tiff"
    path.write_bytes(huge(form))
    with (
        served(files, path) as items,
        pytest.raises(AssetReadError, match=r"day000.*not a readable GeoTIFF"),
    ):
        constellr_stac.load(items, ["lst"], geobox=GRID[PLACE]).compute()
    assert len(files.asked) <= 4


@pytest.mark.parametrize("form", ["directories", "tables", "entries"])
def test_scattered_directories_cost_few_requests(form: str, tmp_path: Path, files: Files) -> None:
    """A chain without an end, tables that lie far apart, or thousands of entries of one table."""
    number, gap = {"directories": (300, 40 << 10), "tables": (1, 4096), "entries": (30, 3008)}[form]
    path = tmp_path / "lst.tiff"
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8))
        for start in range(8, 8 + number * gap, gap):
            entries = [(256, 4, 1, 9), (257, 4, 1, 9)]
            if form != "directories":
                places = [tag if form == "tables" else 299 for tag in range(1, 249)]
                entries += [(1000 + tag, 4, 9, tag * (40 << 10)) for tag in places]
            file.seek(start)
            file.write(struct.pack("<H", len(entries)))
            file.write(b"".join(struct.pack("<HHII", *entry) for entry in entries))
            file.write(struct.pack("<I", start + gap))
        file.truncate(300 * (40 << 10))
    with served(files, path) as items, pytest.raises(AssetReadError, match="its director"):
        constellr_stac.load(items, ["lst"], geobox=GRID[PLACE]).compute()
    assert len(files.asked) < 300


def test_blocks_of_a_window_are_bounded(tmp_path: Path) -> None:
    """A long file in tiny tiles is refused where a window has too many, and only there."""
    side, path = 16 * 257, tmp_path / "lst.tiff"
    grid = GeoBox((side, side), GRID.transform, GRID.crs)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": side, "width": side}
    tiles = {**TILED, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": True}
    with rasterio.open(path, "w", **profile, **tiles, crs=grid.crs, transform=grid.transform):
        pass
    os.truncate(path, 3 << 20)
    item = item_of(str(path), grid=grid)
    for part, refused in ((grid[:4096, :4096], False), (grid, True)):
        cube = constellr_stac.load([item], ["lst"], geobox=part, errors="nan", chunks={})
        if refused:
            with pytest.warns(SceneLeftEmptyWarning, match="66049 blocks"):
                cube.compute()
        else:
            cube.compute()


MEASURE = """
import resource, sys
import numpy as np, pystac
import constellr_stac
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
small, long = map(pystac.Item.from_file, sys.argv[1:3])
step = 30
def peak():  # of this process; ru_maxrss begins with the parent's
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
for item, first in ((small, 0), (long, int(sys.argv[3]))):
    before = peak()
    corner = from_origin(381060 + first * step, 3746640 - first * step, step, step)
    grid = GeoBox((256, 256), corner, "EPSG:32611")
    values = constellr_stac.load([item], ["lst"], geobox=grid).lst.values
raised = (peak() - before) >> 10
assert (values == np.float32(290)).all()
print(raised)
"""


@pytest.mark.parametrize("remote", [False, True])
def test_memory_follows_the_window(tmp_path: Path, files: Files, *, remote: bool) -> None:
    """A window at the end of a BigTIFF of 6 GiB takes less than 50 MiB in a fresh process."""
    side, first = 57_344, 57_000
    grid = GeoBox((side, side), from_origin(LEFT, TOP, STEP, STEP), "EPSG:32611")
    path = tmp_path / "long.tiff"
    profile = {
        "driver": "GTiff", "dtype": "uint16", "count": 1, "height": side, "width": side,
        "crs": "EPSG:32611", "transform": grid.transform, "nodata": 65535, "tiled": True,
        "blockxsize": 256, "blockysize": 256, "BIGTIFF": "YES", "SPARSE_OK": True,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile):
        pass
    os.truncate(path, 6 << 30)  # a sparse file: the blocks are written behind
    block = np.full((1, 512, 512), 29000, "uint16")
    with rasterio.open(path, "r+") as file:
        file.write(block, window=((first - first % 256, side), (first - first % 256, side)))
    small = write(tmp_path / "small.tiff", **TILED)
    with served(files, small, path) as found:
        for number, item in enumerate(found if remote else map(item_of, map(str, (small, path)))):
            item.geometry = grid.geographic_extent.json
            item.save_object(dest_href=str(tmp_path / f"{number}.json"))
        raised = subprocess.run(
            [sys.executable, "-c", MEASURE, *(str(tmp_path / f"{n}.json") for n in (0, 1)),
             str(first)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    assert int(raised) < 50
