"""What people bring from odc-stac and stackstac to ``load``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import odc.stac
import pytest
import stackstac

import constellr_stac
from constellr_stac.cube.arguments import LoadArguments
from layer_files import written_item

if TYPE_CHECKING:
    from pathlib import Path


def parameters(function: Any) -> set[str]:
    """Return the names of a function's parameters."""
    return set(inspect.signature(function).parameters)


def test_every_argument_of_the_engines_has_an_answer(tmp_path: Path) -> None:
    """Each is taken, or refused with what to use instead."""
    item = written_item(tmp_path, ["lst"])
    undocumented = {"nodata", "measurements", "use_overviews", "output_crs"}
    names = parameters(odc.stac.load) | undocumented | parameters(stackstac.stack)
    for name in sorted(names - {"items", "bands", "kw"} - set(LoadArguments.__annotations__)):
        wrong: Any = {name: None}
        with pytest.raises(TypeError, match=rf"no (odc-stac|stackstac) argument {name}=: "):
            constellr_stac.load(item, **wrong)


def test_misspelled_argument_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    """An argument that no library has is a TypeError."""
    item = written_item(tmp_path, ["lst"])
    with pytest.raises(TypeError, match="Did you mean resampling="):
        constellr_stac.load(item, resamplin="nearest")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "key", [lambda item: item.datetime.month, lambda _, parsed, __: parsed.solar_date.month]
)
def test_groupby_takes_a_function(tmp_path: Path, key: Any) -> None:
    """Of the item, or of what odc-stac passes."""
    items = []
    for day, month in ((1, 5), (2, 5), (3, 6)):
        item = written_item(tmp_path, ["lst"])
        assert item.datetime is not None
        item.id, item.datetime = f"{month}-{day}", item.datetime.replace(month=month, day=day)
        items.append(item)
    assert constellr_stac.load(items, ["lst"], groupby=key).sizes["time"] == 2
