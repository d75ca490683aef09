"""Small files of every documented layer, and minimal items.

The layers are repeated here as literals from the provider's documentation, so that the tests detect
mistakes in the package's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import rasterio
from rasterio.transform import from_origin

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

VNIR_METRES = {2: 10, 3: 10, 4: 10, 5: 20, 6: 20, 7: 20, 8: 10, 9: 20}
"""Filter number and pixel size in metres of the bands of a day scene."""


@dataclass(frozen=True)
class Documented:
    """A layer as documented."""

    metres: int
    dtype: str
    scale: float = 1.0
    offset: float = 0.0
    nodata: int | None = None
    highest: tuple[int, ...] = (65535,)
    """The largest stored value of each band."""


TEMPERATURE = Documented(30, "uint16", 0.01, 0.0, 65535)
DOCUMENTED = {
    "lst": TEMPERATURE,
    "lst_std": TEMPERATURE,
    "lst_sharpened_10m": Documented(10, "uint16", 0.01, 0.0, 65535),
    **{f"vnir{n:02}": Documented(m, "uint16", 0.0001, -0.1, 65535) for n, m in VNIR_METRES.items()},
    **{f"vnir{n:02}_qa": Documented(m, "uint8", highest=(1, 1, 1)) for n, m in VNIR_METRES.items()},
    **{f"scl_mask_{m}m": Documented(m, "uint8", highest=(3, 1, 1, 1)) for m in (10, 20, 30)},
}
"""Every data layer, by name."""

DAY = tuple(name for name in DOCUMENTED if name != "lst_std")
NIGHT = ("lst", "scl_mask_30m")
SIDE = 360
"""Metres, a multiple of every pixel size."""
ORIGIN = (381060.0, 3746640.0)
EPSG = 32611


def stored_numbers(name: str, seed: int = 0) -> NDArray[Any]:
    """Random stored values over the whole range of a layer, including nodata."""
    layer = DOCUMENTED[name]
    side = SIDE // layer.metres
    random = np.random.default_rng(abs(hash_of(name)) + seed)
    bands = [random.integers(0, top, (side, side), endpoint=True) for top in layer.highest]
    numbers = np.stack(bands).astype(layer.dtype)
    if layer.nodata is not None:
        numbers[:, 0, :3] = layer.nodata
        numbers[:, 1, :3] = (0, 1, 65534)
    return numbers


def hash_of(name: str) -> int:
    """A hash of a name that is the same in every process."""
    return int.from_bytes(name.encode()[-6:], "little")


def write_file(path: Path, name: str, *, seed: int = 0, tags: bool = False) -> None:
    """Write one layer; with ``tags``, the file states scale and offset."""
    layer, numbers = DOCUMENTED[name], stored_numbers(name, seed)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=layer.dtype,
        count=len(numbers),
        height=numbers.shape[1],
        width=numbers.shape[2],
        crs=f"EPSG:{EPSG}",
        transform=from_origin(*ORIGIN, layer.metres, layer.metres),
        nodata=layer.nodata,
    ) as file:
        file.write(numbers)
        if tags:
            file.scales = [layer.scale] * len(numbers)
            file.offsets = [layer.offset] * len(numbers)


def bare_item(
    names: Iterable[str], *, item_id: str = "scene", href: str = "s3://bucket/LA harbor+port/{}"
) -> pystac.Item:
    """Make a minimal item with ``gsd`` and ``datetime``, and assets of type ``image/tiff``."""
    item = pystac.Item(
        item_id,
        geometry={
            "type": "Polygon",
            "coordinates": [
                [[-118.29, 33.85], [-118.29, 33.74], [-118.15, 33.74], [-118.15, 33.85],
                 [-118.29, 33.85]]
            ],
        },
        bbox=[-118.29, 33.74, -118.15, 33.85],
        datetime=datetime(2026, 6, 1, 12, 30, 5, tzinfo=UTC),
        properties={"gsd": 30},
        collection="lstprecision",
    )  # fmt: skip
    item.add_link(pystac.Link("collection", "https://example.com/stac/collections/lstprecision"))
    for name in names:
        is_json = name.startswith("metadata")
        item.add_asset(
            name,
            pystac.Asset(
                href.format(f"{name}.json" if is_json else f"{name}.tiff"),
                media_type="application/json" if is_json else "image/tiff",
            ),
        )
    return item


def written_item(folder: Path, names: Iterable[str] = DAY, **file_options: Any) -> pystac.Item:
    """Write the files of a scene, and make an item with their paths as hrefs."""
    names = list(names)
    for name in names:
        write_file(folder / f"{name}.tiff", name, **file_options)
    return bare_item(names, href=f"{folder}/{{}}")
