"""Grids near the poles and the antimeridian, and the grid in other tools, on both engines."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac.errors import ResamplingWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from constellr_stac.sandbox import Sandbox

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])
SIDE = 40
FILL = 65535


def stored_values(shape: tuple[int, int] = (SIDE, SIDE)) -> NDArray[Any]:
    """Stored temperatures, all different, with nodata in one corner."""
    stored = (28000 + np.arange(shape[0] * shape[1]).reshape(shape)).astype("uint16")
    stored[0, 0] = FILL
    return stored


def to_kelvin(stored: NDArray[Any]) -> NDArray[Any]:
    """Decode stored values."""
    return np.where(stored == FILL, np.nan, stored * 0.01).astype("float32")


def scene(
    folder: Path,
    crs: int,
    corner: tuple[float, float],
    *,
    name: str = "scene",
    time: str = "2026-07-01T12:00:00Z",
    **fields: Any,
) -> pystac.Item:
    """Write 1,200 m x 1,200 m at this corner, and a minimal item."""
    path = folder / f"{name}.tiff"
    grid = GeoBox((SIDE, SIDE), from_origin(*corner, 30, 30), f"EPSG:{crs}")
    with rasterio.open(
        path, "w", driver="COG", height=SIDE, width=SIDE, count=1, dtype="uint16",
        crs=f"EPSG:{crs}", transform=grid.affine, nodata=FILL,
    ) as file:  # fmt: skip
        file.write(stored_values(), 1)
    place = grid.geographic_extent
    stac: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": "lstprecision",
        "geometry": place.json,
        "bbox": list(place.boundingbox),
        "properties": {"datetime": time, "gsd": 30},
        "links": [],
        "assets": {"lst": {"href": str(path), "type": "image/tiff"}},
    }
    return pystac.Item.from_dict(stac | fields)


@ENGINES
@pytest.mark.parametrize("chunks", ["auto", {"time": 1, "y": 16, "x": 16}], ids=["one", "many"])
@pytest.mark.parametrize(
    ("crs", "corner", "is_day"),
    [
        (5041, (2000000.0 - 600, 2000000.0 + 600), True),
        (5042, (2010000.0, 1990000.0), False),
        (3031, (-600.0, 600.0), False),
        (32633, (500000.0, 9328000.0), True),
        (32733, (500000.0, 1120000.0), False),
    ],
    ids=["north pole", "beside the south pole", "south pole", "84 degrees north", "80 south"],
)
def test_polar_scene_keeps_its_grid(
    tmp_path: Path,
    crs: int,
    corner: tuple[float, float],
    chunks: Any,
    engine: Any,
    *,
    is_day: bool,
) -> None:
    """Also with the pole in the scene; in July it is day in the north."""
    item = scene(tmp_path, crs, corner)
    cube = constellr_stac.load(item, ["lst"], chunks=chunks, engine=engine)
    assert cube.odc.geobox == GeoBox((SIDE, SIDE), from_origin(*corner, 30, 30), f"EPSG:{crs}")
    np.testing.assert_array_equal(cube.lst[0], to_kelvin(stored_values()))
    assert cube.daytime.values.tolist() == [is_day]
    given = constellr_stac.load(item, ["lst"], chunks=chunks, engine=engine, like=cube)
    np.testing.assert_array_equal(given.lst[0], to_kelvin(stored_values()))


@ENGINES
def test_scenes_of_utm_and_polar_projections(tmp_path: Path, engine: Any) -> None:
    """The resampled scene is named in a warning."""
    corner = Transformer.from_crs(32633, 5041).transform(500000.0, 9328000.0)
    assert len(corner) == 2
    items = [
        scene(tmp_path, 32633, (500000.0, 9328000.0), name="a"),
        scene(tmp_path, 32633, (500000.0, 9328000.0), name="b", time="2026-07-02T12:00:00Z"),
        scene(tmp_path, 5041, corner, name="c", time="2026-07-03T12:00:00Z"),
    ]
    with pytest.warns(ResamplingWarning, match="1 in EPSG:5041"):
        cube = constellr_stac.load(items, ["lst"], engine=engine).compute()
    assert cube.odc.geobox.crs.epsg == 32633
    for step in range(3):
        assert int(cube.lst[step].count()) == pytest.approx(SIDE**2, rel=0.05)
        assert 280 <= float(cube.lst[step].min()) < float(cube.lst[step].max()) < 296


DATE_LINE = (180300.0, 8096460.0)
"""Upper left corner of a scene in UTM zone 1 south that crosses the antimeridian."""


def _ring() -> NDArray[Any]:
    """Longitudes and latitudes of that scene's corners, from -180 to 180 degrees."""
    x, y = DATE_LINE
    corners = np.array([(x, y), (x + 1200, y), (x + 1200, y - 1200), (x, y - 1200), (x, y)])
    places = Transformer.from_crs(32701, 4326, always_xy=True).transform(*corners.T)
    return np.column_stack(places)


