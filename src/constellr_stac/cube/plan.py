"""What a cube will be, before any pixel is read: scenes, variables, grid, steps and chunks.

:func:`constellr_stac.load` builds it and :func:`constellr_stac.explain` tells about it; the
engines only carry it out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from odc.geo.geom import Geometry, unary_union
from odc.loader import resolve_chunk_shape
from rasterio.enums import Resampling

from constellr_stac.layers.resolve import resolve_bands
from constellr_stac.reading.asset_ref import reference
from constellr_stac.reading.prefetch import Fetcher, shared_fetcher
from constellr_stac.reading.raster import output_dtype
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.signing.s3_url import is_s3
from constellr_stac.stac.items import items_of

from .chunks import apart_chunks, auto_chunks
from .footprint import box_of, centre_of, footprint
from .grid import GRID_ARGUMENTS, Grids, cube_grid, native_grids, needs_native_grids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pystac
    from odc.geo.geobox import GeoBox

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.resolve import BandSelection
    from constellr_stac.reading.band_source import Errors
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

__all__ = ["Plan", "as_items", "make_plan"]

GroupBy = str | None
Chunks = Literal["auto"] | dict[str, Any] | None


@dataclass(frozen=True)
class Plan:
    """A cube to be."""

    items: tuple[pystac.Item, ...]
    """The scenes, in the order of time."""
    selections: Mapping[str, BandSelection]
    """The variables, and where each scene keeps them (in the order of ``items``)."""
    geobox: GeoBox
    """The grid."""
    grids: tuple[Grids, ...]
    """The scenes' own grids by variable, as far as they are known."""
    presumed: frozenset[tuple[int, str]]
    """Of which scene and variable the grid is that of another scene of the same area."""
    steps: tuple[tuple[int, ...], ...]
    """The time steps: the numbers of the scenes that make up each."""
    chunks: Mapping[str, Any]
    """Chunk sizes along time, y and x."""
    resampling: Mapping[str, str]
    """How each variable is brought onto the grid, where it does not fit."""
    fetcher: Fetcher
    errors: Errors
    raw: bool

    def presumed_grid(self, number: int, name: str) -> GeoBox | None:
        """Return the grid that a scene's variable was taken to have, if nothing of it said so."""
        return self.grids[number][name] if (number, name) in self.presumed else None

    def outline(self, number: int) -> Geometry:
        """Return where a scene is, in the grid's CRS; the whole grid where nothing says it.

        A pixel of margin makes up for corners that items round.
        """
        crs, item = self.geobox.crs, self.items[number]
        shape = item.geometry or _box(item)
        if crs is None or not (self.grids[number] or shape):
            return self.geobox.extent
        # The files' own extents come first: what an item states may be the area asked for.
        extents = [grid.extent for grid in set(self.grids[number].values())]
        own = extents or [Geometry(shape, "EPSG:4326")]
        place = unary_union([each.to_crs(crs, check_and_fix=True) for each in own])
        if place is None:
            return self.geobox.extent
        return place.buffer(max(abs(self.geobox.resolution.x), abs(self.geobox.resolution.y)))

    def place(self, number: int) -> Hashable:
        """Return what :meth:`outline` depends on; scenes of one area have the same."""
        return frozenset(self.grids[number].values()) or footprint(self.items[number])

    @property
    def joins(self) -> bool:
        """Whether a time step is made up of several scenes."""
        return len(self.steps) < len(self.items)

    def apart(self) -> Plan:
        """Return the plan of the same cube with a time step for each scene, joined ones together.

        The scenes of a step follow each other, whatever the time between them.
        """
        steps = tuple((number,) for step in self.steps for number in step)
        chunks = apart_chunks(self.chunks, len(steps), len(self.steps), self.itemsize)
        return replace(self, steps=steps, chunks=chunks)

    @property
    def itemsize(self) -> int:
        """Bytes of one pixel, at most."""
        return _itemsize(self.selections, raw=self.raw)

    @property
    def times(self) -> list[np.datetime64]:
        """The time of each step: that of its first scene, UTC."""
        return [
            np.datetime64(time_of(self.items[step[0]]).replace(tzinfo=None), "ns")
            for step in self.steps
        ]


