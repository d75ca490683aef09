"""What the bands of an asset mean.

:mod:`.table` holds what the provider documents, :mod:`.item_bands` and :mod:`.item_grid` what an
item states, :mod:`.header` what a file states, :mod:`.resolve` maps names to assets and bands, and
:mod:`.describe` writes what an item leaves out. Nothing here reads a byte.
"""
