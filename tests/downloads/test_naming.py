"""What is wanted, and where it goes: below the folder, on every system, and nobody else's."""

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
from constellr_stac.downloads.naming import LONGEST_NAME, checked, destination, file_name
from constellr_stac.downloads.selection import wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac.downloads.naming import Layout
    from constellr_stac.downloads.selection import Wanted

ID = "LSTPRECISION_SBA01_B5Z0Q1H9_20260213T092026Z"


def an_item(
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


def paths(found: Wanted) -> list[str]:
    """Where the files go."""
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
    """Each layout has its place for a file."""
    item = an_item({"lst": "s3://b/LA harbor+port/x/lst.tiff"})
    assert str(destination(item, "lst", layout)) == path


def test_flat_names_are_not_doubled() -> None:
    """A file that is called after its item is not called so twice."""
    item = an_item({"lst": f"s3://b/{ID}_lst.tiff"})
    assert str(destination(item, "lst", "flat")) == f"{ID}_lst.tiff"


def test_unknown_layout() -> None:
    """A layout that is none is named, with those there are."""
    with pytest.raises(ValueError, match='"provider", "collection", "flat" or a callable'):
        wanted(an_item({"lst": "s3://b/lst.tiff"}), None, "tree")  # type: ignore[arg-type]


def test_times_of_ranges_and_of_none() -> None:
    """An item over a range of time goes by its start."""
    many = {"start_datetime": "2026-06-01T00:00:00Z", "end_datetime": "2026-06-02T00:00:00Z"}
    item = an_item({"lst": "s3://b/lst.tiff"}, when=None, **many)
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
    """A file is called as the last part of its href's path, decoded where that is encoded."""
    assert file_name(href) == name


# Names that would lead astray


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
def test_names_that_lead_astray_are_refused(href: str, layout: Layout) -> None:
    """An href cannot name a file outside of the folder, nor one that some system cannot keep."""
    if layout == "flat" and href.endswith(("..", "/", "C:", "nul.tiff", "COM1")):
        item = an_item({"lst": href}, name="../../x")
    else:
        item = an_item({"lst": href})
    with pytest.raises(
        DownloadError, match=r"No file can be named for asset 'lst' of item .*layout="
    ):
        wanted(item, None, layout)


@pytest.mark.parametrize(
    ("name", "collection"),
    [("../../x", "c"), ("/x", "c"), ("..", "c"), ("x", "../c"), ("x\0", "c"), ("a/../../b", "c")],
)
def test_ids_that_lead_astray_are_refused(name: str, collection: str) -> None:
    """Nor can the ids of an item or a collection."""
    item = an_item({"lst": "s3://b/lst.tiff"}, name=name, collection=collection)
    with pytest.raises(DownloadError, match="No file can be named for"):
        wanted(item, None, "collection")


@pytest.mark.parametrize(("name", "collection"), [("../../x", "c"), ("x", "../c"), ("x", "/c")])
def test_documents_do_not_lead_astray(name: str, collection: str) -> None:
    """The JSON of an item and of a collection have names, too."""
    item = an_item({"lst": "s3://b/lst.tiff"}, name=name, collection=collection)
    with pytest.raises(DownloadError, match=r"No file can be named for (item|collection)"):
        wanted(item, None, lambda _, key: key)


def test_a_callable_cannot_lead_out_either() -> None:
    """What a function of the user's returns has to be below the folder, too."""
    item = an_item({"lst": "s3://b/lst.tiff"})
    for path in ("../lst", "/lst", "a//b", "a/../../b", PureWindowsPath("C:/lst"), "", "a/"):
        with pytest.raises(DownloadError, match="No file can be named"):
            wanted(item, None, functools.partial(_always, path))


def test_a_callable_gives_a_path() -> None:
    """A function of the user's that returns something else is told so."""
    nothing: Any = None
    with pytest.raises(TypeError, match="layout= gave None for asset 'lst' of item"):
        wanted(an_item({"lst": "s3://b/lst.tiff"}), None, functools.partial(_always, nothing))


def _always(path: str | PurePath, _item: pystac.Item, _key: str) -> str | PurePath:
    return path


@given(st.text(st.characters() | st.sampled_from("./\\:\0 ~"), max_size=300))
def test_whatever_is_let_through_is_below_the_folder(text: str) -> None:
    """On every system: one step down for each part, and no step elsewhere."""
    try:
        path = checked(text, "anything")
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
def test_usual_names_are_let_through(text: str) -> None:
    """What people and the provider call files stays as it is."""
    name = f"x{text}.tiff"
    assert str(checked(name, "anything")) == name


# Clashes


def test_two_files_of_one_name_are_refused() -> None:
    """No file is written over another, and both are named."""
    item = an_item({"a": "s3://b/1/lst.tiff", "b": "s3://b/2/lst.tiff"})
    with pytest.raises(DownloadError, match=r"asset 'a' .* and asset 'b' .* would both be"):
        wanted(item, None, "provider")


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
def test_clashes_that_some_systems_see(one: str, other: str) -> None:
    """What differs in case or form is one name on some systems; ours are taken, too."""
    names = {"one": one, "other": other}
    item = an_item({"one": "s3://b/1", "other": "s3://b/2"})
    with pytest.raises(DownloadError, match="would both be"):
        wanted(item, None, lambda _, key: names[key])


def test_one_href_is_one_file() -> None:
    """Two assets of one href are one file, not a clash."""
    item = an_item({"lst": "s3://b/lst.tiff", "data": "s3://b/lst.tiff"})
    (file,) = wanted(item, None, "provider").files
    assert file.keys == ("lst", "data")


# What there is to download


def test_what_holds_items() -> None:
    """An item, its dict, a page of dicts, an ItemCollection and a list hold the same."""
    item = an_item({"lst": "s3://b/lst.tiff"})
    page = {"type": "FeatureCollection", "features": [item.to_dict()]}
    holders: list[Any] = [
        item,
        item.to_dict(),
        page,
        pystac.ItemCollection([item]),
        [item],
        (item,),
    ]
    assert [paths(wanted(holder, None, "flat")) for holder in holders] == 6 * [[f"{ID}_lst.tiff"]]
    assert paths(wanted([item, item], None, "flat")) == [f"{ID}_lst.tiff"]
    assert wanted([], None, "flat").items == ()


def test_what_holds_none() -> None:
    """Anything else is a TypeError that says so."""
    for other in (["s3://b/lst.tiff"], "s3://b/lst.tiff", None):
        with pytest.raises(TypeError, match=r"Expected a search, .*, not a "):
            wanted(other, None, "flat")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (None, ["lst_20260601T12Z", "lst_std_20260601T12Z", "metadata"]),
        ("lst", ["lst_20260601T12Z"]),
        (["lst_20260601T12Z"], ["lst_20260601T12Z"]),
        (["lst_std", "metadata"], ["lst_std_20260601T12Z", "metadata"]),
    ],
)
def test_assets_are_chosen_by_key_or_layer(asked: Any, keys: list[str]) -> None:
    """An asset goes by its key, and by the name of its layer."""
    names = ("lst_20260601T12Z", "lst_std_20260601T12Z", "metadata")
    item = an_item({name: f"s3://b/{name}.x" for name in names})
    assert [key for file in wanted(item, asked, "flat").files for key in file.keys] == keys


def test_an_item_may_lack_an_asset() -> None:
    """A name is unknown only if no item has it; an item with none of them is left out."""
    night = an_item({"lst": "s3://b/n/lst.tiff"}, name="night")
    day = an_item({"lst": "s3://b/d/lst.tiff", "vnir04": "s3://b/d/4.tiff"}, name="day")
    assert paths(wanted([night, day], "vnir04", "flat")) == ["day_4.tiff"]
    assert len(wanted([night, day], "vnir04", "flat").items) == 1
    with pytest.raises(ValueError, match=r"No item has an asset 'red'; there are lst, vnir04\."):
        wanted([night, day], ["lst", "red"], "flat")
