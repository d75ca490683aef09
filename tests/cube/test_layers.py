"""Every documented layer has its dtype, unit and values in a cube, on both engines."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pytest
import rasterio
import stackstac
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac import AssetReadError
from constellr_stac.errors import (
    ContradictionWarning,
    ResamplingWarning,
    SceneLeftEmptyWarning,
    UnknownLayerWarning,
)
from constellr_stac.layers.band import Band
from constellr_stac.layers.table import LAYERS
from constellr_stac.reading.asset_file import AssetFile
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.prefetch import Fetcher
from constellr_stac.reading.raster import read_pixels
from constellr_stac.reading.resolver import AssetResolver
from layer_files import (
    DAY,
    DOCUMENTED,
    EPSG,
    NIGHT,
    ORIGIN,
    bare_item,
    stored_numbers,
    written_item,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])


def physical_values(name: str, band: int = 0, seed: int = 0) -> Any:
    """Decode a band of a layer with the documented literals."""
    layer, stored = DOCUMENTED[name], stored_numbers(name, seed)[band]
    if layer.nodata is None:
        return stored
    values = (stored * layer.scale + layer.offset).astype("float32")
    values[stored == layer.nodata] = np.nan
    return values


@ENGINES
@pytest.mark.parametrize("tags", [False, True], ids=["bare", "the file states its scale"])
def test_layer_values(tmp_path: Path, engine: Any, *, tags: bool) -> None:
    """Rasterio's values, scaled once, whether the file or the table states the scale."""
    item = written_item(tmp_path, [*DAY, "lst_std"], tags=tags)
    names = [*DAY, "lst_std"]
    cubes = constellr_stac.load(
        item, names, group_by_resolution=True, engine=engine, resampling={"lst": "cubic"}
    )
    assert sorted(cubes) == [10, 20, 30]
    seen = set()
    for gsd, cube in cubes.items():
        for variable in cube.data_vars:
            layer, _, flag = _layer_of(str(variable), int(gsd))
            np.testing.assert_array_equal(
                cube[variable][0], physical_values(layer, flag), str(variable)
            )
            seen.add((layer, flag))
    assert seen == {(name, n) for name in names for n in range(len(DOCUMENTED[name].highest))}


def _layer_of(variable: str, gsd: int) -> tuple[str, str, int]:
    """Return the file and band number of a variable, by the documented names."""
    masks = ("cloud_mask", "castshadow_mask", "landwater_mask", "static_landwater_mask")
    if variable.rpartition(".")[2] in masks:
        return f"scl_mask_{gsd}m", "", masks.index(variable.rpartition(".")[2])
    for number, flag in enumerate(("_blackfill", "_saturated", "_untested")):
        if variable.endswith(flag):
            return f"{variable.removesuffix(flag)}_qa", "", number
    return variable, "", 0


def test_item_overrides_the_table(tmp_path: Path) -> None:
    """The scale that the item states is used, once."""
    item = written_item(tmp_path, ["lst"], tags=True)
    item.assets["lst"].extra_fields["raster:bands"] = [
        {"data_type": "uint16", "scale": 0.5, "offset": 100.0, "nodata": 65535, "unit": "K"}
    ]
    with pytest.warns(ContradictionWarning, match="the file states scale 0.01"):
        cube = constellr_stac.load(item, ["lst"]).compute()
    stored = stored_numbers("lst")[0]
    np.testing.assert_array_equal(
        cube.lst[0], np.where(stored == 65535, np.nan, stored * 0.5 + 100).astype("float32")
    )


@ENGINES
@pytest.mark.parametrize("described", [False, True])
def test_precedence_of_item_file_and_table(tmp_path: Path, engine: Any, *, described: bool) -> None:
    """Item over file over table for the encoding, file first for nodata; native and resampled."""
    item = written_item(tmp_path, ["lst"])
    with rasterio.open(tmp_path / "lst.tiff", "r+") as file:
        stored = file.read(1)
        file.scales, file.offsets, file.nodata = [0.02], [5.0], 0
    kelvin = np.where(stored == 0, np.nan, stored * 0.02 + 5.0).astype("float32")
    if described:
        item = constellr_stac.describe(item, metadata=False).items
    cube = constellr_stac.load(item, ["lst"], engine=engine).compute()
    np.testing.assert_array_equal(cube.lst[0], kelvin)
    # Mean of 2 x 2 pixels without nodata.
    fine = cube.odc.geobox.zoom_out(0.5)
    finer = constellr_stac.load(
        item, ["lst"], engine=engine, geobox=fine, resampling="nearest"
    ).compute()
    np.testing.assert_array_equal(finer.lst[0], kelvin.repeat(2, axis=0).repeat(2, axis=1))
    item.assets["lst"].extra_fields["raster:bands"] = [{"scale": 0.05, "nodata": 1}]
    item.assets["lst"].extra_fields.pop("bands", None)
    with pytest.warns(ContradictionWarning, match="the item states scale 0.05, offset 0"):
        cube = constellr_stac.load(item, ["lst"], engine=engine).compute()
    own = np.where(stored == 0, np.nan, stored * 0.05).astype("float32")
    np.testing.assert_array_equal(cube.lst[0], own)


