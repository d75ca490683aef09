"""Downloads in processes of their own: interrupted, watched, and with disks that will not."""

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
from stored_files import LONG, an_item, decoded, long_bytes, ranges, store, until

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
    """A Python program, on a terminal of 80 columns or in a pipe; what it says is collected."""

    def __init__(self, program: str, *arguments: object, terminal: bool) -> None:
        self.said = b""
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
            except OSError:  # how a terminal says that nobody is there any more
                return
            if not piece:
                return
            self.said += piece

    def end(self) -> str:
        """Wait for the end, and return all it said."""
        self.process.wait(20)
        self._reader.join()
        return self.said.decode()

    def kill(self) -> None:
        """Leave nothing of it."""
        self.process.kill()
        self.end()
        os.close(self._ours)


@contextmanager
def running(
    program: str, item: dict[str, Any], folder: Path, *, terminal: bool
) -> Iterator[Process]:
    """Run a program with an item and a folder; it has imported all it needs."""
    source = folder.with_suffix(".json")
    source.write_text(json.dumps([item]))
    process = Process(program, source, folder, terminal=terminal)
    try:
        until(lambda: b"ready" in process.said)
        yield process
    finally:
        process.kill()


# Interrupted


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_leaves_what_can_be_gone_on_with(
    sandbox: Sandbox, tmp_path: Path, *, terminal: bool
) -> None:
    """It ends at once, even if a server says nothing; says what is there, and goes on from it."""
    item = an_item(sandbox, {"a": long_bytes(), "b": b"b", "c": b"c"})
    sandbox.fail(Fault("a.bin", kind="truncate"))
    sandbox.fail(Fault("a.bin", kind="stall", seconds=30))
    folder = tmp_path / "scenes"
    with running(PROGRAM, item, folder, terminal=terminal) as process:
        until(lambda: len(store(sandbox)) == 4 and len(list(folder.rglob("[bc].bin"))) == 2)
        process.process.send_signal(signal.SIGINT)
        told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n", "", process.end())  # 3.13 colours tracebacks
    assert process.process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt: Stopped: 2 of 3 files are in " in told
    assert "run the same again, and it goes on from there" in told
    assert sorted(decoded(folder)[0].assets) == ["b", "c"]
    sandbox.clear_requests()
    sandbox.clear_faults()
    done = download(item, folder)
    assert ranges(sandbox) == [f"bytes={LONG // 2}-"]
    assert [path.read_bytes() for path in done.written] == [long_bytes()]


# Watched


def test_bars_in_a_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """One bar for all and one for each file that takes time, with bytes, at 80 columns."""
    item = an_item(sandbox, {"long [red]": long_bytes(), "b": b"b"})
    sandbox.fail(Fault("long", kind="truncate"))
    sandbox.fail(Fault("long", kind="stall", seconds=0.5))
    with running(PROGRAM, item, tmp_path / "scenes", terminal=True) as process:
        told = process.end()
    assert process.process.returncode == 0, told
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told).replace("\r", "\n").splitlines()
    assert [line for line in lines if len(line) > 80 and "Downloaded" not in line] == []
    assert [line for line in lines if re.match(r"1 of 2 files .* 0\.8/\d\.\d MB", line)]
    assert [line for line in lines if re.match(r"long \[red\]\.bin scene .* 0\.8/1\.5 MB", line)]
    assert [line for line in lines if re.match(r"2 of 2 files .* 1\.5/1\.5 MB", line)]
    assert told.count("<Downloaded 2 files") == 1


def test_bars_tell_the_rate(sandbox: Sandbox, tmp_path: Path) -> None:
    """How fast it is stays known while files of other lengths change what all will come to."""
    item = an_item(sandbox, {"a": long_bytes(), "b": long_bytes()[:700_000], "c": b"c" * 90_000})
    sandbox.fail(Fault("[abc].bin", kind="stall", seconds=0.25, times=3))
    program = PROGRAM.replace("max_workers=4", "max_workers=1")
    with running(program, item, tmp_path / "scenes", terminal=True) as process:
        told = process.end()
    assert process.process.returncode == 0, told
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told).replace("\r", "\n").splitlines()
    assert [line for line in lines if re.match(r"3 of 3 files .* 2\.3/2\.3 MB \d.*B/s", line)]


def test_bars_count_what_was_there(sandbox: Sandbox, tmp_path: Path) -> None:
    """A run that goes on counts all files, and the bytes that come; without any it is quiet."""
    item = an_item(sandbox, {"a": long_bytes(), "b": b"b", "c": b"c"})
    folder = tmp_path / "scenes"
    download(item, folder, assets=["b", "c"])
    with running(PROGRAM, item, folder, terminal=True) as process:
        told = process.end()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told).replace("\r", "\n").splitlines()
    assert [line for line in lines if re.match(r"3 of 3 files .* 1\.5/1\.5 MB", line)]
    with running(PROGRAM, item, folder, terminal=True) as process:
        told = process.end()
    assert re.fullmatch(r"ready\n<Downloaded 0 files, .*>\n", told.replace("\r", ""))


