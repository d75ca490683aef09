"""The layer table against the provider's documentation and real files."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from constellr_stac.layers.band import Band
from constellr_stac.layers.header import Header
from constellr_stac.layers.item_bands import asset_bands, asset_gsd, is_unknown
from constellr_stac.layers.settle import settle
from constellr_stac.layers.table import LAYERS, layer_of
from layer_files import DOCUMENTED, bare_item, stored_numbers, write_file

DOCS = Path(__file__).parents[2] / "docs"
PRODUCTS = st.sampled_from(["LSTPRECISION", "LSTprecision", "LSTZOOM"])
NAMES = st.sampled_from(sorted(LAYERS))


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_layer_encoding_is_the_documented_one(name: str) -> None:
    """Data type, scale, offset, nodata and pixel size."""
    documented, layer = DOCUMENTED[name], LAYERS[name]
    assert layer.gsd == documented.metres
    assert [band.index for band in layer.bands] == list(range(1, len(documented.highest) + 1))
    for band in layer.bands:
        assert band.dtype == documented.dtype
        assert (band.scale, band.offset) == (documented.scale, documented.offset)
        assert band.nodata == documented.nodata


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_decoded_values(name: str, tmp_path: Path) -> None:
    """Pixel by pixel: stored value * scale + offset, and NaN for nodata."""
    write_file(tmp_path / "file.tiff", name)
    documented = DOCUMENTED[name]
    with rasterio.open(tmp_path / "file.tiff") as file:
        for band in LAYERS[name].bands:
            stored = file.read(band.index)
            decoded = band.decode(stored)
            if documented.nodata is None:
                np.testing.assert_array_equal(decoded, stored, strict=True)
                continue
            expected = stored * documented.scale + documented.offset
            expected[stored == documented.nodata] = np.nan
            assert decoded.dtype == np.float32
            assert np.isnan(decoded).sum() >= 3
            np.testing.assert_array_equal(decoded, expected.astype("float32"))


def test_negative_reflectance_is_not_clipped() -> None:
    """A stored 0 decodes to -0.1."""
    [band] = LAYERS["vnir04"].bands
    assert band.decode(np.array([0, 1000], "uint16")).tolist() == pytest.approx([-0.1, 0.0])


@given(
    stored=st.lists(st.integers(0, 65535), min_size=1, max_size=20),
    scale=st.floats(1e-4, 10),
    offset=st.floats(-10, 10),
    nodata=st.integers(0, 65535),
)
@example(stored=[255, 40], scale=1.0, offset=0.0, nodata=255)
def test_nan_exactly_where_stored_value_is_nodata(
    stored: list[int], scale: float, offset: float, nodata: int
) -> None:
    """All other values are exact in float32."""
    numbers = np.array(stored, "uint16")
    decoded = Band(1, "any", "uint16", scale, offset, nodata).decode(numbers)
    np.testing.assert_array_equal(np.isnan(decoded), numbers == nodata)
    valid = numbers != nodata
    expected = (numbers[valid].astype(float) * scale + offset).astype("float32")
    np.testing.assert_array_equal(decoded[valid], expected)


@given(product=PRODUCTS, geohash=st.from_regex("[0-9A-Z]{8}", fullmatch=True), name=NAMES)
def test_layer_from_delivered_file_name(product: str, geohash: str, name: str) -> None:
    """``[PRODUCT]_[SATELLITE]_[GEOHASH]_[TIME]_[FILE TYPE]``, in any case, signed or not."""
    extension = "json" if name == "metadata" else "tiff"
    file = f"{product}_SBA01_{geohash}_20260213T092026Z_{name}.{extension}"
    for key in (name, name.upper(), file, file.upper()):
        assert layer_of(key) is LAYERS[name]
    for href in (
        f"s3://bucket/LA harbor+port/a#b/{file}",
        f"https://bucket.s3.amazonaws.com/LA%20harbor%2Bport/{file}?X-Amz-Credential=A/2026/s3",
        f"/data/{file}",
        file.upper(),
    ):
        assert layer_of("data", href) is LAYERS[name]


@pytest.mark.parametrize("name", ["lst", "lst_std", "lst_composite", "lst_thumbnail", "metadata"])
def test_fusion_layer_from_name_with_hour(name: str) -> None:
    """LSTfusion file names end with the hour."""
    assert layer_of(f"{name}_20260601T12Z.tiff") is LAYERS[name]
    assert layer_of(f"{name}_20260601T12Z") is LAYERS[name]


def test_asset_key_takes_precedence_over_file_name() -> None:
    """An asset with key ``lst`` is the temperature, whatever its file name."""
    assert layer_of("lst", "s3://b/scl_mask_30m.tiff") is LAYERS["lst"]


@pytest.mark.parametrize("name", ["emissivity", "lst2", "tcwv", "vnir11", "scl_mask", ""])
def test_undocumented_layer_is_not_guessed(name: str) -> None:
    """A name close to a documented one does not match it."""
    assert layer_of(name, f"s3://b/{name}.tiff") is None


@pytest.mark.parametrize(
    "name", ["quicklook", "rgb_quicklook", "thumbnail", "lst_thumbnail", "metadata"]
)
def test_images_and_metadata_are_not_data(name: str) -> None:
    """They have no bands."""
    assert not LAYERS[name].is_data
    assert asset_bands(bare_item([name]), name) == ()


def test_masks_name_their_classes() -> None:
    """The scene classification has four bands, with CF flag attributes."""
    cloud, castshadow, water, static = LAYERS["scl_mask_30m"].bands
    assert (cloud.flag_values, cloud.flag_meanings) == (
        (0, 1, 2, 3),
        ("clear", "thick", "thin", "shadow"),
    )
    assert castshadow.flag_meanings == ("clear", "castshadow")
    assert water.flag_meanings == static.flag_meanings == ("land", "water")
    attributes = cloud.cf_attributes("uint8")
    assert attributes["flag_meanings"] == "clear thick thin shadow"
    assert attributes["flag_values"].dtype == np.uint8
    assert attributes["flag_values"].tolist() == [0, 1, 2, 3]
    assert {band.resampling for band in LAYERS["vnir04_qa"].bands} == {"nearest"}


@pytest.mark.parametrize(("number", "nanometres"), [("01", 443), ("08", 842), ("10", 945)])
def test_reflectance_names_its_wavelength(number: str, nanometres: int) -> None:
    """In nanometres, of which STAC's common names have micrometres."""
    [band] = (each for each in LAYERS[f"vnir{number}"].bands if not each.is_mask)
    assert band.long_name == f"surface reflectance at {nanometres} nm"
    assert band.center_wavelength == pytest.approx(nanometres / 1000)


