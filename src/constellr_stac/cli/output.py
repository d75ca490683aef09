"""Files and stores that appear under their name when they are whole, and not before."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

__all__ = ["OVERWRITE", "refuse_existing", "replacing"]

OVERWRITE = "--overwrite"
_MARKS_OF_A_STORE = ("zarr.json", ".zgroup", ".zmetadata")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse, before anything is done, to write where something is.

    Args:
        path: Where to write.

    Keyword Args:
        overwrite: Whether a file or a Zarr store may be replaced; a folder of anything else
            may not.

    Raises:
        typer.BadParameter: There is something, or there is no such folder.
    """
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path.parent} is no folder.")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise typer.BadParameter(f"{path} exists already: choose another name, or say {OVERWRITE}.")
    if path.is_dir() and not any((path / mark).exists() for mark in _MARKS_OF_A_STORE):
        raise typer.BadParameter(f"{path} is a folder, and no Zarr store: it is not replaced.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write what is to be ``path``; it takes its place if nothing goes wrong.

    Args:
        path: A file or a folder, which may exist.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        if path.is_dir() and not path.is_symlink():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            part.rename(path)
            shutil.rmtree(old)
        else:
            part.replace(path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
