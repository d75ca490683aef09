"""Time steps: which scenes are joined, which of them is seen, and what is said about it."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

import constellr_stac
from layer_files import EPSG, ORIGIN, bare_item

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
SIDE = 6
NOON = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)
"""At the place of the scenes, 118° W."""


def scene(
    folder: Path, name: str, kelvin: int, when: datetime, platform: Any = None
) -> pystac.Item:
    """Write a scene of one temperature, with a gap in its first pixel."""
    numbers = np.full((1, SIDE, SIDE), kelvin * 100, "uint16")
    numbers[0, 0, 0] = 65535
    place = from_origin(*ORIGIN, 30, 30)
    profile = {"count": 1, "dtype": "uint16", "crs": f"EPSG:{EPSG}", "nodata": 65535}
    path = folder / name / "lst.tiff"
    path.parent.mkdir()
    with rasterio.open(
        path, "w", "GTiff", width=SIDE, height=SIDE, transform=place, **profile
    ) as file:
        file.write(numbers)
    item = bare_item(["lst"], item_id=name, href=f"{path.parent}/{{}}")
    item.datetime = when
    extent = GeoBox((SIDE, SIDE), place, f"EPSG:{EPSG}").geographic_extent
    item.geometry, item.bbox = extent.json, list(extent.boundingbox)
    if platform is not None:
        item.properties["platform"] = platform
    return item


def steps_of(items: list[pystac.Item], **how: Any) -> dict[str, float]:
    """Return the temperature of each step of a cube, by the ids of its scenes."""
    cube = constellr_stac.load(items, ["lst"], **how).compute()
    assert cube.lst[:, 0, 0].isnull().all()
    return {str(each): round(float(cube.lst[n, 1, 1]), 2) for n, each in enumerate(cube.id.values)}


@ENGINES
def test_overpass_joins_scenes_of_one_platform_within_minutes(tmp_path: Path, engine: Any) -> None:
    """In a chain; scenes of another platform, or of the next orbit, are steps of their own."""
    times = {"a": 0, "other": 4, "b": 9, "c": 18, "later": 29, "orbit": 95}
    items = [
        scene(tmp_path, name, 290 + number, NOON + timedelta(minutes=minutes),
              "SBA02" if name == "other" else "SBA01")
        for number, (name, minutes) in enumerate(times.items())
    ]  # fmt: skip
    found = steps_of(items[::-1], groupby="overpass", engine=engine)
    assert found == {"a, b, c": 290.0, "other": 291.0, "later": 294.0, "orbit": 295.0}
    found = steps_of(items, groupby="overpass", overlap="last", engine=engine)
    assert list(found.values()) == [293.0, 291.0, 294.0, 295.0]


@pytest.mark.parametrize("groupby", ["time", "overpass", "solar_day", lambda item: item.id == ""])
@ENGINES
def test_overlap_says_which_scene_is_seen(tmp_path: Path, engine: Any, groupby: Any) -> None:
    """By time, whatever the order of the items; the other is seen through gaps only."""
    items = [scene(tmp_path, "first", 290, NOON), scene(tmp_path, "last", 300, NOON)]
    if groupby != "time":
        items[1].datetime = NOON + timedelta(minutes=5)
    for order in (items, items[::-1]):
        seen = {
            overlap: set(steps_of(order, groupby=groupby, overlap=overlap, engine=engine).values())
            for overlap in ("first", "last")
        }
        assert seen == {"first": {290.0}, "last": {300.0}}
    with pytest.raises(ValueError, match='overlap= must be "first" or "last"'):
        constellr_stac.load(items, overlap="mean")  # type: ignore[call-overload]


def test_a_solar_day_of_day_and_night_warns_once(tmp_path: Path) -> None:
    """With the number of such steps, and not for scenes of one kind."""
    night = NOON + timedelta(hours=10)
    hours = {"day": NOON, "night": night, "next": NOON + timedelta(days=1)}
    items = [scene(tmp_path, name, 290, when) for name, when in hours.items()]
    with pytest.warns(UserWarning, match="day and night in 1 of 2 time steps") as caught:
        cube = constellr_stac.load(items, ["lst"], groupby="solar_day")
    [told] = [each for each in caught if "solar_day" in str(each.message)]
    assert told.filename == __file__
    assert "such as day and night" in str(told.message)
    assert list(cube.id.values) == ["day, night", "next"]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*of day and night")
        constellr_stac.load(items[::2], ["lst"], groupby="solar_day")
        constellr_stac.load(items, ["lst"], groupby="overpass")


@ENGINES
def test_times_are_utc_to_the_microsecond(tmp_path: Path, engine: Any) -> None:
    """Whatever the offset; scenes of one second are joined; a range counts from its start."""
    start = datetime(2026, 6, 1, 23, 59, 59, 123456, timezone(timedelta(hours=5, minutes=30)))
    times = [start, start.replace(microsecond=987654), start + timedelta(seconds=0.9)]
    items = [scene(tmp_path, f"{n}", 290 + n, when) for n, when in enumerate(times)]
    ranged = scene(tmp_path, "ranged", 299, NOON)
    ranged.datetime = None
    ranged.properties |= {
        "datetime": None,
        "start_datetime": "2026-06-01T18:30:00.5+00:00",
        "end_datetime": "2026-06-01T19:00:00Z",
    }
    cube = constellr_stac.load([ranged, *items[::-1]], ["lst"], engine=engine)
    assert list(cube.id.values) == ["0, 1", "2, ranged"]
    assert list(cube.time.values.astype("datetime64[us]")) == [
        np.datetime64("2026-06-01T18:29:59.123456"),
        np.datetime64("2026-06-01T18:30:00.023456"),
    ]
    alone = constellr_stac.load([ranged, *items], ["lst"], groupby="id", engine=engine)
    assert list(alone.id.values) == ["0", "1", "2", "ranged"]
    assert alone.time.values[3] == np.datetime64("2026-06-01T18:30:00.5")
