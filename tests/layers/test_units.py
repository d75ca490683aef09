"""Values are converted between the units of temperature and of shares."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from constellr_stac.layers.band import Band
from constellr_stac.layers.header import FileBand
from constellr_stac.layers.settle import settle
from constellr_stac.layers.units import conversion

SAME = {"K": (273.15, 373.15), "degC": (0.0, 100.0), "degF": (32.0, 212.0)}
"""Water freezes and boils."""


@pytest.mark.parametrize(("unit", "target"), list(permutations(SAME, 2)))
def test_temperatures_are_converted(unit: str, target: str) -> None:
    """The fixed points of the scales coincide; differences keep no zero point."""
    factor, summand = conversion(unit, target) or (np.nan, np.nan)
    np.testing.assert_allclose(np.multiply(SAME[unit], factor) + summand, SAME[target], atol=1e-9)
    span = np.ptp(SAME[target]) / np.ptp(SAME[unit])
    assert conversion(unit, target, difference=True) == pytest.approx((span, 0.0))


@pytest.mark.parametrize(("unit", "target"), list(permutations(SAME, 2)))
def test_a_file_is_decoded_in_the_unit_of_the_cube(unit: str, target: str) -> None:
    """Scale and offset of a file in another unit are converted with its values."""
    low, high = SAME[unit]
    file = FileBand("uint16", (high - low) / 1000, low, 65535, unit)
    band = settle(Band(1, "lst", unit=unit), file, Band(1, "lst", unit=target)).band
    decoded = band.decode(np.array([0, 1000, 65535], "uint16"))
    np.testing.assert_allclose(decoded, [*SAME[target], np.nan], rtol=1e-6, atol=1e-4)


def test_shares_are_converted() -> None:
    """One half is 50 percent."""
    assert conversion("1", "%") == pytest.approx((100.0, 0.0))
    assert conversion("percent", "") == pytest.approx((0.01, 0.0))
