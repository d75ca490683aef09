"""Described items are valid, keep what they state, and work in other tools."""

from __future__ import annotations

import copy
import gc
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import rioxarray
import stackstac
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from constellr_stac.layers.describe import complete_items, headers_needed
from constellr_stac.layers.header import FileBand, Header
from constellr_stac.layers.item_bands import asset_bands
from constellr_stac.layers.metadata import metadata_asset
from layer_files import DAY, DOCUMENTED, EPSG, NIGHT, ORIGIN, SIDE, bare_item, written_item
from scene_cubes import SCENES

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMAS = Path(__file__).parents[1] / "schemas"
SITE = "https://stac-extensions.github.io"


@pytest.fixture(scope="module")
def validate() -> Callable[[dict[str, Any]], None]:
    """The pystac validator with local copies of all schemas."""
    validator = JsonSchemaSTACValidator()
    for path in SCHEMAS.glob("*.json"):
        name, _, version = path.stem.rpartition("-")
        schema = json.loads(path.read_text("utf-8"))
        validator.schema_cache[f"{SITE}/{name}/{version}/schema.json"] = schema
    two = json.dumps(validator.schema_cache[f"{SITE}/projection/v2.0.0/schema.json"])
    one = json.loads(two.replace("v2.0.0", "v1.2.0"))
    one["definitions"]["fields"]["properties"]["proj:epsg"] = {"type": ["integer", "null"]}
    validator.schema_cache[f"{SITE}/projection/v1.2.0/schema.json"] = one

    def check(item: dict[str, Any]) -> None:
        item = json.loads(json.dumps(item, allow_nan=False))
        core, *_ = (uri for uri in validator.schema_cache if uri.endswith("/item.json"))
        for uri in (core, *item["stac_extensions"]):
            assert uri in validator.schema_cache, uri
            validator._validate_from_uri(item, pystac.STACObjectType.ITEM, uri)

    return check


def header_at(metres: float) -> Header:
    """Make a header with a pixel size in metres."""
    side = round(SIDE / metres)
    x, y = ORIGIN
    return Header(f"EPSG:{EPSG}", (side, side), (metres, 0.0, x, 0.0, -metres, y))


def header_of(item: pystac.Item, key: str) -> Header:
    """Read the header of a local file."""
    with rasterio.open(item.assets[key].href) as file:
        return Header.of(file)


METADATA = {
    "aoi_cloud_cover": 9.35,
    "platform": "SBA01",
    "cloud_cover_computed": True,
    "geometric": {
        "solar_angles": {"view:sun_elevation": -12.5, "view : sun_azimuth": -20.0},
        "viewing_angles": {
            "view:off_nadir": 14.0,
            "view:incident_angle": 15.5,
            "view:azimuth": 101.0,
        },
    },
}


def test_described_item_is_valid(validate: Callable[[dict[str, Any]], None]) -> None:
    """A minimal item with every field that can be added."""
    item = bare_item([*DAY, "lst_std", "quicklook", "thumbnail", "metadata", "emissivity"])
    headers = {("scene", key): header_at(asset.metres) for key, asset in DOCUMENTED.items()}
    whole = complete_items(item, headers=headers, metadata={"scene": METADATA}).items.to_dict()
    assert {uri.split("/")[3] for uri in whole["stac_extensions"]} == {
        "classification", "eo", "projection", "raster", "view",
    }  # fmt: skip
    validate(whole)
    validate(complete_items(item).items.to_dict())


def test_validation_detects_wrong_fields(validate: Callable[[dict[str, Any]], None]) -> None:
    """A wrong field of each extension is detected, so the schemas are applied."""
    headers = {("scene", "lst"): header_at(30)}
    item = complete_items(bare_item(NIGHT), headers=headers, metadata={"scene": METADATA}).items
    for where, field, value in [
        ("properties", "proj:code", 5),
        ("properties", "eo:cloud_cover", 101),
        ("properties", "view:azimuth", -1),
        ("lst", "raster:scale", 0.01),
        ("lst", "raster:bands", [{"data_type": "short"}]),
        ("lst", "classification:classes", [{"value": "a"}]),
    ]:
        broken = item.to_dict()
        place = broken["properties"] if where == "properties" else broken["assets"][where]
        place[field] = value
        with pytest.raises(pystac.STACValidationError):
            validate(broken)


