"""Progress bars in a terminal or a notebook.

Downloading threads count; one thread draws. Rates and estimates come from rich and tqdm.
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
    """The progress of one file. Used by one thread at a time."""

    def __init__(self, display: Display, name: str) -> None:
        self._display = display
        self.name = name
        self.size: int | None = None
        """Total bytes, if known."""
        self.held = 0
        """Bytes on disk."""
        self.received = 0
        """Bytes received in this run."""
        self.expected: int | None = None
        """Bytes to receive in this run, if known."""

    def begin(self, size: int | None, held: int) -> None:
        """Set the file's size and the bytes held; call again if it restarts."""
        self.size, self.held = size, held
        self._display.begin(self, None if size is None else self.received + size - held)

    def advance(self, count: int) -> None:
        """Count received bytes."""
        self.held += count
        self.received += count
        self._display.advance(count)

    def end(self) -> None:
        """Mark the file as finished or failed."""
        self._display.end(self)


class Display:
    """Counts the progress of a number of files, and draws nothing."""

    def __init__(self, files: int) -> None:
        self.files = files
        self.done = 0
        """Finished files, including those that existed."""
        self.received = 0
        """Bytes received."""
        self._lock = threading.Lock()
        self._active: dict[Meter, None] = {}
        self._known_bytes = 0
        self._known_files = 0
        self._files_without_bytes = 0  # finished files of which nothing was received

    def skip(self, count: int) -> None:
        """Count files that existed before."""
        self.done += count
        self._files_without_bytes += count

    def begin(self, meter: Meter, expected: int | None) -> None:
        """Register a file and the bytes expected for it."""
        with self._lock:
            self._active[meter] = None
            if expected is not None:
                self._known_bytes += expected - (meter.expected or 0)
                self._known_files += meter.expected is None
                meter.expected = expected

    def advance(self, count: int) -> None:
        """Count received bytes."""
        with self._lock:
            self.received += count

    def end(self, meter: Meter) -> None:
        """Count a finished file."""
        with self._lock:
            self.done += 1
            self._files_without_bytes += meter.expected is None
            self._active.pop(meter, None)

    @property
    def active(self) -> list[Meter]:
        """Files in progress."""
        with self._lock:
            return list(self._active)

    @property
    def total(self) -> int | None:
        """Total bytes to receive, extrapolated from the files started so far."""
        with self._lock:
            if not self._known_files:
                return None
            files = max(self.files - self._files_without_bytes, self._known_files)
            return round(self._known_bytes * files / self._known_files)

    @property
    def heading(self) -> str:
        """The label of the total bar."""
        return f"{self.done} of {self.files} files"

    def draw(self) -> None:
        """Update the bars; called regularly by one thread."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()


class TerminalDisplay(Display):
    """Bars on standard error, with rich: one in total, and one for each active file."""

    def __init__(self, files: int) -> None:
        super().__init__(files)
        from rich import progress
        from rich.console import Console
        from rich.table import Column

        self._bars = progress.Progress(
            progress.TextColumn(
                "{task.description}",
                markup=False,  # a name may contain brackets
                table_column=Column(ratio=3, no_wrap=True),
            ),
            progress.BarColumn(bar_width=None, table_column=Column(ratio=2)),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            expand=True,
        )
        self._total_bar = self._bars.add_task(self.heading, total=None)
        self._file_bars: dict[Meter, TaskID] = {}

    def draw(self) -> None:
        """Update the bars."""
        active = self.active
        for meter in self._file_bars.keys() - set(active):
            self._bars.remove_task(self._file_bars.pop(meter))
        for meter in active:
            bar = self._file_bars.get(meter)
            if bar is None:
                bar = self._file_bars[meter] = self._bars.add_task(
                    meter.name, total=meter.size, completed=meter.held - meter.received
                )
            self._bars.update(bar, total=meter.size, completed=meter.held)
        # update() would reset the rate when the total changes.
        self._bars.tasks[0].total = self.total
        self._bars.update(self._total_bar, description=self.heading, completed=self.received)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        self._bars.stop()


class NotebookDisplay(Display):
    """Bars in a notebook, with tqdm.

    The total bar counts files: their total size is known too late for tqdm.
    """

    def __init__(self, files: int) -> None:
        super().__init__(files)
        from tqdm.auto import tqdm

        self._tqdm = tqdm
        self._total_bar: Any = None
        self._file_bars: dict[Meter, Any] = {}

    def draw(self) -> None:
        """Update the bars."""
        active = self.active
        for meter in self._file_bars.keys() - set(active):
            self._file_bars.pop(meter).close()
        for meter in active:
            bar = self._file_bars.get(meter)
            if bar is None:
                bar = self._file_bars[meter] = self._tqdm(
                    desc=meter.name,
                    total=meter.size,
                    initial=meter.held - meter.received,
                    unit="B",
                    unit_scale=True,
                    leave=False,
                )
            bar.update(meter.held - bar.n)
        rate = self.received / max(self._total_bar.format_dict["elapsed"], 1e-3)
        self._total_bar.set_postfix_str(
            f"{decimal(self.received)}, {decimal(round(rate))}/s", refresh=False
        )
        self._total_bar.update(self.done - self._total_bar.n)
        self._total_bar.refresh()

    def __enter__(self) -> Self:
        self._total_bar = self._tqdm(total=self.files, initial=self.done, unit="file")
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        for bar in (*self._file_bars.values(), self._total_bar):
            bar.close()


def display_for(files: int, *, show: bool) -> Display:
    """Return the display for a terminal, for a notebook (with tqdm), or none."""
    if not show or not files:
        return Display(files)
    if _in_notebook():
        return NotebookDisplay(files) if importlib.util.find_spec("tqdm") else Display(files)
    if sys.stderr is not None and sys.stderr.isatty():
        return TerminalDisplay(files)
    return Display(files)


def _in_notebook() -> bool:
    """Return whether this is an IPython kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