def _antimeridian_forms() -> dict[str, dict[str, Any]]:
    """Geometries and boxes that cross the antimeridian, by form."""
    ring = _ring()
    beyond = np.column_stack([ring[:, 0] % 360, ring[:, 1]])
    west, south, east, north = shapely.Polygon(beyond).bounds
    halves = shapely.MultiPolygon(
        [shapely.box(west, south, 180, north), shapely.box(-180, south, east - 360, north)]
    )
    box = [west, south, east - 360, north]
    return {
        "a ring that leaps": {"geometry": shapely.Polygon(ring), "bbox": box},
        "a ring beyond 180": {"geometry": shapely.Polygon(beyond), "bbox": box},
        "two halves": {"geometry": halves, "bbox": box},
        "a box": {"geometry": None, "bbox": box},
        "a box with heights": {"geometry": None, "bbox": [*box[:2], 0, *box[2:], 9]},
    }


@ENGINES
@pytest.mark.parametrize("form", list(_antimeridian_forms()))
def test_antimeridian_scene_keeps_its_extent(tmp_path: Path, form: str, engine: Any) -> None:
    """Its cube does not span the globe, in any form of geometry or bbox."""
    fields = _antimeridian_forms()[form]
    shape = fields["geometry"]
    fields = fields | {"geometry": shape and shapely.geometry.mapping(shape)}
    item = scene(tmp_path, 32701, DATE_LINE, **fields)
    asked: tuple[dict[str, Any], ...] = (
        {},
        {"crs": "EPSG:32701", "resolution": 30},
        {"bbox": fields["bbox"][:2] + fields["bbox"][-3 if len(fields["bbox"]) == 6 else -2 :][:2]},
    )
    for arguments in asked:
        cube = constellr_stac.load(item, ["lst"], engine=engine, **arguments)
        assert max(cube.odc.geobox.shape) <= SIDE + 4
        values = cube.lst[0].values
        assert np.isfinite(values).sum() == SIDE**2 - 1
        np.testing.assert_array_equal(
            np.sort(values[np.isfinite(values)]),
            np.sort(to_kelvin(stored_values()).ravel())[: SIDE**2 - 1],
        )


@ENGINES
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 0}, "resolution= must be a positive number"),
        ({"resolution": float("nan")}, "resolution= must be a positive number"),
        ({"resolution": "30m"}, "resolution= must be a positive number .* not '30m'"),
        ({"bbox": (0.0, 0.0, 1.0, 1.0)}, "intersects none of the scenes"),
        ({"bbox": (0.0, 20.0, 1.0, 50.0)}, "intersects none of the scenes"),
        ({"bbox": (-179.0, 20.0, -178.0, 50.0)}, "intersects none of the scenes"),
        ({"bbox": (0.0, -90.0, 1.0, -60.1)}, "intersects none of the scenes"),
    ],
    ids=str,
)
def test_empty_cubes_are_refused(
    sandbox: Sandbox, arguments: dict[str, Any], message: str, engine: Any
) -> None:
    """A bbox outside the scenes, and invalid resolutions."""
    with pytest.raises(ValueError, match=message):
        constellr_stac.load(sandbox.items[0], ["lst"], engine=engine, **arguments)


