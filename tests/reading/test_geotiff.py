"""Laws of opening files that a server sent."""

from __future__ import annotations

import http.server
import struct
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams
from rasterio.errors import NotGeoreferencedWarning, RasterioError

import constellr_stac
from constellr_stac.downloads.kinds import decode_error
from constellr_stac.errors import ConstellrError
from constellr_stac.layers.band import Band
from constellr_stac.limits import Limits
from constellr_stac.reading.asset_file import AssetFile
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.geotiff import RefusedFileError, open_geotiff, open_regions
from constellr_stac.reading.prefetch import Fetcher
from constellr_stac.reading.raster import read_pixels
from constellr_stac.reading.resolver import AssetResolver
from hostile_bodies import NORTH, PIXEL, SIDE, WEST, bad_tiffs, not_tiffs, patched, snap_tiff, tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from constellr_stac.reading.raster import Pixels
    from constellr_stac.sandbox import Sandbox


@pytest.fixture(scope="module")
def visits() -> Iterator[tuple[str, list[str]]]:
    """Return the URL of a host, and the paths that were requested from it."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def test_only_a_tiff_is_opened(tmp_path: Path, visits: tuple[str, list[str]]) -> None:
    """A body of another kind is refused from memory and disk: no file, no host, no cache."""
    secret = tmp_path / "secret.tif"
    secret.write_bytes(tiff(77))
    url, seen = visits
    for name, body in not_tiffs(secret, url).items():
        with (
            pytest.raises(RefusedFileError, match="does not begin like a TIFF"),
            _opened(body, Limits()),
        ):
            pytest.fail(name)
        file = tmp_path / "body.tiff"
        file.write_bytes(body)
        assert "does not begin like a TIFF" in (decode_error(file, Limits()) or ""), name
    assert not seen
    assert {path.name for path in tmp_path.iterdir()} == {"secret.tif", "body.tiff"}


def test_bad_tiffs_are_refused(tmp_path: Path) -> None:
    """A TIFF that refers to another file, or is huge, is refused before it is read."""
    secret = tmp_path / "secret.tif"
    secret.write_bytes(tiff(77))
    for name, body in bad_tiffs(secret).items():
        with (
            pytest.raises(RefusedFileError, match=r"another file|file_pixels|window_bytes"),
            _opened(body, Limits()),
        ):
            pytest.fail(name)


def test_sidecar_files_are_ignored(tmp_path: Path) -> None:
    """Neither an overview nor metadata, a mask or a world file beside a file changes it."""
    path = tmp_path / "lst.tiff"
    path.write_bytes(tiff(1))
    (tmp_path / "lst.tiff.ovr").write_bytes(tiff(77, side=SIDE // 2))
    (tmp_path / "lst.tiff.msk").write_bytes(tiff(0))
    (tmp_path / "lst.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    (tmp_path / "lst.tiff.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:4326</SRS><PAMRasterBand band='1'><NoDataValue>1</NoDataValue>"
        "</PAMRasterBand></PAMDataset>"
    )
    with rasterio.open(path) as trusted:
        assert len(trusted.files) > 1, "GDAL finds the sidecars otherwise"
    with open_geotiff(path, Limits()) as file:
        assert file.files == [str(path)]
        assert (file.crs.to_epsg(), file.nodata, file.overviews(1)) == (32611, None, [])
        assert file.transform.a == 30
        assert np.all(file.read_masks(1) == 255)


@pytest.mark.parametrize("form", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}])
def test_forms_of_tiff_are_opened(form: dict[str, str], tmp_path: Path) -> None:
    """Classic TIFF and BigTIFF of both byte orders are opened."""
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 4, "width": 4}
    transform = rasterio.Affine(2, 0, 0, 0, -2, 0)
    with rasterio.open(path, "w", **profile, transform=transform, **form) as file:
        file.write(np.full((1, 4, 4), 5, "uint8"))
    for each in (path, path.read_bytes()):
        with _opened(each, Limits()) as opened:
            assert opened.driver == "GTiff"
            assert np.all(opened.read() == 5)


def test_limits_of_a_file_are_settings() -> None:
    """Pixels and decoded bytes of a block are bounded by settings."""
    for limits in (Limits(file_pixels=SIDE**2 - 1), Limits(window_bytes=SIDE)):
        with (
            pytest.raises(RefusedFileError, match=r"limits\."),
            _opened(tiff(), limits),
        ):
            pass
    assert issubclass(RefusedFileError, RasterioError)


def test_limits_of_the_caller_bound_the_opening(sandbox: Sandbox, tmp_path: Path) -> None:
    """``load``, ``describe`` and ``download`` open files within their own ``limits=``."""
    limits = Limits(file_pixels=10)
    client = constellr_stac.open_client()
    items = client.search(collections=["lstprecision"], max_items=1).item_collection()
    uses: tuple[Callable[[], object], ...] = (
        lambda: constellr_stac.load(items, ["lst"], limits=limits).lst.values,
        lambda: constellr_stac.describe(items, limits=limits),
        lambda: constellr_stac.download(items, tmp_path, assets=["lst"], limits=limits),
    )
    for use in uses:
        with pytest.raises(ConstellrError, match=r"limits\.file_pixels"):
            use()


def test_blocks_of_overviews_are_bounded() -> None:
    """An overview with a huge tile is refused before GDAL allocates it."""
    body = tiff(side=512, tiled=True, blockxsize=256, blockysize=256, overviews=[2])
    body = patched(body, {322: 80_000, 323: 80_000}, directory=1)
    with pytest.raises(RefusedFileError, match="window_bytes"):
        _read(body, 153.6)


@pytest.mark.parametrize(("directory", "pixel"), [(1, 30), (3, 153.6)])
def test_blocks_of_masks_are_bounded(directory: int, pixel: float) -> None:
    """A mask with a huge tile, or an overview's, is refused before GDAL allocates it."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        body = tiff(
            side=512, tiled=True, blockxsize=256, blockysize=256, overviews=[2], masked=True
        )
    assert np.all(_read(body, pixel).values == 1)
    with pytest.raises(RefusedFileError, match="window_bytes"):
        _read(patched(body, {322: 80_000, 323: 80_000}, directory), pixel)