def test_newer_extension_versions_stay_valid(validate: Callable[[dict[str, Any]], None]) -> None:
    """An item with raster 2, eo 2 and projection 2 keeps its values, readable by all tools."""
    item = bare_item(["lst", "vnir04"])
    item.stac_extensions = [
        f"{SITE}/{name}/v2.0.0/schema.json" for name in ("raster", "eo", "projection")
    ]
    item.properties |= {"proj:code": "EPSG:32611"}
    item.assets["lst"].extra_fields |= {"raster:scale": 0.02, "nodata": 0}
    item.assets["vnir04"].extra_fields |= {"eo:common_name": "red", "raster:offset": -0.2}
    before = {key: asset_bands(item, key) for key in item.assets}
    whole = complete_items(item).items
    validate(whole.to_dict())
    assert {key: asset_bands(whole, key) for key in item.assets} == before
    [lst], [red] = asset_bands(whole, "lst"), asset_bands(whole, "vnir04")
    assert (lst.scale, lst.nodata, red.offset) == (0.02, 0, -0.2)
    assert whole.properties["proj:epsg"] == 32611


def test_stated_fields_are_kept() -> None:
    """The item's own type, roles, bands and grid are not changed."""
    item = bare_item(["lst", "scl_mask_30m", "quicklook"])
    asset = item.assets["lst"]
    asset.media_type, asset.roles = "image/vnd.stac.geotiff", ["data", "own"]
    asset.extra_fields |= {
        "gsd": 29,
        "bands": [{"name": "T", "nodata": 1, "raster:scale": 0.5, "own": True}],
        "proj:shape": [5, 6],
        "proj:transform": [30, 0, 0, 0, -30, 0, 0, 0, 1],
        "proj:code": "EPSG:32612",
    }
    before = asset.to_dict()
    after = complete_items(item, headers=lambda *_: header_at(30)).items.assets["lst"].to_dict()
    assert before["bands"][0].items() <= after.pop("bands")[0].items()
    del before["bands"]
    assert before.items() <= after.items()
    assert after["raster:bands"][0]["scale"] == 0.5
    assert after["proj:epsg"] == 32612


@pytest.mark.parametrize("form", ["asset", "bands", "raster:bands"])
@pytest.mark.parametrize("states", [True, False])
def test_completed_item_states_what_it_did(form: str, *, states: bool) -> None:
    """Also if that equals the documents, whose encoding is added to other items; after saving."""
    item = bare_item(["lst"])
    prefix = "" if form == "raster:bands" else "raster:"
    stated = {f"{prefix}scale": 0.01, f"{prefix}offset": 0.0, "unit": "K"} if states else {}
    fields = item.assets["lst"].extra_fields
    fields |= stated if form == "asset" else {form: [stated]}
    read = replace(header_at(30), bands=(FileBand("uint16"),))
    for headers in (None, lambda *_: read):
        completed = complete_items(item, headers=headers).items
        saved = pystac.Item.from_dict(json.loads(json.dumps(completed.to_dict())))
        assert ("scale" in asset_bands(saved, "lst")[0].by_item) == states


def test_items_are_copied_by_default() -> None:
    """``copy=False`` modifies and returns the given item."""
    item = bare_item(DAY)
    before = copy.deepcopy(item.to_dict())
    assert complete_items(item).items is not item
    assert item.to_dict() == before
    assert complete_items(item, copy=False).items is item
    assert item.assets["lst"].extra_fields["bands"][0]["raster:scale"] == 0.01


@pytest.mark.parametrize("copied", ["copy", "in place"])
@pytest.mark.parametrize("form", ["item", "collection", "list", "dict", "features", "dicts"])
def test_input_type_is_kept(form: str, copied: str) -> None:
    """A pystac object returns a pystac object, a dict a dict, a list a list."""
    item = bare_item(NIGHT)
    collection = pystac.ItemCollection([item], extra_fields={"numberMatched": 1})
    given: Any = {
        "item": item,
        "collection": collection,
        "list": [item],
        "dict": item.to_dict(),
        "features": collection.to_dict(),
        "dicts": [item.to_dict()],
    }[form]
    before = copy.deepcopy(given if isinstance(given, dict) else None)
    described = complete_items(given, copy=copied == "copy", headers=lambda *_: header_at(30))
    assert type(described.items) is type(given)
    assert described.count == 1
    plain = json.dumps(described.items if "dict" in form or form == "features" else [
        each.to_dict() for each in ([described.items] if form == "item" else described.items)
    ])  # fmt: skip
    assert plain.count('"raster:scale": 0.01') == 1
    if form in ("collection", "features"):
        assert "numberMatched" in str(
            described.items.to_dict() if form == "collection" else described.items
        )
    if before is not None and copied == "copy":
        assert given == before
    assert not complete_items(described.items).added
    if form in ("item", "collection", "dict", "features"):
        assert (described.items is given) == (copied == "in place")


