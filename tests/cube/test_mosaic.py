"""Mosaics: which scene's pixel is used in a time step, with and without masks."""

from __future__ import annotations

import itertools
import pickle
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac import Signer
from constellr_stac.reading.raster import read_pixels
from layer_files import EPSG, ORIGIN, bare_item

if TYPE_CHECKING:
    from pathlib import Path

    import pystac
    from numpy.typing import NDArray

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "not-a-secret"}
SIDE = 12
FILL, UNKNOWN = 65535, 255
DAYS = {"a": 0, "b": 0, "c": 1, "d": 0, "e": 3}
"""Day of each scene: ``d`` is later than ``b`` on the same day, and days 1 and 3 have one scene."""


def time_of(name: str) -> datetime:
    """Return the time of a scene."""
    return datetime(2026, 6, 1, 8, ord(name) % 60, tzinfo=UTC) + timedelta(days=DAYS[name])


def scene(folder: Path, name: str) -> tuple[pystac.Item, NDArray[Any], NDArray[Any]]:
    """Write a scene with gaps and clouds; return it with its temperatures and masks."""
    random = np.random.default_rng(ord(name))
    stored = random.integers(25000, 33000, (1, SIDE, SIDE)).astype("uint16")
    stored[random.random(stored.shape) < 0.4] = FILL
    masks = np.stack([random.integers(0, top, (SIDE, SIDE), endpoint=True) for top in (3, 1, 1, 1)])
    masks[0][random.random((SIDE, SIDE)) < 0.1] = 7  # an undocumented class
    masks = masks.astype("uint8")
    place = folder / name
    place.mkdir()
    for layer, pixels in (("lst", stored), ("scl_mask_30m", masks)):
        with rasterio.open(
            place / f"{layer}.tiff", "w", driver="COG", height=SIDE, width=SIDE, count=len(pixels),
            dtype=pixels.dtype, crs=f"EPSG:{EPSG}", transform=from_origin(*ORIGIN, 30, 30),
            nodata=FILL if layer == "lst" else None,
        ) as file:  # fmt: skip
            file.write(pixels)
    item = bare_item(("lst", "scl_mask_30m"), item_id=name, href=f"{place}/{{}}")
    item.datetime = time_of(name)
    extent = GeoBox((SIDE, SIDE), from_origin(*ORIGIN, 30, 30), f"EPSG:{EPSG}").geographic_extent
    item.geometry, item.bbox = extent.json, list(extent.boundingbox)
    item.properties["platform"] = "one" if name in "ace" else "other"
    return item, stored[0], masks


