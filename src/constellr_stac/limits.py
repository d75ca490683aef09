"""Bounds on waiting, sizes and pages, which an environment variable each can change."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what a server can make this package wait for, hold or follow.

    Each default is read from the environment: ``CONSTELLR_`` and the name in capitals, such as
    ``CONSTELLR_RETRY_DEADLINE``.

    Raises:
        ValueError: A bound is not a positive number.

    Example:
        >>> Limits(read_timeout=5).read_timeout
        5.0
    """

    retry_deadline: float = 120.0
    """Seconds without progress after which a read is not retried any more."""
    connect_timeout: float = 10.0
    """Seconds to wait for a connection."""
    read_timeout: float = 60.0
    """Seconds to wait between two parts of a response."""
    answer_bytes: float = 256 << 20
    """Bytes of an API response, decompressed."""
    answer_time: float = 300.0
    """Seconds for an API response, or for each 256 KiB of an asset, however slowly it arrives."""
    asset_bytes: float = 64 << 30
    """Bytes of an asset."""
    file_pixels: float = 10**10
    """Pixels of one band of a file."""
    window_bytes: float = 2 << 30
    """Bytes of a window (also a tile or strip) of a file, decoded."""
    pages: float = 10_000
    """Pages of a search or a listing."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                value = os.environ.get(f"CONSTELLR_{field.name.upper()}") or value
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = 0.0
            if not number > 0:
                msg = f"{field.name} must be a positive number, not {value!r}."
                raise ValueError(msg)
            object.__setattr__(self, field.name, number)
