"""Synthetic scenes of any number and size, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import rasterio
import requests
from affine import Affine
from odc.geo.geobox import GeoBox

from constellr_stac import ConstellrAuth

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Scenes", "described", "items_of"]

_EPSG = 32611
_TRANSFORM = (30.0, 0.0, 381060.0, 0.0, -30.0, 3746640.0)


@dataclass(frozen=True)
class Scenes:
    """``count`` scenes of ``side`` x ``side`` pixels, as folders for a sandbox."""

    folder: Path
    count: int
    side: int

    def write(self) -> None:
        """Write uint16 COGs of noisy temperatures, with one corner of nodata."""
        rows, columns = np.mgrid[0 : self.side, 0 : self.side]
        noise = np.random.default_rng(0)
        for number in range(self.count):
            values = 29000 + 500 * np.sin(rows / 60 + number) + 300 * np.cos(columns / 90)
            stored = (values + noise.normal(0, 40, values.shape)).astype("uint16")
            stored[: self.side // 10, : self.side // 10] = 65535
            path = self._path(number)
            path.parent.mkdir(parents=True)
            with rasterio.open(
                path,
                "w",
                driver="COG",
                width=self.side,
                height=self.side,
                count=1,
                dtype="uint16",
                nodata=65535,
                crs=f"EPSG:{_EPSG}",
                transform=Affine(*_TRANSFORM),
                blocksize=256,
                compress="deflate",
                overviews="NONE",
            ) as file:
                file.write(stored, 1)

    def kelvin(self, count: int) -> NDArray[Any]:
        """Return the values of the first ``count`` files: float32 kelvin, dims (time, y, x)."""
        cube = np.empty((count, self.side, self.side), "float32")
        for number in range(count):
            with rasterio.open(self._path(number)) as file:
                stored = file.read(1)
            cube[number] = stored * 0.01
            cube[number][stored == 65535] = np.nan
        return cube

    @property
    def grid(self) -> GeoBox:
        """The grid of all of them."""
        return GeoBox((self.side, self.side), Affine(*_TRANSFORM), f"EPSG:{_EPSG}")

    def name(self, number: int) -> str:
        """Return the name of a scene; names sort by time."""
        time = datetime(2025, 6, 1, tzinfo=UTC) + timedelta(hours=9 * number)
        return f"LSTPRECISION_SBA01_9Q5B8K2T_{time:%Y%m%dT%H%M%SZ}"

    def _path(self, number: int) -> Path:
        return self.folder / self.name(number) / "lst.tiff"


def items_of(api_url: str, side: int) -> list[pystac.Item]:
    """Return a sandbox's items, with the fields that plain odc-stac and stackstac need."""
    body: dict[str, Any] | None = {"limit": 1000}
    items: list[pystac.Item] = []
    auth = ConstellrAuth()
    while body is not None:
        page = requests.post(f"{api_url}/stac/search", json=body, auth=auth, timeout=60).json()
        items += [pystac.Item.from_dict(described(item, side)) for item in page["features"]]
        body = next((link["body"] for link in page["links"] if link["rel"] == "next"), None)
    return sorted(items, key=lambda item: item.id)


def described(item: dict[str, Any], side: int) -> dict[str, Any]:
    """Add projection and raster fields to the dict of an item."""
    item["stac_extensions"] = [
        "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
        "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    ]
    item["assets"] = {
        "lst": item["assets"]["lst"]
        | {
            "roles": ["data"],
            "proj:epsg": _EPSG,
            "proj:shape": [side, side],
            "proj:transform": list(_TRANSFORM),
            "raster:bands": [
                {"data_type": "uint16", "nodata": 65535, "scale": 0.01, "offset": 0, "unit": "K"}
            ],
        }
    }
    return item