@pytest.mark.parametrize("raw", [False, True], ids=["values", "raw"])
@pytest.mark.parametrize(("groupby", "steps"), [("solar_day", "abd c e"), ("platform", "ace bd")])
@ENGINES
def test_first_clear_pixel_is_used(
    tmp_path: Path, engine: Any, groupby: str, steps: str, *, raw: bool
) -> None:
    """A clear mask without a temperature does not let a cloudy pixel of another scene through."""
    scenes = {name: scene(tmp_path, name) for name in DAYS}
    cube = constellr_stac.load(
        [item for item, _, _ in scenes.values()],
        ["lst"],
        mask=("thick", "thin", "shadow", "water"),
        groupby=groupby,
        raw=raw,
        engine=engine,
        chunks={"time": 2, "y": 5},
    )
    assert [name.replace(", ", "") for name in cube.id.values] == steps.split()
    assert cube.lst.chunks == ((2,) * (len(cube.time) // 2) + (1,) * (len(cube.time) % 2),
                               (5, 5, 2), (12,))  # fmt: skip
    assert cube.odc.geobox.crs.epsg == EPSG
    with dask.config.set(scheduler="threads"):
        cube = cube.compute()
    for number, step in enumerate(steps.split()):
        assert cube.time[number] == np.datetime64(time_of(step[0]).replace(tzinfo=None))
        expected = np.full((SIDE, SIDE), FILL, "uint16")
        for name in reversed(step):
            _, stored, (cloud, _, water, _) = scenes[name]
            seen = (stored != FILL) & (cloud == 0) & (water == 0)
            expected[seen] = stored[seen]
        found = cube.lst[number]
        if raw:
            np.testing.assert_array_equal(found, expected)
        else:
            values = np.where(expected == FILL, np.nan, expected * 0.01)
            np.testing.assert_allclose(found, values, rtol=1e-6)
            assert found.dtype == np.float32
        left = expected != FILL
        assert 0 < left.sum() < left.size
        assert (cube.cloud_mask[number].values[left] == 0).all()
        assert (cube.landwater_mask[number].values[left] == 0).all()


EAST, SOUTH = 0.25, 0.75
"""The shift of a grid in pixels, which gives the weights of the neighbours."""


def shifted(values: NDArray[Any], method: str) -> NDArray[Any]:
    """Resample by hand: the nearest pixel, and if it is valid, the mean of the valid of four."""
    padded = np.pad(values, ((0, 1), (0, 1)), constant_values=np.nan)
    four = np.stack([padded[r : r + SIDE, c : c + SIDE] for r in (0, 1) for c in (0, 1)])
    nearest: NDArray[Any] = four[2]
    if method == "nearest":
        return nearest
    weights = np.outer((1 - SOUTH, SOUTH), (1 - EAST, EAST)).reshape(4, 1, 1) * ~np.isnan(four)
    share = weights.sum(0)
    mean = (weights * np.nan_to_num(four)).sum(0) / np.where(share, share, 1)
    return np.where(np.isnan(nearest), np.nan, mean)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return scenes by name."""
    folder = tmp_path_factory.mktemp("scenes")
    return {name: scene(folder, name) for name in "abcd"}


PAIRS: tuple[tuple[Any, Any], ...] = (
    ("odc", "stackstac"),
    ((), ("thick", "water")),
    ("a b d c", "abd c"),
    (0, 1),
    ({}, {"time": 2, "y": 5, "x": 7}),
    ("nearest", "bilinear"),
)
HALF = [
    [pair[number] for pair, number in zip(PAIRS, numbers, strict=True)]
    for numbers in itertools.product((0, 1), repeat=len(PAIRS))
    if sum(numbers) % 2 == 0
]
"""Every combination of any five of the pairs, in half of the tests that all six would take."""


@pytest.mark.parametrize(("engine", "mask", "steps", "shift", "chunks", "method"), HALF)
def test_cube_equals_numpy(
    scenes: dict[str, Any],
    engine: Any,
    mask: Any,
    steps: str,
    *,
    shift: int,
    chunks: Any,
    method: str,
) -> None:
    """Scenes are resampled, then masked by their own masks, then joined, whatever the chunks."""
    place = from_origin(ORIGIN[0] + 30 * EAST * shift, ORIGIN[1] - 30 * SOUTH * shift, 30, 30)
    how: dict[str, Any] = {"engine": engine, "mask": mask or None, "resampling": method}
    cube = constellr_stac.load(
        [item for item, _, _ in scenes.values()],
        ["lst", "cloud_mask", "landwater_mask"],
        geobox=GeoBox((SIDE, SIDE), place, f"EPSG:{EPSG}"),
        groupby="solar_day" if "abd" in steps else "id",
        chunks=chunks,
        **how,
    ).compute()
    for number, step in enumerate(steps.split()):
        lst = np.full((SIDE, SIDE), np.nan)
        plain, kept = np.full((2, 2, SIDE, SIDE), float(UNKNOWN))
        for name in reversed(step):
            _, stored, (cloud, _, water, _) = scenes[name]
            values = np.where(stored == FILL, np.nan, stored * 0.01)
            flags = np.stack([cloud, water]).astype(float)
            if shift:
                values = shifted(values, method)
                flags = np.nan_to_num([shifted(each, "nearest") for each in flags], nan=UNKNOWN)
            clear = np.isin(flags[0], (0, 2, 3)) & (flags[1] == 0) if mask else flags[0] != UNKNOWN
            lst = np.where(~np.isnan(values) & (clear | (not mask)), values, lst)
            plain = np.where(flags != UNKNOWN, flags, plain)
            kept = np.where(clear, flags, kept)
        np.testing.assert_allclose(cube.lst[number], lst, rtol=1e-6)
        found = np.stack([cube.cloud_mask[number], cube.landwater_mask[number]])
        np.testing.assert_array_equal(found, np.where(kept != UNKNOWN, kept, plain))


@ENGINES
def test_mosaicked_mask_matches_the_values(tmp_path: Path, engine: Any) -> None:
    """Masking again changes nothing; where no scene is clear, the first scene's mask is kept."""
    scenes = [scene(tmp_path, name) for name in "ab"]
    items = [item for item, _, _ in scenes]
    for item in items:
        item.properties["day"] = "one"
    cube = constellr_stac.load(items, ["lst"], mask="clear", groupby="day", engine=engine).compute()
    again = cube.constellr.clear()
    np.testing.assert_array_equal(again.lst, cube.lst)
    first, second = (masks[0] for _, _, masks in scenes)
    expected = np.where((first != 0) & (second == 0), 0, first)
    np.testing.assert_array_equal(cube.cloud_mask[0], expected)
    assert cube.cloud_mask.dtype == np.uint8
    assert cube.cloud_mask.attrs["nodata"] == UNKNOWN
    alone = constellr_stac.load(items[:1], ["lst"], mask="clear", engine=engine)
    for name in ("lst", "cloud_mask"):
        assert list(cube[name].attrs) == list(alone[name].attrs)
        assert cube[name].encoding == alone[name].encoding


@pytest.mark.parametrize("metres", [30, 45])
@ENGINES
def test_mask_buffer_reaches_into_the_pixels_around(
    tmp_path: Path, engine: Any, metres: float
) -> None:
    """In each scene, before scenes are joined, across chunks; unknown pixels have no buffer."""
    scenes = [scene(tmp_path, name) for name in "ab"]
    for item, _, _ in scenes:
        item.properties["day"] = "one"
    arguments: dict[str, Any] = {"mask": "thick", "mask_buffer": metres, "engine": engine}
    items = [item for item, _, _ in scenes]
    cube = constellr_stac.load(
        items, ["lst"], groupby="day", chunks={"y": 5, "x": 4}, **arguments
    ).compute()
    rows, columns = np.indices((SIDE, SIDE))
    expected = np.full((SIDE, SIDE), np.nan)
    alone = []
    for _, stored, (cloud, *_) in reversed(scenes):
        near = cloud == 7
        for row, column in np.argwhere(cloud == 1):
            near |= np.hypot(rows - row, columns - column) * 30 <= metres
        seen = (stored != FILL) & ~near
        assert (near & (cloud == 0)).any()
        assert seen.any()
        expected[seen] = stored[seen] * 0.01
        alone.append(seen)
    np.testing.assert_allclose(cube.lst[0], expected, rtol=1e-6)
    apart = constellr_stac.load(items, ["lst"], **arguments)
    np.testing.assert_array_equal(apart.lst.notnull(), alone[::-1])
    assert f"thick within {metres} m" in cube.attrs["source"]


def test_a_mask_buffer_needs_a_mask(tmp_path: Path) -> None:
    """And is neither negative nor infinite."""
    item, _, _ = scene(tmp_path, "a")
    with pytest.raises(ValueError, match="mask_buffer= needs mask="):
        constellr_stac.load([item], ["lst"], mask_buffer=30)
    for metres in (-30, float("inf")):
        with pytest.raises(ValueError, match="0 metres or more"):
            constellr_stac.load([item], ["lst"], mask="clear", mask_buffer=metres)


def test_mosaic_reads_each_file_once(tmp_path: Path) -> None:
    """With and without a mask."""
    items = [scene(tmp_path, name)[0] for name in DAYS]
    masked = constellr_stac.explain(items, ["lst"], mask="clear", groupby="platform")
    plain = constellr_stac.explain(items, ["lst", "cloud_mask"], groupby="platform")
    assert (masked.scenes, masked.files, masked.requests) == (5, 10, 10)
    assert masked.requests == plain.requests
    assert masked.shape == plain.shape


def days_of(folder: Path, *numbers: int) -> list[pystac.Item]:
    """Return items of one scene: so many on the first day, on the second, and so on."""
    first, _, _ = scene(folder, "a")
    items = []
    for day, number in enumerate(numbers):
        for minute in range(number):
            item = first.clone()
            item.id = f"{day}-{minute}"
            item.datetime = time_of("a") + timedelta(days=day, minutes=minute)
            items.append(item)
    return items


@ENGINES
def test_each_band_is_decoded_once(
    tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a mask that is a variable, masks itself and masks the values."""
    decoded: Counter[tuple[str, int]] = Counter()

    def counted(file: Any, band: Any, *arguments: Any, **how: Any) -> Any:
        decoded[file.reference.href, band.index] += 1
        return read_pixels(file, band, *arguments, **how)

    monkeypatch.setattr("constellr_stac.reading.band_source.read_pixels", counted)
    items = [scene(tmp_path, name)[0] for name in "ab"]
    cube = constellr_stac.load(items, ["lst"], mask="clear", groupby="solar_day", engine=engine)
    cube.compute(scheduler="synchronous")  # threads may decode one at the same time
    assert len(decoded) == 4
    assert set(decoded.values()) == {1}


@ENGINES
@pytest.mark.parametrize("mask", [None, "clear"])
def test_part_of_a_step_reads_the_scenes_that_it_touches(
    tmp_path: Path, engine: Any, mask: Any
) -> None:
    """Other scenes of the time step are neither fetched nor needed, nor counted by ``explain``."""
    (near, stored, masks), (far, _, _) = (scene(tmp_path, name) for name in "ab")
    moved = from_origin(ORIGIN[0] + 3 * SIDE * 30, ORIGIN[1], 30, 30)
    for asset in far.assets.values():
        with rasterio.open(asset.href, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.transform = moved
    extent = GeoBox((SIDE, SIDE), moved, f"EPSG:{EPSG}").geographic_extent
    far.geometry, far.bbox = extent.json, list(extent.boundingbox)
    cube = constellr_stac.load(
        [near, far], ["lst"], mask=mask, groupby="solar_day", engine=engine, chunks={"x": SIDE}
    )
    shutil.rmtree(tmp_path / "b")
    part = cube.isel(x=slice(SIDE))
    assert cube.sizes["x"] == 4 * SIDE
    assert constellr_stac.explain(part).files == (2 if mask else 1)
    expected = np.where(stored == FILL, np.nan, stored * 0.01)
    expected[(masks[0] != 0) & (mask is not None)] = np.nan
    np.testing.assert_allclose(part.lst[0], expected, rtol=1e-6)


@ENGINES
def test_mosaic_of_many_scenes_is_bounded(tmp_path: Path, engine: Any) -> None:
    """Scenes are joined one after the other: chunks are no larger than for single scenes."""
    items = days_of(tmp_path, 30)
    how: dict[str, Any] = {"mask": "clear", "engine": engine, "resolution": 0.1}
    joined = constellr_stac.explain(items, ["lst"], groupby="solar_day", **how)
    alone = constellr_stac.explain(items, ["lst"], groupby="id", **how)
    assert joined.bytes_per_chunk == alone.bytes_per_chunk


@pytest.mark.parametrize(
    ("engine", "mask", "most"),
    [
        ("odc", None, 350),
        ("stackstac", None, 350),
        ("odc", "clear", 750),
        ("stackstac", "clear", 750),
    ],
)
def test_graph_holds_what_scenes_share_once(engine: Any, mask: Any, most: int) -> None:
    """A further scene adds little more than its names to the pickled graph."""

    def size(days: int) -> int:
        items = []
        for number in range(16 * days):
            day, place = divmod(number, 16)
            item = bare_item(("lst", "scl_mask_30m"), item_id=f"{number}", href="s3://b/{}")
            item.datetime = datetime(2026, 6, 1, 8, tzinfo=UTC) + timedelta(days=day)
            grid = from_origin(ORIGIN[0] + 12_000 * place, ORIGIN[1], 30, 30)
            extent = GeoBox((500, 500), grid, f"EPSG:{EPSG}").geographic_extent
            item.geometry, item.bbox = extent.json, list(extent.boundingbox)
            for asset in item.assets.values():
                asset.href = f"s3://scenes/{number}/{asset.href[-8:]}"
                asset.extra_fields |= {
                    "proj:code": f"EPSG:{EPSG}", "proj:shape": [500, 500],
                    "proj:transform": list(grid)[:6],
                }  # fmt: skip
            items.append(item)
        cube = constellr_stac.load(
            items, ["lst", "cloud_mask"], mask=mask, groupby="solar_day", engine=engine,
            chunks={"y": 1024, "x": 1024}, signer=Signer(credentials=KEYS),
        )  # fmt: skip
        if mask is None:
            cube = cube[["lst"]]
        return len(pickle.dumps(dict(cube.__dask_graph__()), protocol=5))

    assert (size(4) - size(2)) / (2 * 16) < most


@ENGINES
def test_only_mosaicked_steps_add_tasks(tmp_path: Path, engine: Any) -> None:
    """One day with many scenes does not add tasks for the other days."""
    items = days_of(tmp_path, 20, *[1] * 40)
    how: dict[str, Any] = {"mask": "clear", "engine": engine, "chunks": {"time": 1}}
    joined = constellr_stac.load(items, ["lst"], groupby="solar_day", **how)
    alone = constellr_stac.load(items, ["lst"], groupby="id", **how)
    assert len(joined.__dask_graph__()) < 4 * len(alone.__dask_graph__())


@ENGINES
def test_step_is_read_without_other_steps(tmp_path: Path, engine: Any) -> None:
    """Mosaicked scenes are in one chunk, even if others were acquired between them."""
    items = [scene(tmp_path, name)[0] for name in "abcd"]
    cube = constellr_stac.load(
        items, ["lst"], mask="clear", groupby="platform", engine=engine, chunks={"time": 1}
    )
    for name in "bd":
        shutil.rmtree(tmp_path / name)
    assert cube.id.values[0] == "a, c"
    cube.isel(time=0).compute()


@pytest.mark.parametrize("mask", [None, "clear"])
@ENGINES
def test_step_is_explained_without_other_steps(tmp_path: Path, engine: Any, mask: Any) -> None:
    """The plan of a slice counts only what it reads."""
    items = [scene(tmp_path, name)[0] for name in "abcd"]
    cube = constellr_stac.load(
        items,
        ["lst", "cloud_mask"],
        mask=mask,
        groupby="platform",
        engine=engine,
        chunks={"time": 1},
    )
    assert constellr_stac.explain(cube.isel(time=0)).files == 4


@ENGINES
def test_masks_are_part_of_the_keys(tmp_path: Path, engine: Any) -> None:
    """Pixels with other masks have other dask keys, and with the same masks the same."""
    item, _, _ = scene(tmp_path, "a")
    masks: list[Any] = [None, "thick", "thin", "thin"]
    names = [
        constellr_stac.load([item], ["lst", "cloud_mask"], mask=mask, engine=engine).lst.data.name
        for mask in masks
    ]
    assert len(set(names)) == 3
    assert names[2] == names[3]
