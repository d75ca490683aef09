"""File, item and documents contradict each other: the number is right, or the user is told.

The references are written with rasterio and computed with NumPy and pyproj from the statements
themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import odc.stac
import pyproj
import pystac
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from dask.base import compute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import constellr_stac
from constellr_stac import AssetReadError
from constellr_stac.errors import ContradictionWarning, SceneLeftEmptyWarning
from constellr_stac.layers.describe import complete_items
from real_scenes import found, truth
from weak_network import AnswerServer

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
LEFT, TOP, SIDE = 381060.0, 3746640.0, 12
WHEN = datetime(2026, 6, 1, 12, 30, 5, tzinfo=UTC)
STORED = (29000 + np.arange(SIDE * SIDE)).reshape(SIDE, SIDE).astype("uint16")
KELVIN = (STORED * 0.01).astype("float32")


def write(path: Path, values: Any, **how: Any) -> Path:
    """Write a GeoTIFF of 30 m pixels; scales, offsets, units and mask as rasterio has them."""
    values = np.asarray(values)
    values = values[None] if values.ndim == 2 else values
    profile = {"crs": "EPSG:32611", "nodata": 65535} | how
    tags = {name: profile.pop(name, None) for name in ("scales", "offsets", "units", "mask")}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=values.dtype,
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            transform=from_origin(LEFT, TOP, 30, 30),
            **profile,
        ) as file,
    ):
        file.write(values)
        for name in ("scales", "offsets", "units"):
            if tags[name] is not None:
                setattr(file, name, tags[name])
        if tags["mask"] is not None:
            file.write_mask(tags["mask"])
    return path


def scene(
    path: Path, fields: Any = None, *, key: str = "lst", side: int = SIDE, number: int = 0
) -> pystac.Item:
    """Return the item of a file, with fields of its asset."""
    box = transform_bounds("EPSG:32611", "EPSG:4326", LEFT, TOP - 30 * side, LEFT + 30 * side, TOP)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = pystac.Item(
        f"scene-{number}",
        {"type": "Polygon", "coordinates": [ring]},
        list(box),
        WHEN + timedelta(days=number),
        {"gsd": 30},
        collection="lstprecision",
    )
    item.add_asset(key, pystac.Asset(str(path), media_type="image/tiff", extra_fields=fields or {}))
    return item


def load(items: Any, *, engine: Any, bands: Any = "lst", **how: Any) -> tuple[Any, list[Any]]:
    """Return a computed variable, and the contradictions that were told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cube = constellr_stac.load(items, [bands], engine=engine, **how).compute()
    told = [each for each in caught if issubclass(each.category, ContradictionWarning)]
    return cube[bands], told


class Statement(NamedTuple):
    """What item or file say about stored values; ``None`` where they are silent."""

    scale: float | None
    offset: float | None
    unit: str | None


statements = st.builds(
    Statement,
    st.sampled_from([None, 0.01, 0.02]),
    st.sampled_from([None, 0.0, 5.0, -273.15]),
    st.sampled_from([None, "K", "degC", "Celsius", "kelvin"]),
)


def expected(stored: Any, item: Statement, file: Statement, dtype: str) -> Any:
    """Return kelvin by the documented order, or the word for what cannot be settled."""
    documents = Statement(0.01, 0.0, "K") if dtype == "uint16" else Statement(None, None, "K")
    ranked = []
    for source, each in (("item", item), ("file", file), ("documents", documents)):
        scale, offset = each.scale, each.offset
        if source == "item" and dtype != "uint16":
            scale = offset = None  # stated for integers
        if source == "file" and (scale or 1, offset or 0) == (1, 0):
            scale = offset = None  # GDAL's defaults state nothing
        if scale is not None or offset is not None or each.unit is not None:
            ranked.append(Statement(scale, offset, each.unit))
    first, *others = ranked
    scale, offset, unit = first
    scales = scale is not None or offset is not None
    if scales:
        unit = unit or next((each.unit for each in others if each.unit), None)
    elif dtype == "uint16":
        scaled = next(each for each in others if each.scale is not None or each.offset is not None)
        if scaled.unit is not None and is_celsius(scaled.unit) != is_celsius(unit):
            return "unclear"
        scale, offset = scaled.scale, scaled.offset
    values = stored * np.float64(1 if scale is None else scale) + (offset or 0)
    return values + (273.15 if is_celsius(unit) else 0)


