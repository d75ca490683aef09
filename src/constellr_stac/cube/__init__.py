"""From items to a lazy cube.

:mod:`.plan` decides (scenes, grid, steps, chunks), :mod:`.backends` builds the variables,
:mod:`.load` masks, joins and describes them, and :mod:`.explain` tells what computing will cost.
"""