def test_temperature_cf_attributes() -> None:
    """Units and standard names follow the CF conventions."""
    assert LAYERS["lst"].bands[0].cf_attributes() == {
        "long_name": "land surface temperature",
        "units": "K",
        "standard_name": "surface_temperature",
        "units_metadata": "temperature: on_scale",
    }
    assert LAYERS["lst_std"].bands[0].standard_name == "surface_temperature standard_error"


STATED: dict[str, Any] = {
    "data_type": "int16",
    "scale": 0.02,
    "offset": 5.0,
    "nodata": -1,
    "unit": "degC",
}
NEW_WORDS = {"scale": "raster:scale", "offset": "raster:offset"}


@pytest.mark.parametrize("word", STATED)
@pytest.mark.parametrize("form", ["bands", "raster:bands", "asset", "item"])
def test_stated_field_overrides_the_table(word: str, form: str) -> None:
    """One field, in any STAC form, overrides that field of the table only."""
    item = bare_item(["lst"])
    fields = item.assets["lst"].extra_fields
    stated = {word if form == "raster:bands" else NEW_WORDS.get(word, word): STATED[word]}
    if form == "item":
        item.properties |= stated
    elif form == "asset":
        fields |= stated
    else:
        fields[form] = [stated]
    [band], [known] = asset_bands(item, "lst"), LAYERS["lst"].bands
    field = "dtype" if word == "data_type" else word
    assert getattr(band, field) == STATED[word]
    assert band == dataclasses.replace(known, **{field: STATED[word]})


