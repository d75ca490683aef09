"""Shared behaviour of all commands: help, exit codes, streams and start-up cost."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

import constellr_stac
from constellr_stac.cli.app import app
from constellr_stac.cli.errors import FAILED, INTERRUPTED, UNAUTHENTICATED, USAGE
from constellr_stac.cli.flags import Flags
from constellr_stac.sandbox import Fault
from shell import as_seen, constellr, converse, in_shell, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.sandbox import Sandbox

ROOT: Any = typer.main.get_command(app)
LEAVES = {
    "login", "logout", "whoami", "search", "sign", "cube", "zonal", "series",
    "composite", "download", "quicklook", "orders list",
    "orders show", "orders create", "orders update", "orders wait", "orders delete",
    "orders check", "aoi list", "aoi show", "aoi create", "aoi delete", "aoi info", "products",
    "sandbox", "demo", "doctor",
}  # fmt: skip
HEAVY = {"dask", "numpy", "obstore", "pandas", "pystac", "pystac_client", "rasterio", "requests"}
HEAVY |= {"pydantic", "rich", "shapely", "xarray", "yaml"}


def commands(command: Any = ROOT, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command and group, by its name on the command line."""
    yield name, command
    for part, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {part}".strip())


def text_of(command: Any, name: str) -> str:
    """Return a command's help text."""
    context = typer.Context(command, info_name=f"constellr {name}", terminal_width=80)
    return str(command.get_help(context))


def test_command_names() -> None:
    """The commands are the documented ones."""
    assert {name for name, _ in commands()} == LEAVES | {"", "orders", "aoi"}


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=[name or "constellr" for name, _ in commands()]
)
def test_help_examples_parse(name: str, command: Any) -> None:
    """Help fits 80 columns and has at least one example, each of which parses."""
    lines = text_of(command, name).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines[1:] if line.endswith("...")] == []
    start = next(n for n, line in enumerate(lines) if line.strip() in ("Example:", "Examples:"))
    examples = [line.strip() for line in lines[start + 1 :]]
    assert any(example.startswith(f"constellr {name}") for example in examples)
    for example in examples:
        understood(example)


def test_documented_command_lines_parse() -> None:
    """Every command line on a page parses; docs/cli.md names every command and exit code."""
    docs = Path(__file__).parents[2] / "docs"
    for path in docs.rglob("*.md"):
        text = path.read_text().replace("\\\n", "")
        for block in re.findall(r"```sh\n(.*?)```|`(constellr [^`\n]* -[^`\n]*)`", text, re.DOTALL):
            for line in "\n".join(block).splitlines():
                understood(line.strip())
    page = (docs / "cli.md").read_text()
    named = set(re.findall(r"`([a-z ]+)`", page.partition("\n## ")[0]))
    assert {name.split()[0] for name in LEAVES} <= {name.split()[0] for name in named}
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert codes == {0, FAILED, USAGE, UNAUTHENTICATED, INTERRUPTED}


def understood(line: str) -> None:
    """Parse each ``constellr`` of a shell line."""
    for part in line.split("|"):
        words = shlex.split(re.split(r" [<>] ", part)[0])
        if words[:1] == ["constellr"]:
            parse(words[1:])


def parse(words: list[str]) -> None:
    """Parse a command line without running it."""
    command, name = ROOT, "constellr"
    while True:
        with command.make_context(name, list(words), obj=Flags()) as context:
            if not hasattr(command, "commands"):
                return
            rest = [*context._protected_args, *context.args]
            name, command, words = command.resolve_command(context, rest)


def test_version_imports_little() -> None:
    """``--version`` prints the version without heavy imports."""
    run = constellr("--version", PYTHONPROFILEIMPORTTIME="1")
    assert (run.returncode, run.stdout) == (0, f"constellr {constellr_stac.__version__}\n")
    assert HEAVY.isdisjoint(loaded(run.stderr))


def test_help_imports_little() -> None:
    """``--help`` names the commands without heavy imports."""
    run = constellr("--help", PYTHONPROFILEIMPORTTIME="1")
    assert run.returncode == 0
    assert {name.split()[0] for name in LEAVES} <= set(run.stdout.split())
    assert HEAVY.isdisjoint(loaded(run.stderr))


