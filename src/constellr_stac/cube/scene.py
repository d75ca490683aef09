"""One item in a cube: its time and, per variable, the asset, the band and the grid."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from odc.geo.geom import Geometry, unary_union

from constellr_stac.layers.metadata import stated_metadata
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.reading.band_source import BandRead
from constellr_stac.reading.documents import documents_of
from constellr_stac.stac.items import time_of

from .footprint import box_of, footprint

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from datetime import datetime

    import pystac
    from odc.geo.geobox import GeoBox

    from constellr_stac.layers.band import Band
    from constellr_stac.layers.resolve import BandSelection
    from constellr_stac.reading.asset_ref import AssetRef
    from constellr_stac.reading.prefetch import Fetcher

__all__ = ["Scene", "SceneBand", "scenes_of", "with_documents"]


@dataclass(frozen=True)
class SceneBand:
    """The source of a variable in one scene: asset, band and grid."""

    ref: AssetRef
    """The asset."""
    asset_key: str
    """The asset's key in the item."""
    band: Band
    """The band and its encoding."""
    grid: GeoBox | None = None
    """The file's native grid, if known."""
    grid_from: Literal["item", "file", "similar"] | None = None
    """The source of the grid: the item, the file's header, or the header of a similar file (of
    another scene with the same footprint)."""

    def on(self, grid: GeoBox, source: Literal["item", "file", "similar"]) -> SceneBand:
        """Return a copy with a known grid."""
        return replace(self, grid=grid, grid_from=source)

    def read(self, target: Band) -> BandRead:
        """Return what is read of it.

        Args:
            target: The cube's variable.
        """
        return BandRead(
            str(self.ref),
            self.band,
            target,
            stated=self.grid if self.grid_from == "item" else None,
            presumed=self.grid if self.grid_from == "similar" else None,
        )


@dataclass(frozen=True)
class Scene:
    """An item in a cube."""

    item: pystac.Item
    time: datetime
    """Aware, UTC."""
    bands: Mapping[str, SceneBand]
    """By variable, without variables that the item lacks."""
    metadata: Mapping[str, Any] | None = None
    """What item and metadata document state of the scene, if asked for."""

    @property
    def time64(self) -> np.datetime64:
        """The time in UTC, in nanoseconds."""
        return np.datetime64(self.time.replace(tzinfo=None), "ns")

    @property
    def grids(self) -> frozenset[GeoBox]:
        """The known grids of its files."""
        return frozenset(each.grid for each in self.bands.values() if each.grid is not None)

    @property
    def place(self) -> Hashable:
        """A key of :meth:`outline`; equal for scenes with the same footprint."""
        return self.grids or footprint(self.item)

    def outline(self, geobox: GeoBox) -> Geometry:
        """Return the footprint in the CRS of ``geobox``; the extent of ``geobox`` if unknown.

        It is buffered by one pixel, since items may round coordinates.
        """
        crs, shape = geobox.crs, self.item.geometry or _box(self.item)
        if crs is None or not (self.grids or shape):
            return geobox.extent
        # File extents take precedence: an item's geometry may be the ordered area.
        own = [grid.extent for grid in self.grids] or [Geometry(shape, "EPSG:4326")]
        place = unary_union([each.to_crs(crs, check_and_fix=True) for each in own])
        if place is None:
            return geobox.extent
        return place.buffer(max(abs(geobox.resolution.x), abs(geobox.resolution.y)))


def scenes_of(
    items: Sequence[pystac.Item],
    selections: Mapping[str, BandSelection],
    *,
    local_files: bool = False,
) -> list[Scene]:
    """Return one scene per item.

    Args:
        items: The items.
        selections: The variables, resolved for these items.

    Keyword Args:
        local_files: As for :func:`constellr_stac.load`.
    """
    known: dict[Hashable, Band] = {}

    def shared(band: Band) -> Band:  # a pickle holds each object once
        return known.setdefault((band, band.by_item, band.siblings, band.base), band)

    return [
        Scene(
            item,
            time_of(item),
            {
                name: SceneBand(
                    asset_ref(item, source.asset_key, local_files=local_files),
                    source.asset_key,
                    shared(source.band),
                )
                for name, selection in selections.items()
                if (source := selection.sources[number]) is not None
            },
        )
        for number, item in enumerate(items)
    ]


def with_documents(
    scenes: Sequence[Scene], fetcher: Fetcher, *, local_files: bool, lenient: bool
) -> list[Scene]:
    """Return the scenes with what their items and metadata documents state of them.

    Args:
        scenes: The scenes.
        fetcher: Reads the documents, in parallel.

    Keyword Args:
        local_files: As for :func:`constellr_stac.load`.
        lenient: Whether a document that cannot be read states nothing.

    Raises:
        AssetReadError: A document cannot be read.
    """
    reference = functools.partial(asset_ref, local_files=local_files)
    items = [scene.item for scene in scenes]
    document_of = documents_of(items, fetcher, reference, lenient=lenient)
    return [
        replace(scene, metadata=stated_metadata(scene.item, document_of(scene.item) or {}))
        for scene in scenes
    ]


def _box(item: pystac.Item) -> dict[str, Any] | None:
    """Return an item's bbox as a polygon."""
    if item.bbox is None:
        return None
    west, south, east, north = box_of(item)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
