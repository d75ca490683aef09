"""Band names are resolved to assets and bands, per item."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellr_stac.errors import UnknownLayerWarning
from constellr_stac.layers.describe import complete_items
from constellr_stac.layers.resolve import available_bands, resolve_bands
from layer_files import DAY, DOCUMENTED, NIGHT, VNIR_METRES, bare_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constellr_stac.layers.resolve import BandSelection

MASKS = ("cloud_mask", "castshadow_mask", "landwater_mask", "static_landwater_mask")


def sources_of(selection: BandSelection) -> list[tuple[str, int] | None]:
    """Return asset key and band number in each item."""
    return [source and (source.asset_key, source.band.index) for source in selection.sources]


def resolved(
    items: Sequence[pystac.Item], *bands: str, resolution: float | None = None
) -> dict[str, list[tuple[str, int] | None]]:
    """Return each variable with its sources in each item."""
    found = resolve_bands(items, list(bands), resolution=resolution)
    return {name: sources_of(selection) for name, selection in found.items()}


def test_asset_key() -> None:
    """An asset key names its band."""
    assert resolved([bare_item(DAY)], "lst", "vnir04") == {
        "lst": [("lst", 1)],
        "vnir04": [("vnir04", 1)],
    }


@pytest.mark.parametrize(
    ("common_name", "layer"),
    [("blue", "vnir02"), ("green", "vnir03"), ("red", "vnir04"), ("nir", "vnir08"),
     ("nir08", "vnir09"), ("rededge071", "vnir05")],
)  # fmt: skip
def test_common_name(common_name: str, layer: str) -> None:
    """Sentinel-2's common names, by wavelength."""
    assert resolved([bare_item(DAY)], common_name) == {common_name: [(layer, 1)]}


def test_stated_common_name_takes_precedence() -> None:
    """The item's common names override the table's."""
    item = bare_item(["vnir04", "vnir05"])
    item.assets["vnir04"].extra_fields["bands"] = [{"eo:common_name": "green"}]
    item.assets["vnir05"].extra_fields["eo:bands"] = [{"common_name": "red"}]
    assert resolved([item], "red", "green") == {"red": [("vnir05", 1)], "green": [("vnir04", 1)]}


def test_single_band_file_is_preferred_to_an_image() -> None:
    """A single-band file takes precedence over one with several bands."""
    item = bare_item(["composite", "vnir04"])
    item.assets["composite"].extra_fields["eo:bands"] = [
        {"name": name, "common_name": name} for name in ("red", "green", "blue")
    ]
    item.assets["composite"].extra_fields["data_type"] = "uint8"
    assert resolved([item], "red", "blue") == {
        "red": [("vnir04", 1)],
        "blue": [("composite", 3)],
    }


def test_multi_band_mask_gives_one_variable_per_band() -> None:
    """One file, four masks."""
    assert resolved([bare_item(NIGHT)], "scl_mask_30m") == {
        name: [("scl_mask_30m", index)] for index, name in enumerate(MASKS, start=1)
    }


@pytest.mark.parametrize(
    ("bands", "resolution", "mask"),
    [
        (["cloud_mask"], None, "scl_mask_30m"),
        (["lst", "cloud_mask"], None, "scl_mask_30m"),
        (["cloud_mask", "vnir05", "lst"], None, "scl_mask_20m"),
        (["lst", "red", "cloud_mask"], None, "scl_mask_10m"),
        (["lst", "red", "cloud_mask"], 30, "scl_mask_30m"),
        (["lst", "cloud_mask"], 12.5, "scl_mask_10m"),
        (["lst", "cloud_mask"], 100, "scl_mask_30m"),
    ],
)
def test_mask_matches_the_resolution(bands: list[str], resolution: float | None, mask: str) -> None:
    """The requested resolution, or that of the finest other band, decides."""
    found = resolved([bare_item(DAY)], *bands, resolution=resolution)
    assert found["cloud_mask"] == [(mask, 1)]


