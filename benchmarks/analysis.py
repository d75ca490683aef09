"""Measure zonal statistics and maps: ``python benchmarks/analysis.py``.

CPU seconds of 10,000 areas x 15 scenes of 400 x 400 pixels with five statistics, compared with
exactextract on all rasters at once, and of 300 areas compared with one rasterization and a pandas
groupby. Wall seconds of a map of 6,000 x 6,000 pixels. Best of several runs; ratios below 1 are
faster than the reference.
"""

from __future__ import annotations

import argparse
import json
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio import Affine
from rasterio.features import rasterize
from rich.console import Console
from rich.table import Table

import constellr_stac.accessor  # noqa: F401 - registers cube.constellr
from constellr_stac.plot import temperature_map

if TYPE_CHECKING:
    from collections.abc import Callable

LEFT, TOP, STEP = 381_060.0, 3_746_640.0, 30.0
STATISTICS = ["mean", "median", "min", "max", "std"]
RANDOM = np.random.default_rng(0)


def main() -> None:
    """Measure; print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--areas", type=int, default=10_000)
    parser.add_argument("--scenes", type=int, default=15)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--map", type=int, default=6_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("analysis.json"))
    arguments = parser.parse_args()
    cube = cube_of(arguments.scenes, arguments.side)
    lazy = cube.chunk(time=5)
    many, few = areas(arguments.areas, arguments.side, 100), areas(300, arguments.side, 400)

    def zonal(source: xr.Dataset, frame: Any) -> Callable[[], object]:
        return lambda: source.constellr.zonal(frame, statistics=STATISTICS).compute()

    def best(run: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
        seconds = []
        for _ in range(arguments.turns):
            start = clock()
            run()
            seconds.append(clock() - start)
        return min(seconds)

    reference = best(lambda: exact(cube, many))
    grouped = best(lambda: rasterized(cube, few))
    picture = cube_of(1, arguments.map)["lst"]
    rows = [
        (f"{arguments.areas} areas", best(zonal(cube, many)), reference, "exactextract"),
        (f"{arguments.areas} areas, lazy", best(zonal(lazy, many)), reference, "exactextract"),
        ("300 areas", best(zonal(cube, few)), grouped, "rasterize and groupby"),
        ("300 areas, lazy", best(zonal(lazy, few)), grouped, "rasterize and groupby"),
        (
            f"map of {arguments.map} x {arguments.map}",
            best(lambda: draw(picture), time.perf_counter),
            3.0,
            "3 s",
        ),
    ]
    table = Table("what", "seconds", "reference", "ratio")
    for what, seconds, other, name in rows:
        table.add_row(what, f"{seconds:.2f}", f"{other:.2f} ({name})", f"{seconds / other:.2f}")
    Console().print(table)
    found = {what: {"seconds": ours, "ratio": ours / other} for what, ours, other, _ in rows}
    arguments.json.write_text(json.dumps(found, indent=2))


def cube_of(scenes: int, side: int) -> xr.Dataset:
    """Return temperatures without gaps, dims (time, y, x)."""
    geobox = GeoBox((side, side), Affine(STEP, 0, LEFT, 0, -STEP, TOP), "EPSG:32611")
    kelvin = RANDOM.uniform(280, 320, (scenes, side, side)).astype("float32")
    times = pd.date_range("2026-07-01", periods=scenes, freq="D", unit="ns")
    attrs = {"units": "K", "standard_name": "surface_temperature"}
    coords = {**xr_coords(geobox), "time": times}
    return xr.Dataset({"lst": (("time", "y", "x"), kelvin, attrs)}, coords=coords)


def areas(count: int, side: int, radius: float) -> Any:
    """Return discs in the cube."""
    across, down = RANDOM.uniform(0, side * STEP, (2, count))
    radii = RANDOM.uniform(radius / 2, radius * 1.5, count)
    discs = shapely.buffer(shapely.points(LEFT + across, TOP - down), radii, quad_segs=4)
    return gpd.GeoDataFrame(geometry=discs, crs="EPSG:32611")


def exact(cube: xr.Dataset, frame: Any) -> object:
    """Call exactextract once with all scenes."""
    left, bottom, right, top = cube.odc.geobox.boundingbox
    rasters = [
        NumPyRasterSource(
            scene.astype("float64"),
            left,
            bottom,
            right,
            top,
            name=str(n),
            srs_wkt=frame.crs.to_wkt(),
        )
        for n, scene in enumerate(cube["lst"].to_numpy())
    ]
    names = ["mean", "median", "min", "max", "stdev"]
    return exact_extract(rasters, frame, names, output="pandas")


def rasterized(cube: xr.Dataset, frame: Any) -> object:
    """Rasterize the areas once and group the pixels."""
    values = cube["lst"].to_numpy()
    zones = rasterize(
        zip(frame.geometry, range(1, len(frame) + 1), strict=True),
        out_shape=values.shape[1:],
        transform=cube.odc.geobox.affine,
        dtype="int32",
    )
    pixels = pd.DataFrame(values.reshape(len(values), -1).T.astype("float64"))
    return pixels.groupby(zones.ravel()).agg(STATISTICS)


def draw(scene: xr.DataArray) -> None:
    """Draw a map as PNG."""
    temperature_map(scene).figure.figure.savefig(BytesIO(), format="png", dpi=150)


if __name__ == "__main__":
    main()
