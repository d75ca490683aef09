"""Measure mosaics: ``python benchmarks/mosaics.py``.

Scenes of 500 x 500 pixels that overlap by 20 %, joined to one step a day, from local files, so that
the processor's time is compared. Each contender in its own process; best of several runs. Values of
both engines are compared with each other.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from records import begin, compare, in_process, peak, record, rows_of

import constellr_stac

if TYPE_CHECKING:
    import xarray as xr
    from records import Record

SIDE, STEP = 500, 400
PLACES = 8  # a side
LAYERS = ("lst", "scl_mask_30m")
CONTENDERS = ("odc-stac", "odc", "odc, masks loaded", "odc, masked",
              "stackstac", "stackstac, masks loaded", "stackstac, masked")  # fmt: skip
TIMES = ("CPU s", "build s")


def main() -> None:
    """Measure computing two days, and building a long series."""
    arguments = begin(__doc__, _measure, days=2, built=160)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        found = compare(
            CONTENDERS,
            arguments.turns,
            lambda name: in_process(name, folder, arguments.days, arguments.built),
            keep=lambda known, row: row | {each: min(row[each], known[each]) for each in TIMES},
        )
    sums = {name: row.pop("sums") for name, row in found.items()}
    for kind in ("", ", masks loaded", ", masked"):
        np.testing.assert_equal(sums[f"odc{kind}"], sums[f"stackstac{kind}"])
    title = f"Scenes of {SIDE}², {PLACES**2} a day"
    record(arguments, title, rows_of(found, "odc-stac", column="CPU s"))


def _grid(place: int) -> GeoBox:
    row, column = divmod(place, PLACES)
    left, top = 381060 + 30 * STEP * column, 3746640 - 30 * STEP * row
    return GeoBox((SIDE, SIDE), Affine(30, 0, left, 0, -30, top), "EPSG:32611")


def _write(folder: Path) -> None:
    noise = np.random.default_rng(0)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    for place in range(PLACES**2):
        values = 29000 + 500 * np.sin(rows / 60 + place) + noise.normal(0, 40, (SIDE, SIDE))
        stored = values.astype("uint16")[None]
        stored[0, :50, :50] = 65535
        masks = np.zeros((4, SIDE, SIDE), "uint8")
        masks[0] = np.sin(rows / 30 + place) + np.cos(columns / 40) > 1
        for layer, pixels in zip(LAYERS, (stored, masks), strict=True):
            with rasterio.open(
                folder / f"{place}-{layer}.tiff", "w", driver="COG", width=SIDE, height=SIDE,
                count=len(pixels), dtype=pixels.dtype, crs="EPSG:32611",
                transform=_grid(place).affine, nodata=65535 if layer == "lst" else None,
                blocksize=256, compress="deflate", overviews="NONE",
            ) as file:  # fmt: skip
                file.write(pixels)


def _items(folder: Path, days: int) -> list[pystac.Item]:
    items = []
    for number in range(days * PLACES**2):
        day, place = divmod(number, PLACES**2)
        grid = _grid(place)
        extent = grid.geographic_extent
        when = datetime(2025, 6, 1, 18, tzinfo=UTC) + timedelta(days=day, seconds=place)
        item = pystac.Item(
            f"{day}-{place}", extent.json, list(extent.boundingbox), when, {},
            collection="lstprecision",
        )  # fmt: skip
        for layer in LAYERS:
            fields = {
                "proj:code": "EPSG:32611",
                "proj:shape": [SIDE, SIDE],
                "proj:transform": list(grid.affine)[:6],
                "raster:bands": [{"data_type": "uint16", "nodata": 65535}],
            }
            if layer != "lst":
                fields["raster:bands"] = [{"data_type": "uint8"}] * 4
            href = str(folder / f"{place}-{layer}.tiff")
            item.add_asset(layer, pystac.Asset(href, media_type="image/tiff", extra_fields=fields))
        items.append(item)
    return items


def _cube(name: str, items: list[pystac.Item]) -> xr.Dataset:
    how: dict[str, Any] = {"chunks": {"y": 1024, "x": 1024}, "groupby": "solar_day"}
    if name == "odc-stac":
        plain: xr.Dataset = odc.stac.load(items, ["lst"], crs="EPSG:32611", resolution=30, **how)
        return plain
    engine, _, kind = name.partition(", ")
    bands = ["lst", "cloud_mask"] if kind else ["lst"]
    mask = "clear" if kind == "masked" else None
    how |= {"engine": engine, "mask": mask}
    cube: xr.Dataset = constellr_stac.load(items, bands, **how)
    return cube


def _measure(name: str, folder: str, days: int, built: int) -> Record:
    many = _items(Path(folder), built)
    _cube(name, many[:1]).compute()
    started = time.process_time()
    cube = _cube(name, many)
    build = time.process_time() - started
    graph = len(pickle.dumps(dict(cube.__dask_graph__()), protocol=5))
    cube = _cube(name, many[: days * PLACES**2])
    tasks = len(dict(cube.__dask_graph__()))
    started = time.process_time()
    cube = cube.compute()
    cpu = time.process_time() - started
    return {
        "scenes": days * PLACES**2,
        "tasks": tasks,
        "CPU s": cpu,
        "peak MiB": peak(),
        "scenes built": len(many),
        "build s": build,
        "graph MiB": graph / 2**20,
        "sums": [float(each.sum(dtype="float64")) for each in cube.data_vars.values()],
    }


if __name__ == "__main__":
    main()
