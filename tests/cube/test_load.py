"""``load`` gives physical values on the right grid, from documented items, on both engines."""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import stackstac
import xarray as xr
from dask.base import tokenize
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

import constellr_stac
from constellr_stac import OdcDriver, SigningError, StackstacReader
from constellr_stac.errors import ResamplingWarning
from constellr_stac.sandbox import Sandbox
from real_scenes import found, signed_in, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINES = pytest.mark.parametrize("engine", ["odc", "stackstac"])


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    """One sandbox returns ``s3://`` hrefs, the other presigned URLs."""
    with Sandbox() as s3_sandbox, Sandbox(presigned=True) as presigned:
        yield {"s3": s3_sandbox, "presigned": presigned}


@pytest.fixture(params=["s3", "presigned"])
def any_sandbox(
    request: pytest.FixtureRequest, sandboxes: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    """Each of the two sandboxes, with the environment set to use it."""
    return _activated(sandboxes[request.param], monkeypatch)


@pytest.fixture
def s3_sandbox(sandboxes: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox with ``s3://`` hrefs."""
    return _activated(sandboxes["s3"], monkeypatch)


def _activated(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    sandbox.clear_requests()
    return sandbox


def fetched_keys(sandbox: Sandbox) -> list[str]:
    """Return the object keys requested."""
    return [exchange.path for exchange in sandbox.requests if exchange.server == "store"]


# Values


@ENGINES
def test_documented_items_load(any_sandbox: Sandbox, engine: Any) -> None:
    """Kelvin equal the files' on the files' own grid; masks stay classes."""
    items = found(any_sandbox)
    cube = constellr_stac.load(items, ["lst", "cloud_mask"], engine=engine)
    assert cube.lst.dtype == "float32"
    assert cube.cloud_mask.dtype == "uint8"
    assert dict(cube.sizes) == {"time": 15, "y": 400, "x": 400}
    assert cube.odc.geobox.crs.epsg == 32611
    assert (cube.x[0], cube.y[0]) == (381060.0 + 15, 3746640.0 - 15)
    computed = cube.compute()
    for number, item in enumerate(items):
        expected = truth(item.id)
        np.testing.assert_array_equal(computed.lst[number], expected.kelvin)
        np.testing.assert_array_equal(computed.cloud_mask[number], expected.cloud)
        assert abs(np.nanmedian(computed.lst[number]) - expected.median) < 0.01


def test_engines_agree_when_resampling(s3_sandbox: Sandbox) -> None:
    """Same values, NaN and coordinates (to a micrometre), also in small chunks."""
    arguments: dict[str, Any] = {
        "crs": "EPSG:3857",
        "resolution": 90,
        "bbox": [-118.26, 33.76, -118.2, 33.83],
        "chunks": {"time": 2, "y": 50, "x": 40},
    }
    items = found(s3_sandbox)[:3]
    one = constellr_stac.load(items, ["lst", "cloud_mask"], **arguments).compute()
    other = constellr_stac.load(
        items, ["lst", "cloud_mask"], engine="stackstac", **arguments
    ).compute()
    assert np.isfinite(one.lst).any()
    xr.testing.assert_equal(one.drop_vars(["x", "y"]), other.drop_vars(["x", "y"]))
    for name in ("x", "y"):
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-6)
    assert one.lst.attrs["units"] == other.lst.attrs["units"] == "K"


def test_variable_and_coordinate_metadata(s3_sandbox: Sandbox) -> None:
    """CF attributes for values and masks, and item properties per time step."""
    items = found(s3_sandbox)
    items[0].properties["eo:cloud_cover"] = 12.5
    items[0].properties["platform"] = "SBA01"
    cube = constellr_stac.load(items, ["lst", "cloud_mask"])
    assert cube.lst.attrs["units"] == "K"
    assert cube.lst.attrs["standard_name"] == "surface_temperature"
    assert list(cube.cloud_mask.attrs["flag_values"]) == [0, 1, 2, 3]
    assert cube.cloud_mask.attrs["flag_meanings"] == "clear thick thin shadow"
    assert list(cube.id.values) == [item.id for item in items]
    assert cube.cloud_cover.values[0] == 12.5
    assert np.isnan(cube.cloud_cover.values[1])
    assert list(cube.platform.values[:2]) == ["SBA01", ""]
    by_day = [item.id for item, day in zip(items, cube.daytime.values, strict=True) if day]
    assert "LSTPRECISION_ECO01_9Q5B8K2T_20230728T214058Z" in by_day
    assert "LSTPRECISION_ECO01_9Q5B8K2T_20230702T080644Z" not in by_day


def test_mask_removes_the_named_classes(s3_sandbox: Sandbox) -> None:
    """Clouds become NaN, clear pixels stay, and the mask variable is kept."""
    items = found(s3_sandbox)
    cube = constellr_stac.load(items, ["lst"], mask="clear").compute()
    water = constellr_stac.load(items[:1], ["lst"], mask=["water"]).compute()
    for number, item in enumerate(items):
        expected = truth(item.id)
        kept = np.where(expected.cloud == 0, expected.kelvin, np.nan)
        np.testing.assert_array_equal(cube.lst[number], kept)
        np.testing.assert_array_equal(cube.cloud_mask[number], expected.cloud)
    assert np.isnan(water.lst.values[water.landwater_mask.values == 1]).all()
    assert np.isfinite(water.lst.values[water.landwater_mask.values == 0]).any()
    unknown: Any
    for unknown in ("fog", ["fog"], True):
        with pytest.raises(ValueError, match=r"Unknown mask class '?(fog|True)'?;"):
            constellr_stac.load(items, ["lst"], mask=unknown)


@ENGINES
def test_units_and_raw_values(s3_sandbox: Sandbox, engine: Any) -> None:
    """``units="degC"`` converts; ``raw=True`` gives stored integers with their encoding."""
    items = found(s3_sandbox)[:2]
    kelvin = constellr_stac.load(items, ["lst"], engine=engine).compute()
    celsius = constellr_stac.load(items, ["lst"], units="degC", engine=engine).compute()
    raw = constellr_stac.load(items, ["lst"], raw=True, engine=engine).compute()
    assert celsius.lst.attrs["units"] == "degC"
    np.testing.assert_allclose(celsius.lst, kelvin.lst - 273.15, atol=1e-4)
    assert raw.lst.dtype == "uint16"
    decoded = (raw.lst * raw.lst.attrs["scale_factor"]).where(raw.lst != raw.lst.attrs["nodata"])
    np.testing.assert_allclose(decoded, kelvin.lst, atol=1e-4)
    with pytest.raises(ValueError, match="raw=True"):
        constellr_stac.load(items, ["lst"], raw=True, units="degC")


# Laziness, stable keys and secrets


def test_load_reads_at_most_one_header(s3_sandbox: Sandbox) -> None:
    """Scenes of one area share a header; with a given grid, nothing is read."""
    items = found(s3_sandbox)
    s3_sandbox.clear_requests()
    cube = constellr_stac.load(items, ["lst", "cloud_mask"])
    assert len(fetched_keys(s3_sandbox)) == 1
    s3_sandbox.clear_requests()
    constellr_stac.load(items, ["lst"], geobox=cube.odc.geobox)
    constellr_stac.load(items, ["lst"], like=cube)
    constellr_stac.load(items, ["lst"], crs="EPSG:32611", resolution=60)
    assert fetched_keys(s3_sandbox) == []


@ENGINES
def test_same_search_gives_the_same_keys(
    sandboxes: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    """The dask keys do not depend on signatures, and the graph has no secret."""
    sandbox = _activated(sandboxes["presigned"], monkeypatch)
    grid = constellr_stac.load(found(sandbox)[:1], ["lst"]).odc.geobox
    first = found(sandbox)
    cube = constellr_stac.load(first, ["lst", "cloud_mask"], geobox=grid, engine=engine)
    sandbox.advance(timedelta(seconds=2))
    second = found(sandbox)
    assert first[0].assets["lst"].href != second[0].assets["lst"].href
    again = constellr_stac.load(second, ["lst", "cloud_mask"], geobox=grid, engine=engine)
    assert tokenize(cube) == tokenize(again)
    pickled = cloudpickle.dumps(cube)
    assert not signed_in(pickled)
    aws = sandbox.aws
    for secret in (sandbox.password, aws["secret_access_key"], aws["token"]):
        assert secret.encode() not in pickled


@pytest.mark.filterwarnings("ignore::constellr_stac.errors.ContradictionWarning")
@pytest.mark.parametrize("engine", ["odc", "stackstac", "plain odc-stac"])
def test_encoding_and_policy_are_part_of_the_keys(any_sandbox: Sandbox, engine: Any) -> None:
    """Two encodings of one file, or two ``errors=`` policies, have different keys."""
    items = found(any_sandbox)[:2]
    grid = constellr_stac.load(items, ["lst"]).odc.geobox

    def cube(scenes: Any, errors: Any = "raise") -> Any:
        if engine == "plain odc-stac":
            driver = constellr_stac.OdcDriver(errors=errors)
            scenes = constellr_stac.stable(scenes)
            return odc.stac.load(scenes, ["lst"], geobox=grid, driver=driver, chunks={}).lst
        return constellr_stac.load(scenes, ["lst"], geobox=grid, engine=engine, errors=errors).lst

    twice = [item.clone() for item in items]
    # Plain odc-stac makes the keys from the first item's bands.
    for item in twice if engine == "plain odc-stac" else twice[1:]:
        item.assets["lst"].extra_fields["raster:bands"] = [{"scale": 0.02}]
    ratio = (cube(twice) / cube(items)).compute().isel(time=1)
    assert float(ratio.min()) == float(ratio.max()) == 2
    assert tokenize(cube(items).data) == tokenize(cube(items).data)
    assert tokenize(cube(items, "nan").data) != tokenize(cube(items).data)


def test_plain_odc_stac_with_driver(any_sandbox: Sandbox) -> None:
    """``driver="constellr_stac.OdcDriver"`` gives kelvin and finds masks by name."""
    items = found(any_sandbox)[:3]
    cube = odc.stac.load(
        items,
        ["lst", "cloud_mask"],
        crs="EPSG:32611",
        resolution=30,
        chunks={},
        driver="constellr_stac.OdcDriver",
    ).compute()
    ours = constellr_stac.load(items, ["lst", "cloud_mask"], like=cube).compute()
    np.testing.assert_array_equal(cube.lst, ours.lst)
    np.testing.assert_array_equal(cube.cloud_mask, ours.cloud_mask)
    raw = odc.stac.load(items, ["lst"], crs="EPSG:32611", resolution=30, driver=OdcDriver(raw=True))
    assert raw.lst.dtype == "uint16"


def test_plain_stackstac_with_reader(any_sandbox: Sandbox) -> None:
    """``reader=StackstacReader`` gives kelvin from items that state no scale."""
    items = found(any_sandbox)[:3]
    cube = constellr_stac.load(items, ["lst"]).compute()
    stacked = stackstac.stack(
        items,
        assets=["lst"],
        epsg=32611,
        resolution=30,
        bounds=tuple(cube.odc.geobox.boundingbox),
        snap_bounds=False,
        reader=StackstacReader,
    ).compute()
    np.testing.assert_array_equal(stacked[:, 0].astype("float32"), cube.lst)


# Scenes that differ in grid, time or assets


def synthetic_item(
    folder: Path,
    name: str,
    *,
    epsg: int = 32611,
    corner: tuple[float, float] = (381060.0, 3746640.0),
    pixel: float = 30.0,
    time: str = "2023-07-01T00:00:00Z",
    value: int = 30000,
    shape: tuple[int, int] = (40, 40),
) -> pystac.Item:
    """Write a scene of one value, and a minimal item."""
    path = folder / f"{name}.tiff"
    transform = from_origin(*corner, pixel, pixel)
    with rasterio.open(
        path, "w", driver="COG", height=shape[0], width=shape[1], count=1, dtype="uint16",
        crs=f"EPSG:{epsg}", transform=transform, nodata=65535,
    ) as file:  # fmt: skip
        file.write(np.full((1, *shape), value, "uint16"))
    grid = GeoBox(shape, transform, f"EPSG:{epsg}")
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "collection": "lstprecision",
            "geometry": grid.geographic_extent.json,
            "bbox": list(grid.geographic_extent.boundingbox),
            "properties": {"datetime": time, "gsd": 30},
            "links": [],
            "assets": {"lst": {"href": str(path), "type": "image/tiff"}},
        }
    )


@ENGINES
def test_scenes_of_two_utm_zones(tmp_path: Path, engine: Any) -> None:
    """The zone of most scenes is used, and a warning names the resampled scenes."""
    here = [synthetic_item(tmp_path, f"here{n}", time=f"2023-07-0{n}T00:00:00Z") for n in (1, 2)]
    there = synthetic_item(
        tmp_path, "there", epsg=32610, corner=(936300.0, 3754000.0), time="2023-07-03T00:00:00Z",
        shape=(120, 120),
    )  # fmt: skip
    with pytest.warns(ResamplingWarning, match="1 in EPSG:32610 at 30 x 30") as warned:
        cube = constellr_stac.load([*here, there], ["lst"], engine=engine).compute()
    (ours,) = (each for each in warned if each.category is ResamplingWarning)
    assert ours.filename == __file__  # the caller of load
    assert cube.odc.geobox.crs.epsg == 32611
    for number in range(3):
        assert np.nanmax(cube.lst[number]) == np.nanmin(cube.lst[number]) == np.float32(300.0)


def test_aligned_tiles_are_not_resampled(tmp_path: Path) -> None:
    """The grid covers both without a warning, and is NaN where there is no scene."""
    left, top = 381067.5, 3746641.2  # not a multiple of 30: the scenes' own pixel grid is used
    west = synthetic_item(tmp_path, "west", corner=(left, top), value=30000)
    east = synthetic_item(tmp_path, "east", corner=(left + 1200, top - 300), value=31000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResamplingWarning)
        cube = constellr_stac.load([west, east], ["lst"]).compute()
    assert dict(cube.sizes) == {"time": 1, "y": 50, "x": 80}
    assert cube.odc.geobox.affine * (0, 0) == (left, top)
    assert cube.id.values[0] == "east, west"
    np.testing.assert_array_equal(cube.lst[0, :40, :40], np.float32(300.0))
    np.testing.assert_array_equal(cube.lst[0, 10:, 40:], np.float32(310.0))
    assert np.isnan(cube.lst[0, :10, 40:]).all()


@ENGINES
def test_grid_shifted_by_half_a_pixel_warns(tmp_path: Path, engine: Any) -> None:
    """The scene is resampled, and the warning names it."""
    scenes = [synthetic_item(tmp_path, f"a{n}", time=f"2023-07-0{n}T00:00:00Z") for n in (1, 2)]
    shifted = synthetic_item(
        tmp_path, "shifted", corner=(381075.0, 3746625.0), time="2023-07-03T00:00:00Z"
    )
    with pytest.warns(ResamplingWarning, match="1 in EPSG:32611"):
        cube = constellr_stac.load([*scenes, shifted], ["lst"], engine=engine).compute()
    assert cube.sizes["time"] == 3
    assert np.nanmax(cube.lst[2]) == np.float32(300.0)


@ENGINES
@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"corner": (381075.0, 3746625.0)}, "30 x 30 .40 x 40 from 381075"),
        ({"epsg": 32610, "corner": (936300.0, 3747000.0)}, "some are on EPSG:32610"),
        ({"shape": (80, 80)}, "80 x 80"),
    ],
)
def test_other_grid_in_the_same_area_warns(
    tmp_path: Path, engine: Any, other: dict[str, Any], words: str
) -> None:
    """One header was read for all; a file with another grid warns when it is read."""
    scenes = [
        synthetic_item(tmp_path, "a"),
        synthetic_item(tmp_path, "b", time="2023-07-02T00:00:00Z", **other),
    ]
    for item in scenes:
        item.geometry, item.bbox = scenes[0].geometry, scenes[0].bbox
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResamplingWarning)
        cube = constellr_stac.load(scenes, ["lst"], engine=engine)
    with pytest.warns(ResamplingWarning, match=words):
        cube.compute()
    whole = constellr_stac.describe(scenes, metadata=False).items
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResamplingWarning)
        lazy = constellr_stac.load(whole, ["lst"], engine=engine)
        early = len(caught)
        lazy.compute()
    assert len(caught) == early == ("shape" not in other)


