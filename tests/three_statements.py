"""Random scenes about which documents, item and file each say something, and their right values.

The values are read from the written numbers by the rules of ``docs/layers.md`` with NumPy and
pyproj; nothing of the package is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pystac
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine, from_origin

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geom import Geometry

DOCUMENTS: dict[str, dict[str, Any]] = {
    "lst": {"scale": 0.01, "offset": 0.0, "unit": "K", "nodata": 65535},
    "lst_std": {"scale": 0.01, "offset": 0.0, "unit": "K", "nodata": 65535},
    "vnir04": {"scale": 0.0001, "offset": -0.1, "unit": "1", "nodata": 65535},
    "flux": {},
    "scl_mask_30m": {},
}
UNITS: dict[str, list[str | None]] = {
    "lst": [None, None, "K", "kelvin", "degC", "Celsius", "degF", "W m-2"],
    "lst_std": [None, None, "K", "degC", "degF"],
    "vnir04": [None, None, "1", "%"],
    "flux": [None, "W m-2"],
    "scl_mask_30m": [None],
}
TO_KELVIN = {
    **dict.fromkeys(["K", "kelvin"], (1.0, 0.0)),
    **dict.fromkeys(["degC", "Celsius"], (1.0, 273.15)),
    "degF": (5 / 9, 273.15 - 32 * 5 / 9),
}
LEFT, TOP, SIZE = 381060.0, 3746640.0, 30.0
ROWS, COLUMNS = 11, 14
PLACES: dict[str, dict[str, Any]] = {
    "right": {},
    "half a pixel off": {"proj:transform": [SIZE, 0, LEFT + 15, 0, -SIZE, TOP - 15]},
    "another zone": {"proj:code": "EPSG:32612"},
    "another shape": {"proj:shape": [ROWS, COLUMNS + 3]},
}


class Refused(Exception):  # noqa: N818 - an outcome
    """What cannot be settled: an error names the scene."""


@dataclass
class Scene:
    """One drawn scene."""

    number: int
    layer: str
    dtype: str
    item: dict[str, Any]
    form: str
    described: bool
    file: dict[str, Any]
    mask: str | None
    place: str | None
    has_crs: bool
    profile: dict[str, Any]
    stored: NDArray[Any] = field(repr=False)
    valid: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def drawn(cls, draw: random.Random, layer: str, number: int) -> Scene:
        """Draw a scene."""
        is_mask = layer == "scl_mask_30m"
        dtype = "uint8" if is_mask else draw.choice(
            ["uint16"] * 4 + ["int16", "uint8", "int32", "float32", "float32", "float64"]
        )  # fmt: skip
        is_float = dtype.startswith("float")

        def says(fills: list[Any], scales: list[Any]) -> dict[str, Any]:
            coding = {
                "scale": draw.choice(scales),
                "offset": draw.choice([None, None, 0.0, 5.0, -273.15]),
                "unit": draw.choice(UNITS[layer]),
                "nodata": draw.choice(fills),
            }
            if draw.random() < 0.4 or is_mask:  # says nothing about values
                coding |= {"scale": None, "offset": None, "unit": None}
            return {name: value for name, value in coding.items() if value is not None}

        fills = [None, None, 3, 255, *([float("nan"), -9999.0] if is_float else [])]
        item = says(fills, [None, None, 0.01, 0.02, 0.5])
        if not is_mask and draw.random() < 0.3:
            item["data_type"] = draw.choice([dtype, "uint16", "float32"])
        noise = np.random.default_rng(draw.randrange(1 << 30))
        count = 4 if is_mask else 1
        top = 4 if is_mask else 250
        stored = noise.integers(0, top, (count, ROWS, COLUMNS)).astype(dtype)
        if is_float:
            stored += noise.random(stored.shape).astype(dtype)
            stored[noise.random(stored.shape) < 0.1] = np.nan
        file = says(fills, [None, None, 1.0, 0.01, 0.02])
        for source in (item, file):  # some pixels hold each fill value
            if (fill := source.get("nodata")) is not None:
                stored[noise.random(stored.shape) < 0.1] = fill
        mask = draw.choice([None, None, None, "mask"] + ([] if is_mask else ["alpha"]))
        valid = noise.random((ROWS, COLUMNS)) > 0.2 if mask else np.ones((ROWS, COLUMNS), bool)
        has_crs = draw.random() > 0.15
        place = draw.choice([None, None, *PLACES]) if has_crs else draw.choice([None, "right"])
        profile: dict[str, Any] = draw.choice(
            [
                {},
                {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
                {"BIGTIFF": "YES", "compress": "lzw"},
                {"ENDIANNESS": "BIG"},
                {"interleave": "band"},
            ]
        )
        form = draw.choice(["raster:bands", "bands", "asset"])
        described = draw.random() < 0.3
        return cls(number, layer, dtype, item, form, described, file, mask, place, has_crs,
                   profile, stored, valid)  # fmt: skip

    @property
    def own(self) -> GeoBox:
        """Where the file is."""
        return GeoBox((ROWS, COLUMNS), from_origin(LEFT, TOP, SIZE, SIZE), "EPSG:32611")

    def written(self, folder: Path) -> pystac.Item:
        """Write the file, and return its item."""
        path = folder / f"{self.number}" / f"{self.layer}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        bands = self.stored
        if self.mask == "alpha":
            opaque = np.iinfo(self.dtype).max if self.stored.dtype.kind != "f" else 255
            bands = np.concatenate(
                [bands, np.where(self.valid, opaque, 0)[None].astype(bands.dtype)]
            )
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", driver="GTiff", dtype=self.dtype, count=len(bands), height=ROWS,
                width=COLUMNS, transform=self.own.affine, nodata=self.file.get("nodata"),
                crs="EPSG:32611" if self.has_crs else None,
                **({"alpha": "YES"} if self.mask == "alpha" else {}), **self.profile,
            ) as file,
        ):  # fmt: skip
            file.write(bands)
            for name, default in (("scale", 1.0), ("offset", 0.0), ("unit", "")):
                if name in self.file:
                    values = [self.file[name]] + [default] * (len(bands) - 1)
                    setattr(file, f"{name}s", values)
            if self.mask == "mask":
                file.write_mask(self.valid)
        return self._item(path)

    def _item(self, path: Path) -> pystac.Item:
        box = _extent(self.own)
        item = pystac.Item(
            f"scene-{self.number}", box.json, list(box.boundingbox),
            datetime(2026, 6, 1 + self.number, 12, tzinfo=UTC), {"gsd": 30},
            collection="lstprecision",
        )  # fmt: skip
        item.add_asset(self.layer, pystac.Asset(str(path), media_type="image/tiff"))
        fields = item.assets[self.layer].extra_fields
        said = {k: str(v) if v != v else v for k, v in self.item.items()}  # noqa: PLR0124 - NaN
        prefixed = {f"raster:{k}" if k in ("scale", "offset") else k: v for k, v in said.items()}
        if said and self.form == "asset":
            fields |= prefixed
        elif said:
            fields[self.form] = [said if self.form == "raster:bands" else prefixed]
        if self.place is not None:
            fields |= {
                "proj:code": "EPSG:32611",
                "proj:shape": [ROWS, COLUMNS],
                "proj:transform": list(self.own.affine)[:6],
            } | PLACES[self.place]
        return item

    def coding(self) -> tuple[float, float, str | None]:
        """Return scale, offset and unit by the documented order."""
        is_float = self.stored.dtype.kind == "f"
        documents = dict(DOCUMENTS[self.layer])
        item, file = dict(self.item), dict(self.file)
        meant_for = item.get("data_type", "uint16" if documents else self.dtype)
        if is_float:
            documents = {k: v for k, v in documents.items() if k == "unit"}
            if not meant_for.startswith("float"):
                item = {k: v for k, v in item.items() if k == "unit"}
        if (file.get("scale", 1.0), file.get("offset", 0.0)) == (1.0, 0.0):
            file = {k: v for k, v in file.items() if k not in ("scale", "offset")}
        ranked = [
            each for each in (item, file, documents) if {"scale", "offset", "unit"} & each.keys()
        ]
        if not ranked:
            return 1.0, 0.0, None
        first, *others = ranked
        scales = [each for each in ranked if {"scale", "offset"} & each.keys()]
        unit = first.get("unit")
        if scales and scales[0] is first:
            unit = unit or next((each["unit"] for each in others if "unit" in each), None)
        elif is_float or not scales:
            return 1.0, 0.0, unit
        elif scales[0].get("unit") is not None and not same_unit(scales[0]["unit"], unit):
            raise Refused
        return scales[0].get("scale", 1.0), scales[0].get("offset", 0.0), unit

    def target(self) -> str | None:
        """Return the unit of a cube of this scene alone: the documents', if the item's converts."""
        documented = DOCUMENTS[self.layer].get("unit")
        stated = self.item.get("unit", documented)
        return documented if factors(stated, documented, self.layer) else stated

    def physical(self, target: str | None) -> NDArray[Any]:
        """Return the file's values in a unit, float64, NaN where invalid; classes with 255."""
        if not self.has_crs and self.place is None:
            raise Refused
        stored, valid = self.stored[0], self.valid.copy()
        fill = self.file.get("nodata", self.item.get("nodata"))
        if fill is None and stored.dtype.kind == "u":
            fill = DOCUMENTS[self.layer].get("nodata")
        if fill is not None:
            valid &= ~(np.isnan(stored) if fill != fill else stored == fill)  # noqa: PLR0124
        if self.layer == "scl_mask_30m":
            return np.where(valid, stored, 255).astype("float64")
        scale, offset, unit = self.coding()
        converts = factors(unit, target, self.layer)
        if converts is None:
            raise Refused
        values = (stored * np.float64(scale) + offset) * converts[0] + converts[1]
        return np.where(valid, values, np.nan)


