"""The sandbox's scenes as items, and their pixels read with rasterio."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import rasterio
import requests

from constellr_stac import ConstellrAuth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from constellr_stac.sandbox import Sandbox

SCENES = Path(str(resources.files("constellr_stac.sandbox"))) / "scenes" / "la_harbor"
"""The folder of the 15 shipped scenes."""


@dataclass(frozen=True)
class Truth:
    """The pixels of one scene."""

    kelvin: NDArray[Any]
    """Kelvin, float32, dims (y, x), NaN for 65535."""
    cloud: NDArray[Any]
    """Cloud mask, uint8, dims (y, x)."""
    median: float
    """The documented median temperature in kelvin."""


def found(sandbox: Sandbox, **search: Any) -> list[pystac.Item]:
    """Search a sandbox without the package's client; items are ordered by time."""
    answer = requests.post(
        f"{sandbox.api_url}/stac/search",
        json={"limit": 1000, **search},
        auth=ConstellrAuth(),
        timeout=60,
    )
    items = [pystac.Item.from_dict(feature) for feature in answer.json()["features"]]
    return sorted(items, key=lambda item: item.id)


def truth(item_id: str) -> Truth:
    """Read a shipped scene with rasterio and decode it as documented."""
    folder = SCENES / item_id
    with rasterio.open(folder / "lst.tiff") as file:
        stored = file.read(1)
    kelvin = (stored * 0.01).astype("float32")
    kelvin[stored == 65535] = np.nan
    with rasterio.open(folder / "scl_mask_30m.tiff") as file:
        cloud = file.read(1)
    expected = json.loads((folder / "metadata.json").read_text())["expected"]
    return Truth(kelvin, cloud, expected["median_lst"])


def signed_in(pickled: bytes) -> bool:
    """Return whether pickled data contains a signature."""
    return b"X-Amz-Signature" in pickled
