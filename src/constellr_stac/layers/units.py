"""Units of temperature under their various names, and how values are converted between units."""

from __future__ import annotations

__all__ = ["KELVIN", "TEMPERATURES", "conversion", "unit_name"]

KELVIN = "K"

_NAMES = {
    "k": KELVIN,
    "kelvin": KELVIN,
    "kelvins": KELVIN,
    "degk": KELVIN,
    "degree_kelvin": KELVIN,
    "c": "degC",
    "degc": "degC",
    "deg_c": "degC",
    "celsius": "degC",
    "degree_celsius": "degC",
    "degrees_celsius": "degC",
    "°c": "degC",
    "℃": "degC",
    "f": "degF",
    "degf": "degF",
    "fahrenheit": "degF",
    "degree_fahrenheit": "degF",
    "degrees_fahrenheit": "degF",
    "°f": "degF",
    "": "1",
    "1": "1",
    "unitless": "1",
    "dimensionless": "1",
    "none": "1",
    "%": "%",
    "percent": "%",
}
_TO_KELVIN = {KELVIN: (1.0, 0.0), "degC": (1.0, 273.15), "degF": (5 / 9, 459.67 * 5 / 9)}
TEMPERATURES = frozenset(_TO_KELVIN)
"""The units of temperature, by their usual names."""
_TO_ONE = {"1": 1.0, "%": 0.01}


def unit_name(unit: str) -> str:
    """Return the usual name of a unit: ``K``, ``degC``, ``1``; others as they are.

    Example:
        >>> unit_name("Celsius"), unit_name("kelvin"), unit_name("m s-1")
        ('degC', 'K', 'm s-1')
    """
    return _NAMES.get("_".join(unit.strip().lower().split()), unit.strip())


def conversion(
    unit: str | None, target: str | None, *, difference: bool = False
) -> tuple[float, float] | None:
    """Return factor and summand that convert values of a unit to another unit.

    Args:
        unit: The values' unit; ``None`` if nobody states it, which is taken for ``target``.
        target: The wanted unit; ``None`` for the values' own.

    Keyword Args:
        difference: Whether the values are differences or deviations, which have no zero point.

    Returns:
        ``None`` if the units cannot be converted.

    Example:
        >>> conversion("degC", "K")
        (1.0, 273.15)
        >>> conversion("degC", "K", difference=True)
        (1.0, 0.0)
        >>> conversion("K", "m") is None
        True
    """
    if unit is None or target is None:
        return 1.0, 0.0
    one, other = unit_name(unit), unit_name(target)
    if one == other:
        return 1.0, 0.0
    if one in _TO_KELVIN and other in _TO_KELVIN:
        (a, b), (c, d) = _TO_KELVIN[one], _TO_KELVIN[other]
        return a / c, 0.0 if difference else (b - d) / c
    if one in _TO_ONE and other in _TO_ONE:
        return _TO_ONE[one] / _TO_ONE[other], 0.0
    return None
