"""Maps and time series, ready for a report.

matplotlib (extra ``plot``) is imported when something is drawn, without pyplot or a global
backend, so that servers, threads and notebooks work alike. Lazy input is computed.
"""

from __future__ import annotations

from .maps import quicklook, rgb, temperature_map
from .overview import demo_figure
from .series import time_series

__all__ = ["demo_figure", "quicklook", "rgb", "temperature_map", "time_series"]
