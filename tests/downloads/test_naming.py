"""Selection of files, and their paths: inside the folder, valid everywhere, without clashes."""

from __future__ import annotations

import functools
import os
import string
from datetime import UTC, datetime
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellr_stac import DownloadError
from constellr_stac.downloads.naming import LONGEST_NAME, check_path, destination, file_name
from constellr_stac.downloads.selection import select_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac.downloads.naming import Layout
    from constellr_stac.downloads.selection import Selection

ID = "LSTPRECISION_SBA01_B5Z0Q1H9_20260213T092026Z"


def make_item(
    assets: Mapping[str, str],
    *,
    name: str = ID,
    collection: str | None = "lstprecision",
    when: str | None = "2026-02-13T09:20:26.445Z",
    **properties: Any,
) -> pystac.Item:
    """An item with assets of these hrefs."""
    fields: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": None,
        "bbox": None,
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": {key: {"href": href} for key, href in assets.items()},
    }
    if collection:
        fields["collection"] = collection
    return pystac.Item.from_dict(fields)


def paths(found: Selection) -> list[str]:
    """Return the selected paths."""
    return [str(file.path) for file in found.files]


# Layouts


@pytest.mark.parametrize(
    ("layout", "path"),
    [
        ("provider", f"2026-02-13T09-20-26.445Z_{ID}/lst.tiff"),
        ("collection", f"lstprecision/2026-02-13/{ID}/lst.tiff"),
        ("flat", f"{ID}_lst.tiff"),
        (lambda item, key: f"{item.id[:5]}/{key}", "LSTPR/lst"),
        (lambda _, key: PurePath("deep", "er", key), "deep/er/lst"),
    ],
    ids=["provider", "collection", "flat", "text", "path"],
)
def test_layouts(layout: Layout, path: str) -> None:
    """Each layout has its path."""
    item = make_item({"lst": "s3://b/LA harbor+port/x/lst.tiff"})
    assert str(destination(item, "lst", layout)) == path


def test_flat_layout_does_not_repeat_the_id() -> None:
    """A file name that starts with the item's id is kept."""
    item = make_item({"lst": f"s3://b/{ID}_lst.tiff"})
    assert str(destination(item, "lst", "flat")) == f"{ID}_lst.tiff"


def test_unknown_layout() -> None:
    """An unknown layout is refused, naming the valid ones."""
    with pytest.raises(ValueError, match='"provider", "collection", "flat" or a callable'):
        select_files(make_item({"lst": "s3://b/lst.tiff"}), None, "tree")  # type: ignore[arg-type]


def test_item_without_datetime_uses_its_start() -> None:
    """An item with a time range uses ``start_datetime``."""
    many = {"start_datetime": "2026-06-01T00:00:00Z", "end_datetime": "2026-06-02T00:00:00Z"}
    item = make_item({"lst": "s3://b/lst.tiff"}, when=None, **many)
    assert str(destination(item, "lst", "provider")).startswith("2026-06-01T00-00-00Z_")
    item = pystac.Item("made", None, None, datetime(2026, 6, 1, tzinfo=UTC), {})
    item.add_asset("lst", pystac.Asset("s3://b/lst.tiff"))
    assert str(destination(item, "lst", "provider")) == "2026-06-01T00-00-00Z_made/lst.tiff"
    assert str(destination(item, "lst", "collection")) == "no-collection/2026-06-01/made/lst.tiff"


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("s3://b/k/50%25 a+b.tiff", "50%25 a+b.tiff"),
        ("https://h/k/50%25%20a%2Bb.tiff?X-Amz-Signature=1/2&x=a/b", "50% a+b.tiff"),
        ("file:///k/a%20b.tiff", "a b.tiff"),
        ("/k/a b.tiff", "a b.tiff"),
        ("../k/lst.tiff", "lst.tiff"),
        ("C:\\k\\lst.tiff", "lst.tiff"),
        ("https://h", ""),
    ],
)
def test_file_names(href: str, name: str) -> None:
    """The name is the last segment of the href, decoded if it is a URL."""
    assert file_name(href) == name


