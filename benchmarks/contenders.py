"""Who is measured: each builds a cube of the same scenes and computes it, as its users do."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

import constellr_stac

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac
    from numpy.typing import NDArray

    Cube = Any  # a function without parameters that gives the array

__all__ = ["CONTENDERS", "decoded"]

_USUAL: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif,.tiff",
    "VSI_CACHE": "TRUE",
}


def decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Return kelvin for the stored integers that some contenders give."""
    if values.dtype != "uint16":
        return values.astype("float32")
    kelvin = (values * 0.01).astype("float32")
    kelvin[values == 65535] = np.nan
    return kelvin


def _gdal_s3() -> None:
    """Tell GDAL, too, where the store is."""
    os.environ["AWS_S3_ENDPOINT"] = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    os.environ["AWS_HTTPS"] = "NO"
    os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"


def _odc_stac(items: list[pystac.Item]) -> Cube:
    import odc.stac

    _gdal_s3()
    cube = odc.stac.load(items, ["lst"], chunks={"time": 1})
    return cube.lst.to_numpy


def _odc_stac_tuned(items: list[pystac.Item]) -> Cube:
    import odc.stac

    _gdal_s3()
    odc.stac.configure_rio(cloud_defaults=True, **_USUAL)
    cube = odc.stac.load(items, ["lst"], chunks={"time": 1})
    return cube.lst.to_numpy


def _stackstac(items: list[pystac.Item]) -> Cube:
    import stackstac

    _gdal_s3()
    plain = [item.to_dict() for item in items]
    for item in plain:  # pystac writes proj:code, which stackstac does not read
        item["assets"]["lst"]["proj:epsg"] = 32611
    cube = stackstac.stack(plain, assets=["lst"], chunksize=1024)
    return cube[:, 0].to_numpy


def _lazycogs(items: list[pystac.Item]) -> Cube:
    import lazycogs  # type: ignore[import-not-found]  # installed where Python is 3.12 or newer

    cube = lazycogs.open(items, assets=["lst"], chunks={"time": 1})
    return cube["lst"].to_numpy


def _ours(items: list[pystac.Item]) -> Cube:
    cube = constellr_stac.load(items, ["lst"])
    return cube.lst.to_numpy


def _ours_stackstac(items: list[pystac.Item]) -> Cube:
    cube = constellr_stac.load(items, ["lst"], engine="stackstac")
    return cube.lst.to_numpy


def _floor(items: list[pystac.Item]) -> Cube:
    """Fetch all files at once with obstore, and decode them with rasterio: nothing else."""
    import obstore
    from obstore.store import S3Store
    from rasterio.env import Env
    from rasterio.io import MemoryFile
    from rasterio.session import DummySession

    bucket, _, _ = items[0].assets["lst"].href.removeprefix("s3://").partition("/")
    store = S3Store(
        bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
        region=os.environ["AWS_REGION"],
        client_options={"allow_http": True},
    )
    keys = [item.assets["lst"].href.partition(f"{bucket}/")[2] for item in items]

    def decode(data: bytes) -> NDArray[Any]:
        with Env(session=DummySession()), MemoryFile(data) as memory, memory.open() as file:
            return decoded(file.read(1))

    async def fetch(key: str, pool: ThreadPoolExecutor) -> NDArray[Any]:
        answer = await obstore.get_async(store, key)
        data = bytes(await answer.bytes_async())
        return await asyncio.get_running_loop().run_in_executor(pool, decode, data)

    async def fetch_all() -> NDArray[Any]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.stack(await asyncio.gather(*[fetch(key, pool) for key in keys]))

    return lambda: asyncio.run(fetch_all())


CONTENDERS: dict[str, Callable[[list[pystac.Item]], Cube]] = {
    "odc-stac": _odc_stac,
    "odc-stac, tuned": _odc_stac_tuned,
    "stackstac": _stackstac,
    "lazycogs": _lazycogs,
    "load": _ours,
    "load, stackstac": _ours_stackstac,
    "floor": _floor,
}
"""By the name in the table; ``load`` is ours."""
