"""From an asset reference to pixels.

:mod:`.asset_ref` names an asset without a signature, :mod:`.resolver` turns that into a URL,
:mod:`.http` and :mod:`.connections` fetch bytes, :mod:`.prefetch` fetches them ahead of the reader,
:mod:`.raster` decodes, and :mod:`.odc` and :mod:`.stackstac` plug into the two engines.
"""
