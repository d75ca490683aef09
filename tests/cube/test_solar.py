"""The sun's elevation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from pvlib.solarposition import get_solarposition

from constellr_stac.cube.solar import sun_elevation


def test_elevation_agrees_with_pvlib() -> None:
    """At 500 random times and places, within the documented 0.02 degrees."""
    random = np.random.default_rng(12)
    for _ in range(500):
        time = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=float(random.uniform(0, 18_000)))
        longitude, latitude = float(random.uniform(-180, 180)), float(random.uniform(-90, 90))
        # delta_t=None: estimated for the year, as far as 2050
        expected = get_solarposition(pd.DatetimeIndex([time]), latitude, longitude, delta_t=None)
        found = sun_elevation(time, longitude, latitude)
        assert abs(found - float(expected["elevation"].iloc[0])) < 0.02