@pytest.mark.parametrize("key", ["lst", "emissivity"])
@pytest.mark.parametrize("fields", [{}, {"scale": 0.5, "offset": 100.0}], ids=["bare", "stated"])
def test_item_overrides_the_file_in_plain_engines(
    tmp_path: Path, key: str, fields: dict[str, float]
) -> None:
    """Both plain engines read the values that ``load`` gives."""
    item = written_item(tmp_path, ["lst"], tags=True)
    item.assets = {key: item.assets["lst"]}
    (tmp_path / "lst.tiff").rename(tmp_path / f"{key}.tiff")
    item.assets[key].href = f"{tmp_path}/{key}.tiff"
    grid = GeoBox((12, 12), from_origin(*ORIGIN, 30, 30), "EPSG:32611")
    item.geometry, item.bbox = grid.geographic_extent.json, [-180, -90, 180, 90]
    item.properties["proj:epsg"] = EPSG
    item.assets[key].extra_fields = {
        "raster:bands": [fields], "proj:shape": [12, 12], "proj:transform": list(grid.affine)[:6],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownLayerWarning)
        warnings.simplefilter("ignore", ContradictionWarning)
        cube = constellr_stac.load(item, [key]).compute()
        plain = odc.stac.load([item], [key], driver="constellr_stac.OdcDriver", like=cube)
        np.testing.assert_array_equal(plain[key], cube[key])
        reader = constellr_stac.StackstacReader
        stacked = stackstac.stack([item.to_dict()], assets=[key], reader=reader)
        np.testing.assert_array_equal(stacked[:, 0].astype("float32"), cube[key])


def test_described_item_is_scaled_once(tmp_path: Path) -> None:
    """``describe`` does not change the result of ``load``."""
    item = written_item(tmp_path, ["lst", "vnir04"])
    plain = constellr_stac.load(item, ["lst"]).compute()
    described = constellr_stac.load(constellr_stac.describe(item).items, ["lst"]).compute()
    np.testing.assert_array_equal(plain.lst, described.lst)


@ENGINES
def test_nodata_of_unscaled_integers_is_nan(tmp_path: Path, engine: Any) -> None:
    """With scale 1 and offset 0, native and resampled."""
    item = written_item(tmp_path, ["lst"])
    item.assets["count"] = item.assets.pop("lst")
    item.assets["count"].extra_fields["raster:bands"] = [{"data_type": "uint16", "nodata": 255}]
    stored = np.full((12, 12), 40, "uint16")
    stored[2:5, 2:5] = 255
    item.assets["count"].href = str(tmp_path / "count.tiff")
    with rasterio.open(
        tmp_path / "count.tiff", "w", driver="GTiff", dtype="uint16", count=1, height=12, width=12,
        crs="EPSG:32611", transform=from_origin(381060.0, 3746640.0, 30, 30), nodata=255,
    ) as file:  # fmt: skip
        file.write(stored, 1)
    cube = constellr_stac.load(item, ["count"], engine=engine)
    np.testing.assert_array_equal(cube["count"][0], np.where(stored == 255, np.nan, 40))
    finer = constellr_stac.load(item, ["count"], resolution=20, engine=engine)
    assert float(finer["count"].max()) == 40


def test_float_file_is_not_scaled(tmp_path: Path) -> None:
    """Kelvin in float32 are not scaled, although the table documents integers."""
    item = written_item(tmp_path, ["lst"])
    kelvin = np.linspace(280, 320, 144, dtype="float32").reshape(12, 12)
    with rasterio.open(
        tmp_path / "lst.tiff", "w", driver="GTiff", dtype="float32", count=1, height=12, width=12,
        crs="EPSG:32611", transform=from_origin(381060.0, 3746640.0, 30, 30),
    ) as file:  # fmt: skip
        file.write(kelvin, 1)
    np.testing.assert_array_equal(constellr_stac.load(item, ["lst"]).lst[0], kelvin)


