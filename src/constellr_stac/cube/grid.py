"""The grid of a cube: from the arguments, else from the items, else from the files' headers.

One header is read for each different footprint, all at once; scenes of one area share theirs.
"""

from __future__ import annotations

import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pystac
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox, geobox_union_conservative
from odc.geo.types import Resolution
from odc.stac import output_geobox, parse_items
from pyproj.exceptions import CRSError

from constellr_stac.errors import AssetReadError, ResamplingWarning
from constellr_stac.layers.item_bands import asset_gsd
from constellr_stac.layers.item_grid import item_grid
from constellr_stac.reading.asset_ref import reference
from constellr_stac.reading.prefetch import MAX_REQUESTS, Fetcher
from constellr_stac.reading.raster import header_of, name_of

from .footprint import HALF_TURN, box_of, eastward, footprint, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from odc.stac import ParsedItem

    from constellr_stac.layers.header import Header
    from constellr_stac.layers.resolve import BandSelection

__all__ = [
    "GRID_ARGUMENTS",
    "Grids",
    "cube_grid",
    "fits",
    "name_of",
    "native_grids",
    "needs_native_grids",
]

GRID_ARGUMENTS = (
    "geobox", "like", "crs", "resolution", "anchor", "align", "bbox", "lon", "lat", "x", "y",
    "geopolygon", "intersects",
)  # fmt: skip
"""The arguments of :func:`odc.stac.load` that decide the grid."""

_HEADER_BYTES = 1 << 15
_TRIES = 5  # files of one area, before the grid is given up
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_EDGES = 4
_LEAST_METRES = 0.01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # an item has to have a time; a place has none


Grids = dict[str, GeoBox]
"""The grid of each variable of one item that is known."""


def needs_native_grids(**arguments: Any) -> bool:
    """Say whether the arguments leave something open that only the scenes' own grids tell."""
    asked = {name for name, value in arguments.items() if value is not None}
    return not (asked & {"geobox", "like"} or asked >= {"crs", "resolution"})


def cube_grid(items: Sequence[pystac.Item], grids: Sequence[Grids], **arguments: Any) -> GeoBox:
    """Choose the grid of a cube.

    With nothing asked for it is the scenes' own: their common grid where they share one, the
    grid that covers all of them where theirs fit together, and else the most frequent CRS and
    resolution, over all scenes. Pixels that fit are not resampled.

    Args:
        items: The scenes.
        grids: Their own grids, from :func:`native_grids`.

    Keyword Args:
        arguments: Those of :data:`GRID_ARGUMENTS`, as :func:`odc.stac.load` has them.

    Raises:
        ValueError: The arguments contradict each other, or the scenes.

    Warns:
        ResamplingWarning: Nothing was asked for, and scenes do not fit onto one grid.
    """
    asked = {name: value for name, value in arguments.items() if value is not None}
    if "intersects" in asked:
        asked["geopolygon"] = asked.pop("intersects")
    if not asked and (common := _common(grids)) is not None:
        return common
    known: dict[tuple[str, frozenset[GeoBox]], ParsedItem] = {}
    parsed = []
    for item, own in zip(items, grids, strict=True):
        key = (footprint(item), frozenset(own.values()))
        if key not in known:
            known[key] = _parsed(item, own)
        parsed.append(known[key])
    exact = bool({"geobox", "like"} & asked.keys())
    if not exact:
        _check_asked(items, asked)
    try:
        grid = _checked(output_geobox(parsed, **asked))
    except CRSError as error:
        msg = f"crs={asked.get('crs')!r} is no CRS; one is 'EPSG:32611', or 'utm'."
        raise ValueError(msg) from error
    if not exact:
        _check_unit(grid)
    if not {"geobox", "like", "crs", "resolution", "anchor", "align"} & asked.keys():
        _warn_resampled(grids, grid)
    return grid


def native_grids(
    items: Sequence[pystac.Item],
    selections: Mapping[str, BandSelection],
    fetcher: Fetcher | None,
    *,
    lenient: bool = False,
) -> tuple[list[Grids], frozenset[tuple[int, str]]]:
    """Return the files' own grids: as the items state them, else from one header each footprint.

    Args:
        items: The scenes.
        selections: The variables.
        fetcher: Reads headers, all at once; ``None`` leaves out what items do not state.

    Keyword Args:
        lenient: Whether another file's header will do where one cannot be read.

    Returns:
        The grids, and which of them (item and variable) are another file's and so presumed.

    Raises:
        AssetReadError: A header cannot be read.
    """
    grids: list[Grids] = [{} for _ in items]
    unknown: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for name, selection in selections.items():
        for number, (item, source) in enumerate(zip(items, selection.sources, strict=True)):
            if source is None:
                continue
            stated = item_grid(item, source.asset_key)
            if stated is not None:
                grids[number][name] = _grid(stated)
                continue
            # Of this file: a night's mask may be coarser than that of the days.
            gsd = asset_gsd(item, source.asset_key)
            kind = selection.layer if gsd is None else f"{gsd:g} m"
            unknown.setdefault((footprint(item), kind), []).append((number, name, source.asset_key))
    if not unknown or fetcher is None:
        return grids, frozenset()

    def measure(places: list[tuple[int, str, str]]) -> tuple[tuple[int, str], GeoBox]:
        files = list(dict.fromkeys((number, key) for number, _, key in places))
        return _measured(items, files[: _TRIES if lenient else 1], fetcher)

    presumed = set()
    with ThreadPoolExecutor(min(MAX_REQUESTS, len(unknown))) as pool:
        for places, (measured, grid) in zip(
            unknown.values(), pool.map(measure, unknown.values()), strict=True
        ):
            for number, name, key in places:
                grids[number][name] = grid
                if (number, key) != measured:
                    presumed.add((number, name))
    return grids, frozenset(presumed)


