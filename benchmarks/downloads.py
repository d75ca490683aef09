"""Measure downloads: ``python benchmarks/downloads.py``.

One sandbox per case serves all contenders, each in its own process; best of several runs. Every
file is compared with the sandbox's. Compare the ratios; the seconds depend on the machine.

The contenders are :func:`constellr_stac.download` with its defaults (verified, synced to disk, with
manifest and catalog), obstore writing the same files with the same concurrency, from coroutines and
from threads, and the loop of the provider's example: one ``requests.get(stream=True)`` after
another, in chunks of 8 KiB.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import pystac
import requests
from records import begin, compare, in_process, record, rows_of

import constellr_stac
from constellr_stac.sandbox import Sandbox
from constellr_stac.signing.s3_url import ObjectAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore.store import S3Store
    from records import Record

WORKERS = 16
PLACE = {
    "bbox": [-118.3, 33.7, -118.1, 33.9],
    "geometry": {
        "type": "Polygon",
        "coordinates": [
            [[-118.3, 33.7], [-118.1, 33.7], [-118.1, 33.9], [-118.3, 33.9], [-118.3, 33.7]]
        ],
    },
}


@dataclass(frozen=True)
class Case:
    """Scenes of three files, the size of the first two in bytes, and the latency."""

    scenes: int
    size: int
    latency: float

    def __str__(self) -> str:
        files = f"{3 * self.scenes} files, two thirds of them of {self.size / 1e6:g} MB"
        return f"{files}, {1000 * self.latency:.0f} ms"


CASES = [
    Case(100, 100_000, 0.05),
    Case(100, 100_000, 0.0),
    Case(100, 1_000_000, 0.05),
    Case(8, 32_000_000, 0.05),
]


def with_download(items: list[pystac.Item], folder: Path) -> None:
    """Download with this package."""
    constellr_stac.download(items, folder, max_workers=WORKERS, progress=False)


def with_coroutines(items: list[pystac.Item], folder: Path) -> None:
    """Stream each object to its file, from coroutines."""
    targets = addresses_and_paths(items, folder)

    async def fetch_all() -> None:
        free = asyncio.Semaphore(WORKERS)
        store: S3Store | None = None

        async def fetch(address: ObjectAddress, path: Path) -> None:
            nonlocal store
            store = store or _store(address.bucket)
            async with free:
                answer = await obstore.get_async(store, address.key)
                with path.open("wb") as file:
                    async for piece in answer.stream(min_chunk_size=1 << 20):
                        file.write(piece)

        await asyncio.gather(*(fetch(address, path) for address, path in targets))

    asyncio.run(fetch_all())


def with_threads(items: list[pystac.Item], folder: Path) -> None:
    """Stream each object to its file, from threads."""
    targets = list(addresses_and_paths(items, folder))
    store = _store(targets[0][0].bucket)

    def fetch(target: tuple[ObjectAddress, Path]) -> None:
        address, path = target
        with path.open("wb") as file:
            for piece in obstore.get(store, address.key).stream(min_chunk_size=1 << 20):
                file.write(piece)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(fetch, targets))


def with_the_example(items: list[pystac.Item], folder: Path) -> None:
    """Download one file after another, as in the provider's example."""
    for item in constellr_stac.sign(items):
        for asset in item.assets.values():
            with requests.get(asset.href, stream=True, timeout=60) as answer:
                answer.raise_for_status()
                with _path(folder, item, asset).open("wb") as file:
                    for piece in answer.iter_content(chunk_size=8192):
                        file.write(piece)


CONTENDERS: dict[str, Callable[[list[pystac.Item], Path], None]] = {
    "download": with_download,
    "obstore, coroutines": with_coroutines,
    "obstore, threads": with_threads,
    "the provider's example": with_the_example,
}


def main() -> None:
    """Run all cases, or those whose description contains ``--only``."""
    arguments = begin(__doc__, _measure)
    for case in CASES:
        if arguments.only in str(case):
            record(arguments, str(case), rows_of(_run(case, arguments.turns), "download"))


def _run(case: Case, turns: int) -> dict[str, Record]:
    with tempfile.TemporaryDirectory() as folder:
        scenes, items = Path(folder, "scenes"), Path(folder, "items.json")
        _write_scenes(scenes, case)
        with Sandbox(scenes, latency=case.latency) as sandbox:
            items.write_text(json.dumps(sandbox.items))

            def turn(name: str) -> Record:
                sandbox.clear_requests()
                return in_process(name, str(items), environment=sandbox.environment())

            *quick, slow = CONTENDERS
            # the last takes a minute; one run is enough
            return compare(quick, turns, turn) | compare([slow], 1, turn)


def _measure(name: str, items_path: str) -> Record:
    """Download one item first, to exclude imports and connections; then measure."""
    source = Path(items_path)
    items = [pystac.Item.from_dict(item) for item in json.loads(source.read_bytes())]
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        CONTENDERS[name](items[:1], Path(folder, "first"))
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        started = time.perf_counter()
        CONTENDERS[name](items, Path(folder))
        seconds = time.perf_counter() - started
        _compare(Path(folder), source.parent / "scenes")
    return {"seconds": seconds}


def _compare(folder: Path, scenes: Path) -> None:
    """Check that every file is complete."""
    expected = {path.parent.name + path.name: path for path in scenes.rglob("*.*")}
    found = {path.parent.name[-26:] + path.name: path for path in folder.rglob("*/*.*")}
    for name, path in expected.items():
        if found[name].read_bytes() != path.read_bytes():
            raise ValueError(f"{name} differs from the sandbox's file")


def addresses_and_paths(
    items: list[pystac.Item], folder: Path
) -> Iterator[tuple[ObjectAddress, Path]]:
    """Yield each asset's address and the path of its file."""
    for item in items:
        for asset in item.assets.values():
            yield ObjectAddress.of(asset.href), _path(folder, item, asset)


def _path(folder: Path, item: pystac.Item, asset: pystac.Asset) -> Path:
    """Return the path of an asset's file; create its folder."""
    path = folder / item.id / asset.href.partition("?")[0].rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _store(bucket: str) -> S3Store:
    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
        region=os.environ["AWS_REGION"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def _write_scenes(folder: Path, case: Case) -> None:
    """Write scenes of random bytes that begin as a TIFF does."""
    for number in range(case.scenes):
        name = f"LST_BENCH_{20230101 + number % 28}T{number:06d}Z"
        path = folder / name
        path.mkdir(parents=True)
        when = f"2023-01-{1 + number % 28:02d}T00:{number // 60:02d}:{number % 60:02d}Z"
        metadata = {"acquisition_datetime": when, "geometric": PLACE}
        (path / "metadata.json").write_text(json.dumps(metadata))
        for asset in ("lst.tiff", "scl_mask_30m.tiff"):
            (path / asset).write_bytes(b"II*\0" + os.urandom(case.size - 4))


if __name__ == "__main__":
    main()