def test_float_files_are_not_scaled() -> None:
    """The documented scale is for integers; a float file contains kelvin."""
    item = bare_item(["lst"])
    item.assets["lst"].extra_fields["data_type"] = "float32"
    [band] = asset_bands(item, "lst")
    assert (band.scale, band.offset, band.nodata, band.unit) == (1.0, 0.0, None, "K")
    kelvin = np.array([289.02, 300.0], "float32")
    np.testing.assert_array_equal(band.decode(kelvin), kelvin, strict=True)


def test_nodata_given_as_a_string() -> None:
    """STAC writes NaN as a string; -9999 in a float file becomes NaN as well."""
    item = bare_item(["lst"])
    item.assets["lst"].extra_fields["bands"] = [{"data_type": "float32", "nodata": "nan"}]
    assert np.isnan(asset_bands(item, "lst")[0].nodata or 0)
    item.assets["lst"].extra_fields["bands"] = [{"data_type": "float32", "nodata": -9999}]
    decoded = asset_bands(item, "lst")[0].decode(np.array([-9999.0, 300.0], "float32"))
    assert np.isnan(decoded[0])
    assert decoded[1] == 300.0


def test_stated_band_names_take_precedence_over_order() -> None:
    """Bands are matched by the item's names, not by the documented order."""
    item = bare_item(["scl_mask_30m"])
    names = ["static_landwater_mask", "landwater_mask", "castshadow_mask", "cloud_mask"]
    item.assets["scl_mask_30m"].extra_fields["bands"] = [{"name": name} for name in names]
    bands = asset_bands(item, "scl_mask_30m")
    assert [(band.index, band.name) for band in bands] == list(enumerate(names, start=1))
    assert bands[3].flag_meanings == ("clear", "thick", "thin", "shadow")


def test_stated_classes_override_the_table() -> None:
    """``classification:classes`` of a band replace the documented classes."""
    item = bare_item(["scl_mask_30m"])
    classes = [{"value": 0, "name": "clear"}, {"value": 9, "description": "volcanic ash"}]
    item.assets["scl_mask_30m"].extra_fields["bands"] = [{"classification:classes": classes}]
    [band] = asset_bands(item, "scl_mask_30m")
    assert (band.name, band.flag_values) == ("cloud_mask", (0, 9))
    assert band.flag_meanings == ("clear", "volcanic_ash")


def test_mask_is_never_scaled() -> None:
    """Even if the item states a scale."""
    item = bare_item(["scl_mask_30m"])
    item.assets["scl_mask_30m"].extra_fields["raster:bands"] = [{"scale": 0.5, "nodata": 3}] * 4
    cloud = asset_bands(item, "scl_mask_30m")[0]
    stored = np.array([0, 1, 3], "uint8")
    assert not cloud.is_coded
    np.testing.assert_array_equal(cloud.decode(stored), stored, strict=True)


def test_unknown_raster_is_read_raw() -> None:
    """One band of stored values, never interpolated."""
    item = bare_item(["emissivity"])
    [band] = asset_bands(item, "emissivity")
    assert band == Band(1, "emissivity", resampling="nearest")
    assert is_unknown(item, "emissivity")
    stored = np.array([1, 65535], "uint16")
    np.testing.assert_array_equal(band.decode(stored), stored, strict=True)


def test_unknown_raster_described_by_its_item() -> None:
    """The item's own fields are sufficient."""
    item = bare_item(["emissivity"])
    item.assets["emissivity"].extra_fields["raster:bands"] = [
        {"name": "emis1", "data_type": "uint16", "scale": 0.001, "nodata": 0, "unit": "1"},
        {"data_type": "uint8"},
    ]
    first, second = asset_bands(item, "emissivity")
    assert not is_unknown(item, "emissivity")
    assert (first.name, first.scale, first.nodata, first.unit) == ("emis1", 0.001, 0, "1")
    assert (second.index, second.name) == (2, "emissivity_2")
    assert first.decode(np.array([0, 990], "uint16"))[1] == np.float32(0.99)