def _measured(
    items: Sequence[pystac.Item], files: Sequence[tuple[int, str]], fetcher: Fetcher
) -> tuple[tuple[int, str], GeoBox]:
    """Return the first of some files whose header can be read, and its grid."""

    def grid_of(number: int, key: str) -> GeoBox:
        return _grid(header_of(fetcher.header(reference(items[number], key), _HEADER_BYTES)))

    *others, last = files
    for file in others:
        with suppress(AssetReadError):
            return file, grid_of(*file)
    return last, grid_of(*last)


def _grid(header: Header) -> GeoBox:
    return GeoBox(header.shape, Affine(*header.transform), header.crs)


def _common(grids: Iterable[Grids]) -> GeoBox | None:
    """Return the grid that all fit onto without resampling, if there is one."""
    distinct = list({grid for own in grids for grid in own.values()})
    if not distinct:
        return None
    if len(distinct) == 1:
        return distinct[0]
    try:
        return geobox_union_conservative(distinct)
    except ValueError:
        return None


def _parsed(item: pystac.Item, grids: Grids) -> ParsedItem:
    """Parse an item that says nothing but where it is, and what grids it has."""
    shape = shape_of(item)
    if shape is None and grids:
        shape = eastward(next(iter(grids.values())).geographic_extent.geom)
    if shape is None:
        msg = f"Item {item.id!r} does not say where it is: give geobox=, or bbox= with the grid."
        raise ValueError(msg)
    place = pystac.Item(
        item.id,
        shapely.geometry.mapping(shape),
        list(shape.bounds),
        _EPOCH,
        {},
        stac_extensions=[_PROJECTION] if grids else [],
    )
    for name, grid in grids.items():
        asset = pystac.Asset(name, media_type="image/tiff")
        asset.extra_fields = {
            "proj:wkt2": grid.crs.to_wkt() if grid.crs else None,
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
        }
        place.add_asset(name, asset)
    return next(iter(parse_items([place], asset_absolute_paths=False)))


def _checked(grid: GeoBox | None) -> GeoBox:
    if grid is None:
        msg = "The grid cannot be told from the scenes: give geobox=, or crs= and resolution=."
        raise ValueError(msg)
    return grid


def _check_asked(items: Sequence[pystac.Item], asked: Mapping[str, Any]) -> None:
    """Refuse what would make a cube of nothing."""
    resolution = asked.get("resolution")
    is_size = isinstance(resolution, Resolution | None) or (
        isinstance(resolution, int | float) and resolution > 0
    )
    if not is_size:
        raise ValueError(
            "resolution= is a positive number (int or float), in units of the CRS, not "
            f"{resolution!r}."
        )
    if (box := asked.get("bbox")) is not None:
        _check_box(box, [box_of(item) for item in items if item.bbox])


def _check_box(box: Sequence[float], scenes: Sequence[Sequence[float]]) -> None:
    """Refuse a box that cannot be, or that no scene touches: its numbers may be swapped."""
    pole = HALF_TURN / 2
    if len(box) != _EDGES or not -pole <= box[1] <= box[3] <= pole:
        raise ValueError(f"bbox= is west, south, east, north in degrees, not {tuple(box)}.")
    west, south, east, north = box
    if not scenes or any(not w <= e <= HALF_TURN for w, _, e, _ in (box, *scenes)):
        return  # across the antimeridian, all is more complicated
    if all(w > east or e < west or s > north or n < south for w, s, e, n in scenes):
        raise ValueError(
            "bbox= touches none of the scenes: it is west, south, east, north in degrees, "
            f"and one of them is at {tuple(scenes[0])}, not {tuple(box)}."
        )


def _check_unit(grid: GeoBox) -> None:
    """Refuse pixels that come of metres taken for degrees, or the other way round."""
    size, crs = abs(grid.resolution.x), grid.crs
    if crs is None or not (size >= 1 if crs.geographic else size < _LEAST_METRES):
        return
    unit = "degrees" if crs.geographic else "metres"
    msg = f"Pixels of {size:g} {unit} ({crs}) are hardly meant: give resolution= in {unit}"
    raise ValueError(f"{msg}, and crs= for another CRS.")


def _warn_resampled(grids: Sequence[Grids], grid: GeoBox) -> None:
    others = Counter(
        name_of(own)
        for each in grids
        for own in dict.fromkeys(each.values())
        if not fits(own, grid)
    )
    if others:
        parts = ", ".join(f"{count} in {name}" for name, count in others.most_common())
        warnings.warn(
            f"Not all files share a grid: {parts} are resampled onto {name_of(grid)}. Give "
            "crs= and resolution=, or geobox=, to choose another.",
            ResamplingWarning,
            stacklevel=6,
        )


def fits(own: GeoBox, grid: GeoBox) -> bool:
    """Say whether pixels of one grid are pixels of the other, but for a shift by whole ones."""
    try:
        geobox_union_conservative([own, grid])
    except ValueError:
        return False
    return True
