"""How far a run is, for people: bars in a terminal or a notebook, else nothing.

The counting is the same for all; a display only draws. Rates and estimates are the drawing
library's.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Display", "Meter", "display_for"]


class Meter:
    """How far one file is. Used by one thread at a time."""

    def __init__(self, display: Display, name: str) -> None:
        self._display = display
        self.name = name
        self.size: int | None = None
        """Bytes in all, as far as known."""
        self.there = 0
        """Bytes that are there."""
        self.come = 0
        """Bytes that came in this run."""
        self.expected: int | None = None
        """Bytes that come in this run, as far as known."""
        self.bar: Any = None
        """What a display draws it with."""

    def begin(self, size: int | None, held: int) -> None:
        """Say how long the file is, and how much of it is there; again if it begins anew."""
        self.size, self.there = size, held
        self._display.expect(self, None if size is None else self.come + size - held)

    def advance(self, count: int) -> None:
        """Say that bytes came."""
        self.there += count
        self.come += count
        self._display.advance(self, count)

    def end(self) -> None:
        """Say that no more comes, for whatever reason."""
        self._display.end(self)


class Display:
    """Counts, and draws nothing. Shared by all threads.

    Args:
        files: How many files there are.
    """

    def __init__(self, files: int) -> None:
        self.files = files
        self.done = 0
        """Files that are through."""
        self.come = 0
        """Bytes that came."""
        self._lock = threading.Lock()
        self._known = 0
        self._known_files = 0

    def meter(self, name: str) -> Meter:
        """Return what a file of this name is measured with."""
        return Meter(self, name)

    def expect(self, meter: Meter, count: int | None) -> None:
        """Take note of how many bytes of a file will have come."""
        if count is None:
            return
        with self._lock:
            self._known += count - (meter.expected or 0)
            self._known_files += meter.expected is None
            meter.expected = count
            self.draw()

    def advance(self, meter: Meter, count: int) -> None:
        """Take note of bytes that came."""
        with self._lock:
            self.come += count
            self.draw_file(meter, count)
            self.draw(count)

    def end(self, meter: Meter) -> None:
        """Take note that a file is through."""
        with self._lock:
            self.done += 1
            self.drop_file(meter)
            self.draw()

    @property
    def total(self) -> int | None:
        """How many bytes come in all, judged by the files begun so far."""
        if not self._known_files:
            return None
        return round(self._known * max(self.files, self._known_files) / self._known_files)

    # What a display is made of; all of it is called with the lock held.

    def draw(self, count: int = 0) -> None:
        """Show how far everything is; ``count`` bytes further than before."""

    def draw_file(self, meter: Meter, count: int) -> None:
        """Show how far a file is; ``count`` bytes further than before."""

    def drop_file(self, meter: Meter) -> None:
        """Show a file no more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""


class TerminalDisplay(Display):
    """Bars on standard error, with rich: one for all, and one for each file that takes time."""

    def __init__(self, files: int) -> None:
        super().__init__(files)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        self._bars = Progress(
            TextColumn(
                "{task.description}",
                markup=False,  # names are names, brackets and all
                table_column=Column(ratio=3, no_wrap=True),
            ),
            BarColumn(bar_width=None, table_column=Column(ratio=2)),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            expand=True,
        )
        self._all = self._bars.add_task(self._heading(), total=None)

    def draw(self, count: int = 0) -> None:
        """Show how far everything is."""
        self._bars.update(
            self._all, description=self._heading(), total=self.total, advance=count or None
        )

    def draw_file(self, meter: Meter, count: int) -> None:
        """Show how far a file is, unless it came all at once."""
        if meter.bar is None:
            if meter.there == meter.size:
                return
            meter.bar = self._bars.add_task(
                meter.name, total=meter.size, completed=meter.there - count
            )
        self._bars.update(meter.bar, total=meter.size, completed=meter.there)

    def drop_file(self, meter: Meter) -> None:
        """Show a file no more."""
        if meter.bar is not None:
            self._bars.remove_task(meter.bar)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _heading(self) -> str:
        return f"{self.done} of {self.files} files"


class NotebookDisplay(Display):
    """Bars in a notebook, with tqdm."""

    def __init__(self, files: int) -> None:
        super().__init__(files)
        from tqdm.auto import tqdm

        self._tqdm = tqdm
        self._all = self._bar("", leave=True)

    def draw(self, count: int = 0) -> None:
        """Show how far everything is."""
        self._all.total = self.total
        self._all.set_description_str(f"{self.done} of {self.files} files", refresh=False)
        self._all.update(count)

    def draw_file(self, meter: Meter, count: int) -> None:
        """Show how far a file is, unless it came all at once."""
        if meter.bar is None:
            if meter.there == meter.size:
                return
            meter.bar = self._bar(meter.name, total=meter.size, initial=meter.there - count)
        meter.bar.total = meter.size
        meter.bar.update(meter.there - meter.bar.n)

    def drop_file(self, meter: Meter) -> None:
        """Show a file no more."""
        if meter.bar is not None:
            meter.bar.close()

    def __exit__(self, *_: object) -> None:
        self._all.refresh()
        self._all.close()

    def _bar(self, name: str, *, leave: bool = False, **more: Any) -> Any:
        return self._tqdm(desc=name, leave=leave, unit="B", unit_scale=True, **more)


def display_for(files: int, *, wanted: bool) -> Display:
    """Return the display that fits: a terminal's, a notebook's if tqdm is there, or none.

    Args:
        files: How many files there are.

    Keyword Args:
        wanted: Whether anything is to be shown at all.
    """
    if not wanted or not files:
        return Display(files)
    if _in_notebook():
        return NotebookDisplay(files) if importlib.util.find_spec("tqdm") else Display(files)
    if sys.stderr is not None and sys.stderr.isatty():
        return TerminalDisplay(files)
    return Display(files)


def _in_notebook() -> bool:
    """Say whether this is a notebook's kernel: an IPython with a front end elsewhere."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
