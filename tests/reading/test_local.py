"""Laws of local files and of catalogs: what an item may name, and whose URL is used."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pystac
import pytest

import constellr_stac
from constellr_stac import ApiKey, ConstellrAuth, Limits, Signer
from constellr_stac.errors import APIError, AssetReadError, ConstellrError, SigningError
from constellr_stac.reading.asset_ref import AssetRef, asset_ref
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.local import file_pieces
from constellr_stac.reading.renewal import SignedItem
from constellr_stac.reading.resolver import AssetResolver
from hostile_bodies import tiff
from kept_frames import frames_with

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://api.example/stac"


def _item(href: str, root: str | None = None) -> pystac.Item:
    item = pystac.Item("scene", None, None, datetime(2026, 6, 1, tzinfo=UTC), {}, collection="c")
    item.add_asset("lst", pystac.Asset(href))
    if root is not None:
        item.add_link(pystac.Link("root", root))
    return item


def test_a_server_names_no_local_file(tmp_path: Path) -> None:
    """load, describe, download, stable and sign refuse it, unless the caller vouches for it."""
    path = tmp_path / "lst.tiff"
    path.write_bytes(tiff())
    for href in (str(path), path.as_uri(), "/proc/self/environ", "C:/lst.tiff", "//host/lst.tiff"):
        item = _item(href, SERVER)
        reference = asset_ref(item, "lst")
        assert AssetRef.parse(str(reference)) == reference
        with pytest.raises(AssetReadError, match="local_files=True"):
            Transfer(AssetResolver(), 1).get(reference, 0, 10)
        with pytest.raises(AssetReadError, match="local_files=True"):
            constellr_stac.describe(item)
        with pytest.raises(ConstellrError, match="local_files=True"):
            constellr_stac.download(item, tmp_path / "out", progress=False)
        with pytest.raises(SigningError, match="local_files=True"):
            constellr_stac.sign(item)
        with pytest.raises(SigningError, match="local_files=True"):
            constellr_stac.sign(item.to_dict(transform_hrefs=False))
        [stable] = constellr_stac.stable(item)
        assert AssetRef.parse(stable.assets["lst"].href).catalog
    vouched = _item(str(path), SERVER)
    assert constellr_stac.sign(vouched, local_files=True).assets["lst"].href == str(path)
    assert constellr_stac.describe(vouched, local_files=True).items
    done = constellr_stac.download(vouched, tmp_path / "own", progress=False, local_files=True)
    assert len(done.written) == 1
    assert Transfer(AssetResolver(), 1).get(asset_ref(_item(str(path)), "lst"), 0, 2)[0] == b"II"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A pipe does not block, and a device does not run on, whoever names it."""
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path)):
        with pytest.raises(AssetReadError):
            Transfer(AssetResolver(), 1).get(asset_ref(_item(path), "lst"), 0, 10)


def test_errors_of_the_resolver_keep_no_signed_url() -> None:
    """A lost asset, and another catalog's item of this name: tools show variables of frames."""
    signed = "https://b.example/lst.tiff?X-Amz-Signature=1f"
    resolver = AssetResolver(ConstellrAuth(ApiKey("key"), base_url="https://a.example"))
    for catalog, item in (("https://a.example", "lost"), ("https://b.example", "another")):
        reference = AssetRef("https://b.example/old.tiff", "c", item, "lst", catalog)
        urls = {"qa" if item == "lost" else "lst": signed}
        resolver._items[catalog, "c", item] = resolver._refreshing(
            (catalog, "c", item), SignedItem.of(urls)
        )
        with pytest.raises(APIError, match=item) as caught:
            resolver.url(reference)
        assert frames_with(caught.value, "X-Amz-Signature") == []


def test_pieces_of_a_file_are_all_of_it(tmp_path: Path) -> None:
    """Also of one that is longer than a piece."""
    content = np.random.default_rng(1).bytes((2 << 20) + 7)
    (tmp_path / "lst.tiff").write_bytes(content)
    assert b"".join(file_pieces(AssetRef(str(tmp_path / "lst.tiff")))) == content


def test_resolvers_are_equal_if_their_settings_are() -> None:
    """In both orders; equal ones share a fetcher."""
    auth = ConstellrAuth(ApiKey("key"), base_url="https://a.example")
    one, other = AssetResolver(auth), AssetResolver(auth, limits=Limits(read_timeout=7))
    assert one == AssetResolver(auth)
    assert one != other
    assert other != one


def test_urls_are_remembered_per_catalog() -> None:
    """A URL learnt from one catalog is not used for another's item of the same name."""
    signed = "https://{}.example/lst.tiff?X-Amz-Signature=1f"
    items = {name: _item(signed.format(name), f"https://{name}.example/stac") for name in "ab"}
    auth = ConstellrAuth(ApiKey("key"), base_url="https://a.example")
    resolver = AssetResolver(
        auth, Signer(credentials={"access_key_id": "a", "secret_access_key": "b"})
    )
    for item in items.values():
        resolver.remember(item)
    for name, item in items.items():
        assert resolver.url(asset_ref(item, "lst")) == signed.format(name)