def test_daytime_at_the_antimeridian(tmp_path: Path) -> None:
    """12:00 UTC is local midnight, in ``daytime`` and ``solar_hour``."""
    noon = scene(tmp_path, 32701, DATE_LINE, name="a")
    midnight = scene(tmp_path, 32701, DATE_LINE, name="b", time="2026-07-01T23:30:00Z")
    cube = constellr_stac.load([noon, midnight], ["lst"])
    assert cube.daytime.values.tolist() == [False, True]
    hours = cube.constellr.solar_hour.values
    assert min(hours[0], 24 - hours[0]) == pytest.approx(0, abs=0.01)
    assert hours[1] == pytest.approx(11.5, abs=0.01)


def test_solar_day_at_the_antimeridian(tmp_path: Path) -> None:
    """11:00 and 13:00 UTC are on two local days."""
    before = scene(tmp_path, 32701, DATE_LINE, name="a", time="2026-07-01T11:00:00Z")
    after = scene(tmp_path, 32701, DATE_LINE, name="b", time="2026-07-01T13:00:00Z")
    cube = constellr_stac.load([before, after], ["lst"], groupby="solar_day")
    assert cube.sizes["time"] == 2


def test_grid_where_its_crs_is_not_defined_is_refused(tmp_path: Path) -> None:
    """The error says what to check."""
    grid = GeoBox((SIDE, SIDE), from_origin(9e9, 9e9, 30, 30), "EPSG:32633")
    item = scene(tmp_path, 32633, (500000.0, 5300000.0), name="a")
    with pytest.raises(ValueError, match=r"EPSG:32633 at 30 x 30 lies where.*Check the numbers"):
        constellr_stac.load(item, ["lst"], geobox=grid)


@ENGINES
def test_scenes_outside_the_grid_are_empty_steps(tmp_path: Path, engine: Any) -> None:
    """Also if all scenes are outside the grid."""
    inside_grid = scene(tmp_path, 32633, (500000.0, 5300000.0), name="a")
    outside_grid = scene(
        tmp_path, 32633, (510000.0, 5300000.0), name="b", time="2026-07-02T12:00:00Z"
    )
    grid = GeoBox((SIDE, SIDE), from_origin(500000.0, 5300000.0, 30, 30), "EPSG:32633")
    cube = constellr_stac.load(
        [inside_grid, outside_grid], ["lst"], geobox=grid, engine=engine
    ).compute()
    np.testing.assert_array_equal(cube.lst[0], to_kelvin(stored_values()))
    assert cube.lst[1].isnull().all()
    alone = constellr_stac.load(outside_grid, ["lst"], geobox=grid, engine=engine).compute()
    assert alone.lst.shape == (1, SIDE, SIDE)
    assert alone.lst.isnull().all()


@pytest.mark.parametrize(
    ("asked", "unit"),
    [
        ({"crs": "EPSG:4326"}, "degrees"),
        ({"crs": "EPSG:4326", "resolution": 30}, "degrees"),
        ({"resolution": 0.005}, "metres"),
        ({"crs": "utm", "resolution": 0.005}, "metres"),
    ],
)
def test_resolution_in_the_wrong_unit_is_refused(
    tmp_path: Path, asked: dict[str, Any], unit: str
) -> None:
    """Metres in a geographic CRS, and degrees in a projected one."""
    item = scene(tmp_path, 32611, (380000, 3740000))
    with pytest.raises(ValueError, match=rf"resolution= in {unit}"):
        constellr_stac.load(item, **asked)
    assert constellr_stac.load(item, crs="EPSG:4326", resolution=0.0003).lst.size > SIDE


def test_unknown_crs_is_refused(tmp_path: Path) -> None:
    """The error gives an example of a valid CRS."""
    with pytest.raises(ValueError, match="crs='EPSG:99999' is not a CRS; use 'EPSG:32611'"):
        constellr_stac.load(scene(tmp_path, 32611, (380000, 3740000)), crs="EPSG:99999")


