"""Downloads in separate processes: interrupts, progress bars, disk errors."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel

from constellr_stac import DownloadError, download
from constellr_stac._files import disk_error
from constellr_stac.sandbox import Fault
from stored_files import LONG, long_bytes, make_item, ranges, read_items, store_requests, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.sandbox import Sandbox

PROGRAM = """
import json, sys
from constellr_stac import download
items = json.load(open(sys.argv[1]))
print("ready", flush=True)
print(download(items, sys.argv[2], max_workers=4))
"""


class Process:
    """A Python program on a terminal of 80 columns or in a pipe; its output is collected."""

    def __init__(self, program: str, *arguments: object, terminal: bool) -> None:
        self.output = b""
        ours, its = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=its,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "30"},
            start_new_session=True,
        )
        os.close(its)
        self._ours = ours
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # the other end of the terminal is closed
                return
            if not piece:
                return
            self.output += piece

    def end(self) -> str:
        """Wait for the process and return its output."""
        self.process.wait(120)
        self._reader.join()
        return self.output.decode()

    def kill(self) -> None:
        """Kill the process and close its output."""
        self.process.kill()
        self.end()
        os.close(self._ours)


@contextmanager
def running(
    program: str, item: dict[str, Any], folder: Path, *, terminal: bool
) -> Iterator[Process]:
    """Run a program with an item and a folder, once its imports are done."""
    source = folder.with_suffix(".json")
    source.write_text(json.dumps([item]))
    process = Process(program, source, folder, terminal=terminal)
    try:
        wait_until(lambda: b"ready" in process.output)
        yield process
    finally:
        process.kill()


# Interrupts


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_can_be_resumed(sandbox: Sandbox, tmp_path: Path, *, terminal: bool) -> None:
    """It ends at once, even if a server is silent; the message says how to resume."""
    item = make_item(sandbox, {"a": long_bytes(), "b": b"b", "c": b"c"})
    sandbox.fail(Fault("a.bin", kind="truncate"))
    sandbox.fail(Fault("a.bin", kind="stall", seconds=30))
    folder = tmp_path / "scenes"
    with running(PROGRAM, item, folder, terminal=terminal) as process:
        wait_until(
            lambda: len(store_requests(sandbox)) == 4 and len(list(folder.rglob("[bc].bin"))) == 2
        )
        process.process.send_signal(signal.SIGINT)
        output = re.sub(
            r"\x1b\[[0-9;?]*[A-Za-z]|\r\n", "", process.end()
        )  # 3.13 colours tracebacks
    assert process.process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt: Interrupted: 2 of 3 files are in " in output
    assert "Run the same download again to resume" in output
    assert sorted(read_items(folder)[0].assets) == ["b", "c"]
    sandbox.clear_requests()
    sandbox.clear_faults()
    done = download(item, folder)
    assert ranges(sandbox) == [f"bytes={LONG // 2}-"]
    assert [path.read_bytes() for path in done.written] == [long_bytes()]


AFTER_INTERRUPT = """
import json, sys, threading
from constellr_stac import download
items = json.load(open(sys.argv[1]))
print("ready", flush=True)
try:
    download(items, sys.argv[2], max_workers=4)
except KeyboardInterrupt:
    print("left:", [each.name for each in threading.enumerate() if "download" in each.name])
"""


def after_interrupt(sandbox: Sandbox, folder: Path) -> str:
    """Interrupt a download while an answer is late; return the program's output."""
    item = make_item(sandbox, {"a": long_bytes(), "b": b"b"})
    sandbox.clear_faults()
    sandbox.fail(Fault("a.bin", kind="stall", seconds=0.7))
    with running(AFTER_INTERRUPT, item, folder, terminal=False) as process:
        wait_until(lambda: len(list(folder.rglob("b.bin"))) == 1)
        process.process.send_signal(signal.SIGINT)
        return process.end()


def test_ctrl_c_waits_for_threads_that_are_about_to_end(sandbox: Sandbox, tmp_path: Path) -> None:
    """Else they would still write when the folder is free for another download."""
    # Several times: on a busy machine the late answer comes before the interrupt, or too late.
    outputs = (after_interrupt(sandbox, tmp_path / f"scenes{number}") for number in range(8))
    assert any(output.endswith("left: []\n") for output in outputs)