@ENGINES
def test_missing_asset_is_empty(tmp_path: Path, engine: Any) -> None:
    """A missing mask reads as unknown (255), never as clear."""
    items = [synthetic_item(tmp_path, f"s{n}", time=f"2023-07-0{n}T00:00:00Z") for n in (1, 2)]
    mask = tmp_path / "scl_mask_30m.tiff"
    with rasterio.open(
        mask, "w", driver="COG", height=40, width=40, count=4, dtype="uint8",
        crs="EPSG:32611", transform=from_origin(381060.0, 3746640.0, 30, 30),
    ) as file:  # fmt: skip
        file.write(np.stack([np.full((40, 40), n, "uint8") for n in (2, 0, 1, 1)]))
    items[0].add_asset("scl_mask_30m", pystac.Asset(str(mask), media_type="image/tiff"))
    cube = constellr_stac.load(items, ["lst", "cloud_mask", "landwater_mask"], engine=engine)
    assert (cube.cloud_mask[0] == 2).all()
    assert (cube.cloud_mask[1] == 255).all()
    assert (cube.landwater_mask[0] == 1).all()
    masked = constellr_stac.load(items, ["lst"], mask="clear", engine=engine).compute()
    assert np.isnan(masked.lst).all()


@ENGINES
def test_first_scene_of_a_step_takes_precedence(tmp_path: Path, engine: Any) -> None:
    """Scenes of the same second are mosaicked; with ``groupby=``, those of one solar day."""
    items = [
        synthetic_item(tmp_path, "a", time="2023-07-01T05:00:00Z", value=30000),
        synthetic_item(tmp_path, "b", time="2023-07-01T05:00:00Z", value=31000),
        synthetic_item(tmp_path, "c", time="2023-07-01T09:00:00Z", value=32000),
    ]
    cube = constellr_stac.load(items[::-1], ["lst"], engine=engine).compute()
    assert cube.sizes["time"] == 2
    assert (cube.lst[0] == np.float32(300.0)).all()
    days = constellr_stac.load(items, ["lst"], groupby="solar_day", engine=engine).compute()
    # At 118 degrees west, 05:00 UTC is the evening of the previous day.
    assert list(days.id.values) == ["a, b", "c"]
    assert constellr_stac.load(items, ["lst"], groupby="id", engine=engine).sizes["time"] == 3