def same_unit(one: str | None, other: str | None) -> bool:
    """Return whether two names are of one unit."""
    if one in TO_KELVIN and other in TO_KELVIN:
        return TO_KELVIN[one] == TO_KELVIN[other]
    return one == other


def factors(unit: str | None, target: str | None, layer: str) -> tuple[float, float] | None:
    """Return factor and summand from one unit to another."""
    if unit is None or target is None or unit == target:
        return 1.0, 0.0
    if unit in TO_KELVIN and target in TO_KELVIN:
        (a, b), (c, d) = TO_KELVIN[unit], TO_KELVIN[target]
        return a / c, 0.0 if layer == "lst_std" else (b - d) / c
    return {("%", "1"): (0.01, 0.0), ("1", "%"): (100.0, 0.0)}.get((unit, target))


def placed(
    values: NDArray[Any], own: GeoBox, grid: GeoBox, *, fill: float, bilinear: bool
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return values at the centres of another grid's pixels, and where they are certain.

    Nearest is uncertain within a thousandth of an edge of a pixel, and bilinear where only some of
    four neighbours are valid.
    """
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    x, y = grid.affine * (columns, rows)
    to_own = pyproj.Transformer.from_crs(str(grid.crs), str(own.crs), always_xy=True)
    columns, rows = ~own.affine * to_own.transform(x, y)
    if not bilinear:
        edge = [abs(each - np.round(each)) < 1e-3 for each in (rows, columns)]
        return _at(values, np.floor(rows), np.floor(columns), fill), ~(edge[0] | edge[1])
    top, left = np.floor(rows - 0.5), np.floor(columns - 0.5)
    down, right = rows - 0.5 - top, columns - 0.5 - left
    corners = np.stack([_at(values, top + i, left + j, np.nan) for i in (0, 1) for j in (0, 1)])
    weights = np.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    )
    known = np.isfinite(corners).sum(0)
    return (corners * weights).sum(0), (known == 4) | (known == 0)


def _at(values: NDArray[Any], rows: Any, columns: Any, fill: float) -> NDArray[Any]:
    inside = (rows >= 0) & (rows < values.shape[0]) & (columns >= 0) & (columns < values.shape[1])
    found = np.full(rows.shape, fill)
    found[inside] = values[rows[inside].astype(int), columns[inside].astype(int)]
    return found


@lru_cache(maxsize=1)
def grids(own: GeoBox) -> dict[str, GeoBox]:
    """Return grids on which a scene is read."""
    box = _extent(own).boundingbox
    degrees = Affine(0.0003, 0, box.left, 0, -0.00025, box.top)
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(box.left, box.top)
    return {
        "part": GeoBox((7, 9), own.affine * Affine.translation(8, -3), own.crs),
        "fine": GeoBox(
            (22, 30), own.affine * Affine.translation(-1, 0.5) * Affine.scale(0.5), own.crs
        ),
        "shifted": GeoBox((12, 15), own.affine * Affine.translation(-0.4, 0.3), own.crs),
        "degrees": GeoBox((15, 16), degrees, "EPSG:4326"),
        "mercator": GeoBox((14, 17), Affine(35, 0, x, 0, -35, y), "EPSG:3857"),
    }


@lru_cache(maxsize=1)
def _extent(own: GeoBox) -> Geometry:
    return own.geographic_extent
