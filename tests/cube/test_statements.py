"""Whatever documents, item and file state, a number is right, or it is not there, or you are told.

``pytest --cases 3000 tests/cube/test_statements.py`` tries so many scenes instead of a few, and
``--first-case 3000`` begins behind them.
"""

from __future__ import annotations

import random
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import constellr_stac
from constellr_stac import AssetReadError
from constellr_stac.errors import ContradictionWarning
from constellr_stac.layers.describe import complete_items
from three_statements import Refused, Scene, grids, placed

if TYPE_CHECKING:
    from pathlib import Path


FOUND = (
    4,  # alpha of int16
    23,  # fewer bands stated than there are
    42,  # plain integers
    279,  # a described float
    980,  # a described item that states what the documents do
    2935,  # a unit that one item states and the other's file
)
"""Seeds that a fault was found with."""
BATCH = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draw as many cases as ``--cases`` says, in batches, after those that found a fault."""
    if "seeds" in metafunc.fixturenames:
        first = metafunc.config.getoption("--first-case")
        end = first + metafunc.config.getoption("--cases")
        batches: list[Any] = [FOUND]
        batches += [range(n, min(n + BATCH, end)) for n in range(first, end, BATCH)]
        metafunc.parametrize("seeds", batches, ids=lambda each: f"{each[0]}-{each[-1]}")


@pytest.mark.filterwarnings("ignore::constellr_stac.errors.UnknownLayerWarning")
def test_numbers_follow_the_documented_order(tmp_path: Path, seeds: Any) -> None:
    """Both engines give the numbers of an independent reading, or the error that it foresees."""
    for seed in seeds:
        try:
            check(seed, tmp_path / str(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def check(seed: int, folder: Path) -> None:
    """Try one case on both engines."""
    draw = random.Random(seed)  # noqa: S311 - repeatable
    layer = draw.choice(["lst", "lst", "lst", "lst_std", "vnir04", "flux", "scl_mask_30m"])
    count = draw.choice([1, 2]) if layer != "flux" else 1
    scenes = [Scene.drawn(draw, layer, number) for number in range(count)]
    name = "cloud_mask" if layer == "scl_mask_30m" else layer
    fill = 255.0 if name == "cloud_mask" else np.nan
    wrong_place = any(each.place not in (None, "right") for each in scenes)
    where = draw.choice([None, *grids(scenes[0].own)])
    if where is None and wrong_place:
        where = "shifted"
    grid = scenes[0].own if where is None else grids(scenes[0].own)[where]
    method = draw.choice(["nearest", "bilinear"])
    units = draw.choice(["K", "K", "degC"]) if name == "lst" else "K"
    how: dict[str, Any] = {
        "units": units, "resampling": method, "geobox": None if where is None else grid,
        "chunks": draw.choice(["auto", {"time": 1, "y": 5, "x": 6}]),
    }  # fmt: skip
    items = [each.written(folder) for each in scenes]
    items = [
        complete_items(item).items if each.described else item
        for each, item in zip(scenes, items, strict=True)
    ]
    target = scenes[0].target()
    right, certain, refused = [], [], []
    for each in scenes:
        values = np.full((11, 14), fill)
        try:
            values = each.physical(target)
        except Refused:
            refused.append(each.number)
        bilinear = method == "bilinear" and where not in (None, "part") and name != "cloud_mask"
        values, sure = placed(values, each.own, grid, fill=fill, bilinear=bilinear)
        right.append(values - 273.15 if units == "degC" and target == "K" else values)
        certain.append(sure)
    told = f"{scenes}, {how}"
    for engine in ("odc", "stackstac"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if refused:
                with pytest.raises((AssetReadError, ValueError), match="scene-"):
                    load(items, name, engine, **how)
                if where is None:
                    continue  # no grid without a header
                found = load(items, name, engine, errors="nan", **how)
            else:
                found = load(items, name, engine, **how)
        assert found.shape == (count, *grid.shape), told
        for number in range(count):
            sure = certain[number]
            steps = np.nan_to_num(abs(right[number])).max()  # -9999 may lie beside 250
            np.testing.assert_allclose(
                found[number][sure], right[number][sure], rtol=3e-6,
                atol=max(0.01, 1e-5 * steps) if method == "bilinear" else 1e-3,
                err_msg=told,
            )  # fmt: skip
        if wrong_place and not refused:
            assert any(each.category is ContradictionWarning for each in caught), told


def load(items: Any, name: str, engine: Any, **how: Any) -> Any:
    """Return the values of a variable."""
    return constellr_stac.load(items, [name], engine=engine, **how)[name].to_numpy()