def test_groupby_property(tmp_path: Path) -> None:
    """A misspelt or missing property is an error, and does not group all scenes."""
    items = [synthetic_item(tmp_path, name, time=f"2023-07-0{name}T05:00:00Z") for name in "123"]
    for item, satellite in zip(items, ("A", "B", "A"), strict=True):
        item.properties |= {"platform": satellite, "instruments": [satellite]}
    for name in ("platform", "instruments"):
        cube = constellr_stac.load(items, ["lst"], groupby=name)
        assert list(cube.id.values) == ["1, 3", "2"]
    with pytest.raises(ValueError, match="'1' has no property 'solarday' to group scenes by"):
        constellr_stac.load(items, ["lst"], groupby="solarday")
    del items[1].properties["platform"]
    with pytest.raises(ValueError, match="'2' has no property 'platform'"):
        constellr_stac.load(items, ["lst"], groupby="platform")


def test_cube_at_the_antimeridian(tmp_path: Path) -> None:
    """A scene near 180 degrees keeps its grid and values."""
    item = synthetic_item(tmp_path, "fiji", epsg=32701, corner=(166000.0, 8100000.0), value=29800)
    cube = constellr_stac.load([item], ["lst"], chunks={"y": 16, "x": 16}).compute()
    assert cube.odc.geobox.crs.epsg == 32701
    np.testing.assert_array_equal(cube.lst[0], np.float32(298.0))