def test_unsupported_type_is_refused() -> None:
    """The error lists the supported types."""
    with pytest.raises(TypeError, match="Expected a search, an ItemCollection"):
        complete_items(5)


names = st.lists(st.sampled_from([*DOCUMENTED, "quicklook", "metadata", "other"]), unique=True)
stated = st.fixed_dictionaries(
    {},
    optional={
        "bands": st.lists(st.fixed_dictionaries({}, optional={
            "name": st.sampled_from(["lst", "cloud_mask", "b1"]),
            "nodata": st.sampled_from([0, -1, "nan"]),
            "raster:scale": st.floats(0.1, 2),
        }), max_size=5),
        "raster:bands": st.lists(st.fixed_dictionaries({}, optional={
            "data_type": st.sampled_from(["uint8", "float32"]),
            "offset": st.floats(-1, 1),
        }), max_size=5),
        "eo:bands": st.lists(st.just({"name": "x", "common_name": "red"}), max_size=2),
        "unit": st.sampled_from(["K", "degC"]),
    },
)  # fmt: skip


@given(names=names, words=st.lists(stated, max_size=3), grid=st.booleans())
def test_describe_is_idempotent(
    names: list[str],
    words: list[dict[str, Any]],
    grid: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """Describing again adds nothing, and bands keep their meaning."""
    item = bare_item(names)
    for asset, more in zip(item.assets.values(), words, strict=False):
        asset.extra_fields |= copy.deepcopy(more)
    headers = (lambda *_: header_at(30)) if grid else None
    once = complete_items(item, headers=headers, metadata=lambda _: METADATA)
    twice = complete_items(once.items, headers=headers, metadata=lambda _: METADATA)
    assert twice.items.to_dict() == once.items.to_dict()
    assert not twice.added
    for key in names:
        assert str(asset_bands(once.items, key)) == str(asset_bands(item, key))


@pytest.mark.parametrize(
    ("file", "media_type"),
    [
        ("thumbnail.png", "image/png"),
        ("thumbnail.jpeg", "image/jpeg"),
        ("quicklook.PNG?X-Amz-Signature=a.b", "image/png"),
        ("rgb_quicklook.tiff", "image/tiff; application=geotiff; profile=cloud-optimized"),
    ],
)
def test_image_media_type_follows_its_extension(file: str, media_type: str) -> None:
    """A ``.png`` is ``image/png``."""
    item = bare_item([])
    key = file.partition(".")[0]
    item.add_asset(key, pystac.Asset(f"https://bucket.example/a/{file}"))
    assert complete_items(item).items.assets[key].media_type == media_type


def test_headers_are_needed_for_grids_and_encodings() -> None:
    """The header of every file whose encoding the item does not state, once."""
    asked: list[str] = []

    def answer(item: pystac.Item, key: str) -> Header:
        asked.append(key)
        return header_at(DOCUMENTED[key].metres)

    item = bare_item([*DAY, "quicklook"])
    whole = complete_items(item, headers=answer).items
    assert sorted(set(asked)) == sorted(DAY)
    for key, documented in DOCUMENTED.items():
        if key in whole.assets:
            fields = whole.assets[key].extra_fields
            assert fields["proj:shape"] == [SIDE // documented.metres] * 2
            assert fields["proj:transform"] == list(header_at(documented.metres).transform)
    assert whole.properties["proj:epsg"] == EPSG
    assert "proj:shape" not in whole.assets["quicklook"].extra_fields
    assert {(i.id, key) for i, key in headers_needed(item)} == {("scene", key) for key in DAY}
    assert headers_needed(whole) == []
    assert headers_needed([whole.to_dict(), item.to_dict()])[0][0].id == "scene"


def test_stated_grid_and_encoding_need_no_header() -> None:
    """An item-level grid applies to files of that pixel size; others need a header."""
    item = bare_item(["lst", "scl_mask_30m", "vnir04"])
    grid = header_at(30)
    item.properties |= {
        "proj:epsg": EPSG, "proj:shape": list(grid.shape), "proj:transform": list(grid.transform)
    }  # fmt: skip
    for asset in item.assets.values():
        asset.extra_fields["data_type"] = "uint16"
    assert [key for _, key in headers_needed(item)] == ["vnir04"]
    assert headers_needed(bare_item([])) == []
    only = bare_item(["lst", "scl_mask_30m"])
    only.properties |= item.properties
    for asset in only.assets.values():
        asset.extra_fields["data_type"] = "uint16"
    assert headers_needed(only) == []
    assert complete_items(only).items.properties["proj:code"] == f"EPSG:{EPSG}"


FUSION = {
    "utm_crs": "EPSG:32611",
    "bbox_utm": [381060.0, 3746280.0, 381420.0, 3746640.0],
    "resolutions": [30, 30],
    "resolution_unit": "m",
}


@pytest.mark.parametrize("change", [{}, {"utm_crs": 32611}, {"resolutions": 30},
    {"bbox_utm": [381060.0, 3746280.0, 0.0, 381420.0, 3746640.0, 9.0]}])  # fmt: skip
def test_grid_from_fusion_metadata(change: dict[str, Any]) -> None:
    """CRS, bbox (2D or 3D) and resolution of the document give the grid without a request."""
    key = "lst_20260601T12Z"
    description = complete_items(bare_item([key]), metadata={"scene": FUSION | change})
    fields = description.items.assets[key].extra_fields
    assert fields["proj:shape"] == list(header_at(30).shape)
    assert fields["proj:transform"] == list(header_at(30).transform)
    assert description.added[key, "proj:shape", "metadata"] == 1


@pytest.mark.parametrize("change", [{"bbox_utm": [0, 0, 361, 360]}, {"utm_crs": None},
    {"resolutions": []}, {"bbox_utm": None}, {"resolutions": {"lst": 30}},
    {"resolutions": "30 m"}, {"resolutions": [0, 0]}, {"bbox_utm": {"left": 381060.0}},
    {"bbox_utm": [381060.0, 3746280.0]}, {"resolutions": [10, 10]}])  # fmt: skip
def test_inconsistent_fusion_metadata_is_ignored(change: dict[str, Any]) -> None:
    """If the document gives no valid grid, the header is read."""
    description = complete_items(
        bare_item(["lst_20260601T12Z"]),
        metadata={"scene": FUSION | change},
        headers=lambda *_: header_at(30),
    )
    assert description.added["lst_20260601T12Z", "proj:shape", "header"] == 1
    assert complete_items(bare_item(["lst"]), metadata={"scene": FUSION | change}).without_grid == 1


def test_crs_without_epsg_code_is_written_as_wkt(
    validate: Callable[[dict[str, Any]], None],
) -> None:
    """No EPSG code is invented."""
    wkt = rasterio.CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=3 +units=m").to_wkt()
    grid = header_at(30)
    whole = complete_items(
        bare_item(["lst"]), headers=lambda *_: Header(wkt, grid.shape, grid.transform)
    )
    assert whole.items.properties["proj:wkt2"] == wkt
    assert not {"proj:epsg", "proj:code"} & whole.items.properties.keys()
    validate(whole.items.to_dict())
    assert whole.without_grid == 0


def test_cloud_cover_and_angles_from_metadata() -> None:
    """Keys with and without spaces; azimuths in 0 to 360 degrees."""
    item = complete_items(bare_item(["lst"]), metadata={"scene": METADATA}).items
    assert {k: v for k, v in item.properties.items() if k not in ("gsd", "datetime")} == {
        "eo:cloud_cover": 9.35,
        "platform": "SBA01",
        "view:sun_elevation": -12.5,
        "view:sun_azimuth": 340.0,
        "view:off_nadir": 14.0,
        "view:incidence_angle": 15.5,
        "view:azimuth": 101.0,
    }


@pytest.mark.parametrize("document", [
    {"aoi_cloud_cover": 9.35, "cloud_cover_computed": False},
    {"aoi_cloud_cover": 101.0},
    {"aoi_cloud_cover": "NA"},
    {"aoi_cloud_cover": True},
    {"geometric": {"viewing_angles": {"view:off_nadir": 91.0}, "solar_angles": None}},
    {},
])  # fmt: skip
def test_invalid_metadata_values_are_skipped(document: dict[str, Any]) -> None:
    """Values that were not computed or are out of range are skipped."""
    item = bare_item(["lst"])
    assert complete_items(item, metadata=lambda _: document).items.properties == item.properties


def test_stated_cloud_cover_is_kept() -> None:
    """The document does not override the item."""
    item = bare_item(["lst"])
    item.properties["eo:cloud_cover"] = 50
    assert (
        complete_items(item, metadata={"scene": METADATA}).items.properties["eo:cloud_cover"] == 50
    )


def test_metadata_asset_is_found() -> None:
    """By key or by file name, with or without scene and hour."""
    assert metadata_asset(bare_item(["lst"])) is None
    assert metadata_asset(bare_item(["lst", "metadata_20260601T12Z"])) == "metadata_20260601T12Z"


def test_report_lists_fields_and_sources() -> None:
    """One line per asset and source, with the number of items if not all."""
    items = [bare_item(NIGHT, item_id=str(n)) for n in range(3)]
    text = str(complete_items(items, headers={("1", "lst"): header_at(30)}))
    assert text.startswith("3 items described\n")
    documents = "  lst: type, roles, gsd, bands (2), raster:bands (2); from the provider's"
    assert f"{documents} documentation" in text
    assert "  lst: bands (1), raster:bands (1), " in text
    assert "  item: proj:code (1), proj:epsg (1); from the header of a file" in text
    assert text.endswith("2 items still lack the grid of some of their data")
    whole = complete_items(items, headers=lambda *_: header_at(30)).items
    assert str(complete_items(whole)) == "3 items described: no fields were missing"


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_collector_state_is_restored(*, collects: bool) -> None:
    """Also after an error."""
    (gc.enable if collects else gc.disable)()
    try:
        complete_items([bare_item(NIGHT)])
        assert gc.isenabled() is collects
        with pytest.raises(TypeError):
            complete_items(5)
        assert gc.isenabled() is collects
    finally:
        gc.enable()


def test_described_assets_share_no_objects() -> None:
    """Changing a band of one item does not change another item."""
    one, other = complete_items([bare_item(DAY), bare_item(DAY)]).items
    before = copy.deepcopy(other.to_dict())
    for asset in one.assets.values():
        for form in ("bands", "raster:bands", "eo:bands"):
            for band in asset.extra_fields.get(form, ()):
                for each in band.get("classification:classes", ()):
                    each["name"] = "changed"
                band["name"] = "changed"
    assert other.to_dict() == before
    assert complete_items(bare_item(DAY)).items.to_dict() == before


def test_odc_stac_loads_a_described_item(tmp_path: Path) -> None:
    """Plain odc-stac finds bands by common name, mask name and asset; values equal rasterio's."""
    item = complete_items(written_item(tmp_path), headers=header_of).items
    for bands, metres in ((["lst", "scl_mask_30m"], 30), (["red", "vnir08"], 10), (["vnir05"], 20)):
        cube = odc.stac.load([item], bands=bands)
        assert cube.odc.geobox.shape == (SIDE // metres,) * 2
        assert cube.odc.geobox.affine[:6] == header_at(metres).transform
        assert cube.odc.geobox.crs.epsg == EPSG
    cube = odc.stac.load([item], bands=["red", "cloud_mask", "vnir04_saturated"], resolution=10)
    for name, key, index in (("red", "vnir04", 1), ("vnir04_saturated", "vnir04_qa", 2)):
        with rasterio.open(item.assets[key].href) as file:
            stored = file.read(index)
        assert cube[name].dtype == stored.dtype == DOCUMENTED[key].dtype
        np.testing.assert_array_equal(cube[name].values[0], stored)
    assert cube["red"].attrs["nodata"] == 65535
    kelvin = odc.stac.load([item], bands=["lst"])["lst"]
    band = item.assets["lst"].extra_fields["bands"][0]
    expected = asset_bands(item, "lst")[0].decode(kelvin.values)
    scaled = kelvin.where(kelvin != kelvin.nodata) * band["raster:scale"] + band["raster:offset"]
    np.testing.assert_allclose(scaled.values, expected, rtol=1e-6, atol=1e-7)


def test_stackstac_loads_a_described_item(tmp_path: Path) -> None:
    """Plain stackstac returns scaled values and NaN for nodata, without arguments."""
    item = complete_items(written_item(tmp_path), headers=header_of).items
    for key in ("lst", "vnir04"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from stackstac, on newer pandas and xarray
            cube = stackstac.stack([item], assets=[key]).compute()
        with rasterio.open(item.assets[key].href) as file:
            expected = asset_bands(item, key)[0].decode(file.read(1))
            assert cube.attrs["transform"][:6] == tuple(file.transform)[:6]
        np.testing.assert_allclose(cube.values[0, 0], expected, rtol=1e-6, atol=1e-7)
        assert int(cube.epsg) == EPSG


def test_stackstac_refuses_multi_band_masks() -> None:
    """It cannot read them; with a described item it raises before reading."""
    item = complete_items(bare_item(NIGHT), headers=lambda *_: header_at(30)).items
    with pytest.raises(ValueError, match="Multi-band rasters are not currently supported"):
        stackstac.stack([item], assets=["scl_mask_30m"])


def open_raster(path: str, **options: Any) -> xr.DataArray:
    """Open a file in plain rioxarray."""
    array = rioxarray.open_rasterio(path, **options)
    assert isinstance(array, xr.DataArray)
    return array


@pytest.mark.parametrize("tags", ["no tags", "tags"])
@pytest.mark.parametrize("key", ["lst", "vnir05", "lst_sharpened_10m"])
def test_rioxarray_and_a_described_item_agree(key: str, tags: str, tmp_path: Path) -> None:
    """The scale of the file and of the item give the same values, each applied once."""
    item = complete_items(
        written_item(tmp_path, [key], tags=tags == "tags"), headers=header_of
    ).items
    band = item.assets[key].extra_fields["bands"][0]
    expected = asset_bands(item, key)[0]
    raw = open_raster(item.assets[key].href)
    values = raw.where(raw != band["nodata"]) * band["raster:scale"] + band["raster:offset"]
    np.testing.assert_allclose(values.values, expected.decode(raw.values), rtol=1e-6, atol=1e-7)
    if tags == "tags":
        scaled = open_raster(item.assets[key].href, mask_and_scale=True)
        np.testing.assert_allclose(scaled.values, expected.decode(raw.values), rtol=1e-6, atol=1e-7)


def test_described_item_json_round_trip(tmp_path: Path) -> None:
    """Saved and read by pystac, its bands have the same meaning."""
    item = complete_items(
        bare_item(DAY), headers=lambda _, k: header_at(DOCUMENTED[k].metres)
    ).items
    pystac.ItemCollection([item]).save_object(str(tmp_path / "items.json"))
    [again] = pystac.ItemCollection.from_file(str(tmp_path / "items.json"))
    for key in DAY:
        assert asset_bands(again, key) == asset_bands(item, key)
    assert headers_needed(again) == []
    assert complete_items(again).items.properties["proj:epsg"] == EPSG


def test_described_real_scenes_have_the_documented_medians() -> None:
    """Minimal items and the shipped files, loaded by plain odc-stac."""
    scenes = sorted(path for path in SCENES.iterdir() if path.is_dir())[:4]
    documents = {path.name: json.loads((path / "metadata.json").read_text()) for path in scenes}
    items = [
        bare_item([*NIGHT, "metadata"], item_id=path.name, href=f"{path}/{{}}") for path in scenes
    ]
    described = complete_items(items, headers=header_of, metadata=documents)
    assert described.without_grid == 0
    for item in described.items:
        document = documents[item.id]
        assert item.properties["eo:cloud_cover"] == document["aoi_cloud_cover"]
        assert item.properties["platform"] == "ECO01"
        band = item.assets["lst"].extra_fields["bands"][0]
        stored = odc.stac.load([item], bands=["lst"])["lst"].values
        valid = stored[stored != band["nodata"]]
        median = np.median(valid) * band["raster:scale"] + band["raster:offset"]
        assert median == pytest.approx(document["expected"]["median_lst"], abs=0.01)
