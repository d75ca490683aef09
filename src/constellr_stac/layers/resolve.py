"""Resolution of band names such as ``["lst", "cloud_mask", "red"]`` to assets and band numbers.

Nothing here reads a file or changes an item.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .item_bands import asset_bands, asset_gsd, warn_unknown
from .table import layer_of, time_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pystac

    from .band import Band

__all__ = ["AssetBand", "BandSelection", "available_bands", "resolve_bands"]

_LST_METRES = 30.0


class AssetBand(NamedTuple):
    """The asset and band of one item."""

    asset_key: str
    """The key of the asset in this item."""
    band: Band
    """The band, as this item states it."""


@dataclass(frozen=True)
class BandSelection:
    """One variable of a cube: its name, meaning and source in each item."""

    name: str
    """The variable's name."""
    layer: str
    """The layer, or the asset's key if the layer is undocumented."""
    band: Band
    """The band, as the first item that has it states it."""
    gsd: float | None
    """The pixel size in metres, if known."""
    sources: tuple[AssetBand | None, ...]
    """The source in each item, in the order of the items; ``None`` if an item lacks it."""


def resolve_bands(
    items: Iterable[pystac.Item],
    bands: str | Sequence[str] | None = None,
    *,
    resolution: float | None = None,
    stacklevel: int = 2,
) -> dict[str, BandSelection]:
    """Find the requested bands in the items' assets.

    A band can be requested by

    * the asset's key, or the layer's name if the keys differ between items (``lst`` for
      ``lst_20260601T12Z``); a file with several bands gives all of them,
    * a mask's name: ``cloud_mask``, ``castshadow_mask``, ``landwater_mask``,
      ``static_landwater_mask``, ``vnir04_saturated``; and ``blackfill``, ``saturated``,
      ``untested`` for the masks of the requested reflectance bands, else of all,
    * a common name: ``red``, ``nir``,
    * asset and band, if the name is ambiguous: ``scl_mask_10m.cloud_mask``, or the band number:
      ``scl_mask_10m.1``.

    A name that matches one band becomes a variable of that name; if it matches several, each
    keeps its own name. For a mask in several resolutions, the one closest to ``resolution`` is
    used, by default closest to the finest of the values (30 m if there are none). Items may
    lack a band (night scenes have no reflectance) as long as one item has it.

    Args:
        items: The items, of one or several collections.
        bands: Names as above; ``None`` for all data, each mask once.

    Keyword Args:
        resolution: The preferred pixel size of masks in metres.
        stacklevel: As for :func:`warnings.warn`.

    Returns:
        The variables by name, in the requested order.

    Raises:
        ValueError: There are no items, no item has such a band, or several files of an item
            match and their times do not distinguish them.

    Warns:
        UnknownLayerWarning: The encoding of an asset is unknown, so its stored values are read
            unchanged.
    """
    items = list(items)
    if not items:
        msg = "The search found no items, so there are no bands to load."
        raise ValueError(msg)
    channels = _channels(items)
    names = [bands] if isinstance(bands, str) else _all_names(channels) if bands is None else bands
    if not names:
        msg = f"bands= is empty. Available: {', '.join(_names(channels))}."
        raise ValueError(msg)
    found = {name: _find(channels, name) for name in dict.fromkeys(names)}
    metres = resolution or _value_gsd(c for cs in found.values() for c in cs) or _LST_METRES
    selections: dict[str, BandSelection] = {}
    for name, matches in found.items():
        others = [c for other, cs in found.items() if other != name for c in cs]
        groups = _of_requested(others, _alternatives(matches))
        for own_name, group in groups.items():
            selection = _select(name if len(groups) == 1 else own_name, group, items, metres)
            same = selections.get(selection.name)
            if same is not None and same.sources != selection.sources:
                qualified = f"{selection.layer}.{selection.band.name}"
                selection = _select(qualified, group, items, metres)
            selections.setdefault(selection.name, selection)
    warn_unknown(
        items,
        {source.asset_key for each in selections.values() for source in each.sources if source},
        stacklevel=stacklevel,
    )
    return selections


def available_bands(items: Iterable[pystac.Item]) -> tuple[str, ...]:
    """List the band names of these items, sorted.

    Args:
        items: The items.
    """
    return tuple(_names(_channels(items)))


@dataclass
class _Channel:
    """One band of one layer, in all items that have it."""

    layer: str
    band: Band
    gsd: float | None
    bands_in_file: int
    sources: dict[int, list[AssetBand]]

    def names(self) -> Iterator[str]:
        yield self.band.name
        yield from self.band.aliases
        if self.band.common_name:
            yield self.band.common_name
        yield from self.files()

    def files(self) -> Iterator[str]:
        yield self.layer
        yield from {source.asset_key for sources in self.sources.values() for source in sources}