def is_celsius(unit: str | None) -> bool:
    """Return whether a unit is degrees Celsius."""
    return unit in ("degC", "Celsius")


@ENGINES
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(item=statements, file=statements, dtype=st.sampled_from(["uint16", "float32"]))
def test_encoding_comes_from_item_then_file_then_documents(
    tmp_path: Path, engine: Any, item: Statement, file: Statement, dtype: str
) -> None:
    """Values are those of the first that states them, in kelvin; else an error names the scene."""
    stored = STORED if dtype == "uint16" else KELVIN
    tags = {
        name: None if value is None else [value]
        for name, value in zip(("scales", "offsets", "units"), file, strict=True)
    }
    folder = Path(tempfile.mkdtemp(dir=tmp_path))  # one per example: bytes of a path are kept
    path = write(folder / "lst.tiff", stored, **tags)
    fields = {name: value for name, value in item._asdict().items() if value is not None}
    one = scene(path, {"raster:bands": [fields]} if fields else None)
    right = expected(stored, item, file, dtype)
    if isinstance(right, str):
        with pytest.raises(AssetReadError, match="scene-0"):
            load(one, engine=engine)
        with pytest.warns(SceneLeftEmptyWarning):
            assert constellr_stac.load(one, ["lst"], engine=engine, errors="nan").lst.isnull().all()
        return
    values, _ = load(one, engine=engine)
    np.testing.assert_allclose(values[0], right, rtol=1e-6)
    assert values.attrs["units"] == "K"


@ENGINES
def test_contradicting_encodings_are_told(tmp_path: Path, engine: Any) -> None:
    """The item's encoding is used, and one warning per cube names a scene and both encodings."""
    path = write(tmp_path / "lst.tiff", STORED, scales=[0.02])
    items = [scene(path, {"raster:bands": [{"scale": 0.01}]}, number=n) for n in range(3)]
    values, told = load(items, engine=engine)
    np.testing.assert_allclose(values, np.stack([KELVIN] * 3))
    [warning] = told
    assert "scene-" in str(warning.message)
    assert "the item states scale 0.01" in str(warning.message)
    assert "the file states scale 0.02" in str(warning.message)
    assert len(load(items, engine=engine)[1]) == 1  # again for another cube


@ENGINES
@pytest.mark.parametrize("fields", [None, {"scale": 0.05}, {"unit": "degC"}])
def test_completed_items_state_nothing_new(tmp_path: Path, engine: Any, fields: Any) -> None:
    """What a client adds to items from the documents does not outweigh the file."""
    path = write(tmp_path / "lst.tiff", STORED, scales=[0.02], offsets=[-300.0], units=["degC"])
    bare = scene(path, {"raster:bands": [fields]} if fields else None)
    whole = complete_items(bare).items
    values = load(whole, engine=engine)[0]
    right = STORED * 0.02 - 300 + 273.15 if fields != {"scale": 0.05} else STORED * 0.05 + 273.15
    np.testing.assert_allclose(values[0], right, rtol=1e-6)
    np.testing.assert_array_equal(values, load(bare, engine=engine)[0])


@ENGINES
@pytest.mark.parametrize("units", ["K", "degC", "C", "celsius"])
def test_units_convert_once(tmp_path: Path, engine: Any, units: Any) -> None:
    """Scenes in kelvin and in degrees Celsius have the cube's unit."""
    kelvin = write(tmp_path / "a.tiff", STORED)
    celsius = write(tmp_path / "b.tiff", KELVIN - 273.15, nodata=None, units=["degC"])
    values, _ = load([scene(kelvin), scene(celsius, number=1)], engine=engine, units=units)
    assert values.attrs["units"] == ("K" if units == "K" else "degC")
    right = KELVIN if units == "K" else KELVIN - np.float32(273.15)
    np.testing.assert_allclose(values, np.stack([right, right]), atol=1e-4)


