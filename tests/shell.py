"""Run ``constellr`` as a process, in a pipe or at a terminal."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
import runpy
import selectors
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROGRAM = str(Path(sys.executable).with_name("constellr"))

_TIMEOUT = 600.0
_ROWS = 40
_FORKS = multiprocessing.get_context("forkserver")
_LIBRARIES = [
    *("distributed", "geopandas", "matplotlib.figure", "odc.stac", "pystac_client", "pytest"),
    *("stackstac", "typer"),
]


def preload_libraries() -> None:
    """Have forked processes start with the libraries; to be called before the first of them."""
    _FORKS.set_forkserver_preload(_LIBRARIES)


preload_libraries()


def constellr(
    *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line without a terminal and return the completed process.

    It is forked from a process that has imported the libraries: importing them takes longer than
    most commands. With a variable that Python reads as it starts, the installed program is started.
    """
    variables = {**_environment(), **environment}
    if any(name.startswith("PYTHON") for name in environment):
        return subprocess.run(
            [PROGRAM, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            env=variables,
            text=True,
            timeout=_TIMEOUT,
        )
    run = forked(_main, arguments, variables, stdin=stdin)
    return subprocess.CompletedProcess(
        [PROGRAM, *arguments], run.returncode, run.stdout, run.stderr
    )


def forked(
    target: Callable[[Any], object], argument: Any, variables: dict[str, str], *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Call a function in a process that has imported the libraries, and return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin)
        arguments = (target, argument, variables, Path.cwd(), streams)
        process = _FORKS.Process(target=_with_files, args=arguments)
        process.start()
        process.join(_TIMEOUT)
        code = process.exitcode
        process.kill()
        assert code is not None, f"{argument} ran for {_TIMEOUT} s"
        out, err = (stream.read_text() for stream in streams[1:])
    return subprocess.CompletedProcess([str(argument)], code, out, err)


def program(path: str) -> None:
    """Be ``python path``."""
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")


def _with_files(
    target: Callable[[Any], object],
    argument: Any,
    variables: dict[str, str],
    folder: Path,
    streams: Sequence[Path],
) -> None:
    """Call a function with files as its streams."""
    modes = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    opened = [os.open(stream, mode) for stream, mode in zip(streams, modes, strict=True)]
    _prepare(variables, folder, opened)
    target(argument)


def _at_terminal(
    arguments: Sequence[str], variables: dict[str, str], folder: Path, keyboard: Connection
) -> None:
    """Be the installed program at a terminal."""
    os.setsid()
    _prepare(variables, folder, [keyboard.fileno()] * 3)
    _main(arguments)


def _prepare(variables: dict[str, str], folder: Path, streams: Sequence[int]) -> None:
    """Replace the environment, the current folder and the streams."""
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace")  # noqa: SIM115


def _main(arguments: Sequence[str]) -> None:
    """Be the installed program."""
    sys.argv = [PROGRAM, *arguments]
    from constellr_stac.cli import main

    main()


def in_shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run ``constellr`` followed by ``line`` in a shell."""
    return subprocess.run(
        ["/bin/sh", "-c", f"'{PROGRAM}' {line}"],
        capture_output=True,
        check=False,
        env=_environment(),
        text=True,
        timeout=_TIMEOUT,
    )


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """Start the command line without a terminal; yield the process, its stdout and its stderr.

    The process is killed at the end of the context if necessary.
    """
    with subprocess.Popen(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process, process.stdout, process.stderr
        finally:
            process.kill()


def converse(
    arguments: Sequence[str], replies: Sequence[tuple[str, str]] = (), *, columns: int = 80
) -> tuple[int, str]:
    """Run the command line at a terminal; return the exit code and the screen's text.

    Args:
        arguments: The command's arguments.
        replies: Pairs of text to wait for and the reply to type. Replies typed before the end of a
            password prompt are discarded.

    Keyword Args:
        columns: Width of the terminal.
    """
    screen, keyboard = os.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    terminal = Connection(keyboard)  # sent to the process, since it is pickled
    variables = {**_environment(), "TERM": "xterm"}
    process = _FORKS.Process(target=_at_terminal, args=(arguments, variables, Path.cwd(), terminal))
    process.start()
    terminal.close()
    seen = b""
    waiting = list(replies)
    try:
        while part := _read(screen, seen):
            seen += part
            if waiting and waiting[0][0].encode() in seen:
                os.write(screen, f"{waiting.pop(0)[1]}\n".encode())
        process.join(_TIMEOUT)
    finally:
        code = process.exitcode
        process.kill()
        os.close(screen)
    text = seen.decode().replace("\r\n", "\n")
    assert not waiting, f"{waiting[0][0]!r} did not appear:\n{text}"
    assert code is not None, f"{arguments} ran for {_TIMEOUT} s"
    return code, text


def as_seen(screen: str) -> list[str]:
    """Return the final lines of a screen, without control sequences."""
    drawn = (line.rstrip("\r").rpartition("\r")[2] for line in screen.split("\n"))
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in drawn]


def _environment() -> dict[str, str]:
    """Return the environment without variables that affect the streams."""
    excluded = (
        "COLUMNS", "FORCE_COLOR", "LINES", "PYTHONUNBUFFERED", "TTY_COMPATIBLE", "TTY_INTERACTIVE"
    )  # fmt: skip
    return {name: value for name, value in os.environ.items() if name not in excluded}


def _read(screen: int, seen: bytes) -> bytes:
    """Return the next output; empty at the end, which Linux reports as an error."""
    deadline = time.monotonic() + _TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(screen, selectors.EVENT_READ)
        if not selector.select(deadline - time.monotonic()):
            raise TimeoutError(f"Nothing more appeared after:\n{seen.decode()}")
    try:
        return os.read(screen, 4096)
    except OSError:
        return b""
