"""The scenes' native grids: as items state them, else from one file header per footprint.

Files with the same footprint and pixel size are assumed to share a grid.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.item_bands import asset_gsd
from constellr_stac.layers.table import layer_of
from constellr_stac.reading.item_geobox import geobox_of, stated_geobox
from constellr_stac.reading.prefetch import MAX_REQUESTS, Fetcher
from constellr_stac.reading.raster import header_of

from .footprint import footprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from constellr_stac.reading.asset_ref import AssetRef

    from .scene import Scene, SceneBand

__all__ = ["with_own_grids"]

_HEADER_BYTES = 1 << 15
_TRIES = 5  # files of one footprint


def with_own_grids(
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


def _measured(refs: Sequence[AssetRef], fetcher: Fetcher) -> tuple[AssetRef, GeoBox]:
    """Return the first file whose header can be read, and its grid."""

    def grid_of(ref: AssetRef) -> GeoBox:
        return geobox_of(header_of(fetcher.header(ref, _HEADER_BYTES)))

    *others, last = refs
    for ref in others:
        with suppress(AssetReadError):
            return ref, grid_of(ref)
    return last, grid_of(last)
