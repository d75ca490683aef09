"""The grid of an asset: from the item, its metadata document, or a file's header.

The provider's items may lack projection fields. Files of one scene with the same pixel size share
a grid, so one header is enough for all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .header import Header
from .item_bands import asset_gsd, is_data
from .stac_extensions import PROJECTION, declare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pystac

    from .report import Note

__all__ = ["add_grids", "documented_grid", "grid_groups", "item_grid"]


def item_grid(item: pystac.Item, key: str) -> Header | None:
    """Return the grid of an asset as the item states it, or ``None`` if incomplete.

    A grid of the whole item applies to the assets with its pixel size, or to all assets if they
    have the same pixel size.

    Args:
        item: The item.
        key: The asset's key.
    """
    asset = item.assets[key].extra_fields
    crs = _crs(asset) or _crs(item.properties)
    if crs is None:
        return None
    for fields in (asset, item.properties):
        shape, transform = fields.get("proj:shape"), fields.get("proj:transform")
        if shape is None or transform is None:
            continue
        a, b, c, d, e, f = (float(number) for number in transform[:6])
        grid = Header(crs, (int(shape[0]), int(shape[1])), (a, b, c, d, e, f))
        if fields is asset or _fits(item, key, grid):
            return grid
    return None


def documented_grid(document: Mapping[str, Any] | None) -> Header | None:
    """Return the grid of an LSTfusion metadata document, if it states one.

    ``bbox_utm`` is read as the outer pixel edges. A box that is not a whole number of pixels wide
    and high is ignored, and so are other forms.

    Args:
        document: The content of ``metadata_yyyymmddThhZ.json``.
    """
    if document is None:
        return None
    code = re.search(r"(\d{4,6})$", str(document.get("utm_crs") or ""))
    box, resolutions = document.get("bbox_utm"), document.get("resolutions")
    if not (code and box and resolutions):
        return None
    sizes = resolutions if isinstance(resolutions, list) else [resolutions]
    try:
        width, height = float(sizes[0]), float(sizes[-1])
        left, bottom = float(box[0]), float(box[1])
        right, top = float(box[len(box) // 2]), float(box[len(box) // 2 + 1])
        columns, rows = (right - left) / width, (top - bottom) / height
    except (TypeError, ValueError, LookupError, ZeroDivisionError):
        return None
    if not (_is_count(columns) and _is_count(rows)):
        return None
    return Header(
        f"EPSG:{code[1]}", (round(rows), round(columns)), (width, 0.0, left, 0.0, -height, top)
    )


def grid_groups(item: pystac.Item) -> Iterator[tuple[str, ...]]:
    """Yield the keys of the data assets, grouped by grid.

    Args:
        item: The item.
    """
    groups: dict[object, list[str]] = {}
    for key in _data_keys(item):
        gsd = asset_gsd(item, key)
        groups.setdefault(key if gsd is None else gsd, []).append(key)
    yield from map(tuple, groups.values())


def add_grids(
    item: pystac.Item,
    note: Note,
    *,
    document: Mapping[str, Any] | None = None,
    header_of: Callable[[pystac.Item, str], Header | None] | None = None,
) -> bool:
    """Add missing projection fields to an item.

    Shape and transform are written to the assets, the CRS to the item (to an asset if it
    differs), as ``proj:code`` and ``proj:epsg``.

    Args:
        item: The item, changed in place.
        note: Called for each added field.

    Keyword Args:
        document: The item's metadata document.
        header_of: Returns the header of an asset's file; called once per pixel size, if neither
            the item nor the document states the grid.

    Returns:
        Whether the grids of all data assets are known now.
    """
    known = True
    for keys in grid_groups(item):
        missing = []
        for key in keys:
            if (grid := item_grid(item, key)) is None:
                missing.append(key)
            else:
                _write_crs_of(item, key, grid, "item", note)
        if missing:
            known &= _write_grid(item, missing, document, header_of, note)
    for where, fields in _field_sets(item):
        if (crs := _crs(fields)) is not None:
            _write_crs(fields, crs, "item", where, note)
    if any(name.startswith("proj:") for _, fields in _field_sets(item) for name in fields):
        declare(item, PROJECTION)
    return known


def _write_grid(
    item: pystac.Item,
    keys: list[str],
    document: Mapping[str, Any] | None,
    header_of: Callable[[pystac.Item, str], Header | None] | None,
    note: Note,
) -> bool:
    """Write the grid of ``keys`` from the first source that has it; return whether one has."""
    grid, source = documented_grid(document), "metadata"
    if grid is not None and not _has_size(grid, asset_gsd(item, keys[0])):
        grid = None
    if grid is None and header_of is not None:
        grid, source = header_of(item, keys[0]), "header"
    if grid is None:
        return False
    for key in keys:
        _write_crs_of(item, key, grid, source, note)
        fields = item.assets[key].extra_fields
        for name, value in (("proj:shape", grid.shape), ("proj:transform", grid.transform)):
            fields[name] = list(value)
            note(key, name, source)
    return True


def _write_crs_of(item: pystac.Item, key: str, grid: Header, source: str, note: Note) -> None:
    """Write the CRS of an asset to the item, or to the asset if the item's differs."""
    fields = item.assets[key].extra_fields
    if (of_item := _crs(item.properties)) is None:
        _write_crs(item.properties, grid.crs, source, None, note)
    elif of_item != grid.crs and _crs(fields) is None:
        _write_crs(fields, grid.crs, source, key, note)


def _write_crs(
    fields: dict[str, Any], crs: str, source: str, where: str | None, note: Note
) -> None:
    if crs.startswith("EPSG:"):
        names: dict[str, Any] = {"proj:code": crs, "proj:epsg": int(crs[5:])}
    else:
        names = {"proj:wkt2" if "[" in crs else "proj:code": crs}
    for name, value in names.items():
        if fields.get(name) is None:
            fields[name] = value
            note(where, name, source)


def _crs(fields: Mapping[str, Any]) -> str | None:
    if code := fields.get("proj:code"):
        return str(code)
    if epsg := fields.get("proj:epsg"):
        return f"EPSG:{epsg}"
    wkt = fields.get("proj:wkt2")
    return None if wkt is None else str(wkt)


def _fits(item: pystac.Item, key: str, grid: Header) -> bool:
    sizes = {asset_gsd(item, other) for other in _data_keys(item)}
    return len(sizes) == 1 or _has_size(grid, asset_gsd(item, key))


def _has_size(grid: Header, gsd: float | None) -> bool:
    """Return whether a grid has this pixel size; true if the size is unknown."""
    return gsd is None or abs(grid.gsd - gsd) <= gsd * _SIZE_TOLERANCE


def _data_keys(item: pystac.Item) -> list[str]:
    return [key for key in item.assets if is_data(item, key)]


def _field_sets(item: pystac.Item) -> Iterator[tuple[str | None, dict[str, Any]]]:
    yield None, item.properties
    for key, asset in item.assets.items():
        yield key, asset.extra_fields


def _is_count(number: float) -> bool:
    return number >= 1 and abs(number - round(number)) < _COUNT_TOLERANCE


_SIZE_TOLERANCE = 0.1
_COUNT_TOLERANCE = 1e-6