def test_the_first_of_two_sizes_counts() -> None:
    """A mask that states the length of a tile twice is bounded by the one that GDAL takes."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        body = tiff(side=512, tiled=True, blockxsize=256, blockysize=256, masked=True)
    body = patched(body, {322: 80_000, 323: 80_000}, directory=1)
    entry = struct.Struct("<HHII")
    place = body.rindex(entry.pack(323, 4, 1, 80_000))
    last = body.index(struct.pack("<H", 339), place)  # SampleFormat, in the same directory
    body = body[:last] + entry.pack(323, 4, 1, 16) + body[last + entry.size :]
    with pytest.raises(RefusedFileError, match="window_bytes"):
        _read(body, 30)


def test_no_other_driver_takes_a_tiff(tmp_path: Path) -> None:
    """A GeoTIFF that GDAL otherwise opens as a SNAP product is opened by GTiff, with its grid."""
    path = tmp_path / "a.tif"
    path.write_bytes(snap_tiff())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.Env() as gdal, rasterio.open(path) as trusted:
            assert (trusted.driver == "SNAP_TIFF") == ("SNAP_TIFF" in gdal.drivers())  # 3.10
    for each in (path, path.read_bytes()):
        with _opened(each, Limits()) as file:
            assert (file.driver, file.crs.to_epsg()) == ("GTiff", 32611)


@pytest.mark.parametrize("overviews", [[], [2], [2, 4]])
def test_overviews_lie_where_the_file_does(overviews: list[int]) -> None:
    """A cube of four times the pixel size holds the means of 4 x 4 pixels, from any overview."""
    ramp = np.add.outer(np.arange(512), 1000 * np.arange(512))
    body = tiff(ramp, side=512, dtype="float32", tiled=True, overviews=overviews)
    values = _read(body, 4 * PIXEL, side=128).values
    means = ramp.reshape(128, 4, 128, 4).mean((1, 3))
    assert np.allclose(values[4:-4, 4:-4], means[4:-4, 4:-4], rtol=0, atol=1)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("method", ["bilinear", "cubic_spline"])
@pytest.mark.parametrize("ratio", [1.01, 1.04])
def test_little_coarser_grids_are_interpolated(ratio: float, method: str) -> None:
    """A plane stays one, also with the kernels that GDAL evaluates between pixels."""
    ramp = np.add.outer(np.arange(512), 1000 * np.arange(512))
    body = tiff(ramp, side=512, dtype="float32", tiled=True)
    values = _read(body, ratio * PIXEL, side=400, method=method).values
    place = (np.arange(400) + 0.5) * ratio - 0.5
    plane = np.add.outer(place, 1000 * place)
    np.testing.assert_allclose(values[4:-4, 4:-4], plane[4:-4, 4:-4], rtol=0, atol=1)


def _opened(file: bytes | Path, limits: Limits) -> AbstractContextManager[rasterio.DatasetReader]:
    """Open a file on disk, or its bytes."""
    if isinstance(file, bytes):
        return open_regions([(0, file)], len(file), limits)
    return open_geotiff(file, limits)


def _read(body: bytes, pixel: float, *, side: int = 100, method: str = "bilinear") -> Pixels:
    """Read a square of pixels of a file whose bytes are held."""
    fetcher = Fetcher(AssetResolver())
    file = AssetFile(AssetRef("a.tiff"), body, len(body), fetcher)
    grid = GeoBox((side, side), Affine(pixel, 0, WEST, 0, -pixel, NORTH), "EPSG:32611")
    params = RasterLoadParams(dtype="float32", resampling=method)
    return read_pixels(file, Band(1, "a", "uint8", 1, 0, None), grid, params)