# Progress


def test_bars_in_a_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """One bar in total and one per active file, in bytes, at 80 columns."""
    item = make_item(sandbox, {"long [red]": long_bytes(), "b": b"b"})
    sandbox.fail(Fault("long", kind="truncate"))
    sandbox.fail(Fault("long", kind="stall", seconds=0.5))
    with running(PROGRAM, item, tmp_path / "scenes", terminal=True) as process:
        output = process.end()
    assert process.process.returncode == 0, output
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n").splitlines()
    assert [line for line in lines if len(line) > 80 and "Downloaded" not in line] == []
    assert [line for line in lines if re.match(r"1 of 2 files .* 0\.8/\d\.\d MB", line)]
    assert [line for line in lines if re.match(r"long \[red\]\.bin scene .* 0\.8/1\.5 MB", line)]
    assert [line for line in lines if re.match(r"2 of 2 files .* 1\.5/1\.5 MB", line)]
    assert output.count("<Downloaded 2 files") == 1


def test_bars_show_the_rate(sandbox: Sandbox, tmp_path: Path) -> None:
    """The rate is shown while the estimated total changes."""
    item = make_item(sandbox, {"a": long_bytes(), "b": long_bytes()[:700_000], "c": b"c" * 90_000})
    sandbox.fail(Fault("[abc].bin", kind="stall", seconds=0.25, times=3))
    program = PROGRAM.replace("max_workers=4", "max_workers=1")
    with running(program, item, tmp_path / "scenes", terminal=True) as process:
        output = process.end()
    assert process.process.returncode == 0, output
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n").splitlines()
    assert [line for line in lines if re.match(r"3 of 3 files .* 2\.3/2\.3 MB \d.*B/s", line)]


def test_bars_count_existing_files(sandbox: Sandbox, tmp_path: Path) -> None:
    """A resumed run counts all files and the remaining bytes; a complete one shows no bar."""
    item = make_item(sandbox, {"a": long_bytes(), "b": b"b", "c": b"c"})
    folder = tmp_path / "scenes"
    download(item, folder, assets=["b", "c"])
    with running(PROGRAM, item, folder, terminal=True) as process:
        output = process.end()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n").splitlines()
    assert [line for line in lines if re.match(r"3 of 3 files .* 1\.5/1\.5 MB", line)]
    with running(PROGRAM, item, folder, terminal=True) as process:
        output = process.end()
    assert re.fullmatch(r"ready\n<Downloaded 0 files, .*>\n", output.replace("\r", ""))


def test_no_bars_in_a_pipe(sandbox: Sandbox, tmp_path: Path) -> None:
    """A pipe gets no bars, whatever the environment says about colours."""
    os.environ["FORCE_COLOR"] = "1"
    try:
        item = make_item(sandbox, {"a": long_bytes()})
        with running(PROGRAM, item, tmp_path / "scenes", terminal=False) as process:
            output = process.end()
    finally:
        del os.environ["FORCE_COLOR"]
    assert re.fullmatch(r"ready\n<Downloaded 1 file, .*>\n", output)


def test_progress_false_shows_no_bars(sandbox: Sandbox, tmp_path: Path) -> None:
    """``progress=False`` shows no bars."""
    item = make_item(sandbox, {"a": long_bytes()})
    program = PROGRAM.replace("max_workers=4", "progress=False")
    with running(program, item, tmp_path / "scenes", terminal=True) as process:
        output = process.end()
    assert re.fullmatch(r"ready\n<Downloaded 1 file, .*>\n", output.replace("\r", ""))


