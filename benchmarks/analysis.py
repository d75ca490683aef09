"""Measure zonal statistics and maps: ``python benchmarks/analysis.py``.

CPU seconds of 10,000 areas x 15 scenes of 400 x 400 pixels with five statistics, compared with
exactextract on all rasters at once, and of 300 areas compared with one rasterization and a pandas
groupby. Wall seconds of a map of 6,000 x 6,000 pixels. Best of several runs; ratios below 1 are
faster than the reference.
"""

from __future__ import annotations

import time
from functools import partial
from io import BytesIO
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
from records import begin, record

import constellr_stac.accessor  # noqa: F401 - registers cube.constellr
from constellr_stac.plot import temperature_map

if TYPE_CHECKING:
    from collections.abc import Callable

LEFT, TOP, STEP = 381_060.0, 3_746_640.0, 30.0
STATISTICS = ["mean", "median", "min", "max", "std"]
RANDOM = np.random.default_rng(0)


def main() -> None:
    """Measure statistics and a map."""
    arguments = begin(__doc__, areas=10_000, scenes=15, side=400, map=6_000)
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

    rows = []
    for frame, name, run in (
        (many, "exactextract", exact),
        (few, "groupby", rasterized),
    ):
        reference = best(partial(run, cube, frame))
        for kind, source in (("", cube), (", lazy", lazy)):
            took = best(zonal(source, frame))
            rows.append({
                "areas": f"{len(frame):,}{kind}",
                "CPU s": took,
                "reference": name,
                "reference, CPU s": reference,
                "times reference": took / reference,
            })  # fmt: skip
    size = f"{arguments.side}²"
    record(arguments, f"Five statistics, {arguments.scenes} scenes of {size}", rows)
    picture = cube_of(1, arguments.map)["lst"]
    took = best(lambda: draw(picture), time.perf_counter)
    record(arguments, f"Map of {arguments.map:,}² pixels as PNG", [{"seconds": took}])


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