# Errors


def test_empty_search_is_an_error() -> None:
    """It raises ValueError, not IndexError."""
    with pytest.raises(ValueError, match="found no items"):
        constellr_stac.load([])
    with pytest.raises(ValueError, match="found no items"):
        constellr_stac.load(pystac.ItemCollection([]))


def test_unknown_band_error_lists_available_bands(s3_sandbox: Sandbox) -> None:
    """The error lists the available bands."""
    with pytest.raises(ValueError, match="cloud_mask"):
        constellr_stac.load(found(s3_sandbox), ["emissivity"])


def test_missing_aws_credentials_raise_before_compute(
    s3_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error lists the variables and profiles searched."""
    items = found(s3_sandbox)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(SigningError, match="AWS_ACCESS_KEY_ID"):
        constellr_stac.load(items, ["lst"], crs="EPSG:32611", resolution=30)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"engine": "gdal"}, ValueError, "stackstac"),
        ({"units": "F"}, ValueError, "degC"),
        ({"errors": "ignore"}, ValueError, "nan"),
        ({"color": "red"}, TypeError, "color"),
        ({"chunks": {"band": 1}}, ValueError, "band"),
        ({"chunks": {"time": 0}}, ValueError, "at least 1"),
        ({"chunks": 16}, ValueError, "not 16"),
        ({"resampling": "cubik"}, ValueError, "'cubik'; use one of nearest, bilinear, cubic"),
        ({"resampling": {"lst": 1}}, ValueError, "Unknown resampling 1"),
        ({"resampling": "gauss"}, ValueError, "Unknown resampling 'gauss'"),  # GDAL warps without
        ({"resampling": {"lts": "cubic"}}, ValueError, "'lts', which is not loaded; use lst"),
        ({"geobox": "like", "bbox": [0, 0, 1, 1]}, ValueError, "geobox"),
    ],
)
def test_invalid_arguments_are_refused(
    s3_sandbox: Sandbox, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    """The error names the argument or value."""
    with pytest.raises(error, match=words):
        constellr_stac.load(found(s3_sandbox)[:1], ["lst"], **arguments)


def test_unsupported_items_are_refused() -> None:
    """Lists of hrefs, None and clients are refused."""
    for other in (["s3://bucket/lst.tiff"], None, constellr_stac.ConstellrAuth()):
        with pytest.raises(TypeError, match=r"Expected a search, .*, not a"):
            constellr_stac.load(other)  # type: ignore[arg-type]
