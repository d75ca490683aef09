"""Automatic chunk sizes."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["auto_chunks"]

_TARGET = 32 << 20
_SCENES = 16
_FEWEST = 2
_BLOCK = 512


def auto_chunks(times: int, rows: int, columns: int, itemsize: int) -> Mapping[str, int]:
    """Return chunk sizes for a cube of this shape: chunks of tens of megabytes.

    In the usual case of a long series over a small area, a chunk holds the whole area and up to
    16 steps, whose scenes are fetched in parallel. Chunks have equal length, and there are at
    least two, to use two threads. Larger scenes get fewer steps. A scene over 32 MiB is split into
    strips of whole 512-pixel blocks, which are contiguous in a file, or into squares if it is too
    wide.

    More steps hide more latency and use more memory; ``benchmarks/chunks.py`` measures both. A
    short series is faster in two chunks, since its scenes are still fetched in parallel and two
    threads decode them.

    Args:
        times: Time steps.
        rows: Pixels along y.
        columns: Pixels along x.
        itemsize: Bytes of one pixel.
    """
    scene = max(1, rows * columns * itemsize)
    if scene <= _TARGET:
        count = max(_FEWEST, ceil(times / min(_SCENES, _TARGET // scene)))
        return {"time": max(1, ceil(times / count)), "y": rows, "x": columns}
    if strip := _TARGET // (columns * itemsize) // _BLOCK * _BLOCK:
        strips = ceil(rows / strip)
        return {"time": 1, "y": ceil(rows / strips / _BLOCK) * _BLOCK, "x": columns}
    side = int((_TARGET / itemsize) ** 0.5) // _BLOCK * _BLOCK
    return {"time": 1, "y": min(side, rows), "x": min(side, columns)}
