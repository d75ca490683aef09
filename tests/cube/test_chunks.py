"""Default chunk sizes."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from constellr_stac.cube.chunks import auto_chunks

MIB = 1 << 20


@given(
    times=st.integers(1, 5000),
    rows=st.integers(1, 12000),
    columns=st.integers(1, 12000),
    itemsize=st.sampled_from([1, 2, 4]),
)
def test_chunk_size_and_count(times: int, rows: int, columns: int, itemsize: int) -> None:
    """At most 32 MiB and 16 steps per chunk, and at least two chunks."""
    chunks = auto_chunks(times, rows, columns, itemsize)
    steps, height, width = (chunks[name] for name in ("time", "y", "x"))
    assert 1 <= steps <= min(16, times)
    assert steps * min(height, rows) * min(width, columns) * itemsize <= 32 * MIB
    count = ceil(times / steps) * ceil(rows / height) * ceil(columns / width)
    if times > 1 or rows * columns * itemsize > 32 * MIB:
        assert count >= 2


def test_steps_are_divided_evenly() -> None:
    """33 steps are three chunks of 11, 60 steps four of 15."""
    assert [auto_chunks(times, 500, 500, 4)["time"] for times in (1, 2, 15, 33, 60, 500)] == [
        1, 1, 8, 11, 15, 16,
    ]  # fmt: skip


def test_large_scenes_are_chunked_along_blocks() -> None:
    """3,700 x 3,700 pixels are two strips; wider scenes are cut into squares."""
    assert auto_chunks(3, 3700, 3700, 4) == {"time": 1, "y": 2048, "x": 3700}
    assert auto_chunks(3, 2000, 30000, 4) == {"time": 1, "y": 2000, "x": 2560}
