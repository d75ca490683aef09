"""The pytest plugin's filters for warnings of dependencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odc.geo.geom import point

from constellr_stac.sandbox.pytest_plugin import DEPENDENCY_WARNINGS

if TYPE_CHECKING:
    import pytest


def test_warnings_of_dependencies_are_ignored(pytestconfig: pytest.Config) -> None:
    """Where all warnings are errors, a projection with odc-geo is none."""
    filters = pytestconfig.getini("filterwarnings")
    assert filters[0] == "error"
    assert set(DEPENDENCY_WARNINGS) <= set(filters)
    assert not [line for line in filters if "shapely.ops" in line and "odc" not in line]
    point(8.0, 49.0, "EPSG:4326").to_crs("EPSG:32632")