@pytest.mark.parametrize(
    "box", [(33.74, -118.29, 33.86, -118.15), (-118.29, 33.74, 0, -118.15, 33.86, 9), (1, 2)]
)
def test_bbox_order_is_checked(tmp_path: Path, box: tuple[float, ...]) -> None:
    """Swapped axes, 3D boxes and too few values are refused."""
    item = scene(tmp_path, 32611, (380000, 3740000))
    with pytest.raises(ValueError, match="bbox= must be west, south, east, north in degrees"):
        constellr_stac.load(item, bbox=box)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32611", Affine(30, 0, 380000, 0, 30, 3739000)),
        ("EPSG:4326", Affine(3e-4, 0, -118.3, 0, 3e-4, 33.7)),
        ("EPSG:32611", Affine(30, 0, 380000, 0, -30, 3740000) * Affine.rotation(5)),
    ],
)
def test_stackstac_refuses_a_grid_that_it_cannot_have(
    tmp_path: Path, crs: str, transform: Affine
) -> None:
    """South-up and rotated grids, in any unit; odc-stac has them."""
    item = scene(tmp_path, 32611, (380000, 3740000))
    grid = GeoBox((SIDE, SIDE), transform, crs)
    with pytest.raises(ValueError, match=r"needs a north-up grid .* use engine='odc'"):
        constellr_stac.load(item, ["lst"], geobox=grid, engine="stackstac")
    assert constellr_stac.load(item, ["lst"], geobox=grid).odc.geobox.shape == grid.shape


def test_item_without_geometry(tmp_path: Path) -> None:
    """Its file gives the grid; with ``crs=`` and ``resolution=``, a geobox is needed."""
    item = scene(tmp_path, 32633, (500000.0, 9328000.0), geometry=None)
    item.bbox = None
    assert constellr_stac.load(item, ["lst"]).odc.geobox.shape == (SIDE, SIDE)
    with pytest.raises(ValueError, match="'scene' has no geometry and no bbox; pass geobox="):
        constellr_stac.load(item, ["lst"], crs="EPSG:32633", resolution=30)


# Other tools


@ENGINES
def test_rioxarray_and_odc_find_the_grid(tmp_path: Path, engine: Any) -> None:
    """CRS, transform and nodata, also of a slice."""
    corner = (381060.0, 3746640.0)
    cube = constellr_stac.load(scene(tmp_path, 32611, corner), ["lst"], engine=engine)
    part = cube.isel(y=slice(4, 30), x=slice(3, None))
    for each, (x, y) in ((cube, corner), (part, (corner[0] + 90, corner[1] - 120))):
        assert each.rio.crs.to_epsg() == each.odc.crs.epsg == 32611
        assert each.lst.rio.crs.to_epsg() == each.lst.odc.crs.epsg == 32611
        assert each.lst.rio.transform() == each.lst.odc.transform == from_origin(x, y, 30, 30)
        assert np.isnan(each.lst.rio.nodata)
    assert cube.constellr.celsius.lst.rio.crs.to_epsg() == 32611


@ENGINES
def test_results_keep_their_crs_in_files(tmp_path: Path, engine: Any) -> None:
    """For GDAL and rioxarray, after plain xarray's reductions and arithmetic."""
    cube = constellr_stac.load(
        scene(tmp_path, 32611, (381060.0, 3746640.0)), ["lst"], engine=engine
    )
    with xr.set_options(keep_attrs=True):  # newer xarray's default
        made = {
            "median": cube.median("time", skipna=False),
            "difference": cube.isel(time=0) - 1,
            "step": cube.isel(time=0),
            "composite": cube.constellr.composite("all"),
        }
    for name, each in made.items():
        path = tmp_path / f"{name}.nc"
        each.to_netcdf(path)
        with rasterio.open(f"netcdf:{path}:lst") as file:
            assert file.crs.to_epsg() == 32611, name
        with xr.open_dataset(path, decode_coords="all") as back:
            assert back.lst.rio.crs.to_epsg() == 32611, name


