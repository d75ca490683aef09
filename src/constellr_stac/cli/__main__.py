"""``python -m constellr_stac.cli``: the same as ``constellr``."""

from constellr_stac.cli import main

main()