def make_plan(
    items: Items,
    bands: str | Sequence[str] | None,
    *,
    chunks: Chunks = "auto",
    groupby: GroupBy = "time",
    resampling: str | Mapping[str, str] | None = None,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    errors: Errors = "raise",
    raw: bool = False,
    **grid_arguments: Any,
) -> Plan:
    """Decide everything about a cube; see :func:`constellr_stac.load` for the parameters.

    Raises:
        AssetReadError: The grid had to be read from a file, and could not be.
        SigningError: There are ``s3://`` hrefs, and no credentials for them on this machine.
        TypeError: An unknown argument.
        ValueError: There are no items, no such band, or no such property to group by.
    """
    unknown = grid_arguments.keys() - set(GRID_ARGUMENTS)
    if unknown:
        raise TypeError(
            f"load() has no argument {', '.join(sorted(unknown))}; the grid is chosen with "
            f"{', '.join(GRID_ARGUMENTS)}."
        )
    if errors not in ("raise", "nan"):
        raise ValueError(f'errors= is "raise" or "nan", not {errors!r}.')
    scenes = as_items(items)
    selections = resolve_bands(
        scenes, bands, resolution=_metres(grid_arguments.get("resolution")), stacklevel=5
    )
    fetcher = shared_fetcher(AssetResolver(auth, signer))
    for item in scenes:
        fetcher.locations.remember(item)
    _check_credentials(scenes, selections, fetcher.locations)
    open_question = needs_native_grids(**grid_arguments)
    grids, presumed = native_grids(
        scenes, selections, fetcher if open_question else None, lenient=errors == "nan"
    )
    geobox = cube_grid(scenes, grids, **grid_arguments)
    steps = _steps(scenes, groupby, geobox)
    return Plan(
        items=tuple(scenes),
        selections=selections,
        geobox=geobox,
        grids=tuple(grids),
        presumed=presumed,
        steps=steps,
        chunks=_chunks(chunks, len(steps), geobox, selections, raw=raw),
        resampling=_resampling(resampling, selections),
        fetcher=fetcher,
        errors=errors,
        raw=raw,
    )


def as_items(items: Items) -> list[pystac.Item]:
    """Return items in the order of time, from whatever holds some.

    Args:
        items: A search, an ItemCollection, an item, a list of items or the dict of one of these.

    Raises:
        TypeError: It holds something else.
        ValueError: It holds none, or one without a time.
    """
    scenes = items_of(items)
    if not scenes:
        msg = (
            "The search found no items, so there is nothing to load. Look whether the collections "
            "are spelled right, widen bbox, datetime or filter, or see whether the order has been "
            "delivered."
        )
        raise ValueError(msg)
    return sorted(scenes, key=lambda item: (time_of(item), item.id))


def time_of(item: pystac.Item) -> datetime:
    """Return an item's time, aware: its ``datetime``, else the start of its range.

    Raises:
        ValueError: It has none.
    """
    words = item.common_metadata
    time = item.datetime or words.start_datetime or words.end_datetime
    if time is None:
        raise ValueError(f"Item {item.id!r} has no datetime, so it has no place in a cube.")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _steps(
    items: Sequence[pystac.Item], groupby: GroupBy, geobox: GeoBox
) -> tuple[tuple[int, ...], ...]:
    """Group the scenes, which are in the order of time, into time steps."""
    key = _group_key(groupby, geobox)
    groups: dict[Any, list[int]] = {}
    for number, item in enumerate(items):
        groups.setdefault(number if groupby in (None, "id") else key(item), []).append(number)
    return tuple(tuple(group) for group in groups.values())