def test_night_scene_uses_its_own_mask() -> None:
    """Bands that an item lacks are None, not an error."""
    day, night = bare_item(DAY), bare_item(NIGHT)
    assert resolved([day, night], "lst", "red", "cloud_mask") == {
        "lst": [("lst", 1), ("lst", 1)],
        "red": [("vnir04", 1), None],
        "cloud_mask": [("scl_mask_10m", 1), ("scl_mask_30m", 1)],
    }
    assert resolved([night, day], "red") == {"red": [None, ("vnir04", 1)]}


def test_flags_follow_the_requested_bands() -> None:
    """A flag name requested with red and nir means the flags of red and nir."""
    item = bare_item(DAY)
    assert resolved([item], "red", "nir", "saturated") == {
        "red": [("vnir04", 1)],
        "nir": [("vnir08", 1)],
        "vnir04_saturated": [("vnir04_qa", 2)],
        "vnir08_saturated": [("vnir08_qa", 2)],
    }
    assert resolved([item], "vnir04", "blackfill") == {
        "vnir04": [("vnir04", 1)],
        "blackfill": [("vnir04_qa", 1)],
    }
    assert list(resolved([item], "lst", "untested")) == [
        "lst",
        *(f"vnir{n:02}_untested" for n in VNIR_METRES),
    ]
    assert resolved([item], "vnir05_untested") == {"vnir05_untested": [("vnir05_qa", 3)]}


def test_asset_and_band_name() -> None:
    """``asset.band``, by band name or number."""
    item = bare_item(DAY)
    assert resolved([item], "scl_mask_10m.cloud_mask", "scl_mask_20m.3") == {
        "scl_mask_10m.cloud_mask": [("scl_mask_10m", 1)],
        "scl_mask_20m.3": [("scl_mask_20m", 3)],
    }


def test_masks_of_two_files_have_distinct_names() -> None:
    """The second mask of a name is prefixed with its asset key."""
    found = resolved([bare_item(DAY)], "scl_mask_10m", "scl_mask_30m")
    assert found["cloud_mask"] == [("scl_mask_10m", 1)]
    assert found["scl_mask_30m.cloud_mask"] == [("scl_mask_30m", 1)]
    assert len(found) == 8


def fusion(day: int, *hours: int) -> pystac.Item:
    """Make an LSTfusion item, whose asset keys contain the hour."""
    item = bare_item([], item_id=f"fusion-{day}")
    item.datetime = datetime(2026, 6, day, hours[0], tzinfo=UTC)
    for hour in hours:
        for layer in ("lst", "lst_std", "lst_composite"):
            key = f"{layer}_2026060{day}T{hour:02}Z"
            item.add_asset(key, pystac.Asset(f"s3://b/{key}.tiff", media_type="image/tiff"))
    return item


def test_hourly_keys_give_one_variable() -> None:
    """``lst`` is ``lst_20260601T12Z`` in one item and ``lst_20260602T12Z`` in the next."""
    assert resolved([fusion(1, 12), fusion(2, 12)], "lst", "lst_std") == {
        "lst": [("lst_20260601T12Z", 1), ("lst_20260602T12Z", 1)],
        "lst_std": [("lst_std_20260601T12Z", 1), ("lst_std_20260602T12Z", 1)],
    }
    assert list(resolve_bands([fusion(1, 12), fusion(2, 12)])) == ["lst", "lst_std"]


def test_hour_of_the_item_is_preferred() -> None:
    """Of several hours, the file with the item's time is used."""
    assert resolved([fusion(1, 13, 12, 14)], "lst") == {"lst": [("lst_20260601T13Z", 1)]}


def test_full_key_selects_one_hour() -> None:
    """A full asset key matches that asset only."""
    found = resolved([fusion(1, 13, 12), fusion(2, 13)], "lst_20260601T12Z")
    assert found == {"lst_20260601T12Z": [("lst_20260601T12Z", 1), None]}