def loaded(profile: str) -> set[str]:
    """Return the top-level packages in the output of PYTHONPROFILEIMPORTTIME."""
    names = {line.rpartition("|")[2].strip() for line in profile.splitlines()}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["serach"], "No such command 'serach'"),
        (["search", "--collektion", "x"], "--collektion"),
        (["orders", "show"], "ID"),
        (["search", "--bbox", "1,2,3"], "'1,2,3' is not west,south,east,north"),
        (["search", "--datetime", "yesterday"], "yesterday"),
        (["sign", "items.json"], "items.json: No such file or directory"),
        (["sign", "s3://bucket/key", ""], "An href is empty"),
        (["aoi", "info", "field.kml"], "field.kml: No such file or directory"),
        (["orders", "--json"], "A command is missing"),
        (["sandbox", "--latency", "5x"], "'5x' is not a duration"),
        (["download", "-c", "x", "-o", "y", "--layout", "nested"], "'nested' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(sandbox: Sandbox, arguments: list[str], fragment: str) -> None:
    """Exit code 2, nothing on stdout, two lines on stderr: the problem and a hint."""
    run = constellr(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    error, hint = run.stderr.splitlines()
    assert fragment in error
    assert re.fullmatch(r"Try 'constellr.* --help'\.", hint)


@pytest.mark.parametrize(
    ("url", "fragment"), [("http://example.com", "Use https://"), ("ftp://x", "must start with")]
)
def test_insecure_api_url_is_refused(url: str, fragment: str) -> None:
    """An API that must not receive credentials is refused before any request."""
    run = constellr("products", CONSTELLR_API_URL=url, CONSTELLR_API_KEY="k")
    assert (run.returncode, run.stdout) == (2, "")
    assert fragment in run.stderr


def test_json_flag_works_at_any_position(sandbox: Sandbox) -> None:
    """``--json`` before, between and after the commands gives the same output."""
    for line in ("--json orders list", "orders --json list", "orders list --json"):
        run = constellr(*line.split())
        assert (run.returncode, run.stderr) == (0, "")
        assert json.loads(run.stdout) == []


def test_failure_is_one_line_by_default(sandbox: Sandbox) -> None:
    """Traceback and log only on request, and never with a secret."""
    wrong = {"CONSTELLR_PASSWORD": "wrong-42"}
    short = constellr("products", **wrong)
    assert (short.returncode, short.stdout) == (3, "")
    assert len(short.stderr.splitlines()) == 1
    for flag, sign in (("--traceback", "Traceback"), ("-vv", "POST /token")):
        more = constellr("products", flag, **wrong)
        assert more.returncode == 3
        assert sign in more.stderr
        assert "wrong-42" not in more.stderr


def test_log_contains_no_secret(sandbox: Sandbox) -> None:
    """``-vv`` logs requests and libraries without tokens, passwords and signatures."""
    run = constellr("doctor", "-vv")
    assert run.returncode == 0
    assert '"POST /token' in run.stderr
    assert '"GET /constellr-sandbox/LA%20harbor%2Bport/' in run.stderr  # a signed URL
    hidden = ["X-Amz-", "eyJ", sandbox.password, sandbox.aws["secret_access_key"]]
    assert [secret for secret in hidden if secret in run.stderr + run.stdout] == []


@pytest.mark.fails
def test_unreachable_api(sandbox: Sandbox) -> None:
    """An API that does not answer is a failure with a one-line message."""
    url = sandbox.api_url
    sandbox.stop()
    run = constellr("orders", "show", "x", CONSTELLR_API_URL=url)
    assert (run.returncode, run.stdout) == (1, "")
    assert "was not answered (Connection refused)." in run.stderr
    assert len(run.stderr.splitlines()) <= 3
    assert "Traceback" not in run.stderr


def test_control_characters_of_a_server_are_escaped(sandbox: Sandbox) -> None:
    """An error message is one printable line."""
    words = json.dumps({"detail": "no\x1b[2J\x07\ragain"}).encode()
    sandbox.fail(Fault("/products", status=400, body=words))
    run = constellr("products")
    assert (run.returncode, run.stdout) == (1, "")
    assert r": no\x1b[2J\x07 again." in run.stderr
    assert run.stderr.removesuffix("\n").isprintable()


def test_install_completion(tmp_path: Path) -> None:
    """``--install-completion`` succeeds, and bash completes commands and options."""
    home = {"HOME": str(tmp_path)}
    run = constellr("--install-completion", "bash", **home)
    assert (run.returncode, run.stderr) == (0, "")
    asked = """
        . ~/.bashrc
        COMP_WORDS=(constellr orders cre); COMP_CWORD=2; _constellr_completion constellr
        echo ${COMPREPLY[@]}
    """
    found = subprocess.run(
        ["/bin/bash", "--norc", "-c", asked],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **home},
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout == "create\n"


def test_interrupted_prompt(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D or Ctrl-C at a prompt exits with 130, reported on its own line."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.FileKeyring")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("CONSTELLR_USERNAME")
    code, screen = converse(["login"], [("User name: ", "\x04")])
    assert code == 130
    assert "Interrupted." in as_seen(screen)
    assert screen.count("\n") == 3  # one is typed by this test


def test_interrupted(sandbox: Sandbox) -> None:
    """Ctrl-C ends a running command with 130 and one word."""
    arguments = ["orders", "wait", order_in(sandbox), "--interval", "1h"]
    with started(*arguments) as (process, _, errors):
        assert "is initial_state" in errors.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert errors.read() == "Interrupted.\n"


def test_interrupted_during_imports(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during imports prints no traceback either."""
    arguments = ["orders", "wait", order_in(sandbox), "--interval", "1h"]
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with started(*arguments) as (process, _, errors):
        while " typer." not in errors.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        stderr = errors.read()
    assert stderr.endswith("Interrupted.\n")
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [("products >&-", 0), ("products --json <&- >&- 2>&-", 0), ("serach 2>&-", 2)],
)
def test_closed_streams(sandbox: Sandbox, line: str, code: int) -> None:
    """Closed standard streams are no error."""
    run = in_shell(line)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", "")


def test_full_disk_behind_stdout(sandbox: Sandbox) -> None:
    """Results that cannot be written are a one-line failure; errors keep their exit code."""
    run = in_shell("products > /dev/full")
    assert (run.returncode, run.stderr) == (1, "Error: No space left on device.\n")
    assert in_shell("serach 2> /dev/full").returncode == 2


def test_closed_pipe_is_silent(sandbox: Sandbox) -> None:
    """`constellr ... | head` exits silently when the reader closes the pipe."""
    with started("search", "--json") as (_, output, errors):
        output.close()
        assert errors.read() == ""


def test_output_in_a_pipe_is_plain(sandbox: Sandbox) -> None:
    """Without a terminal there are no colours, frames or wrapped lines."""
    run = constellr("search", "-v", "--max-items", "3")
    heading, *rows = run.stdout.splitlines()
    assert heading.split() == ["id", "time", "(UTC)", "collection", "assets"]
    assert len(rows) == 3
    assert "\x1b" not in run.stdout
    assert all(row == row.rstrip() and "lst, metadata, scl_mask_30m" in row for row in rows)


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_table_fits_80_columns(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, no_colour: str
) -> None:
    """A table fits the terminal with whole ids; NO_COLOR disables colours."""
    monkeypatch.setenv("NO_COLOR", no_colour)
    code, screen = converse(["search", "--max-items", "2"])
    lines = as_seen(screen)
    assert code == 0
    assert max(map(len, lines)) <= 80
    assert sum("LSTPRECISION_ECO01_9Q5B8K2T_2023" in line for line in lines) == 2
    coloured = re.search(r"\x1b\[(?:\d+;)*(3[0-7]|9[0-7])m", screen)
    assert not (no_colour and coloured)


def test_messages_wrap_between_words(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages wrap between words in a terminal, and not at all in a pipe."""
    monkeypatch.setenv("CONSTELLR_PASSWORD", "wrong-42")
    code, screen = converse(["products"], columns=40)
    assert code == 3
    lines = as_seen(screen)
    piped = constellr("products").stderr.split()
    assert " ".join(lines).split() == piped
    longest = max(map(len, piped))  # the URL
    assert longest <= max(map(len, lines)) <= 40


def order_in(sandbox: Sandbox) -> str:
    """Place an order and return its id."""
    from datetime import UTC, datetime, timedelta

    from constellr_stac.orders import OrdersClient

    corners = [[8.0, 49.0], [8.1, 49.0], [8.1, 49.1], [8.0, 49.0]]
    begins = datetime.now(UTC) + timedelta(days=20)
    with OrdersClient() as client:
        area = client.create_aoi("field", {"type": "Polygon", "coordinates": [corners]})
        fields = {
            "area_of_interest_id": area.id,
            "product_name": "LSTprecision",
            "frequency": "max_frequency",
            "start_date": begins,
            "end_date": begins + timedelta(days=30),
        }
        [order] = client.create(fields)
    return str(order.id)