# Unsafe names


@pytest.mark.parametrize(
    "href",
    [
        "https://h/a/..%2F..%2Fetc%2Fpasswd",
        "https://h/a/%2Fetc%2Fpasswd",
        "https://h/a/..%5C..%5Cboot.ini",
        "https://h/a/..",
        "https://h/a/C%3Aevil.tiff",
        "https://h/a/lst.tiff%00.png",
        "https://h/a/lst%0A.tiff",
        "https://h/a/",
        "s3://b/a/..",
        "s3://b/a/C:",
        "s3://b/a/lst.tiff:stream",
        "s3://b/a/nul.tiff",
        "s3://b/a/COM1",
        "s3://b/a/lst.tiff.",
        "s3://b/a/lst.tiff ",
        "s3://b/a/\ud800.tiff",
        "s3://b/a/lst.tiff.part",
        "s3://b/a/" + 251 * "x",
        "s3://b/a/" + 126 * "ü",
    ],
)
@pytest.mark.parametrize("layout", ["provider", "collection", "flat"])
def test_unsafe_hrefs_are_refused(href: str, layout: Layout) -> None:
    """An href cannot lead out of the folder, nor to a name that is invalid on some system."""
    if layout == "flat" and href.endswith(("..", "/", "C:", "nul.tiff", "COM1")):
        item = make_item({"lst": href}, name="../../x")
    else:
        item = make_item({"lst": href})
    with pytest.raises(DownloadError, match=r"No file name for asset 'lst' of item .*layout="):
        select_files(item, None, layout)


@pytest.mark.parametrize(
    ("name", "collection"),
    [("../../x", "c"), ("/x", "c"), ("..", "c"), ("x", "../c"), ("x\0", "c"), ("a/../../b", "c")],
)
def test_unsafe_ids_are_refused(name: str, collection: str) -> None:
    """The same holds for ids of items and collections."""
    item = make_item({"lst": "s3://b/lst.tiff"}, name=name, collection=collection)
    with pytest.raises(DownloadError, match="No file name for"):
        select_files(item, None, "collection")


@pytest.mark.parametrize(("name", "collection"), [("../../x", "c"), ("x", "../c"), ("x", "/c")])
def test_unsafe_document_names_are_refused(name: str, collection: str) -> None:
    """The same holds for the JSON of items and collections."""
    item = make_item({"lst": "s3://b/lst.tiff"}, name=name, collection=collection)
    with pytest.raises(DownloadError, match=r"No file name for (item|collection)"):
        select_files(item, None, lambda _, key: key)


def test_unsafe_callable_paths_are_refused() -> None:
    """The same holds for paths returned by a layout function."""
    item = make_item({"lst": "s3://b/lst.tiff"})
    for path in ("../lst", "/lst", "a//b", "a/../../b", PureWindowsPath("C:/lst"), "", "a/"):
        with pytest.raises(DownloadError, match="No file name for"):
            select_files(item, None, functools.partial(_always, path))


def test_callable_must_return_a_path() -> None:
    """Another type is a TypeError."""
    nothing: Any = None
    with pytest.raises(TypeError, match="layout= returned None for asset 'lst' of item"):
        select_files(
            make_item({"lst": "s3://b/lst.tiff"}), None, functools.partial(_always, nothing)
        )


def _always(path: str | PurePath, _item: pystac.Item, _key: str) -> str | PurePath:
    return path


@given(st.text(st.characters() | st.sampled_from("./\\:\0 ~"), max_size=300))
def test_accepted_paths_stay_in_the_folder(text: str) -> None:
    """On every system, each part is one level down."""
    try:
        path = check_path(text, "anything")
    except DownloadError:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        there = kind("/folder") / kind(str(path))
        assert there.parts[:2] == kind("/folder").parts
        assert ".." not in there.parts
        assert len(there.parts) == len(kind("/folder").parts) + text.count("/") + 1
        assert not kind(str(path)).is_absolute()
    assert all(len(os.fsencode(part)) <= LONGEST_NAME for part in path.parts)


