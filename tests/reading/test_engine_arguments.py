"""``OdcDriver`` and ``StackstacReader`` obey the engines' arguments, or refuse them by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import odc.stac
import pytest
import rasterio
import stackstac
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin
from stackstac.rio_reader import DEFAULT_GDAL_ENV

import constellr_stac
from constellr_stac import AssetReadError, Signer, StackstacReader
from constellr_stac.errors import SceneLeftEmptyWarning, UnknownLayerWarning
from layer_files import EPSG, ORIGIN, bare_item, stored_numbers, write_file, written_item

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

GRID = GeoBox((14, 14), from_origin(ORIGIN[0] - 30, ORIGIN[1] + 30, 30, 30), f"EPSG:{EPSG}")
"""The scene with a margin of one pixel."""


@pytest.fixture
def item(tmp_path: Path) -> pystac.Item:
    """A scene of a temperature and a mask file."""
    return written_item(tmp_path, ["lst", "scl_mask_30m"])


def by_odc(item: pystac.Item, bands: Any = "lst", **arguments: Any) -> xr.Dataset:
    """Load one scene with plain odc-stac."""
    return odc.stac.load(
        [item], bands, **{"geobox": GRID, "driver": "constellr_stac.OdcDriver", **arguments}
    )


def by_stackstac(item: pystac.Item, asset: str = "lst", **arguments: Any) -> Any:
    """Stack one asset of one scene with plain stackstac."""
    return stackstac.stack(
        [item],
        **{
            "assets": [asset],
            "epsg": EPSG,
            "resolution": 30,
            "bounds": tuple(GRID.boundingbox),
            "reader": StackstacReader,
            **arguments,
        },
    )[0, 0]


def on_grid(stored: Any, fill: float, dtype: str) -> Any:
    """Place stored numbers on the grid; nodata and the margin are the fill value."""
    values = np.full(GRID.shape, fill, dtype)
    values[1:-1, 1:-1] = np.where(stored == 65535, fill, stored.astype("int64"))
    return values


def kelvin(fill: float) -> Any:
    """Return the temperatures on the grid."""
    values = on_grid(stored_numbers("lst")[0], 65535, "uint16").astype("float64")
    return np.where(values == 65535, fill, values * 0.01).astype("float32")


def test_fill_value_replaces_every_nan(item: pystac.Item) -> None:
    """Both outside the scene and where the file has no data."""
    np.testing.assert_array_equal(by_odc(item, nodata=-9999.0).lst[0], kelvin(-9999.0))
    stacked = by_stackstac(item, fill_value=-9999.0)
    np.testing.assert_array_equal(stacked.astype("float32"), kelvin(-9999.0))


@pytest.mark.parametrize(("dtype", "fill"), [("uint8", 200), ("int16", -1)])
def test_fill_value_of_a_mask_replaces_its_own(item: pystac.Item, dtype: str, fill: int) -> None:
    """Outside the scene; 255 by default."""
    classes = stored_numbers("scl_mask_30m")[0]
    loaded = by_odc(item, "cloud_mask", dtype=dtype, nodata=fill).cloud_mask[0]
    stacked = by_stackstac(
        item, "scl_mask_30m", dtype=dtype, fill_value=np.dtype(dtype).type(fill), rescale=False
    )
    for values in (loaded, stacked):
        np.testing.assert_array_equal(values, on_grid(classes, fill, dtype))
    np.testing.assert_array_equal(
        by_odc(item, "cloud_mask").cloud_mask[0], on_grid(classes, 255, "uint8")
    )


def test_integers_without_scale_and_fill_value_are_resampled(tmp_path: Path) -> None:
    """As plain odc-stac does: pixels of an undocumented layer on a coarser grid."""
    numbers = np.arange(144, dtype="int16").reshape(1, 12, 12)
    profile = {"count": 1, "dtype": "int16", "height": 12, "width": 12, "crs": f"EPSG:{EPSG}"}
    grid = from_origin(*ORIGIN, 30, 30)
    with rasterio.open(tmp_path / "counts.tiff", "w", "GTiff", transform=grid, **profile) as file:
        file.write(numbers)
    item = constellr_stac.describe(bare_item(["counts"], href=f"{tmp_path}/{{}}")).items
    inside = GRID.zoom_out(2)[1:6, 1:6]
    plain = odc.stac.load([item], ["counts"], geobox=inside, use_overviews=False)
    np.testing.assert_array_equal(by_odc(item, "counts", geobox=inside).counts, plain.counts)


def test_integers_without_a_known_fill_value_warn(tmp_path: Path) -> None:
    """What a file masks is 0 in them, as plain odc-stac fills, unless ``nodata=`` is passed."""
    place = from_origin(*ORIGIN, 30, 30)
    profile = {"count": 1, "dtype": "uint16", "height": 12, "width": 12, "crs": f"EPSG:{EPSG}"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "counts.tiff", "w", "GTiff", transform=place, **profile) as file,
    ):
        file.write(np.full((1, 12, 12), 7, "uint16"))
        file.write_mask(np.eye(12) == 0)
    item = bare_item(["counts"], href=f"{tmp_path}/{{}}")
    masked = on_grid(np.where(np.eye(12), 65535, 7), 0, "uint16")
    with pytest.warns(UnknownLayerWarning, match="No fill value of 'counts'"):
        cube = by_odc(item, "counts", dtype="uint16")
    np.testing.assert_array_equal(cube.counts[0], masked)
    assert cube.counts.attrs["nodata"] == 0
    cube = by_odc(item, "counts", dtype="uint16", nodata=9)
    np.testing.assert_array_equal(cube.counts[0], np.where(masked == 0, 9, masked))


@pytest.mark.parametrize(("dtype", "nodata"), [("int32", -1), ("uint16", None)])
def test_integer_dtype_returns_stored_numbers(
    item: pystac.Item, dtype: str, nodata: int | None
) -> None:
    """They are labelled so: a scale and no unit. Decoded, they are kelvin."""
    cube = by_odc(item, dtype=dtype, nodata=nodata)
    fill = 65535 if nodata is None else nodata
    np.testing.assert_array_equal(cube.lst[0], on_grid(stored_numbers("lst")[0], fill, dtype))
    assert cube.lst.attrs["scale_factor"] == 0.01
    assert "units" not in cube.lst.attrs
    del cube.lst.attrs["nodata"]
    np.testing.assert_allclose(xr.decode_cf(cube).lst[0], kelvin(np.nan), rtol=1e-6)


def test_rescale_false_returns_stored_numbers(item: pystac.Item) -> None:
    """As floats with NaN by default, or as integers."""
    stored = stored_numbers("lst")[0]
    floats = by_stackstac(item, rescale=False)
    np.testing.assert_array_equal(floats, on_grid(stored, np.nan, "float64"))
    integers = by_stackstac(item, rescale=False, dtype="uint16", fill_value=np.uint16(7))
    np.testing.assert_array_equal(integers, on_grid(stored, 7, "uint16"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int16", "nodata": 0}, "dtype='int16' cannot hold the uint16 numbers of 'lst'"),
        ({"dtype": "uint16", "nodata": -1}, "nodata=-1 is no uint16 value"),
        ({"bands": "cloud_mask", "nodata": 0}, "nodata=0 is the class 'clear' of 'cloud_mask'"),
        ({"resampling": "blinear"}, "resampling='blinear' for 'lst': use one of"),
        ({"stac_cfg": {"*": {"dims": {"band": 2}}}}, "stac_cfg={'dims': ...} does not apply"),
    ],
)
def test_odc_arguments_that_do_not_fit_are_refused(
    item: pystac.Item, arguments: dict[str, Any], message: str
) -> None:
    """By name, before anything is read."""
    with pytest.raises(ValueError, match=re.escape(message)):
        by_odc(item, chunks={}, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "uint16", "fill_value": np.uint16(0)}, "pass `rescale=False"),
        ({"asset": "scl_mask_30m", "fill_value": 0.0}, "is the class 'clear'"),
        ({"gdal_env": DEFAULT_GDAL_ENV}, "gdal_env= does not apply"),
    ],
)
def test_stackstac_arguments_that_do_not_fit_are_refused(
    item: pystac.Item, arguments: dict[str, Any], message: str
) -> None:
    """By name, when the reader is made."""
    with pytest.raises(ValueError, match=message):
        by_stackstac(item, **arguments).compute()


def test_patched_location_is_read(item: pystac.Item, tmp_path: Path) -> None:
    """``patch_url`` may name another file."""
    (tmp_path / "cache").mkdir()
    write_file(tmp_path / "cache" / "lst.tiff", "lst", seed=1)
    cube = by_odc(item, patch_url=lambda href: href.replace("/lst.", "/cache/lst."))
    other = on_grid(stored_numbers("lst", seed=1)[0], 65535, "uint16")
    valid = other != 65535
    np.testing.assert_allclose(cube.lst.values[0][valid], other[valid] * 0.01, rtol=1e-6)


def test_patched_signature_does_not_enter_the_graph(item: pystac.Item) -> None:
    """A signature is removed again; the signer whose method it was signs when a chunk is read."""
    item.assets["lst"].href = "s3://scenes/a/lst.tiff"
    signer = Signer(credentials={"access_key_id": "AKIA", "secret_access_key": "s3cret"})
    plain = by_odc(item, chunks={})
    patched = by_odc(item, chunks={}, patch_url=signer.sign)
    assert patched.lst.data.name == plain.lst.data.name
    pickled = cloudpickle.dumps(patched)
    for secret in (b"X-Amz-Signature", b"s3cret"):
        assert secret not in pickled


def test_stac_cfg_and_properties(item: pystac.Item) -> None:
    """Aliases, dtypes and units of ``stac_cfg=`` and the properties of ``with_properties=``."""
    item.properties["eo:cloud_cover"] = 12.5
    cube = by_odc(
        item,
        ["heat", "cloud_mask"],
        stac_cfg={
            "*": {
                "aliases": {"heat": "lst", "cloud_mask": "lst"},
                "assets": {"lst": {"unit": "kelvin"}},
            }
        },
    )
    np.testing.assert_array_equal(cube.heat[0], kelvin(np.nan))
    np.testing.assert_array_equal(cube.cloud_mask[0], kelvin(np.nan))
    assert cube.heat.attrs["units"] == "kelvin"
    documented = by_odc(item, stac_cfg={"*": {"assets": {"*": {"unit": "degC"}}}})
    assert documented.lst.attrs["units"] == "K"
    item.assets["counts"] = item.assets["lst"].clone()
    item.assets["counts"].href = item.assets["lst"].href.replace("lst.tiff", "counts.tiff")
    unknown = by_odc(item, "counts", stac_cfg={"*": {"assets": {"*": {"unit": "m"}}}}, chunks={})
    assert unknown.counts.attrs["units"] == "m"
    stored = by_odc(item, stac_cfg={"lstprecision": {"assets": {"lst": {"data_type": "uint16"}}}})
    assert stored.lst.dtype == "uint16"
    cube = by_odc(item, ["lst", "eo_cloud_cover"], with_properties=["eo:cloud_cover"])
    assert float(cube.eo_cloud_cover[0]) == 12.5


def test_failed_connection_is_an_error_of_the_engines(
    item: pystac.Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As GDAL's would be."""
    monkeypatch.setenv("CONSTELLR_RETRY_DEADLINE", "0.1")
    item.assets["lst"].href = "http://127.0.0.1:9/lst.tiff"
    for read in (by_odc, by_stackstac):
        with pytest.raises(RasterioIOError, match="refused"):
            read(item).compute()


