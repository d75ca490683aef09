"""Statistics of the pixels of areas, in NumPy: one pass over all areas for each time step."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .zones import Zones

    Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "Blocks",
    "NamedStatistic",
    "Reduction",
    "Statistic",
    "correlated",
    "percentile_of",
    "reduce",
    "shares",
]

NamedStatistic: TypeAlias = Literal[
    "median", "mean", "min", "max", "std", "count", "area", "clear_fraction", "uncertainty"
]
Statistic: TypeAlias = NamedStatistic | str
"""What is made of the valid pixels of an area; ``p90`` is the 90th percentile."""

_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")
_OF_VALUES = ("median", "mean", "min", "max", "std", "uncertainty")
_ALL = 100.0
_LITTLE = sys.byteorder == "little"


def percentile_of(statistic: str) -> float | None:
    """Return which percentile a statistic is, if it is one.

    Raises:
        ValueError: Unknown statistic.

    Example:
        >>> percentile_of("p2.5"), percentile_of("median"), percentile_of("mean")
        (2.5, 50.0, None)
    """
    if statistic == "median":
        return 50.0
    if statistic in get_args(NamedStatistic):
        return None
    found = _PERCENTILE.fullmatch(str(statistic))
    if found is None or float(found[1]) > _ALL:
        known = ", ".join(get_args(NamedStatistic))
        raise ValueError(f"Unknown statistic {statistic!r}; use one of {known}, or p0 to p100.")
    return float(found[1])


@dataclass(frozen=True)
class Blocks:
    """Groups of pixels whose errors correlate fully.

    Attributes:
        position: The group of each pair of area and pixel.
        starts: Where the groups of each area begin.
    """

    position: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Reduction:
    """What to compute for each area.

    Attributes:
        zones: The areas.
        statistics: Their names.
        min_clear: The least share of an area that has to be clear, or its values are NaN.
        pixel_area: Square metres of each pixel, for ``area``.
        blocks: Pixels whose errors correlate, for ``uncertainty``.
    """

    zones: Zones
    statistics: tuple[str, ...]
    min_clear: float | None = None
    pixel_area: Floats | None = None
    blocks: Blocks | None = None


def reduce(
    values: NDArray[np.floating],
    clear: NDArray[np.bool_] | None,
    errors: NDArray[np.floating] | None,
    *,
    argument: Reduction,
) -> Floats:
    """Return the statistics of each area.

    Args:
        values: (..., pixels); NaN is left out.
        clear: Of the same shape, for ``clear_fraction`` and ``min_clear``.
        errors: The standard errors of ``values``, for ``uncertainty``.

    Keyword Args:
        argument: What to compute.

    Returns:
        (..., statistics, areas); NaN where no pixel is valid.
    """
    reduction = argument
    found, sizes = reduction.zones.found, reduction.zones.sizes
    result = np.full((*values.shape[:-1], len(reduction.statistics), sizes.size), np.nan)
    for number, name in enumerate(reduction.statistics):
        if name in ("count", "area", "clear_fraction"):
            result[..., number, :] = 0.0
    if found.size:
        for step in np.ndindex(values.shape[:-1]):
            result[step][:, found] = _reduce_step(
                values[step],
                None if clear is None else clear[step],
                None if errors is None else errors[step],
                reduction,
            )
    return result


def shares(flags: NDArray[np.generic], *, argument: tuple[Zones, NDArray[np.generic]]) -> Floats:
    """Return the share of each area that is in each class.

    Args:
        flags: (..., pixels).

    Keyword Args:
        argument: The areas, and the numbers of the classes.

    Returns:
        (..., classes, areas).
    """
    zones, numbers = argument
    result = np.zeros((*flags.shape[:-1], len(numbers), zones.sizes.size))
    if zones.found.size:
        for step in np.ndindex(flags.shape[:-1]):
            of_pairs = flags[step][zones.pixel]
            for number, value in enumerate(numbers):
                part = np.add.reduceat(np.where(of_pairs == value, zones.share, 0.0), zones.starts)
                share = np.minimum(part / zones.sizes[zones.found], 1.0)
                result[(*step, number, zones.found)] = share
    return result


def _reduce_step(
    values: NDArray[np.floating],
    clear: NDArray[np.bool_] | None,
    errors: NDArray[np.floating] | None,
    reduction: Reduction,
) -> Floats:
    zones = reduction.zones
    known = np.isfinite(values)
    valid = known[zones.pixel]
    share = np.where(valid, zones.share, 0.0)
    pairs = np.where(known, values, 0.0).astype(np.float64)[zones.pixel]
    total = np.add.reduceat(share, zones.starts)
    weight = np.where(total > 0, total, np.nan)
    rows: dict[str, Floats] = {"count": total}
    if {"mean", "std"} & set(reduction.statistics):
        rows["mean"] = np.add.reduceat(share * pairs, zones.starts) / weight
    if "std" in reduction.statistics:
        away = pairs - np.repeat(rows["mean"], np.diff(zones.starts, append=pairs.size))
        rows["std"] = np.sqrt(np.add.reduceat(share * away**2, zones.starts) / weight)
    if "min" in reduction.statistics:
        least = np.minimum.reduceat(np.where(valid, pairs, np.inf), zones.starts)
        rows["min"] = np.where(total > 0, least, np.nan)
    if "max" in reduction.statistics:
        most = np.maximum.reduceat(np.where(valid, pairs, -np.inf), zones.starts)
        rows["max"] = np.where(total > 0, most, np.nan)
    if reduction.pixel_area is not None:
        rows["area"] = np.add.reduceat(share * reduction.pixel_area[zones.pixel], zones.starts)
    if clear is not None:
        seen = np.add.reduceat(np.where(clear[zones.pixel], zones.share, 0.0), zones.starts)
        rows["clear_fraction"] = np.minimum(seen / zones.sizes[zones.found], 1.0)
    if errors is not None:
        rows["uncertainty"] = _uncertainty(share, errors[zones.pixel], reduction)
    percentiles = {
        name: percent
        for name in reduction.statistics
        if (percent := percentile_of(name)) is not None
    }
    if percentiles:
        quantiles = _quantiles(values, pairs, share, zones, list(percentiles.values()))
        rows.update(zip(percentiles, quantiles, strict=True))
    unknown = np.full(total.shape, np.nan)
    result = np.stack([rows.get(name, unknown) for name in reduction.statistics])
    if reduction.min_clear is not None:
        of_values = [name in _OF_VALUES or name in percentiles for name in reduction.statistics]
        too_little = rows["clear_fraction"] < reduction.min_clear
        result[np.outer(of_values, too_little)] = np.nan
    return result


def _quantiles(
    values: NDArray[np.floating], pairs: Floats, share: Floats, zones: Zones, percents: list[float]
) -> list[Floats]:
    """Return weighted percentiles, which do not depend on the order of equal values.

    Akinshin (2023), "Weighted quantile estimators", arXiv:2304.07265, type 7: with equal weights
    that is NumPy's default. The effective number of pixels is Kish's.
    """
    total = np.add.reduceat(share, zones.starts)
    empty = total <= 0
    squares = np.where(empty, 1.0, np.add.reduceat(share**2, zones.starts))
    effective, scale = total**2 / squares, total / squares
    order = _order(values, zones)
    lengths = np.diff(zones.starts, append=pairs.size)
    weights = share[order] * np.repeat(scale, lengths)  # a window of the estimator is 1
    middle = float(pairs.mean())  # keeps the sums small
    running, sums = np.zeros((2, pairs.size + 1))
    np.cumsum(weights, out=running[1:])
    np.cumsum(weights * (pairs[order] - middle), out=sums[1:])
    quantiles = []
    for percent in percents:
        low = running[zones.starts] + (effective - 1) * (percent / _ALL)
        inside = np.interp(low + 1, running, sums) - np.interp(low, running, sums)
        quantiles.append(np.where(empty, np.nan, inside + middle))
    return quantiles


def _order(values: NDArray[np.floating], zones: Zones) -> NDArray[np.int64]:
    """Return the order of the pairs by area, and by value within each area.

    NumPy sorts integers of 16 bits by radix, which is several times as fast as by comparison: the
    parts of the values' bits in turn, from the lowest, and then the areas.
    """
    floats = np.ascontiguousarray(values, np.result_type(values.dtype, np.float32))
    bits = floats.view(f"u{floats.itemsize}")
    sign = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    bits = np.where(bits & sign, ~bits, bits | sign)  # integers in the order of the floats
    lengths = np.diff(zones.starts, append=zones.pixel.size)
    kind = np.min_scalar_type(zones.found.size)
    keys = [part[zones.pixel] for part in bits[:, None].view(np.uint16).T[:: 1 if _LITTLE else -1]]
    keys.append(np.repeat(np.arange(zones.found.size, dtype=kind), lengths))
    order = np.argsort(keys[0], kind="stable")
    for key in keys[1:]:
        order = order[np.argsort(key[order], kind="stable")]
    return order


def _uncertainty(share: Floats, errors: NDArray[np.floating], reduction: Reduction) -> Floats:
    """Return the standard uncertainty of the weighted means (JCGM 100:2008, equations 10 and 16).

    Errors within a block correlate fully, those of different blocks not at all.
    """
    starts = reduction.zones.starts
    weight = np.where(np.isfinite(errors), share, 0.0)
    parts = weight * np.where(np.isfinite(errors), errors, 0.0)
    if reduction.blocks is not None:
        parts, starts = np.bincount(reduction.blocks.position, parts), reduction.blocks.starts
    total = np.add.reduceat(weight, reduction.zones.starts)
    return np.sqrt(np.add.reduceat(parts**2, starts)) / np.where(total > 0, total, np.nan)


def correlated(zones: Zones, length: float, size: Sequence[float]) -> Blocks:
    """Group the pixels of each area into squares within which errors correlate.

    Args:
        zones: The areas.
        length: The side of a square in metres; at least one pixel.
        size: Height and width of a pixel in metres.
    """
    rows, columns = (
        axis // max(round(length / side), 1) for axis, side in zip(zones.cells, size, strict=True)
    )
    in_a_row = int(columns.max(initial=0)) + 1
    squares = int(rows.max(initial=0) + 1) * in_a_row
    number = np.repeat(np.arange(zones.found.size), np.diff(zones.starts, append=zones.pixel.size))
    block, position = np.unique(
        number * squares + (rows * in_a_row + columns)[zones.pixel], return_inverse=True
    )
    starts = np.unique(block // squares, return_index=True)[1]
    return Blocks(position, starts)
