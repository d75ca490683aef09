"""The scenes' native grids: as items state them, else from one file header per footprint.

Files with the same footprint and pixel size are assumed to share a grid.
"""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import shapely
from pyproj.exceptions import CRSError

from constellr_stac.errors import AssetReadError, ContradictionWarning
from constellr_stac.layers.item_bands import asset_gsd
from constellr_stac.layers.table import layer_of
from constellr_stac.reading.file_grid import name_of
from constellr_stac.reading.item_geobox import geobox_of, stated_geobox
from constellr_stac.reading.prefetch import MAX_REQUESTS, Fetcher
from constellr_stac.reading.raster import header_of

from .footprint import HALF_TURN, footprint, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from constellr_stac.reading.asset_ref import AssetRef

    from .scene import Scene, SceneBand

__all__ = ["with_native_grids"]

_ROUNDING = 0.1  # degrees by which footprints may be rounded or outdated
_TRIES = 5  # files of one footprint


def with_native_grids(
    scenes: Sequence[Scene], fetcher: Fetcher | None, *, lenient: bool = False
) -> list[Scene]:
    """Return the scenes with the grids of their files, and the source of each grid.

    Args:
        scenes: The scenes.
        fetcher: Reads headers, in parallel; ``None`` uses only grids stated by items.

    Keyword Args:
        lenient: Whether to try other files if a header cannot be read.

    Raises:
        AssetReadError: A header cannot be read.
    """
    bands = [_as_stated(scene) for scene in scenes]
    _drop_misplaced(scenes, bands)
    unknown: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, scene in enumerate(scenes):
        for name, band in bands[number].items():
            if band.grid is None:
                # Masks at night may be coarser than by day.
                gsd = asset_gsd(scene.item, band.asset_key)
                layer = layer_of(band.asset_key, band.ref.href)
                kind = (layer.name if layer else band.asset_key) if gsd is None else f"{gsd:g} m"
                unknown.setdefault((footprint(scene.item), kind), []).append((number, name))
    if unknown and fetcher is not None:

        def measure(places: list[tuple[int, str]]) -> tuple[AssetRef, GeoBox]:
            refs = list(dict.fromkeys(bands[number][name].ref for number, name in places))
            return _measured(refs[: _TRIES if lenient else 1], fetcher)

        with ThreadPoolExecutor(min(MAX_REQUESTS, len(unknown))) as pool:
            for places, (measured, grid) in zip(
                unknown.values(), pool.map(measure, unknown.values()), strict=True
            ):
                for number, name in places:
                    band = bands[number][name]
                    bands[number][name] = band.on(
                        grid, "file" if band.ref == measured else "similar"
                    )
    return [replace(scene, bands=own) for scene, own in zip(scenes, bands, strict=True)]


def _as_stated(scene: Scene) -> dict[str, SceneBand]:
    """Return the bands of a scene with the grids that its item states."""
    bands = dict(scene.bands)
    for name, band in scene.bands.items():
        stated = stated_geobox(scene.item, band.asset_key)
        if stated is not None:
            bands[name] = band.on(stated, "item")
    return bands


def _drop_misplaced(scenes: Sequence[Scene], bands: Sequence[dict[str, SceneBand]]) -> None:
    """Forget stated grids that lie outside their item's own footprint, and warn about them."""
    misplaced: dict[int, GeoBox] = {}
    known: dict[tuple[str, GeoBox], bool] = {}
    for number, (scene, own) in enumerate(zip(scenes, bands, strict=True)):
        for name, band in own.items():
            if band.grid is None:
                continue
            key = (footprint(scene.item), band.grid)
            if key not in known:
                known[key] = _is_within(shape_of(scene.item), band.grid)
            if not known[key]:
                misplaced.setdefault(number, band.grid)
                own[name] = replace(band, grid=None, grid_from=None)
    if misplaced:
        number = next(iter(misplaced))
        warnings.warn(
            f"{len(misplaced)} of {len(scenes)} items state a grid outside their own footprint, "
            f"such as {scenes[number].item.id!r}: {name_of(misplaced[number])}. Their files' "
            "headers are used.",
            ContradictionWarning,
            stacklevel=5,
        )


def _is_within(shape: Any, grid: GeoBox) -> bool:
    """Whether a grid and a footprint overlap, as far as both are known."""
    if shape is None or grid.crs is None or shape.bounds[2] > HALF_TURN:
        return True
    try:
        place = grid.geographic_extent.geom
    except (ValueError, CRSError):
        return False
    west, south, east, north = place.bounds
    if not all(map(math.isfinite, place.bounds)):
        return False
    margin = _ROUNDING
    box = shapely.box(west - margin, south - margin, east + margin, north + margin)
    return bool(shape.intersects(box)) and grid.extent.geom.area > 0


def _measured(refs: Sequence[AssetRef], fetcher: Fetcher) -> tuple[AssetRef, GeoBox]:
    """Return the first file whose header can be read, and its grid."""

    def grid_of(ref: AssetRef) -> GeoBox:
        return geobox_of(header_of(fetcher.header(ref)))

    *others, last = refs
    for ref in others:
        with suppress(AssetReadError):
            return ref, grid_of(ref)
    return last, grid_of(last)