@given(st.text(string.ascii_letters + string.digits + "_-.+ äß()[]", min_size=1, max_size=40))
def test_common_names_are_accepted(text: str) -> None:
    """Common names are unchanged."""
    name = f"x{text}.tiff"
    assert str(check_path(name, "anything")) == name


# Clashes


def test_clashing_assets_are_refused() -> None:
    """The error names both assets."""
    item = make_item({"a": "s3://b/1/lst.tiff", "b": "s3://b/2/lst.tiff"})
    with pytest.raises(DownloadError, match=r"asset 'a' .* and asset 'b' .* would both be"):
        select_files(item, None, "provider")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LST.tiff", "lst.tiff"),
        ("\u00fc.tiff", "u\u0308.tiff"),
        ("a", "a/b"),
        ("A/b", "a"),
        ("catalog.json", "x"),
        ("manifest.json", "x"),
        ("manifest.jsonl", "x"),
        ("lstprecision.json", "x"),
        (f"{ID}.json", "x"),
    ],
)
def test_clashes_on_some_file_systems_are_refused(one: str, other: str) -> None:
    """Names that differ in case or Unicode form clash, also with our documents."""
    names = {"one": one, "other": other}
    item = make_item({"one": "s3://b/1", "other": "s3://b/2"})
    with pytest.raises(DownloadError, match="would both be"):
        select_files(item, None, lambda _, key: names[key])


def test_assets_with_one_href_are_one_file() -> None:
    """Two assets of one href are one file."""
    item = make_item({"lst": "s3://b/lst.tiff", "data": "s3://b/lst.tiff"})
    (file,) = select_files(item, None, "provider").files
    assert file.keys == ("lst", "data")


# Selected items and assets


def test_containers_of_items() -> None:
    """An item, its dict, a page of dicts, an ItemCollection and a list are accepted."""
    item = make_item({"lst": "s3://b/lst.tiff"})
    page = {"type": "FeatureCollection", "features": [item.to_dict()]}
    holders: list[Any] = [
        item,
        item.to_dict(),
        page,
        pystac.ItemCollection([item]),
        [item],
        (item,),
    ]
    assert [paths(select_files(holder, None, "flat")) for holder in holders] == 6 * [
        [f"{ID}_lst.tiff"]
    ]
    assert paths(select_files([item, item], None, "flat")) == [f"{ID}_lst.tiff"]
    assert select_files([], None, "flat").items == ()


def test_other_types_are_refused() -> None:
    """Anything else is a TypeError."""
    for other in (["s3://b/lst.tiff"], "s3://b/lst.tiff", None):
        with pytest.raises(TypeError, match=r"Expected a search, .*, not a "):
            select_files(other, None, "flat")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (None, ["lst_20260601T12Z", "lst_std_20260601T12Z", "metadata"]),
        ("lst", ["lst_20260601T12Z"]),
        (["lst_20260601T12Z"], ["lst_20260601T12Z"]),
        (["lst_std", "metadata"], ["lst_std_20260601T12Z", "metadata"]),
    ],
)
def test_assets_are_selected_by_key_or_layer(asked: Any, keys: list[str]) -> None:
    """Assets are selected by key or by layer name."""
    names = ("lst_20260601T12Z", "lst_std_20260601T12Z", "metadata")
    item = make_item({name: f"s3://b/{name}.x" for name in names})
    assert [key for file in select_files(item, asked, "flat").files for key in file.keys] == keys


def test_item_may_lack_an_asset() -> None:
    """A name is unknown only if no item has it; items without any are skipped."""
    night = make_item({"lst": "s3://b/n/lst.tiff"}, name="night")
    day = make_item({"lst": "s3://b/d/lst.tiff", "vnir04": "s3://b/d/4.tiff"}, name="day")
    assert paths(select_files([night, day], "vnir04", "flat")) == ["day_4.tiff"]
    assert len(select_files([night, day], "vnir04", "flat").items) == 1
    with pytest.raises(ValueError, match=r"No item has an asset 'red'; available: lst, vnir04\."):
        select_files([night, day], ["lst", "red"], "flat")
