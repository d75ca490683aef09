"""``constellr doctor ITEMS``: what documents, items and files state about values."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from constellr_stac.errors import AssetReadError

from .scenes import Query, scenes
from .terminal import Terminal

if TYPE_CHECKING:
    import pystac

    from constellr_stac.cube.scene import SceneBand
    from constellr_stac.layers.header import Header

__all__ = ["show_statements"]

_FIELDS = ("dtype", "scale", "offset", "nodata", "unit")
_TIFFS = (".tif", ".tiff")


def show_statements(terminal: Terminal, source: str) -> bool:
    """Print what is stated about bands, and which statement is used.

    Args:
        terminal: Prints.
        source: A file of items, ``-`` for standard input, or a GeoTIFF.

    Returns:
        Whether all files can be read and no statement contradicts another.
    """
    is_file = source.lower().endswith(_TIFFS)
    items = [_item_of(source)] if is_file else scenes(source, Query())
    rows, notes = list[tuple[Any, ...]](), list[str]()
    for item in items:
        for name, own in _bands(item).items():
            rows += _statements(item.id, name, own, notes)
    columns = ("field", "used", "documents", "item", "file", "band", "scene")
    if terminal.as_json:
        terminal.json(
            {"statements": [dict(zip(columns, row, strict=True)) for row in rows], "notes": notes}
        )
    else:
        terminal.table(columns, rows)
        for note in notes:
            terminal.line(note)
    return not notes


def _item_of(path: str) -> "pystac.Item":
    """Return an item that states nothing about a file."""
    import pystac

    now = datetime.now(UTC)
    item = pystac.Item(Path(path).stem, None, None, now, {})
    item.add_asset(Path(path).stem, pystac.Asset(path, media_type=pystac.MediaType.COG))
    return item


def _bands(item: "pystac.Item") -> "dict[str, SceneBand]":
    from constellr_stac.cube.native_grids import with_native_grids
    from constellr_stac.cube.scene import scenes_of
    from constellr_stac.layers.resolve import resolve_bands

    planned = scenes_of([item], resolve_bands([item]), local_files=True)
    (scene,) = with_native_grids(planned, None, lenient=True)
    return dict(scene.bands)


def _statements(
    scene: str, name: str, own: "SceneBand", notes: list[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each field; add what contradicts to ``notes``."""
    from constellr_stac.layers.settle import ContradictionError, settle
    from constellr_stac.reading.prefetch import shared_fetcher
    from constellr_stac.reading.raster import header_of
    from constellr_stac.reading.resolver import AssetResolver

    label = f"{name} of {scene}"
    try:
        header = header_of(shared_fetcher(AssetResolver()).header(own.ref))
        file = header.bands[own.band.index - 1]
        settled = settle(own.band, file)
    except IndexError:
        notes.append(f"{label}: the file has no band {own.band.index}")
        return
    except (AssetReadError, ContradictionError) as error:
        notes.append(f"{label}: {error}")
        return
    notes += [f"{label}: {each.text}" for each in settled.contradictions]
    band, base = own.band, own.band.base
    for field in _FIELDS:
        item = getattr(band, field) if field in band.by_item else None
        used = getattr(settled.band, field)
        yield field, used, getattr(base, field, None), item, getattr(file, field), name, scene
    yield "grid", *_grids(own, header, label, notes), name, scene


def _grids(
    own: "SceneBand", header: "Header", label: str, notes: list[str]
) -> tuple[str, None, str | None, str]:
    """Return the grid that is used, and those that documents, item and file state."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    from constellr_stac.reading.file_grid import name_of, same_grid

    grid = GeoBox(header.shape, Affine(*header.transform), header.crs)
    stated = own.grid if own.grid_from == "item" else None
    if stated is not None and not same_grid(stated, grid):
        notes.append(f"{label}: the item states another grid; the file's is used")
    return name_of(grid), None, None if stated is None else name_of(stated), name_of(grid)
