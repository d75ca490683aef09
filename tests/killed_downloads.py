"""Kill a download at random points, repeatedly, and check that it resumes.

``python killed_downloads.py FOLDER SEED KILLS < items.json``; items have ``file:checksum``. After
each kill every file with its final name is complete; in the end all files exist. Prints counts.

A download is killed after a random time, or at its n-th audit event of a file or socket. Runs are
forked, so that imports are not repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import pystac

from constellr_stac.downloads import download

FILE_EVENTS = ("open", "os.", "socket.")
FINISHED, FAILED = 0, 1


def fork(folder: Path, items: list[pystac.Item], *, die_at_event: int = 0) -> int:
    """Start a download in a forked process and return its id."""
    process = os.fork()
    if process:
        return process
    events = 0

    def count(event: str, _: object) -> None:
        nonlocal events
        if event.startswith(FILE_EVENTS):
            events += 1
            if events == die_at_event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    status = FAILED
    try:
        download(items, folder, layout="flat", max_workers=3, progress=False)
        (folder.parent / "events").write_text(str(events))
        status = FINISHED
    except BaseException:  # noqa: BLE001 - it is a process's end
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_for_exit(process: int) -> int:
    """Wait for a process; return its exit status, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def check_names(folder: Path, digests: dict[str, str], *, complete: bool) -> None:
    """Check every file with its final name."""
    complete_names = {path.name for path in folder.glob("*")} & digests.keys()
    for name in complete_names:
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert found == digests[name], f"{name} is not whole"
    if not complete:
        return
    assert complete_names == digests.keys()
    assert not list(folder.glob("*.part"))
    records = json.loads((folder / "manifest.json").read_bytes())["files"]
    assert {name: record["checksum"][4:] for name, record in records.items()} == digests
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    assets = [asset for item in catalog.get_items(recursive=True) for asset in item.assets.values()]
    assert sorted(Path(asset.href).name for asset in assets) == sorted(digests)


def main(base: Path, seed: int, kills: int) -> None:
    """Kill downloads until the number is reached, then complete one."""
    items = json.load(sys.stdin)
    digests = {
        f"{item['id']}_{asset['href'].partition('?')[0].rpartition('/')[2]}": asset[
            "file:checksum"
        ][4:]
        for item in items
        for asset in item["assets"].values()
    }
    rng = random.Random(seed)  # noqa: S311 - it is to be repeatable
    folder, killed, finished = base / "0", 0, 0
    steps = seconds = 0.0
    while killed < kills:
        started = time.monotonic()
        if not finished:
            process = fork(folder, items)
        elif rng.random() < 0.5:
            process = fork(folder, items, die_at_event=rng.randint(1, round(steps)))
        else:
            process = fork(folder, items)
            time.sleep(rng.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
        status = wait_for_exit(process)
        check_names(folder, digests, complete=status == FINISHED)
        if status == FINISHED:
            finished += 1
            steps = max(steps, int((base / "events").read_text()))
            lasted = time.monotonic() - started
            seconds = min(seconds or lasted, lasted)
            shutil.rmtree(folder)
            folder = base / str(finished)
        else:
            assert status == -signal.SIGKILL, f"a run ended with {status}"
            killed += 1
    assert wait_for_exit(fork(folder, items)) == FINISHED
    check_names(folder, digests, complete=True)
    print(json.dumps({"killed": killed, "finished": finished + 1, "steps": steps}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