def test_units_that_do_not_convert_are_refused(tmp_path: Path) -> None:
    """The error names both scenes."""
    path = write(tmp_path / "x.tiff", STORED)
    items = [
        scene(path, {"raster:bands": [{"unit": unit, "scale": 1.5}]}, key="flux", number=n)
        for n, unit in enumerate(("K", "W m-2"))
    ]
    with pytest.raises(ValueError, match=r"scene-1.*scene-0"):
        constellr_stac.load(items, ["flux"])


@ENGINES
def test_complex_pixels_are_no_temperatures(tmp_path: Path, engine: Any) -> None:
    """An error that names the scene; it is left empty with ``errors="nan"``."""
    good = scene(write(tmp_path / "good.tiff", STORED))
    bad = scene(write(tmp_path / "bad.tiff", STORED.astype("complex64"), nodata=0), number=1)
    with pytest.raises(AssetReadError, match=r"scene-1.*complex"):
        load([good, bad], engine=engine)
    with pytest.warns(SceneLeftEmptyWarning, match="scene-1"):
        cube = constellr_stac.load([good, bad], ["lst"], engine=engine, errors="nan").compute()
    np.testing.assert_allclose(cube.lst[0], KELVIN, rtol=1e-6)
    assert cube.lst[1].isnull().all()


@ENGINES
def test_classes_of_scenes_are_mapped_by_meaning(tmp_path: Path, engine: Any) -> None:
    """A scene whose item numbers the classes otherwise has the cube's numbers."""
    numbers = np.zeros((4, SIDE, SIDE), "uint8")
    numbers[0] = np.arange(SIDE)[:, None] % 4
    path = write(tmp_path / "scl_mask_30m.tiff", numbers, nodata=None)
    other = [
        {"value": value, "name": name}
        for value, name in enumerate(("thin", "clear", "shadow", "thick"))
    ]
    items = [
        scene(path, key="scl_mask_30m"),
        scene(
            path,
            {"bands": [{"name": "cloud_mask", "classification:classes": other}, {}, {}, {}]},
            key="scl_mask_30m",
            number=1,
        ),
    ]
    values, _ = load(items, engine=engine, bands="cloud_mask")
    np.testing.assert_array_equal(values[0], numbers[0])
    np.testing.assert_array_equal(values[1], np.array([2, 0, 3, 1], "uint8")[numbers[0]])


