"""The sun's elevation, from time and place."""

from __future__ import annotations

from datetime import UTC, datetime
from math import asin, atan2, cos, degrees, radians, sin

__all__ = ["sun_elevation"]

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def sun_elevation(time: datetime, longitude: float, latitude: float) -> float:
    """Return the elevation of the sun's centre in degrees, without refraction.

    The low-precision formulas of the Astronomical Almanac: within 0.02 degrees from 1950 to 2050.

    Args:
        time: The time (aware).
        longitude: Degrees east.
        latitude: Degrees north.

    Example:
        >>> round(sun_elevation(datetime(2023, 6, 21, 12, tzinfo=UTC), 0.0, 23.4))
        90
    """
    days = (time - _J2000).total_seconds() / 86400
    anomaly = radians(357.528 + 0.9856003 * days)
    ecliptic = radians(280.460 + 0.9856474 * days + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    obliquity = radians(23.439 - 0.0000004 * days)
    declination = asin(sin(obliquity) * sin(ecliptic))
    ascension = atan2(cos(obliquity) * sin(ecliptic), cos(ecliptic))
    sidereal = radians(280.46062 + 360.98564737 * days + longitude)
    hour_angle = sidereal - ascension
    place = radians(latitude)
    return degrees(
        asin(sin(place) * sin(declination) + cos(place) * cos(declination) * cos(hour_angle))
    )