def test_bars_in_a_notebook(sandbox: Sandbox, tmp_path: Path) -> None:
    """A notebook has tqdm bars: in total, and per active file."""
    item = make_item(sandbox, {"a": long_bytes(), "b": b"b"})
    sandbox.fail(Fault("a.bin", kind="truncate"))
    sandbox.fail(Fault("a.bin", kind="stall", seconds=0.5))
    code = f"""
import json
from constellr_stac import download
download(json.loads({json.dumps(item)!r}), {str(tmp_path / "scenes")!r})
"""
    shown: list[dict[str, Any]] = []
    manager, client = start_new_kernel(kernel_name="python3", env=dict(os.environ))
    try:
        answer = client.execute_interactive(code, output_hook=shown.append, timeout=120)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert answer["content"]["status"] == "ok", answer["content"]
    bars = [
        message["content"]["data"]["text/plain"]
        for message in shown
        if message["msg_type"] == "display_data"
    ]
    assert [bar for bar in bars if "0/2" in bar]
    assert [bar for bar in bars if "a.bin scene" in bar]
    states = [
        str(message["content"]["data"].get("state", {}).get("value")).replace("\u2007", " ")
        for message in shown
        if message["msg_type"] == "comm_msg"
    ]
    assert [state for state in states if "2/2" in state and "1.5 MB" in state]
    (result,) = (message for message in shown if message["msg_type"] == "execute_result")
    assert result["content"]["data"]["text/plain"].startswith("<Downloaded 2 files")


# Disk errors

LIMITED = PROGRAM.replace(
    'print("ready", flush=True)',
    """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
print("ready", flush=True)
""",
)


def test_full_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    """An incomplete file has no final name; the error says so, and another run resumes."""
    item = make_item(sandbox, {"a": long_bytes(), "b": b"b"})
    folder = tmp_path / "scenes"
    with running(LIMITED, item, folder, terminal=False) as process:
        output = process.end()
    path = folder / "2023-06-24T11-23-58Z_scene" / "a.bin"
    assert f"DownloadError: '{path}' cannot be written: File too large." in output
    assert "run again to resume" in output
    assert not path.exists()
    assert path.with_name("a.bin.part").stat().st_size == 1_000_000
    sandbox.clear_requests()
    download(item, folder)
    assert path.read_bytes() == long_bytes()
    assert "bytes=1000000-" in ranges(sandbox)


def test_full_disk_error_has_the_free_space(tmp_path: Path) -> None:
    """The error states the free space."""
    error = disk_error(OSError(28, os.strerror(28)), tmp_path / "a.bin")
    assert re.search(
        r"cannot be written: No space left on device\. [\d.,]+ .?B are free\. Free some disk "
        r"space, and run again",
        str(error),
    )


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from constellr_stac import download
items, folder = json.load(open(sys.argv[1])), Path(sys.argv[2])
download(items, folder / "before")  # imports everything
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print("ready", flush=True)
download(items, folder / "locked")
"""


def test_read_only_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    """A read-only folder is reported before anything is fetched."""
    item = make_item(sandbox, {"a": b"a"})
    folder = tmp_path / "scenes"
    (folder / "locked").mkdir(parents=True)
    (folder / "locked").chmod(0o555)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    with running(AS_NOBODY, item, folder, terminal=False) as process:
        output = process.end()
    assert "DownloadError: " in output
    assert "cannot be written: Permission denied. Choose a writable directory" in output
    assert len(store_requests(sandbox)) == 1
    assert list((folder / "locked").iterdir()) == []


def test_file_in_place_of_the_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    """The file is named and kept."""
    item = make_item(sandbox, {"a": b"a"})
    (tmp_path / "scenes").write_text("mine")
    with pytest.raises(DownloadError, match="file exists where a directory is needed: move it"):
        download(item, tmp_path / "scenes")
    with pytest.raises(DownloadError, match="file exists where a directory is needed: move it"):
        download(item, tmp_path / "scenes" / "below")
    assert (tmp_path / "scenes").read_text() == "mine"
    assert store_requests(sandbox) == []


def test_too_long_path(sandbox: Sandbox, tmp_path: Path) -> None:
    """Valid names may be too long together."""
    item = make_item(sandbox, {"a": b"a"})
    folder = tmp_path.joinpath(*(["x" * 200] * 21))
    with pytest.raises(DownloadError, match=r"File name too long\. Choose a shorter path"):
        download(item, folder)
    assert store_requests(sandbox) == []