def _channels(items: Iterable[pystac.Item]) -> list[_Channel]:
    channels: dict[tuple[str, str], _Channel] = {}
    for number, item in enumerate(items):
        for key, asset in item.assets.items():
            bands = asset_bands(item, key)
            documented = layer_of(key, asset.href)
            layer = documented.name if documented else key
            for band in bands:
                channel = channels.setdefault(
                    (layer, band.name),
                    _Channel(layer, band, asset_gsd(item, key), len(bands), {}),
                )
                channel.sources.setdefault(number, []).append(AssetBand(key, band))
    return list(channels.values())


def _names(channels: list[_Channel]) -> list[str]:
    return sorted({name for channel in channels for name in channel.names()})


def _all_names(channels: list[_Channel]) -> list[str]:
    if not channels:
        msg = "The items have no data assets, only pictures, metadata or nothing."
        raise ValueError(msg)
    return list(dict.fromkeys(channel.band.name for channel in channels))


def _find(channels: list[_Channel], name: str) -> list[_Channel]:
    """Return the channels that ``name`` matches; files take precedence over bands."""
    if by_file := [channel for channel in channels if name in channel.files()]:
        return [_only(channel, name) for channel in by_file]
    if by_name := [channel for channel in channels if name in channel.names()]:
        # As in odc-stac: a single-band file takes precedence over a multi-band one.
        fewest = min(channel.bands_in_file for channel in by_name)
        return [channel for channel in by_name if channel.bands_in_file == fewest]
    file, _, band = name.rpartition(".")
    for channel in channels:
        if file in channel.files() and band in (channel.band.name, str(channel.band.index)):
            return [_only(channel, file)]
    raise ValueError(_no_such_band(channels, name))


def _only(channel: _Channel, file: str) -> _Channel:
    """Restrict a channel to the asset with this key, unless ``file`` is a layer."""
    if file == channel.layer:
        return channel
    sources = {
        number: chosen
        for number, sources in channel.sources.items()
        if (chosen := [source for source in sources if source.asset_key == file])
    }
    return _Channel(channel.layer, channel.band, channel.gsd, channel.bands_in_file, sources)


def _alternatives(matches: list[_Channel]) -> dict[str, list[_Channel]]:
    """Group the resolutions of each band under its name."""
    groups: dict[str, list[_Channel]] = {}
    for channel in matches:
        groups.setdefault(channel.band.name, []).append(channel)
    return groups


def _of_requested(
    others: list[_Channel], groups: dict[str, list[_Channel]]
) -> dict[str, list[_Channel]]:
    """Of several flags with one name, keep those of the requested bands."""
    if len(groups) == 1:
        return groups
    owners = tuple(f"{other.band.name}_" for other in others)
    return {name: group for name, group in groups.items() if name.startswith(owners)} or groups


def _value_gsd(channels: Iterable[_Channel]) -> float | None:
    """Return the finest pixel size of the values, which masks match; ``None`` without any."""
    return min((c.gsd for c in channels if c.gsd is not None and not c.band.is_mask), default=None)


def _select(
    name: str, group: list[_Channel], items: Sequence[pystac.Item], metres: float
) -> BandSelection:
    """Choose the file with the closest pixel size for each item."""

    def misfit(channel: _Channel) -> tuple[float, float]:
        gsd = channel.gsd or metres
        return abs(math.log(gsd / metres)), gsd

    ranked = sorted(group, key=misfit)
    sources: list[AssetBand | None] = []
    for number, item in enumerate(items):
        fitting = next((c.sources[number] for c in ranked if number in c.sources), None)
        sources.append(None if fitting is None else _matching_time(item, fitting))
    best = ranked[0]
    return BandSelection(name, best.layer, best.band, best.gsd, tuple(sources))


def _matching_time(item: pystac.Item, sources: list[AssetBand]) -> AssetBand:
    """Of several files of one layer, return the one with the item's time in its name."""
    if len(sources) == 1:
        return sources[0]
    when = item.datetime.strftime("%Y%m%dT%H%M%S") if item.datetime else ""
    fitting = [
        source
        for source in sources
        for name in (source.asset_key, item.assets[source.asset_key].href)
        if (time := time_in(name)) is not None and when.startswith(time)
    ]
    if len(set(fitting)) == 1:
        return fitting[0]
    keys = ", ".join(repr(source.asset_key) for source in sources)
    msg = (
        f"Item {item.id!r} has several files of this kind: {keys}. Request one of them by its key."
    )
    raise ValueError(msg)


def _no_such_band(channels: list[_Channel], name: str) -> str:
    names = _names(channels)
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"No item has a band {name!r}.{hint} Available: {', '.join(names) or 'none'}."
