"""The sun's elevation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from pvlib.solarposition import get_solarposition

from constellr_stac.cube.solar import sun_elevation


def test_elevation_agrees_with_pvlib() -> None:
    """At 500 random times in 50 places, within the documented 0.02 degrees."""
    random = np.random.default_rng(12)
    for _ in range(50):
        first = datetime(2000, 1, 1, tzinfo=UTC)
        times = [first + timedelta(days=float(days)) for days in random.uniform(0, 18_000, 10)]
        longitude, latitude = float(random.uniform(-180, 180)), float(random.uniform(-90, 90))
        # delta_t=None: estimated for the year, as far as 2050
        expected = get_solarposition(pd.DatetimeIndex(times), latitude, longitude, delta_t=None)
        found = [sun_elevation(time, longitude, latitude) for time in times]
        np.testing.assert_allclose(found, expected["elevation"], rtol=0, atol=0.02)
