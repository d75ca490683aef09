"""The meaning of an asset's bands.

:mod:`.table` holds what the provider documents, :mod:`.item_bands` and :mod:`.item_grid` what an
item states, :mod:`.header` what a file states. :mod:`.resolve` maps names to assets and bands, and
:mod:`.describe` adds missing fields to items. Nothing here reads a file.
"""
