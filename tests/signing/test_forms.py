"""Everything that holds hrefs can be signed; the laws of signing hold for each form."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from constellr_stac import Signer
from layer_files import bare_item

SIGNER = Signer(credentials={"access_key_id": "AKIA", "secret_access_key": "s3cret"})
HREF = "s3://scenes/a&b/lst.tiff"
URL = SIGNER.sign(HREF)
FOREIGN = "https://example.com/a.tif"
VRT = (
    '<VRTDataset><SourceFilename relativeToVRT="0">{}</SourceFilename>'
    f"<SourceFilename>/vsicurl/{FOREIGN}</SourceFilename><SourceFilename>b.tif</SourceFilename>"
    "</VRTDataset>"
)


def item(**fields: Any) -> pystac.Item:
    """An item with an alternate href and a link to data."""
    made = bare_item(["lst"], href=HREF)
    made.assets["lst"].extra_fields["alternate"] = {"s3": {"href": HREF}, "web": {"href": FOREIGN}}
    made.add_link(pystac.Link("data", HREF))
    made.add_link(pystac.Link("about", FOREIGN))
    made.properties.update(fields)
    return made


FORMS: dict[str, Any] = {
    "vrt": VRT.format("/vsis3/scenes/a&amp;b/lst.tiff"),
    "vrt of s3": VRT.format("s3://scenes/a&amp;b/lst.tiff"),
    "GDAL path": "/vsis3/scenes/a&b/lst.tiff",
    "Hadoop": "s3a://scenes/a&b/lst.tiff",
    "path": Path(HREF),
    "item": item(),
    "item dict": item().to_dict(transform_hrefs=False),
    "item from a server": {
        "type": "Feature",
        "assets": {"lst": {"href": "s3a://scenes/a&b/lst.tiff"}},
        "links": [{"rel": "self", "href": f"{FOREIGN}.json"}],
    },
    "asset dict": {"href": HREF, "alternate": {"s3": {"href": HREF}}},
    "assets": {"lst": pystac.Asset(HREF), "b": {"href": FOREIGN}},
    "kerchunk": {
        "version": 1,
        "templates": {"u": HREF, "base": "https://example.com"},
        "refs": {".zgroup": "{}", "a/0": [HREF, 0, 10], "a/1": ["{{u}}", 0, 9]},
    },
    "kerchunk 0": {".zgroup": "{}", "a/0": [HREF, 0, 10], "b/0": [FOREIGN]},
}


def text_of(obj: Any) -> str:
    """Return an object as text."""
    if isinstance(obj, pystac.Item):
        obj = obj.to_dict(transform_hrefs=False)
    if isinstance(obj, dict):
        return json.dumps(obj, default=lambda asset: asset.to_dict())
    return str(obj)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_signed(form: Any) -> None:
    """All s3 hrefs, no foreign ones, once; a copy leaves the original as it was."""
    before, web = text_of(form), text_of(form).count(FOREIGN)
    signed = SIGNER.sign(form)
    assert text_of(form) == before
    text = text_of(signed)
    assert "X-Amz-Signature" in text
    assert not any(left in text for left in ("s3://", "s3a://", "/vsis3/"))
    assert text.count(FOREIGN) == web
    assert text_of(SIGNER.sign(signed)) == text
    if isinstance(form, dict | pystac.Item):
        own = copy.deepcopy(form)
        assert SIGNER.sign(own, copy=False) is own
        assert text_of(own) == text


def test_gdal_reads_the_signed_forms() -> None:
    """A VRT's URL is escaped and has GDAL's prefix."""
    assert SIGNER.sign(FORMS["GDAL path"]) == f"/vsicurl/{URL}"
    assert f"/vsicurl/{URL.replace('&', '&amp;')}<" in SIGNER.sign(FORMS["vrt"])
    assert SIGNER.sign(FORMS["path"]) == SIGNER.sign(FORMS["Hadoop"]) == URL


def test_generator_and_nested_lists() -> None:
    """A generator becomes a list; a list in place keeps its identity."""
    assert list(SIGNER.sign(href for href in [HREF])) == [URL]
    hrefs = [[HREF], [FOREIGN]]
    assert SIGNER.sign(hrefs, copy=False) is hrefs
    assert hrefs == [[URL], [FOREIGN]]


def test_unsigned_hrefs_are_said() -> None:
    """An s3 href in another place is a warning."""
    with pytest.warns(UserWarning, match="Some s3:// hrefs were not signed"):
        SIGNER.sign(item(source="s3://scenes/b.tif"))
    prefix = {"templates": {"u": "s3://scenes"}, "refs": {"a/0": ["{{u}}/lst.tiff"]}}
    with pytest.warns(UserWarning, match="Some s3:// hrefs were not signed"):
        assert SIGNER.sign(prefix) == prefix
    asset = pystac.Asset(FOREIGN, extra_fields={"source": "s3://scenes/b.tif"})
    with pytest.warns(UserWarning, match="Some s3:// hrefs were not signed"):
        SIGNER.sign(asset)


S3 = (HREF, "s3a://scenes/a&b/lst.tiff", "/vsis3/scenes/a&b/lst.tiff")
names = st.text(max_size=5)
hrefs = st.sampled_from([*S3, FOREIGN, "b/c.tif", "file:///d.tif", f"/vsicurl/{FOREIGN}"])
href = st.fixed_dictionaries({"href": hrefs})
assets = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"href": hrefs},
        optional={"alternate": st.dictionaries(names, href, max_size=2), "title": names},
    ),
    min_size=1,
    max_size=3,
)
links = st.lists(st.fixed_dictionaries({"rel": st.sampled_from(["data", "about"]), "href": hrefs}))
features = st.fixed_dictionaries(
    {"type": st.just("Feature"), "id": names, "assets": assets, "links": links}
)
chunks = st.tuples(hrefs, st.integers(0), st.integers(0)).map(list)
forms = st.one_of(
    assets,
    features,
    st.lists(st.one_of(features, assets), max_size=3),
    st.fixed_dictionaries(
        {
            "type": st.just("FeatureCollection"),
            "features": st.lists(features, max_size=3),
            "links": links,
        }
    ),
    st.fixed_dictionaries(
        {
            "version": st.just(1),
            "refs": st.dictionaries(names, names | chunks | st.tuples(hrefs).map(list)),
        }
    ),
)
"""Whatever holds hrefs, of all kinds."""


def leaves(obj: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Return what is in dicts and lists, by its place."""
    if isinstance(obj, dict | list):
        pairs = obj.items() if isinstance(obj, dict) else enumerate(obj)
        return {(*path, len(obj)): type(obj)} | {
            place: leaf for key, each in pairs for place, leaf in leaves(each, (*path, key)).items()
        }
    return {path: obj}


@settings(deadline=None)
@given(forms)
def test_laws_of_signing(form: Any) -> None:
    """Idempotent; a copy or in place; all but s3 hrefs of data stay as they are."""
    before = copy.deepcopy(form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of s3 hrefs in links that are not to data
        signed = SIGNER.sign(form)
        assert form == before
        assert SIGNER.sign(signed) == signed
        assert SIGNER.sign(form, copy=False) is form
    assert form == signed
    found = leaves(signed)
    assert found.keys() == leaves(before).keys()
    stated = leaves(before)
    for place, leaf in stated.items():
        if leaf not in S3 or stated.get((*place[:-1], "rel")) == "about":
            assert found[place] == leaf
        elif "links" not in place:
            assert found[place] == SIGNER.sign(leaf)
