"""From items to a lazy cube.

:mod:`.plan` decides (scenes, grid, steps, chunks), :mod:`.mosaic` says what is read for a step,
:mod:`.backends` builds the variables, :mod:`.load` describes them, and :mod:`.explain` estimates
the cost of computing.
"""