def _box(item: pystac.Item) -> dict[str, Any] | None:
    """Return an item's bbox as a polygon."""
    if item.bbox is None:
        return None
    west, south, east, north = box_of(item)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _group_key(groupby: GroupBy, geobox: GeoBox) -> Callable[[pystac.Item], Any]:
    if groupby == "time":
        return time_of
    if groupby == "solar_day":
        centre, _ = centre_of(geobox)
        # As odc-stac counts: local mean time at the cube's centre, in whole hours.
        shift = timedelta(seconds=int(round(centre / 15) * 3600))
        return lambda item: (time_of(item) + shift).date()

    def stated(item: pystac.Item) -> Any:
        try:
            value = item.properties[str(groupby)]
            return value if isinstance(value, Hashable) else repr(value)  # such as a list
        except KeyError:
            msg = (
                f"Item {item.id!r} has no property {groupby!r} to group scenes by: groupby= is "
                '"time", "solar_day", "id" or a property that all items have.'
            )
            raise ValueError(msg) from None

    return stated


def _chunks(
    chunks: Chunks,
    times: int,
    geobox: GeoBox,
    selections: Mapping[str, BandSelection],
    *,
    raw: bool,
) -> Mapping[str, Any]:
    """Resolve chunk sizes; y and x may go by the names that the grid has for them."""
    rows, columns = geobox.shape
    itemsize = _itemsize(selections, raw=raw)
    if chunks == "auto":
        return auto_chunks(times, rows, columns, itemsize)
    if not isinstance(chunks, Mapping | None):
        raise ValueError(f'chunks= is "auto", None or sizes by dimension, not {chunks!r}.')  # noqa: TRY004 - as for other arguments
    whole = {"time": 1, "y": rows, "x": columns}
    names = dict(zip(geobox.dimensions, ("y", "x"), strict=True))
    given = {names.get(name, name): size for name, size in (chunks or {}).items()}
    if given.keys() - whole.keys():
        raise ValueError(f"chunks= takes time, y and x, not {sorted(given.keys() - whole.keys())}.")
    if 0 in given.values():
        raise ValueError(f"A chunk has to hold something: chunks= is {chunks!r}.")
    sizes = resolve_chunk_shape(times, geobox, whole | given, dtype=f"V{itemsize}")
    return dict(zip(("time", "y", "x"), sizes, strict=True))


def _itemsize(selections: Mapping[str, BandSelection], *, raw: bool) -> int:
    """Return the bytes of the largest pixel."""
    dtypes = (np.dtype(output_dtype(each.band, raw=raw)) for each in selections.values())
    return max(dtype.itemsize for dtype in dtypes)


def _resampling(
    asked: str | Mapping[str, str] | None, selections: Mapping[str, BandSelection]
) -> Mapping[str, str]:
    named = asked if isinstance(asked, Mapping) else {} if asked is None else {"*": asked}
    if unknown := named.keys() - selections.keys() - {"*"}:
        raise ValueError(
            f"resampling= names {', '.join(map(repr, sorted(unknown)))}, which is not loaded; "
            f"there are {', '.join(selections)}, and '*' for the others."
        )
    for method in named.values():
        if method not in Resampling.__members__:
            raise ValueError(
                f"There is no resampling {method!r}; choose {', '.join(Resampling.__members__)}."
            )
    return {
        name: "nearest"
        if selection.band.is_mask
        else named.get(name, named.get("*", selection.band.resampling))
        for name, selection in selections.items()
    }


def _metres(resolution: Any) -> float | None:
    return float(resolution) if isinstance(resolution, int | float) and resolution >= 1 else None


def _check_credentials(
    items: Sequence[pystac.Item], selections: Mapping[str, BandSelection], locations: AssetResolver
) -> None:
    """Find out now that an ``s3://`` href cannot be signed, unless other machines will do it."""
    if _on_a_cluster():
        return
    for selection in selections.values():
        for item, source in zip(items, selection.sources, strict=True):
            if source is not None:
                named = reference(item, source.asset_key)
                if is_s3(named.href):
                    locations.url(named)
                    return


def _on_a_cluster() -> bool:
    """Say whether a dask.distributed client is active, whose workers have their own credentials."""
    import sys

    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.default_client()
    except ValueError:
        return False
    return True
