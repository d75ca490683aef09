"""What the layers mean, and items made whole.

:mod:`.band` is one band and its arithmetic, :mod:`.layers` the table of what the provider
documents, :mod:`.stated` what an item says of its own assets on top of that, :mod:`.bands` how
names become assets and bands, and :mod:`.describe` writes what an item leaves out into it.
Nothing here reads a byte: what only a file's header or a metadata document can tell is handed in
from above.
"""

from __future__ import annotations

from .band import Band, Resampling
from .bands import BandSelection, BandSource, available_bands, resolve_bands
from .describe import describe, headers_needed, items_in
from .grids import stated_grid
from .header import FileBand, Header
from .layers import LAYERS, Layer, layer_of
from .metadata import metadata_asset
from .report import Description
from .stated import UnknownLayerWarning, asset_bands, asset_gsd, is_unknown

__all__ = [
    "LAYERS",
    "Band",
    "BandSelection",
    "BandSource",
    "Description",
    "FileBand",
    "Header",
    "Layer",
    "Resampling",
    "UnknownLayerWarning",
    "asset_bands",
    "asset_gsd",
    "available_bands",
    "describe",
    "headers_needed",
    "is_unknown",
    "items_in",
    "layer_of",
    "metadata_asset",
    "resolve_bands",
    "stated_grid",
]