@ENGINES
def test_bands_of_three_resolutions_on_the_finest_grid(tmp_path: Path, engine: Any) -> None:
    """Values are interpolated, classes are nearest neighbour, negative values are kept."""
    item = written_item(tmp_path, DAY)
    with pytest.warns(ResamplingWarning, match="30 x 30, 1 in EPSG:32611 at 20 x 20"):
        cube = constellr_stac.load(item, ["lst", "red", "vnir05", "cloud_mask"], engine=engine)
    assert dict(cube.sizes) == {"time": 1, "y": 36, "x": 36}
    computed = cube.compute()
    np.testing.assert_array_equal(computed.red[0], physical_values("vnir04"))
    assert float(computed.red.min()) < 0
    np.testing.assert_array_equal(computed.cloud_mask[0], physical_values("scl_mask_10m"))
    assert set(np.unique(computed.cloud_mask)) <= {0, 1, 2, 3, 255}
    assert np.isfinite(computed.lst).mean() > 0.8


@ENGINES
def test_classes_are_never_averaged(tmp_path: Path, engine: Any) -> None:
    """Not on a shifted grid, on request, or by the plain engines.

    The mean of clear (0) and thin cloud (2) would be thick cloud (1).
    """
    item = written_item(tmp_path, ["scl_mask_30m"])
    stored = np.zeros((4, 12, 12), "uint8")
    stored[:, ::2] = 2
    with rasterio.open(tmp_path / "scl_mask_30m.tiff", "r+") as file:
        file.write(stored)
    grid = GeoBox((12, 12), from_origin(381060.0, 3746640.0, 30, 30), "EPSG:32611")
    shifted = grid.translate_pix(0.5, 0.5)
    cube = constellr_stac.load(
        item, ["cloud_mask"], geobox=shifted, resampling="bilinear", engine=engine
    )
    assert {0, 2} <= set(np.unique(cube.cloud_mask)) <= {0, 2, 255}
    content = (tmp_path / "scl_mask_30m.tiff").read_bytes()
    whole = AssetFile(AssetRef("file.tiff"), content, len(content), Fetcher(AssetResolver()))
    params = _parameters().patch(dtype="uint8", fill_value=255, resampling="bilinear")
    read = read_pixels(whole, LAYERS["scl_mask_30m"].bands[0], shifted, params)
    assert set(np.unique(read.values)) <= {0, 2, 255}


@ENGINES
def test_night_scenes_in_a_series(tmp_path: Path, engine: Any) -> None:
    """Scenes without reflectance are NaN there and complete elsewhere."""
    scenes: list[pystac.Item] = []
    for number, layers in enumerate((DAY, NIGHT)):
        folder = tmp_path / str(number)
        folder.mkdir()
        scene = written_item(folder, layers, seed=number)
        scene.id = f"scene{number}"
        assert scene.datetime is not None
        scene.datetime = scene.datetime.replace(day=number + 1)
        scenes.append(scene)
    names = ["lst", "cloud_mask", "vnir05", "vnir05_saturated"]
    cube = constellr_stac.load(scenes, names, resolution=30, engine=engine).compute()
    assert np.isfinite(cube.vnir05[0]).any()
    assert np.isnan(cube.vnir05[1]).all()
    assert (cube.vnir05_saturated[1] == 255).all()
    for number in range(2):
        np.testing.assert_array_equal(cube.lst[number], physical_values("lst", seed=number))
        np.testing.assert_array_equal(
            cube.cloud_mask[number], physical_values("scl_mask_30m", seed=number)
        )


@ENGINES
def test_night_mask_is_resampled_from_30_m(tmp_path: Path, engine: Any) -> None:
    """Day scenes use the 10 m mask, night scenes the 30 m mask; a warning names them."""
    scenes = []
    for number, names in enumerate((["lst", "vnir04", "scl_mask_10m"], NIGHT)):
        (tmp_path / str(number)).mkdir()
        scene = written_item(tmp_path / str(number), names)
        assert scene.datetime is not None
        scene.datetime = scene.datetime.replace(day=number + 1)
        scenes.append(scene)
    with pytest.warns(ResamplingWarning) as caught:
        cube = constellr_stac.load(scenes, ["red", "cloud_mask"], engine=engine).compute()
    [warning] = [each for each in caught if each.category is ResamplingWarning]
    assert "1 in EPSG:32611 at 30 x 30 are resampled onto EPSG:32611 at 10" in str(warning.message)
    np.testing.assert_array_equal(cube.cloud_mask[0], physical_values("scl_mask_10m"))
    coarse = physical_values("scl_mask_30m").repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(cube.cloud_mask[1], coarse)


