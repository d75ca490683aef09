"""The contenders: each builds and computes a cube of the same scenes, as its users do."""

from __future__ import annotations

import asyncio
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np

import constellr_stac

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    Cube = Any  # a function without parameters that returns the array

__all__ = ["CONTENDERS", "decoded", "gdal_s3"]

_USUAL: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif,.tiff",
    "VSI_CACHE": "TRUE",
}


def decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Return kelvin; some contenders return stored integers."""
    if values.dtype != "uint16":
        return values.astype("float32")
    kelvin = (values * 0.01).astype("float32")
    kelvin[values == 65535] = np.nan
    return kelvin


def gdal_s3() -> None:
    """Configure GDAL for the store."""
    os.environ["AWS_S3_ENDPOINT"] = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    os.environ["AWS_HTTPS"] = "NO"
    os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"


def _obstore() -> dict[str, Any]:
    """Return the store's configuration for obstore, which reads the keys from the environment."""
    return {
        "endpoint": os.environ["AWS_ENDPOINT_URL_S3"],
        "region": os.environ["AWS_REGION"],
        "client_options": {"allow_http": True},
    }


def _address(href: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` href or a path-style URL."""
    parts = urlsplit(href)
    if parts.scheme == "s3":
        return parts.netloc, parts.path[1:]
    bucket, _, key = unquote(parts.path[1:]).partition("/")
    return bucket, key


def _odc_stac(items: list[pystac.Item], grid: GeoBox) -> Cube:
    import odc.stac

    gdal_s3()
    cube = odc.stac.load(items, ["lst"], chunks={"time": 1}, geobox=grid)
    return cube.lst.to_numpy


def _odc_stac_tuned(items: list[pystac.Item], grid: GeoBox) -> Cube:
    import odc.stac

    gdal_s3()
    odc.stac.configure_rio(cloud_defaults=True, **_USUAL)
    cube = odc.stac.load(items, ["lst"], chunks={"time": 1}, geobox=grid)
    return cube.lst.to_numpy


def _stackstac(items: list[pystac.Item], grid: GeoBox) -> Cube:
    import stackstac

    gdal_s3()
    plain = [item.to_dict() for item in items]
    for item in plain:  # pystac writes proj:code, which stackstac does not read
        item["assets"]["lst"]["proj:epsg"] = 32611
    cube = stackstac.stack(plain, assets=["lst"], bounds=tuple(grid.boundingbox))
    return cube[:, 0].to_numpy


def _lazycogs(items: list[pystac.Item], grid: GeoBox) -> Cube:
    """Read all scenes as one chunk, the fastest choice here."""
    import lazycogs  # type: ignore[import-not-found]  # conflicts with stackstac
    import rustac  # type: ignore[import-not-found]  # a dependency of lazycogs
    from obstore.store import S3Store

    table = Path(tempfile.mkdtemp(), "items.parquet")
    rustac.write_sync(str(table), [item.to_dict() for item in items])
    bucket, _ = _address(items[0].assets["lst"].href)
    cube = lazycogs.open(
        str(table),
        bbox=tuple(grid.boundingbox),
        crs=str(grid.crs),
        resolution=grid.resolution.x,
        bands=["lst"],
        chunks={"time": -1},
        time_period=None,
        store=S3Store(bucket, **_obstore()),
        path_from_href=lambda href: _address(href)[1],
    )
    return lambda: cube.to_numpy()[0]


def _ours(items: list[pystac.Item], grid: GeoBox) -> Cube:
    cube = constellr_stac.load(items, ["lst"], geobox=grid)
    return cube.lst.to_numpy


def _ours_stackstac(items: list[pystac.Item], grid: GeoBox) -> Cube:
    cube = constellr_stac.load(items, ["lst"], engine="stackstac", geobox=grid)
    return cube.lst.to_numpy


def _floor(items: list[pystac.Item], grid: GeoBox) -> Cube:
    """Fetch all files concurrently with obstore and decode them with rasterio."""
    import obstore
    from obstore.store import S3Store
    from rasterio.env import Env
    from rasterio.io import MemoryFile
    from rasterio.session import DummySession
    from rasterio.windows import from_bounds

    addresses = [_address(item.assets["lst"].href) for item in items]
    store = S3Store(addresses[0][0], **_obstore())

    def decode(data: bytes) -> NDArray[Any]:
        with Env(session=DummySession()), MemoryFile(data) as memory, memory.open() as file:
            window = from_bounds(*grid.boundingbox, file.transform)
            return decoded(file.read(1, window=window))

    async def fetch(key: str, pool: ThreadPoolExecutor) -> NDArray[Any]:
        answer = await obstore.get_async(store, key)
        data = bytes(await answer.bytes_async())
        return await asyncio.get_running_loop().run_in_executor(pool, decode, data)

    async def fetch_all() -> NDArray[Any]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.stack(await asyncio.gather(*[fetch(key, pool) for _, key in addresses]))

    return lambda: asyncio.run(fetch_all())


CONTENDERS: dict[str, Callable[[list[pystac.Item], GeoBox], Cube]] = {
    "odc-stac": _odc_stac,
    "odc-stac, tuned": _odc_stac_tuned,
    "stackstac": _stackstac,
    "lazycogs": _lazycogs,
    "load": _ours,
    "load, stackstac": _ours_stackstac,
    "floor": _floor,
}
"""Contenders by their name in the table; ``load`` is this package."""
