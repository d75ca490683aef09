"""A table of scenes, to pick those to load or to download."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from constellr_stac.cube.load import load
from constellr_stac.cube.mask import meanings_of
from constellr_stac.cube.solar import sun_elevation
from constellr_stac.errors import MissingExtraError
from constellr_stac.geometry.any_geometry import geometry_from
from constellr_stac.layers.resolve import available_bands
from constellr_stac.stac.items import items_of, time_of

from .zonal import Options, statistics_of
from .zones import in_cube_crs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import geopandas as gpd
    import pystac
    import shapely

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

__all__ = ["cloud_cover", "is_day", "scenes"]

_MASK = "cloud_mask"


def scenes(
    items: Items,
    *,
    area: Any = None,
    max_workers: int = 16,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
    local_files: bool = False,
) -> gpd.GeoDataFrame:
    """Tabulate scenes, to pick rows for :func:`load` and :func:`download`.

    The cloud masks are read side by side, over the area only.

    Args:
        items: A search, an ItemCollection, items, or their dicts.

    Keyword Args:
        area: The area of the shares: GeoJSON, shapely, WKT, a GeoDataFrame or GeoSeries in any
            CRS, or the path of a vector file. Default: all of each scene.
        max_workers: Number of masks to read at once.
        auth: Renews expired signed URLs; an auth object or a credential.
        signer: Signs ``s3://`` hrefs.
        limits: Bounds on waiting and sizes; default from the environment.
        local_files: Whether items that came from a server may name files of this machine, since
            you set their hrefs yourself.

    Returns:
        A row for each scene, by its id: ``time`` (UTC), ``solar_hour`` (local mean solar time in
        hours), ``daytime`` (whether the sun is up), ``cloud_share`` (all classes but ``clear``)
        and ``clear_share`` of the area (0 to 1; NaN without a mask that has a class ``clear``;
        their sum is below 1 where the scene does not cover the area), ``collection``, ``item`` and
        the footprint in degrees. Needs the extra ``geo``.

    Raises:
        AssetReadError: A mask cannot be read.
        InvalidAreaError: ``area`` is not an area.
        SigningError: There are ``s3://`` hrefs but no credentials for them.
        TypeError: ``items`` does not hold items.
        ValueError: An item has no time.

    Example:
        >>> import constellr_stac
        >>> table = constellr_stac.scenes(search, area="harbour.gpkg")  # doctest: +SKIP
        >>> picked = table[table.daytime & (table.clear_share > 0.9)]  # doctest: +SKIP
        >>> cube = constellr_stac.load(picked, ["lst"])  # doctest: +SKIP
    """
    try:
        import geopandas as gpd
    except ImportError as error:
        raise MissingExtraError("A table of scenes", "geo") from error
    found = items_of(items)
    place = None if area is None else geometry_from(area)
    reading = {"auth": auth, "signer": signer, "limits": limits, "local_files": local_files}
    shares = _read(found, place, reading, max_workers)
    footprints = [_footprint(item) for item in found]
    times = [time_of(item) for item in found]
    centres = [_centre(place or footprint) for footprint in footprints]
    columns = {
        "time": pd.DatetimeIndex(times, tz="UTC"),
        "solar_hour": np.array(list(map(_solar_hour, times, centres)), float),
        "daytime": np.array(list(map(_is_day, times, centres)), bool),
        "cloud_share": np.array([cloud for cloud, _ in shares], float),
        "clear_share": np.array([clear for _, clear in shares], float),
        "collection": [item.collection_id for item in found],
        "item": np.array([*found, None], object)[:-1],  # items are not to be looked into
    }
    index = pd.Index([item.id for item in found], name="id", dtype=object)
    return gpd.GeoDataFrame(columns, index=index, geometry=footprints, crs="EPSG:4326")


def is_day(item: pystac.Item) -> bool:
    """Return whether the sun is up in the middle of a scene.

    Raises:
        ValueError: The item has no time.
    """
    return _is_day(time_of(item), _centre(_footprint(item)))


def cloud_cover(items: Sequence[pystac.Item], area: Any) -> list[float]:
    """Return the cloud cover of scenes in percent, NaN where nothing is known.

    Args:
        items: The scenes.
        area: As for :func:`scenes`; the masks are read over it. Without one, only the masks of
            scenes that do not state ``eo:cloud_cover`` are read.
    """
    place = None if area is None else geometry_from(area)
    stated = [None if place else item.properties.get("eo:cloud_cover") for item in items]
    silent = [item for item, cover in zip(items, stated, strict=True) if cover is None]
    read = iter(_read(silent, place, {}))
    return [_percent(*next(read)) if cover is None else float(cover) for cover in stated]


def _percent(cloud: float, clear: float) -> float:
    return 100 * cloud / (cloud + clear) if cloud + clear else np.nan


def _read(
    items: Sequence[pystac.Item],
    place: shapely.Geometry | None,
    reading: dict[str, Any],
    max_workers: int = 16,
) -> list[tuple[float, float]]:
    """Return the cloudy and the clear share of each scene, read side by side."""
    with ThreadPoolExecutor(max_workers) as pool:
        return list(pool.map(lambda item: _shares(item, place, reading), items))


def _shares(
    item: pystac.Item, place: shapely.Geometry | None, reading: dict[str, Any]
) -> tuple[float, float]:
    """Return the cloudy and the clear share of the area, or of a scene's classified pixels."""
    footprint = _footprint(item)
    if _MASK not in available_bands([item]) or (
        place is not None and not place.intersects(footprint)
    ):
        return np.nan, np.nan
    within = {} if place is None else {"geopolygon": place}
    cube = load(item, [_MASK], **within, **reading)
    flags = cube[_MASK]
    meanings = meanings_of(flags)
    if "clear" not in meanings:
        return np.nan, np.nan
    if place is None:
        numbers = np.atleast_1d(flags.attrs["flag_values"])
        stored = flags.data.compute(scheduler="synchronous")
        counts = {
            name: (stored == number).sum() for name, number in zip(meanings, numbers, strict=True)
        }
        seen = sum(counts.values())
        share = {name: count / seen if seen else np.nan for name, count in counts.items()}
    else:
        inside = in_cube_crs(cube, place, None)
        stats = statistics_of(cube, [inside], ["classes"], Options())
        stats = stats.compute(scheduler="synchronous")
        share = {name: stats[f"{_MASK}_{name}"].item() for name in meanings}
    clear = share.pop("clear")
    return sum(share.values()), clear


def _footprint(item: pystac.Item) -> shapely.Geometry:
    """Return an item's geometry, else its bounding box, else nothing."""
    import shapely
    import shapely.geometry

    if item.geometry is not None:
        footprint: shapely.Geometry = shapely.geometry.shape(item.geometry)
        return footprint
    if item.bbox is not None:
        west, south, *_, east, north = (*item.bbox[:2], *item.bbox[len(item.bbox) // 2 :][:2])
        return shapely.box(west, south, east, north)
    return shapely.Point()


def _centre(place: shapely.Geometry) -> tuple[float, float]:
    centre = place.centroid
    return (np.nan, np.nan) if centre.is_empty else (centre.x, centre.y)


def _is_day(time: datetime, centre: tuple[float, float]) -> bool:
    return sun_elevation(time, *centre) > 0


def _solar_hour(time: datetime, centre: tuple[float, float]) -> float:
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return float(((time - midnight) / timedelta(hours=1) + centre[0] / 15) % 24)