@ENGINES
@pytest.mark.parametrize("side", [12, 1200], ids=["short", "long"])
@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"count": 3, "crs": "EPSG:32611"}, "it has no band 4, only 3"),
        ({"count": 4}, "it has no coordinate reference system"),
    ],
    ids=["a mask of fewer bands", "nowhere on Earth"],
)
def test_file_without_band_or_crs_is_unreadable(
    tmp_path: Path, engine: Any, profile: dict[str, Any], words: str, side: int
) -> None:
    """The error names the asset; with ``errors="nan"`` the scene is empty."""
    item = bare_item(["scl_mask_30m"], href=f"{tmp_path}/{{}}")
    grid = from_origin(*ORIGIN, 30, 30)
    with rasterio.open(
        tmp_path / "scl_mask_30m.tiff", "w", driver="GTiff", dtype="uint8", height=side,
        width=side, transform=grid, **profile,
    ):  # fmt: skip
        pass
    box = GeoBox((12, 12), from_origin(ORIGIN[0], ORIGIN[1] - 3000, 30, 30), "EPSG:32611")
    asked: dict[str, Any] = {"bands": ["static_landwater_mask"], "geobox": box, "engine": engine}
    with pytest.raises(AssetReadError, match=f"'scl_mask_30m' of item 'scene' .*: {words}"):
        constellr_stac.load(item, **asked).compute()
    with pytest.warns(SceneLeftEmptyWarning, match=words):
        cube = constellr_stac.load(item, errors="nan", **asked).compute()
    assert (cube.static_landwater_mask == 255).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@ENGINES
def test_crs_after_the_first_bytes_is_read(tmp_path: Path, engine: Any) -> None:
    """In a file that is not a COG, the block table can push the CRS past the first fetch."""
    item = bare_item(["lst"], href=f"{tmp_path}/{{}}")
    blocks = 6000
    grid = GeoBox((16, 16 * blocks), from_origin(*ORIGIN, 30, 30), "EPSG:32611")
    with rasterio.open(
        tmp_path / "lst.tiff", "w", driver="GTiff", dtype="uint16", count=1, height=16,
        width=16 * blocks, crs="EPSG:32611", transform=grid.transform, tiled=True, blockxsize=16,
        blockysize=16, sparse_ok=True,
    ) as file:  # fmt: skip
        file.write(np.full((1, 16, 16), 29000, "uint16"), window=((0, 16), (0, 16)))
    cube = constellr_stac.load(item, ["lst"], engine=engine)
    assert cube.odc.geobox == grid
    np.testing.assert_array_equal(cube.lst[0, :, :16], np.float32(290.0))


def test_standard_deviation_in_celsius(tmp_path: Path) -> None:
    """It has the same value in kelvin and degrees Celsius."""
    item = written_item(tmp_path, ["lst", "lst_std"])
    cube = constellr_stac.load(item, ["lst", "lst_std"], units="degC").compute()
    np.testing.assert_array_equal(cube.lst_std[0], physical_values("lst_std"))
    assert cube.lst_std.attrs["units"] == "K"
    np.testing.assert_allclose(cube.lst[0], physical_values("lst") - 273.15, atol=1e-4)


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", "float64"]),
    nodata=st.sampled_from([None, 0, 7, 255]),
    scale=st.sampled_from([1.0, 0.01, 0.5]),
    offset=st.sampled_from([0.0, -0.1, 100.0]),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    shift=st.tuples(st.integers(-12, 12), st.integers(-12, 12)),
    seed=st.integers(0, 2**16),
)
def test_window_equals_a_slice_of_the_file(
    *,
    dtype: str,
    nodata: float | None,
    scale: float,
    offset: float,
    rows: int,
    columns: int,
    shift: tuple[int, int],
    seed: int,
) -> None:
    """For any dtype, nodata, encoding and position."""
    stored = np.random.default_rng(seed).integers(0, 256, (9, 11)).astype(dtype)
    transform = from_origin(0, 900, 100, 100)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", dtype=dtype, count=1, height=9, width=11, crs="EPSG:32611",
            transform=transform, nodata=nodata,
        ) as file:  # fmt: skip
            file.write(stored, 1)
        content = memory.read()
    whole = AssetFile(AssetRef("file.tiff"), content, len(content), Fetcher(AssetResolver()))
    band = Band(1, "values", dtype, scale, offset, nodata)
    window = GeoBox((rows, columns), transform, "EPSG:32611").translate_pix(*shift)
    pixels = read_pixels(whole, band, window, _parameters())
    found = np.full((rows, columns), np.nan, "float32")
    found[pixels.roi] = pixels.values
    expected = (stored * np.float64(scale) + offset).astype("float32")
    if nodata is not None:
        expected[stored == nodata] = np.nan
    padded = np.full((9 + 48, 11 + 48), np.nan, "float32")
    padded[24:33, 24:35] = expected
    x, y = shift
    np.testing.assert_array_equal(found, padded[24 + y : 24 + y + rows, 24 + x : 24 + x + columns])


def _parameters() -> Any:
    from odc.loader import RasterLoadParams

    return RasterLoadParams(dtype="float32", fill_value=float("nan"))