def test_errors_are_those_of_the_engines(item: pystac.Item, tmp_path: Path) -> None:
    """A scene that cannot be read raises a ``RasterioIOError`` too, and may be left out."""
    (tmp_path / "lst.tiff").write_bytes(b"not a TIFF")
    for read in (by_odc, by_stackstac):
        with pytest.raises(RasterioIOError, match="not a readable GeoTIFF") as caught:
            read(item).compute()
        assert isinstance(caught.value, AssetReadError)
        assert isinstance(cloudpickle.loads(cloudpickle.dumps(caught.value)), RasterioIOError)
    with pytest.warns(SceneLeftEmptyWarning):
        assert np.isnan(by_odc(item, fail_on_error=False).lst).all()


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        (RasterioIOError("HTTP response code: 404"), True),
        (OSError(r"HTTP response code: 4\d\d"), True),
        (Exception(".*"), True),
        (AssetReadError(".*404 NoSuchKey"), True),
        (RasterioIOError("HTTP response code: 403"), False),
        (ValueError(".*"), False),
    ],
    ids=str,
)
def test_errors_as_nodata_matches_classes_and_messages(
    sandbox: Any, pattern: Exception, *, ignored: bool
) -> None:
    """As stackstac documents: the class of the pattern, and its text as a regular expression."""
    client = constellr_stac.open_client()
    item = next(client.search(collections=["lstprecision"], max_items=1).items())
    item.assets["lst"].href += "missing"
    cube = by_stackstac(item, assets=["lst"], errors_as_nodata=(pattern,))
    if ignored:
        with pytest.warns(SceneLeftEmptyWarning):
            assert np.isnan(cube).all()
    else:
        with pytest.raises(RasterioIOError):
            cube.compute()
