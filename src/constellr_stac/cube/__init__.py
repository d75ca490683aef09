"""From items to a lazy cube: :mod:`.plan` decides, :mod:`.backends` builds, :mod:`.load` describes."""
