"""Maps and time series that could go into a report as they are.

matplotlib (extra ``plot``) is imported when something is drawn, and only through its objects:
no global figure, no backend, so that it works in a server, a thread and a notebook alike. What
is drawn is computed here.

:mod:`.canvas` knows matplotlib and how to say what is shown, :mod:`.figures` how a notebook shows
it, :mod:`.key` what the colours mean; :mod:`.maps` draws scenes, :mod:`.series` values over time,
:mod:`.overview` both together.
"""

from __future__ import annotations

from .maps import quicklook, rgb, temperature_map
from .overview import demo_figure
from .series import time_series

__all__ = ["demo_figure", "quicklook", "rgb", "temperature_map", "time_series"]
