"""The examples and settings in the README are correct."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

README_FILE = Path(__file__).parents[1] / "README.md"
README = README_FILE.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.filterwarnings("ignore::pystac_client.warnings.PystacClientWarning")
def test_examples_run(sandbox: Sandbox) -> None:
    """The examples run unchanged, and all give the same temperatures."""
    namespace: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block.replace("https://api.constellr.com", sandbox.api_url), namespace)  # noqa: S102 - code of the README

    assert [product["name"] for product in namespace["products"]] == ["LSTprecision", "LSTfusion"]
    assert len(namespace["items"]) == len(namespace["signed"]) == 15
    assert all("X-Amz-Signature=" in item.assets["lst"].href for item in namespace["signed"])
    temperatures = namespace["ds"].lst
    assert (temperatures.dtype, temperatures.shape) == (np.float32, (15, 400, 400))
    clear = temperatures.isel(time=0).compute()
    plain = namespace["cube"].lst.isel(time=0).sel(y=clear.y, x=clear.x).compute()
    assert clear.notnull().any()
    assert (clear.isnull() | (clear == plain)).all()
    stacked = namespace["stack"].isel(time=0, band=0).compute()
    assert float(stacked.median()) == pytest.approx(float(plain.median()), abs=0.01)


def test_settings_table_lists_the_variables_read() -> None:
    """It lists each CONSTELLR_* variable that the package reads, and no other."""
    variable = re.compile(r"\b(?:CONSTELLR|AWS)_[A-Z0-9_]+\b")
    table = set(variable.findall(README.partition("## Settings")[2]))
    package = README_FILE.parent / "src" / "constellr_stac"
    read = {name for path in package.rglob("*.py") for name in variable.findall(path.read_text())}
    assert table <= read
    assert {name for name in read - table if name.startswith("CONSTELLR_")} == set()