def test_quiet_in_a_pipe(sandbox: Sandbox, tmp_path: Path) -> None:
    """Where nobody watches, nothing is said, whatever colours the environment asks for."""
    os.environ["FORCE_COLOR"] = "1"
    try:
        item = an_item(sandbox, {"a": long_bytes()})
        with running(PROGRAM, item, tmp_path / "scenes", terminal=False) as process:
            told = process.end()
    finally:
        del os.environ["FORCE_COLOR"]
    assert re.fullmatch(r"ready\n<Downloaded 1 file, .*>\n", told)


def test_quiet_in_a_terminal_when_asked(sandbox: Sandbox, tmp_path: Path) -> None:
    """``progress=False`` is no bar."""
    item = an_item(sandbox, {"a": long_bytes()})
    program = PROGRAM.replace("max_workers=4", "progress=False")
    with running(program, item, tmp_path / "scenes", terminal=True) as process:
        told = process.end()
    assert re.fullmatch(r"ready\n<Downloaded 1 file, .*>\n", told.replace("\r", ""))


def test_bars_in_a_notebook(sandbox: Sandbox, tmp_path: Path) -> None:
    """In a notebook's kernel there are tqdm's bars: all files, and one that takes time."""
    item = an_item(sandbox, {"a": long_bytes(), "b": b"b"})
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
        answer = client.execute_interactive(code, output_hook=shown.append, timeout=20)
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


# Disks that will not

LIMITED = PROGRAM.replace(
    'print("ready", flush=True)',
    """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
print("ready", flush=True)
""",
)


def test_a_disk_that_is_full(sandbox: Sandbox, tmp_path: Path) -> None:
    """What did not fit has no name; the error says so, and another run goes on."""
    item = an_item(sandbox, {"a": long_bytes(), "b": b"b"})
    folder = tmp_path / "scenes"
    with running(LIMITED, item, folder, terminal=False) as process:
        told = process.end()
    path = folder / "2023-06-24T11-23-58Z_scene" / "a.bin"
    assert f"DownloadError: '{path}' cannot be written: File too large." in told
    assert "run again to resume" in told
    assert not path.exists()
    assert path.with_name("a.bin.part").stat().st_size == 1_000_000
    sandbox.clear_requests()
    download(item, folder)
    assert path.read_bytes() == long_bytes()
    assert "bytes=1000000-" in ranges(sandbox)


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path) -> None:
    """Somebody who has to make room wants to know how much there is."""
    error = disk_error(OSError(28, os.strerror(28)), tmp_path / "a.bin")
    assert re.search(
        r"cannot be written: No space left on device\. There are [\d.,]+ .?B left\. Make room, and "
        r"run it again",
        str(error),
    )


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from constellr_stac import download
items, folder = json.load(open(sys.argv[1])), Path(sys.argv[2])
download(items, folder / "before")  # and all is imported
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print("ready", flush=True)
download(items, folder / "locked")
"""


def test_a_folder_that_may_not_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    """Who may not write there is told so before anything is fetched."""
    item = an_item(sandbox, {"a": b"a"})
    folder = tmp_path / "scenes"
    (folder / "locked").mkdir(parents=True)
    (folder / "locked").chmod(0o555)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    with running(AS_NOBODY, item, folder, terminal=False) as process:
        told = process.end()
    assert "DownloadError: " in told
    assert "cannot be written: Permission denied. Choose a writable directory" in told
    assert len(store(sandbox)) == 1
    assert list((folder / "locked").iterdir()) == []


def test_a_file_where_the_folder_has_to_be(sandbox: Sandbox, tmp_path: Path) -> None:
    """The file is named, and left as it is."""
    item = an_item(sandbox, {"a": b"a"})
    (tmp_path / "scenes").write_text("mine")
    with pytest.raises(DownloadError, match="file exists where a directory is needed: move it"):
        download(item, tmp_path / "scenes")
    with pytest.raises(DownloadError, match="file exists where a directory is needed: move it"):
        download(item, tmp_path / "scenes" / "below")
    assert (tmp_path / "scenes").read_text() == "mine"
    assert store(sandbox) == []


def test_a_path_too_long_for_the_file_system(sandbox: Sandbox, tmp_path: Path) -> None:
    """Names that fit one by one may be too long together."""
    item = an_item(sandbox, {"a": b"a"})
    folder = tmp_path.joinpath(*(["x" * 200] * 21))
    with pytest.raises(DownloadError, match=r"File name too long\. Choose a shorter path"):
        download(item, folder)
    assert store(sandbox) == []