@ENGINES
def test_rioxarray_geotiff_round_trip(tmp_path: Path, engine: Any) -> None:
    """Rasterio reads back values, grid and nodata."""
    corner = (381060.0, 3746640.0)
    cube = constellr_stac.load(scene(tmp_path, 32611, corner), ["lst"], engine=engine)
    cube.lst[0].rio.to_raster(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert (file.crs.to_epsg(), file.transform) == (32611, from_origin(*corner, 30, 30))
        assert np.isnan(file.nodata)
        np.testing.assert_array_equal(file.read(1), to_kelvin(stored_values()))
    again = rioxarray.open_rasterio(tmp_path / "out.tif", masked=True)
    assert isinstance(again, xr.DataArray)
    with again:
        np.testing.assert_array_equal(again[0], cube.lst[0])


@ENGINES
def test_clip_and_reproject_by_both_accessors(tmp_path: Path, engine: Any) -> None:
    """``rio`` and ``odc`` give the same values."""
    corner = (381060.0, 3746640.0)
    cube = constellr_stac.load(scene(tmp_path, 32611, corner), ["lst"], engine=engine).compute()
    field = shapely.box(381060 + 300, 3746640 - 600, 381060 + 600, 3746640 - 150)
    clipped = cube.rio.clip([field])
    np.testing.assert_array_equal(clipped.lst[0], to_kelvin(stored_values())[5:20, 10:20])
    cropped = cube.odc.crop(odc_geometry(field))
    np.testing.assert_array_equal(cropped.lst[0], to_kelvin(stored_values())[5:20, 10:20])
    target = GeoBox.from_bbox((-118.29, 33.84, -118.28, 33.85), "EPSG:4326", resolution=0.0005)
    one = cube.odc.reproject(target)
    other = cube.lst[0].rio.reproject(
        "EPSG:4326", transform=target.affine, shape=target.shape, nodata=np.nan
    )
    assert other.rio.crs.to_epsg() == one.odc.crs.epsg == 4326
    assert int(one.lst.count()) > 100
    np.testing.assert_array_equal(one.lst[0], other)


def odc_geometry(shape: shapely.Geometry) -> Any:
    """Return the shape as an odc-geo geometry."""
    from odc.geo.geom import Geometry

    return Geometry(shape, "EPSG:32611")


# Both engines against rasterio


@settings(max_examples=12, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    scale=st.sampled_from([1.0, 0.01, 0.0001]),
    offset=st.sampled_from([0.0, -0.1]),
    nodata=st.sampled_from([None, 0, 7, 200]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    shift=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
    window=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    place=st.sampled_from([(32611, 381060.0, 3746640.0, 30.0), (5041, 2e6, 2e6, 10.0),
                           (32701, 180300.0, 8096460.0, 20.0)]),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_both_engines_equal_rasterio(
    *,
    dtype: str,
    scale: float,
    offset: float,
    nodata: int | None,
    size: tuple[int, int],
    shift: tuple[int, int],
    window: tuple[int, int],
    place: tuple[int, float, float, float],
    seed: int,
) -> None:
    """For any dtype, encoding, nodata, grid and window; NaN outside the file."""
    crs, x, y, pixel = place
    stored = np.random.default_rng(seed).integers(0, 256, size).astype(dtype)
    grid = GeoBox(size, from_origin(x, y, pixel, pixel), f"EPSG:{crs}")
    geobox = GeoBox(window, grid.affine, grid.crs).translate_pix(*shift)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.tiff"
        with rasterio.open(
            path, "w", driver="GTiff", height=size[0], width=size[1], count=1, dtype=dtype,
            crs=f"EPSG:{crs}", transform=grid.affine, nodata=nodata,
        ) as file:  # fmt: skip
            file.write(stored, 1)
        item = scene(Path(folder), crs, (x, y))
        coding = {"data_type": dtype, "scale": scale, "offset": offset}
        coding |= {} if nodata is None else {"nodata": nodata}
        item.assets = {"values": pystac.Asset(str(path), media_type="image/tiff")}
        item.assets["values"].extra_fields = {"raster:bands": [coding]}
        with rasterio.open(path) as file:
            whole = np.pad(file.read(1).astype("float64"), 24, constant_values=np.nan)
        column, row = (24 + pixels for pixels in shift)
        inside = whole[row : row + window[0], column : column + window[1]]
        expected = (inside * scale + offset).astype("float32")
        if nodata is not None:
            expected[inside == nodata] = np.nan
        for engine in ("odc", "stackstac"):
            cube = constellr_stac.load(item, ["values"], geobox=geobox, engine=engine)
            np.testing.assert_array_equal(cube["values"][0], expected, engine)