def test_ambiguous_files_are_an_error() -> None:
    """Two files of one kind, neither at the item's time."""
    item = fusion(1, 13, 12)
    item.datetime = datetime(2026, 7, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match=r"fusion-1.*'lst_20260601T13Z', 'lst_20260601T12Z'"):
        resolve_bands([item], ["lst"])
    item = fusion(1, 13)
    item.add_asset("lst_20260601T1300Z", item.assets["lst_20260601T13Z"].clone())
    with pytest.raises(ValueError, match="several files of this kind"):
        resolve_bands([item], ["lst"])


def test_default_bands() -> None:
    """All data bands and one scene classification; no images, no metadata."""
    found = resolve_bands([bare_item([*DAY, "quicklook", "thumbnail", "metadata"])])
    expected = {name for name in DOCUMENTED if not name.startswith("scl") and "_qa" not in name}
    expected -= {"lst_std"}
    expected |= {f"vnir{n:02}_{flag}" for n in VNIR_METRES
                 for flag in ("blackfill", "saturated", "untested")}  # fmt: skip
    assert set(found) == expected | set(MASKS)
    assert sources_of(found["cloud_mask"]) == [("scl_mask_10m", 1)]


def test_unknown_band_error_lists_available_bands() -> None:
    """With the closest name first."""
    with pytest.raises(ValueError, match=r"'clod_mask'\. Did you mean 'cloud_mask'\?") as caught:
        resolve_bands([bare_item(NIGHT)], ["lst", "clod_mask"])
    for name in available_bands([bare_item(NIGHT)]):
        assert name in str(caught.value)
    with pytest.raises(ValueError, match=r"No item has a band 'scl_mask_30m\.5'"):
        resolve_bands([bare_item(NIGHT)], "scl_mask_30m.5")


def test_empty_search_is_an_error() -> None:
    """It raises ValueError, not IndexError."""
    with pytest.raises(ValueError, match="The search found no items"):
        resolve_bands(pystac.ItemCollection([]), ["lst"])


def test_empty_band_list_is_an_error() -> None:
    """An empty list does not mean all bands."""
    with pytest.raises(ValueError, match="bands= is empty"):
        resolve_bands([bare_item(NIGHT)], [])


def test_items_without_data_are_an_error() -> None:
    """Images and metadata are not data."""
    with pytest.raises(ValueError, match="no data assets"):
        resolve_bands([bare_item(["quicklook", "metadata"])])


def test_unknown_layers_warn_at_the_caller() -> None:
    """The warning names the bands that are read raw, and points at this file."""
    items = [bare_item(["lst", "emis1", "emis2"], item_id=str(n)) for n in range(3)]
    with pytest.warns(UnknownLayerWarning, match="'emis1', 'emis2'") as caught:
        found = resolve_bands(items)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found["emis1"].band.dtype is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve_bands(items, ["lst"])


def test_items_with_different_encodings() -> None:
    """Each source has the encoding that its own item states."""
    first, second = bare_item(["lst"]), bare_item(["lst"])
    second.assets["lst"].extra_fields["raster:bands"] = [{"scale": 0.02}]
    scales = [s.band.scale for s in resolve_bands([first, second], "lst")["lst"].sources if s]
    assert scales == [0.01, 0.02]


@given(
    scenes=st.lists(
        st.lists(st.sampled_from(sorted(DOCUMENTED)), unique=True, min_size=1), min_size=1
    ),
    data=st.data(),
)
def test_available_bands_resolve_before_and_after_describe(
    scenes: list[list[str]], data: st.DataObject
) -> None:
    """Every available name resolves, to the same files after ``describe``."""
    items = [bare_item(names, item_id=str(n)) for n, names in enumerate(scenes)]
    names = data.draw(
        st.lists(st.sampled_from(available_bands(items)), unique=True, min_size=1, max_size=6)
    )
    found = resolved(items, *names)
    for number, scene in enumerate(scenes):
        for sources in found.values():
            place = sources[number]
            assert place is None or place[0] in scene
    for sources in found.values():
        assert any(sources)
    assert resolved(complete_items(items).items, *names) == found
    assert {re.sub(r"\W.*", "", name) for name in found} <= set(available_bands(items))
