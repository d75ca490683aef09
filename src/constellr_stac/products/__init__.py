"""What the layers mean, and items made whole.

:mod:`.band` is one band and its arithmetic, :mod:`.layers` the table of what the provider
documents, :mod:`.stated` what an item says of its own assets on top of that, and :mod:`.bands`
how names become assets and bands. Nothing here reads a byte: what only a file's header or a
metadata document can tell is handed in from above.
"""

from __future__ import annotations

from .band import Band, Resampling
from .bands import BandSelection, BandSource, available_bands, resolve_bands
from .layers import LAYERS, Layer, layer_of
from .stated import UnknownLayerWarning, asset_bands, asset_gsd, is_unknown

__all__ = [
    "LAYERS",
    "Band",
    "BandSelection",
    "BandSource",
    "Layer",
    "Resampling",
    "UnknownLayerWarning",
    "asset_bands",
    "asset_gsd",
    "available_bands",
    "is_unknown",
    "layer_of",
    "resolve_bands",
]
