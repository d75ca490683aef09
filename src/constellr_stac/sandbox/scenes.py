"""STAC items from scene folders, in the form the API documents.

A folder is named like its item, ``LSTPRECISION_SBA01_B5Z0Q1H9_20260213T092026Z``; each file in
it is an asset, named by its file. Without ``metadata.json``, the time comes from the folder's
name and the footprint from the first raster.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from shapely import Polygon

from .options import BUCKET

__all__ = ["DOCUMENTED_HOST", "Scene", "read_scenes"]

DOCUMENTED_HOST = "https://example.com/stac"
"""Host of the links in the API's documentation."""

_SHIPPED_PREFIX = "LA harbor+port"
_MEDIA_TYPES = {
    ".tiff": "image/tiff",
    ".tif": "image/tiff",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_ACQUIRED = re.compile(r"\d{8}T\d{6}Z")
_TIME_SUFFIX = re.compile(r"_\d{8}T\d{2}Z$")
_PRODUCT = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Scene:
    """One observation."""

    item: dict[str, Any]
    files: dict[str, Path]
    """Paths by object key."""
    is_day: bool | None
    """Whether it is a daytime scene; ``None`` if unknown."""


def read_scenes(folder: Path | None, *, newer: bool) -> list[Scene]:
    """Return scenes, oldest first.

    Args:
        folder: A folder of scene folders; ``None`` is the 15 shipped scenes of Los Angeles harbour.

    Keyword Args:
        newer: Name objects as the newer API does, ``<item id>_lst.tiff``.

    Raises:
        ValueError: There is no scene, or one without a time or place.
    """
    if folder is None:
        folder = Path(str(resources.files(__package__))) / "scenes" / "la_harbor"
        prefix = _SHIPPED_PREFIX
    else:
        prefix = f"{folder.name} scenes+masks"
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and any(path.iterdir()))
    if not folders:
        raise ValueError(f"There is no scene in {folder}; it must hold one folder per scene.")
    scenes = [_scene(path, prefix, newer=newer) for path in folders]
    return sorted(scenes, key=lambda scene: str(scene.item["properties"]["datetime"]))


def _scene(folder: Path, prefix: str, *, newer: bool) -> Scene:
    scene_id = folder.name
    files: dict[str, Path] = {}
    assets: dict[str, dict[str, str]] = {}
    metadata: dict[str, Any] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        plain = path.name.removeprefix(f"{scene_id}_")
        asset = _TIME_SUFFIX.sub("", Path(plain).stem)
        key = f"{prefix}/{scene_id}/" + (f"{scene_id}_{plain}" if newer else plain)
        files[key] = path
        media_type = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
        assets[asset] = {"href": f"s3://{BUCKET}/{key}", "type": media_type}
        if asset == "metadata" and path.suffix == ".json":
            metadata = json.loads(path.read_bytes())
    product = metadata.get("product_name") or _product(scene_id)
    geometry, bbox = _footprint(metadata, folder)
    collection = str(product).lower()
    item = {
        "id": scene_id,
        "type": "Feature",
        "bbox": bbox,
        "geometry": geometry,
        "links": [
            {"rel": "collection", "href": f"{DOCUMENTED_HOST}/collections/{collection}"},
            {"rel": "self", "href": f"{DOCUMENTED_HOST}/collections/{collection}/items/{scene_id}"},
        ],
        "assets": assets,
        "collection": collection,
        "properties": {"gsd": 30, "datetime": _acquired(metadata, scene_id)},
        "stac_version": "1.1.0",
        "stac_extensions": [],
    }
    return Scene(item, files, metadata.get("day_flag"))


def _product(scene_id: str) -> str:
    found = _PRODUCT.match(scene_id)
    return found[0] if found else "lstprecision"


def _acquired(metadata: dict[str, Any], scene_id: str) -> str:
    if "acquisition_datetime" in metadata:
        return str(metadata["acquisition_datetime"])
    found = _ACQUIRED.search(scene_id)
    if found is None:
        raise ValueError(
            f"Scene {scene_id}: neither its name nor a metadata.json says when it was taken."
        )
    when = datetime.strptime(found[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _footprint(metadata: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[float]]:
    """Return geometry and bounding box in longitude and latitude."""
    geometric = metadata.get("geometric", {})
    if "geometry" in geometric and "bbox" in geometric:
        return geometric["geometry"], geometric["bbox"]
    rasters = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff"))
    if not rasters:
        raise ValueError(
            f"Scene {folder.name}: neither a raster nor a metadata.json says where it is."
        )
    import rasterio
    from rasterio.warp import transform

    with rasterio.open(rasters[0]) as raster:
        left, bottom, right, top = raster.bounds
        xs, ys = transform(
            raster.crs,
            "EPSG:4326",
            [left, right, right, left, left],
            [bottom, bottom, top, top, bottom],
        )
    ring = [[round(x, 6), round(y, 6)] for x, y in zip(xs, ys, strict=True)]
    return {"type": "Polygon", "coordinates": [ring]}, list(Polygon(ring).bounds)
