"""How far a run is, for people: bars in a terminal or a notebook, else nothing.

Whoever brings files counts, and one thread draws, now and then. Rates and estimates are the
drawing library's.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from rich.filesize import decimal

if TYPE_CHECKING:
    from rich.progress import TaskID

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

    def begin(self, size: int | None, held: int) -> None:
        """Say how long the file is, and how much of it is there; again if it begins anew."""
        self.size, self.there = size, held
        self._display.begin(self, None if size is None else self.come + size - held)

    def advance(self, count: int) -> None:
        """Say that bytes came."""
        self.there += count
        self.come += count
        self._display.advance(count)

    def end(self) -> None:
        """Say that no more comes, for whatever reason."""
        self._display.end(self)


class Display:
    """Counts, and draws nothing.

    Args:
        files: How many files there are.
    """

    def __init__(self, files: int) -> None:
        self.files = files
        self.done = 0
        """Files that are through, or were there."""
        self.come = 0
        """Bytes that came."""
        self._lock = threading.Lock()
        self._active: dict[Meter, None] = {}
        self._known = 0
        self._known_files = 0
        self._without = 0  # files that are through, and nothing came of them

    def skip(self, count: int) -> None:
        """Take note of files that were there before."""
        self.done += count
        self._without += count

    def meter(self, name: str) -> Meter:
        """Return what a file of this name is measured with, on any thread."""
        return Meter(self, name)

    def begin(self, meter: Meter, expected: int | None) -> None:
        """Take note of a file that is on its way, and of how many bytes of it are to come."""
        with self._lock:
            self._active[meter] = None
            if expected is not None:
                self._known += expected - (meter.expected or 0)
                self._known_files += meter.expected is None
                meter.expected = expected

    def advance(self, count: int) -> None:
        """Take note of bytes that came."""
        with self._lock:
            self.come += count

    def end(self, meter: Meter) -> None:
        """Take note that a file is through."""
        with self._lock:
            self.done += 1
            self._without += meter.expected is None
            self._active.pop(meter, None)

    @property
    def active(self) -> list[Meter]:
        """Files that are on their way."""
        with self._lock:
            return list(self._active)

    @property
    def total(self) -> int | None:
        """How many bytes come in all, judged by the files begun so far."""
        with self._lock:
            if not self._known_files:
                return None
            files = max(self.files - self._without, self._known_files)
            return round(self._known * files / self._known_files)

    @property
    def heading(self) -> str:
        """What stands before the bar for all."""
        return f"{self.done} of {self.files} files"

    def draw(self) -> None:
        """Show how far everything is; called by one thread, now and then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()


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
        self._all = self._bars.add_task(self.heading, total=None)
        self._of_files: dict[Meter, TaskID] = {}

    def draw(self) -> None:
        """Show how far everything is."""
        active = self.active
        for meter in self._of_files.keys() - set(active):
            self._bars.remove_task(self._of_files.pop(meter))
        for meter in active:
            bar = self._of_files.get(meter)
            if bar is None:
                bar = self._of_files[meter] = self._bars.add_task(
                    meter.name, total=meter.size, completed=meter.there - meter.come
                )
            self._bars.update(bar, total=meter.size, completed=meter.there)
        # Not by update(), which forgets the rate whenever the total is another one.
        self._bars.tasks[0].total = self.total
        self._bars.update(self._all, description=self.heading, completed=self.come)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        self._bars.stop()


class NotebookDisplay(Display):
    """Bars in a notebook, with tqdm.

    The one for all counts files: how many bytes they have gets known too late for tqdm.
    """

    def __init__(self, files: int) -> None:
        super().__init__(files)
        from tqdm.auto import tqdm

        self._tqdm = tqdm
        self._all: Any = None
        self._of_files: dict[Meter, Any] = {}

    def draw(self) -> None:
        """Show how far everything is."""
        active = self.active
        for meter in self._of_files.keys() - set(active):
            self._of_files.pop(meter).close()
        for meter in active:
            bar = self._of_files.get(meter)
            if bar is None:
                bar = self._of_files[meter] = self._tqdm(
                    desc=meter.name,
                    total=meter.size,
                    initial=meter.there - meter.come,
                    unit="B",
                    unit_scale=True,
                    leave=False,
                )
            bar.update(meter.there - bar.n)
        rate = self.come / max(self._all.format_dict["elapsed"], 1e-3)
        self._all.set_postfix_str(f"{decimal(self.come)}, {decimal(round(rate))}/s", refresh=False)
        self._all.update(self.done - self._all.n)
        self._all.refresh()

    def __enter__(self) -> Self:
        self._all = self._tqdm(total=self.files, initial=self.done, unit="file")
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        for bar in (*self._of_files.values(), self._all):
            bar.close()


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