@pytest.mark.parametrize(
    ("asset", "bands"),
    [
        (pystac.Asset("s3://b/report.pdf", media_type="application/pdf"), 0),
        (pystac.Asset("s3://b/preview.png", media_type="image/png"), 0),
        (pystac.Asset("s3://b/preview.tiff", media_type="image/tiff", roles=["overview"]), 0),
        (pystac.Asset("https://b.example/emis.tif?sig=a.b"), 1),
        (pystac.Asset("s3://b/emis", roles=["data"]), 1),
    ],
)
def test_only_rasters_have_bands(asset: pystac.Asset, bands: int) -> None:
    """By type, else role, else extension: documents and images have none."""
    item = bare_item([])
    item.add_asset("other", asset)
    assert len(asset_bands(item, "other")) == bands


def test_pixel_size_precedence() -> None:
    """The asset's ``gsd``, then the table, then the item's ``gsd``."""
    item = bare_item(["vnir04", "emissivity"])
    assert asset_gsd(item, "vnir04") == 10
    assert asset_gsd(item, "emissivity") == 30
    item.assets["vnir04"].extra_fields["gsd"] = 60
    assert asset_gsd(item, "vnir04") == 60


@pytest.mark.parametrize("tags", ["no tags", "tags"])
def test_header_reads_grid_and_stated_encoding(tags: str, tmp_path: Path) -> None:
    """Scale and offset are set only if the file states them."""
    write_file(tmp_path / "vnir04.tiff", "vnir04", tags=tags == "tags")
    with rasterio.open(tmp_path / "vnir04.tiff") as file:
        header = Header.of(file)
        assert header.crs == f"EPSG:{header.epsg}" == file.crs.to_string()
        assert header.shape == file.shape
        assert header.transform == tuple(file.transform)[:6]
        assert header.gsd == 10
        [stored] = header.bands
    assert (stored.scale, stored.offset) == ((0.0001, -0.1) if tags == "tags" else (None, None))
    [known] = LAYERS["vnir04"].bands
    assert settle(known, stored).band == known


def test_header_completes_an_undocumented_layer(tmp_path: Path) -> None:
    """Data type, scale and nodata of the header complete a raw band."""
    write_file(tmp_path / "vnir04.tiff", "vnir04", tags=True)
    with rasterio.open(tmp_path / "vnir04.tiff") as file:
        [stored] = Header.of(file).bands
    band = settle(Band(1, "other"), stored).band
    numbers = stored_numbers("vnir04")
    np.testing.assert_array_equal(band.decode(numbers), LAYERS["vnir04"].bands[0].decode(numbers))


def test_header_without_crs_is_refused(tmp_path: Path) -> None:
    """The pixels cannot be located."""
    grid = {"height": 4, "width": 4, "transform": from_origin(0, 4, 1, 1)}
    with rasterio.open(tmp_path / "a.tiff", "w", count=1, dtype="uint8", **grid):
        pass
    with (
        rasterio.open(tmp_path / "a.tiff") as file,
        pytest.raises(ValueError, match="no coordinate reference system"),
    ):
        Header.of(file)


def test_docs_table_equals_the_layer_table() -> None:
    """Each data layer has a row in ``docs/layers.md`` with the same numbers."""
    rows = {
        cells[0].strip("`"): cells[1:]
        for line in (DOCS / "layers.md").read_text("utf-8").splitlines()
        if re.match(r"\| `", line) and len(cells := [c.strip() for c in line.split("|")[1:-1]]) > 6
    }
    assert rows == {
        layer.name: [
            f"{layer.gsd} m",
            layer.bands[0].dtype,
            "" if layer.kind == "mask" else f"{layer.bands[0].scale:g}",
            "" if layer.kind == "mask" else f"{layer.bands[0].offset:g}",
            "" if layer.kind == "mask" else layer.bands[0].unit,
            "" if layer.kind == "mask" else f"{layer.bands[0].nodata:g}",
            ", ".join(f"`{band.name}`" for band in layer.bands),
            layer.bands[0].common_name or "",
        ]
        for layer in LAYERS.values()
        if layer.is_data
    }