def masks(path: Path, *names: str, number: int = 0) -> pystac.Item:
    """Make an item whose cloud mask has these classes, numbered from 0."""
    classes = [{"value": value, "name": name} for value, name in enumerate(names)]
    bands = [{"name": "cloud_mask", "classification:classes": classes}, {}, {}, {}]
    return scene(path, {"bands": bands}, key="scl_mask_30m", number=number)


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """A cloud mask: class 0 in the left half, class 1 in the right."""
    numbers = np.zeros((4, SIDE, SIDE), "uint8")
    numbers[:, :, SIDE // 2 :] = 1
    return write(tmp_path / "scl_mask_30m.tiff", numbers, nodata=None)


def without_classes(path: Path) -> pystac.Item:
    """Copy a mask; return an item that says nothing of its classes."""
    copy = shutil.copy(path, path.with_name("clouds.tiff"))
    return scene(Path(copy), {"raster:bands": [{"data_type": "uint8"}]}, key="cloud_mask")


def with_values(item: pystac.Item, folder: Path) -> pystac.Item:
    """Add temperatures to an item."""
    item.assets["lst"] = scene(write(folder / "lst.tiff", STORED)).assets["lst"]
    return item


@pytest.mark.parametrize("later", [False, True])
@ENGINES
def test_only_clear_is_clear(tmp_path: Path, halves: Path, engine: Any, *, later: bool) -> None:
    """A class of another name than the provider's is masked out as well, also afterwards."""
    item = with_values(masks(halves, "clear", "cloud"), tmp_path)
    how: dict[str, Any] = {} if later else {"mask": "clear"}
    cube = constellr_stac.load([item], ["lst", "cloud_mask"], engine=engine, **how)
    cube = cube.constellr.clear() if later else cube
    right = np.where(np.arange(SIDE) < SIDE // 2, KELVIN, np.nan)
    np.testing.assert_array_equal(cube.lst[0], right)


def test_missing_class_is_told(tmp_path: Path, halves: Path) -> None:
    """An explicit class that the mask of any scene lacks, and a mask without classes."""
    whole = with_values(masks(halves, "clear", "thick", "thin"), tmp_path)
    lacks = with_values(masks(halves, "clear", "thin", number=1), tmp_path)
    told = r"cloud_mask of scene 'scene-1' has no class 'thick'; it has 'clear', 'thin'"
    with pytest.raises(ValueError, match=told):
        constellr_stac.load([whole, lacks], "lst", mask=["thick"])
    with pytest.raises(ValueError, match="no class 'thick'; it has 'clear', 'thin'"):
        constellr_stac.load([lacks], ["lst", "cloud_mask"]).constellr.clear("thick")
    plain = with_values(without_classes(halves), tmp_path)
    with pytest.raises(ValueError, match="cloud_mask of scene 'scene-0' has no table of classes"):
        constellr_stac.load([plain], "lst", mask="clear")


@pytest.mark.parametrize("bands", [None, "lst"])
def test_missing_mask_is_told(tmp_path: Path, bands: Any) -> None:
    """Whether bands are named or not."""
    item = scene(write(tmp_path / "lst.tiff", STORED))
    with pytest.raises(ValueError, match="castshadow_mask"):
        constellr_stac.load([item], bands, mask="castshadow")


def test_shares_of_other_classes(halves: Path) -> None:
    """Whatever is not clear is cloudy; without a class ``clear``, nothing is known."""
    items = [masks(halves, "clear", "cloud"), masks(halves, "fine", "cloud", number=1)]
    items.append(without_classes(halves))
    table = constellr_stac.scenes(items)
    np.testing.assert_array_equal(table.cloud_share, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(table.clear_share, [0.5, np.nan, np.nan])


STATEMENTS: dict[str, Any] = {
    "scale": [{"scale": 0.02}],
    "unit": [{"unit": "degC", "scale": 0.01, "offset": 0.0}],
    "who states it": [{"scale": 0.01}],
}


@pytest.mark.filterwarnings("ignore::constellr_stac.errors.ContradictionWarning")
@pytest.mark.parametrize("stated", STATEMENTS)
@pytest.mark.parametrize("engine", ["odc", "stackstac", "plain odc-stac"])
def test_cubes_of_one_file_keep_their_own_values(tmp_path: Path, engine: Any, stated: str) -> None:
    """Computed together, each cube has the values that its own items state."""
    path = write(tmp_path / "lst.tiff", STORED, scales=[0.5], offsets=[3.0])
    first = scene(path)
    grid = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 30, 30), "EPSG:32611")

    def cube(fields: Any) -> Any:
        second = scene(path, {"raster:bands": fields} if fields else None, number=1)
        if engine == "plain odc-stac":
            driver = constellr_stac.OdcDriver()
            both = odc.stac.load([first, second], ["lst"], geobox=grid, driver=driver, chunks={})
            return both.lst
        return constellr_stac.load([first, second], "lst", geobox=grid, engine=engine).lst

    cubes = [cube(None), cube(STATEMENTS[stated])]
    together = compute(*cubes)
    for own, one in zip(cubes, together, strict=True):
        np.testing.assert_array_equal(one, own.compute())
    assert not together[0].equals(together[1])
    assert cubes[1].data.name == cube(STATEMENTS[stated]).data.name


def test_masks_of_one_file_keep_their_own_classes(tmp_path: Path) -> None:
    """Two cubes whose later items name the same numbers otherwise are computed together."""
    numbers = np.tile(np.arange(4), (4, SIDE, SIDE // 4)).astype("uint8")
    path = write(tmp_path / "scl_mask_30m.tiff", numbers, nodata=None)
    named = [("clear", "thin", "shadow", "thick"), ("thick", "thin", "shadow", "clear")]
    cubes = [
        constellr_stac.load([masks(path, *named[0]), masks(path, *each, number=1)], "cloud_mask")
        for each in named
    ]
    one, other = compute(*(cube.cloud_mask for cube in cubes))
    assert one[1, 0, :4].values.tolist() == [0, 1, 2, 3]
    assert other[1, 0, :4].values.tolist() == [3, 1, 2, 0]


KEYS = """
def keys(item):
    import pystac, odc.stac, constellr_stac
    items = [pystac.Item.from_dict(item)]
    how = {"crs": "EPSG:32611", "resolution": 30, "chunks": {}}
    driver = constellr_stac.OdcDriver()
    ours = constellr_stac.load(items, "lst", mask="clear")
    cubes = ours, odc.stac.load(items, ["lst"], driver=driver, **how)
    return [cube.lst.data.name for cube in cubes]
"""


def test_keys_are_equal_in_all_processes(tmp_path: Path) -> None:
    """Whatever the order of sets, which differs between processes."""
    path = write(tmp_path / "lst.tiff", STORED)
    fields = {"scale": 0.02, "offset": 1.0, "nodata": 3, "unit": "K", "data_type": "uint16"}
    item = scene(path, {"raster:bands": [fields]})
    flags = write(tmp_path / "scl_mask_30m.tiff", np.zeros((4, SIDE, SIDE), "uint8"), nodata=None)
    item.assets["scl_mask_30m"] = scene(flags, key="scl_mask_30m").assets["scl_mask_30m"]
    namespace: dict[str, Any] = {}
    exec(KEYS, namespace)  # noqa: S102 - the program above, in this process too
    here = namespace["keys"](item.to_dict())
    for seed in "12":
        run = subprocess.run(
            [sys.executable, "-c", f"{KEYS}import json, sys; print(keys(json.load(sys.stdin)))"],
            input=json.dumps(item.to_dict()),
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == repr(here)


VALIDITY: dict[str, dict[str, Any]] = {
    "fill value of the file": {"nodata": 29005},
    "internal mask": {"nodata": None, "mask": np.where(STORED == 29005, 0, 255).astype("uint8")},
    "both": {"nodata": 29005, "mask": np.where(STORED == 29005, 0, 255).astype("uint8")},
}


@ENGINES
@pytest.mark.parametrize("kind", VALIDITY)
@pytest.mark.parametrize("zoom", [1, 0.5])
def test_invalid_pixels_are_nan(tmp_path: Path, engine: Any, kind: str, zoom: float) -> None:
    """By fill value or mask, also where pixels are resampled."""
    path = write(tmp_path / "lst.tiff", STORED, **VALIDITY[kind])
    grid = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 30, 30), "EPSG:32611").zoom_out(zoom)
    values, _ = load(scene(path), engine=engine, geobox=grid, resampling="nearest")
    right = np.where(STORED == 29005, np.nan, KELVIN)
    times = int(1 / zoom)
    np.testing.assert_allclose(values[0], right.repeat(times, 0).repeat(times, 1))


@ENGINES
def test_alpha_band_is_validity(tmp_path: Path, engine: Any) -> None:
    """An alpha band that nobody describes as data says what is valid."""
    alpha = np.full_like(STORED, 65535)
    alpha[0] = 0
    path = write(tmp_path / "lst.tiff", np.stack([STORED, alpha]), nodata=None, alpha="YES")
    values, _ = load(scene(path), engine=engine)
    right = KELVIN.copy()
    right[0] = np.nan
    np.testing.assert_allclose(values[0], right)


@ENGINES
@pytest.mark.parametrize("resolution", [30, 60, 100, 300])
def test_classes_are_never_read_from_overviews(
    tmp_path: Path, engine: Any, resolution: int
) -> None:
    """Half of the scene is cloud at any resolution, whatever GDAL's overviews hold."""
    side = 1200
    numbers = np.zeros((4, side, side), "uint8")
    numbers[0, :, side // 2 :] = 1
    plain = write(tmp_path / "plain.tif", numbers, nodata=None)
    path = tmp_path / "scl_mask_30m.tiff"
    rasterio.shutil.copy(plain, path, driver="COG")
    with rasterio.open(path) as file:
        assert file.overviews(1)
    one = scene(path, key="scl_mask_30m", side=side)
    values, _ = load(
        one, engine=engine, bands="cloud_mask", crs="EPSG:32611", resolution=resolution
    )
    mask = values.to_numpy()
    assert abs((mask[mask != 255] == 1).mean() - 0.5) < 0.01


@ENGINES
@pytest.mark.parametrize(
    ("grid", "nearest"),
    [
        ({}, 30),
        ({"crs": "EPSG:32611", "resolution": 10}, 10),
        ({"crs": "EPSG:32611", "resolution": 60}, 60),
        ({"crs": "EPSG:4326", "resolution": 0.00009}, 10),
        ({"crs": "EPSG:4326", "resolution": 0.0002}, 20),
        ({"crs": "EPSG:4326", "resolution": 0.0006}, 60),
    ],
)
def test_mask_is_nearest_in_resolution(
    tmp_path: Path, engine: Any, grid: dict[str, Any], nearest: int
) -> None:
    """In degrees as in metres: each of the item's masks holds one class of its own."""
    one = scene(write(tmp_path / "lst.tiff", STORED))
    for number, metres in enumerate((10, 20, 30, 60)):
        numbers = np.full((4, SIDE, SIDE), number, "uint8")
        path = write(tmp_path / f"{metres}.tiff", numbers, nodata=None)
        one.add_asset(f"scl_mask_{metres}m", pystac.Asset(str(path), media_type="image/tiff"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cube = constellr_stac.load(one, ["lst", "cloud_mask"], engine=engine, **grid).compute()
    classes = set(np.unique(cube["cloud_mask"])) - {255}
    assert classes == {(10, 20, 30, 60).index(nearest)}


@ENGINES
@pytest.mark.parametrize("kind", ["half a pixel", "swapped", "zone"])
def test_file_is_read_from_where_it_is(tmp_path: Path, engine: Any, kind: str) -> None:
    """A grid that the item states wrongly is told, and does not move a pixel."""
    path = write(tmp_path / "lst.tiff", STORED)
    stated: Any = {
        "half a pixel": {"proj:transform": [30, 0, LEFT + 15, 0, -30, TOP - 15]},
        "swapped": {"proj:shape": [SIDE, SIDE // 2]},
        "zone": {"proj:code": "EPSG:32612"},
    }[kind]
    right: Any = {
        "proj:code": "EPSG:32611",
        "proj:shape": [SIDE, SIDE],
        "proj:transform": [30, 0, LEFT, 0, -30, TOP],
    }
    grid = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 30, 30), "EPSG:32611")
    values, told = load(scene(path, right | stated), engine=engine, geobox=grid)
    assert told
    if kind != "swapped":
        np.testing.assert_allclose(values[0], KELVIN)


@ENGINES
def test_item_places_a_file_without_crs(tmp_path: Path, engine: Any) -> None:
    """The item's CRS is used; where nobody states one, the error's advice works."""
    path = write(tmp_path / "lst.tiff", STORED, crs=None)
    grid = {
        "proj:code": "EPSG:32611",
        "proj:shape": [SIDE, SIDE],
        "proj:transform": [30, 0, LEFT, 0, -30, TOP],
    }
    values, _ = load(scene(path, grid), engine=engine)
    np.testing.assert_allclose(values[0], KELVIN)
    for geobox in (None, values.odc.geobox):
        with pytest.raises(
            AssetReadError, match="proj:code, proj:shape and proj:transform"
        ) as told:
            load(scene(path, {"proj:code": "EPSG:32611"}), engine=engine, geobox=geobox)
        assert "vsi" not in str(told.value)


def exact_pixels(grid: GeoBox, own: GeoBox) -> tuple[Any, Any]:
    """Return columns and rows of a file's grid at the pixel centres of another, with pyproj."""
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    x, y = grid.affine * (columns, rows)
    to_own = pyproj.Transformer.from_crs(str(grid.crs), str(own.crs), always_xy=True)
    columns, rows = ~own.affine * to_own.transform(x, y)
    return columns, rows


@pytest.mark.parametrize(("crs", "resolution"), [("EPSG:4326", 0.00027), ("EPSG:3857", 36.0)])
@ENGINES
def test_reprojection_is_exact_and_independent_of_chunks(
    sandbox: Sandbox, crs: str, resolution: float, engine: Any
) -> None:
    """Nearest picks the pixels that pyproj picks; chunks change nothing but rounding."""
    item = found(sandbox)[0]
    kelvin = truth(item.id).kelvin
    how = {"crs": crs, "resolution": resolution, "engine": engine}
    whole, _ = load(item, resampling="nearest", chunks={}, **how)
    grid = whole.odc.geobox
    own = GeoBox(kelvin.shape, from_origin(LEFT, TOP, 30, 30), "EPSG:32611")
    columns, rows = (np.floor(each).astype(int) for each in exact_pixels(grid, own))
    inside = (columns >= 0) & (columns < own.shape[1]) & (rows >= 0) & (rows < own.shape[0])
    right = np.full(grid.shape, np.nan, "float32")
    right[inside] = kelvin[rows[inside], columns[inside]]
    same = (whole[0].to_numpy() == right) | (np.isnan(whole[0].to_numpy()) & np.isnan(right))
    assert same.mean() >= 0.9999
    for method in ("nearest", "bilinear"):
        one, _ = load(item, resampling=method, chunks={}, **how)
        names = dict(zip(one.dims[1:], (97, 171), strict=True))
        other, _ = load(item, resampling=method, chunks=names, **how)
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        np.testing.assert_allclose(one, other, atol=0.01)


@ENGINES
@pytest.mark.parametrize("shape", ["aligned", "coarser", "larger"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize("key", ["lst", "flux"])
def test_raw_values_decode_to_values(
    tmp_path: Path, engine: Any, shape: str, dtype: str, key: str
) -> None:
    """Pixels that are masked, or outside, are no number; also without a fill value."""
    numbers = (STORED % 250).astype(dtype)
    path = write(tmp_path / f"{key}.tiff", numbers, nodata=None, mask=(numbers % 7 > 0) * 255)
    grid = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 30, 30), "EPSG:32611")
    grid = {"aligned": grid, "coarser": grid.zoom_out(1.5), "larger": grid.pad(3)}[shape]
    how: dict[str, Any] = {"geobox": grid, "chunks": {"x": 5}, "resampling": "nearest"}
    one = scene(path, key=key)
    values, _ = load(one, engine=engine, bands=key, **how)
    stored, _ = load(one, engine=engine, bands=key, raw=True, **how)
    assert stored.dtype.kind == np.dtype(dtype).kind.replace("u", stored.dtype.kind)
    decoded = xr.decode_cf(stored.to_dataset(name=key))[key]
    assert values.isnull().any()
    np.testing.assert_allclose(decoded, values, rtol=1e-6)
    if shape == "aligned":
        right = np.where(numbers % 7 > 0, numbers, np.nan)
        np.testing.assert_allclose(stored[0].where(values[0].notnull()), right)


def test_raw_integers_without_room_for_a_fill_value_are_named(tmp_path: Path) -> None:
    """Any 64-bit number can be a value; an item's nodata helps."""
    path = write(tmp_path / "flux.tiff", STORED.astype("int64"), nodata=None)
    with pytest.raises(AssetReadError, match="'flux' of scene 'scene-0': any int64"):
        load(scene(path, key="flux"), engine="odc", bands="flux", raw=True)
    one = scene(path, {"raster:bands": [{"nodata": -1}]}, key="flux")
    stored, _ = load(one, engine="odc", bands="flux", raw=True)
    np.testing.assert_array_equal(stored[0], STORED)


@ENGINES
@pytest.mark.parametrize("remote", [False, True])
def test_file_is_read_as_it_is_now(tmp_path: Path, engine: Any, *, remote: bool) -> None:
    """A file that was rewritten after an error, whose traceback still holds its old bytes."""
    path = write(tmp_path / "lst.tiff", STORED, units=["W m-2"], scales=[0.01])
    with AnswerServer(lambda _: (200, {}, path.read_bytes())) as server:
        item = scene(Path("lst.tiff") if remote else path)
        if remote:
            item.assets["lst"].href = f"{server.url}/lst.tiff"
        with pytest.raises(AssetReadError, match="its unit is W m-2") as caught:
            load(item, engine=engine)
        write(path, STORED)
        values, _ = load(item, engine=engine)
    np.testing.assert_allclose(values[0], KELVIN)
    assert caught.tb is not None


@ENGINES
def test_rewritten_mask_is_read_anew(tmp_path: Path, engine: Any) -> None:
    """Its old bytes stay for a variable that was not computed."""
    path = write(tmp_path / "lst.tiff", STORED)
    classes = np.zeros((4, SIDE, SIDE), "uint8")
    mask = write(tmp_path / "scl_mask_10m.tiff", classes, nodata=None)
    item = scene(path)
    item.add_asset("scl_mask_10m", pystac.Asset(str(mask), media_type="image/tiff"))
    cube = constellr_stac.load(item, ["lst", "cloud_mask"], engine=engine, mask="clear", chunks={})
    assert cube.lst.compute().notnull().all()
    write(mask, classes + 1, nodata=None)
    assert cube.lst.compute().isnull().all()


@pytest.mark.parametrize(("crs", "resolution"), [("EPSG:4326", 0.00027), ("EPSG:3857", 36.0)])
@ENGINES
def test_bilinear_is_that_of_exact_geometry(
    sandbox: Sandbox, crs: str, resolution: float, engine: Any
) -> None:
    """To 0.01 K: the mean of the valid of four pixels by distance, NaN where the nearest is."""
    item = found(sandbox)[0]
    kelvin = truth(item.id).kelvin
    kept = np.pad(kelvin.astype("float64"), 2, constant_values=np.nan)
    values, _ = load(
        item, engine=engine, crs=crs, resolution=resolution, resampling="bilinear",
        chunks={"time": 1},
    )  # fmt: skip
    own = GeoBox(kelvin.shape, from_origin(LEFT, TOP, 30, 30), "EPSG:32611")
    columns, rows = exact_pixels(values.odc.geobox, own)
    inside = (columns >= 0) & (columns < own.shape[1]) & (rows >= 0) & (rows < own.shape[0])
    columns, rows = columns[inside], rows[inside]
    left, top = np.floor(columns - 0.5).astype(int), np.floor(rows - 0.5).astype(int)
    east, south = columns - 0.5 - left, rows - 0.5 - top
    total, weights = np.zeros(left.shape), np.zeros(left.shape)
    for row, by_row in ((top, 1 - south), (top + 1, south)):
        for column, by_column in ((left, 1 - east), (left + 1, east)):
            number = kept[row + 2, column + 2]
            weight = np.where(np.isnan(number), 0, by_row * by_column)
            total += weight * np.nan_to_num(number)
            weights += weight
    right = np.full(inside.shape, np.nan)
    nearest = kelvin[np.floor(rows).astype(int), np.floor(columns).astype(int)]
    right[inside] = np.where(np.isnan(nearest), np.nan, total / np.where(weights, weights, 1))
    found_values = values[0].to_numpy()
    same_gaps = np.isnan(found_values) == np.isnan(right)
    assert same_gaps.mean() >= 0.9999
    both = ~np.isnan(found_values) & ~np.isnan(right)
    assert both.mean() > 0.5
    differences = np.abs(found_values - right)[both]
    assert differences.max() < 0.01


@ENGINES
def test_average_is_that_of_the_full_resolution(tmp_path: Path, engine: Any) -> None:
    """Whatever the overviews of the file hold."""
    side = 960
    numbers = np.random.default_rng(3).integers(27000, 33000, (side, side)).astype("uint16")
    path = write(tmp_path / "lst.tiff", numbers, tiled=True, blockxsize=256, blockysize=256)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8])
    for level in range(3):
        with rasterio.open(path, "r+", overview_level=level) as file:
            file.write(np.full(file.shape, 100, "uint16"), 1)
    grid = GeoBox((side // 8, side // 8), from_origin(LEFT, TOP, 240, 240), "EPSG:32611")
    how: dict[str, Any] = {"engine": engine, "geobox": grid, "chunks": {"x": 64}}
    values, _ = load(scene(path, side=side), resampling="average", **how)
    right = numbers.reshape(side // 8, 8, side // 8, 8).mean((1, 3)) * 0.01
    np.testing.assert_allclose(values[0], right, atol=0.001)
    quick, _ = load(scene(path, side=side), resampling="bilinear", **how)
    np.testing.assert_allclose(quick[0], 1.0)  # the overviews are there, and wrong
