"""How a cube is cut into chunks when nobody says."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["apart_chunks", "auto_chunks"]

_TARGET = 32 << 20
_SCENES = 16
_FEWEST = 2
_BLOCK = 512


def auto_chunks(times: int, rows: int, columns: int, itemsize: int) -> Mapping[str, int]:
    """Choose chunks for a cube of this shape: tens of megabytes, and enough of them.

    The usual case is a long series over a small area: chunks then hold the whole area and up to
    16 steps, whose scenes are fetched together. They are of equal length, and at least two, so
    that two threads are busy. Larger scenes get fewer steps. A scene over 32 MiB is cut into
    strips of whole 512-pixel blocks, whose bytes lie together in a file, or into squares where it
    is too wide for that.

    More steps hide more round trips and take more memory. Measured with ``benchmarks/chunks.py``:
    the means of 128 scenes of 500 x 500 pixels, 50 ms away, on two threads:

    ================  ====  ====  ====  ====  ====  ====  ====
    steps in a chunk  1     2     4     8     16    32    64
    seconds           4.16  2.52  1.51  0.96  0.85  0.73  0.76
    peak memory, MiB  224   226   235   257   295   350   506
    ================  ====  ====  ====  ====  ====  ====  ====

    On 16 threads, which wait side by side anyway, it makes no difference. So 16: nearly as fast as
    it gets. A short series is faster in two chunks: all its scenes are still under way together,
    and two threads decode them (15 scenes of 400 x 400: 0.13 s, in one chunk 0.21 s).

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


def apart_chunks(
    chunks: Mapping[str, int], scenes: int, steps: int, itemsize: int
) -> Mapping[str, int]:
    """Choose chunks for the scenes of a cube before they are joined to its time steps.

    They hold about as much of the time as the cube's, so that as many scenes are fetched together,
    but where many are joined no more than the cube's or tens of megabytes.

    Args:
        chunks: The cube's.
        scenes: How many scenes there are.
        steps: How many time steps they make.
        itemsize: Bytes of one pixel.
    """
    fitting = _TARGET // max(1, chunks["y"] * chunks["x"] * itemsize)
    most = min(fitting, chunks["time"] * scenes // steps)
    return {**chunks, "time": max(chunks["time"], most)}
