"""From items to a lazy cube.

:mod:`.plan` decides (scenes, grid, steps, chunks), :mod:`.backends` builds the variables,
:mod:`.load` masks, mosaics and describes them, and :mod:`.explain` estimates the cost of computing.
"""
