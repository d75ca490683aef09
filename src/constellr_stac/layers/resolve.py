"""Bands by meaning: ``["lst", "cloud_mask", "red"]`` becomes files and band numbers.

Nothing is read and no item is changed here; what comes out says, for every item, which asset
and which of its bands to read, and what its numbers mean.
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

__all__ = ["BandSelection", "BandSource", "available_bands", "resolve_bands"]

_LST_METRES = 30.0


class BandSource(NamedTuple):
    """Where one item keeps a band."""

    asset_key: str
    """The key of the asset in this item."""
    band: Band
    """The band, with its number in the file, as this item states it."""


@dataclass(frozen=True)
class BandSelection:
    """One variable of a cube: what it is called, what it means and where each item keeps it."""

    name: str
    """The variable's name."""
    layer: str
    """The layer it comes from, or the asset's key where the documents know no such layer."""
    band: Band
    """What it means, as the first item that has it states it."""
    gsd: float | None
    """The pixel size in metres, where it is known."""
    sources: tuple[BandSource | None, ...]
    """Where each item keeps it, in the order of the items; ``None`` where an item lacks it."""


def resolve_bands(
    items: Iterable[pystac.Item],
    bands: str | Sequence[str] | None = None,
    *,
    resolution: float | None = None,
    stacklevel: int = 2,
) -> dict[str, BandSelection]:
    """Find what is asked for in the items' assets.

    A band can be asked for by

    * the asset's key, or the layer's name where each item has a key of its own (``lst`` for
      ``lst_20260601T12Z``); a file of several bands gives all of them,
    * a mask's name: ``cloud_mask``, ``castshadow_mask``, ``landwater_mask``,
      ``static_landwater_mask``, ``vnir04_saturated``; and ``blackfill``, ``saturated``,
      ``untested`` for those of the reflectance bands also asked for, else of all,
    * a common name: ``red``, ``nir``,
    * asset and band, where a name alone is not enough: ``scl_mask_10m.cloud_mask``, or its
      number: ``scl_mask_10m.1``.

    A name that fits one band gives a variable of that name; one that fits several gives each
    under its own name. Where a mask comes in several resolutions, each item gives the one
    nearest to the resolution asked for, or to the finest of the other bands (30 m if there
    are none). Items may lack a band (night scenes have no reflectance) as long as one has it.

    Args:
        items: The items, of one or of several collections.
        bands: Names as above; ``None`` for all data, masks included once.

    Keyword Args:
        resolution: The pixel size in metres that masks are to fit.
        stacklevel: Which caller a warning is shown at, as :func:`warnings.warn` has it.

    Returns:
        The variables by name, in the order asked for.

    Raises:
        ValueError: There are no items, no item has such a band, or an item has several files
            that fit and their times do not tell which.

    Warns:
        UnknownLayerWarning: An asset that nobody describes is going to be read as it is.
    """
    items = list(items)
    if not items:
        msg = "The search found no items: there is nothing to take bands from."
        raise ValueError(msg)
    channels = _channels(items)
    names = [bands] if isinstance(bands, str) else _everything(channels) if bands is None else bands
    if not names:
        msg = f"No bands were asked for. There are: {', '.join(_names(channels))}."
        raise ValueError(msg)
    found = {name: _find(channels, name) for name in dict.fromkeys(names)}
    metres = resolution or _finest(channel for matches in found.values() for channel in matches)
    selections: dict[str, BandSelection] = {}
    for name, matches in found.items():
        others = [c for other, cs in found.items() if other != name for c in cs]
        groups = _beside(others, _alternatives(matches))
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
    """List the names under which bands of these items can be asked for, sorted.

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
    sources: dict[int, list[BandSource]]

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
                channel.sources.setdefault(number, []).append(BandSource(key, band))
    return list(channels.values())


def _names(channels: list[_Channel]) -> list[str]:
    return sorted({name for channel in channels for name in channel.names()})


def _everything(channels: list[_Channel]) -> list[str]:
    if not channels:
        msg = "The items have no asset that holds data: only pictures, metadata or nothing."
        raise ValueError(msg)
    return list(dict.fromkeys(channel.band.name for channel in channels))


def _find(channels: list[_Channel], name: str) -> list[_Channel]:
    """Return the channels that ``name`` means: a file's before a band's."""
    if by_file := [channel for channel in channels if name in channel.files()]:
        return [_only(channel, name) for channel in by_file]
    if by_name := [channel for channel in channels if name in channel.names()]:
        # As in odc-stac: a file of this band comes before a picture that contains it.
        fewest = min(channel.bands_in_file for channel in by_name)
        return [channel for channel in by_name if channel.bands_in_file == fewest]
    file, _, band = name.rpartition(".")
    for channel in channels:
        if file in channel.files() and band in (channel.band.name, str(channel.band.index)):
            return [_only(channel, file)]
    raise ValueError(_no_such_band(channels, name))


def _only(channel: _Channel, file: str) -> _Channel:
    """Restrict a channel to the asset of this key, if ``file`` is a key and not a layer."""
    if file == channel.layer:
        return channel
    sources = {
        number: chosen
        for number, sources in channel.sources.items()
        if (chosen := [source for source in sources if source.asset_key == file])
    }
    return _Channel(channel.layer, channel.band, channel.gsd, channel.bands_in_file, sources)


def _alternatives(matches: list[_Channel]) -> dict[str, list[_Channel]]:
    """Group what is the same thing in several resolutions, under its name."""
    groups: dict[str, list[_Channel]] = {}
    for channel in matches:
        groups.setdefault(channel.band.name, []).append(channel)
    return groups


def _beside(others: list[_Channel], groups: dict[str, list[_Channel]]) -> dict[str, list[_Channel]]:
    """Of several flags of one name, keep those of the bands that are also asked for."""
    if len(groups) == 1:
        return groups
    owners = tuple(f"{other.band.name}_" for other in others)
    return {name: group for name, group in groups.items() if name.startswith(owners)} or groups


def _finest(channels: Iterable[_Channel]) -> float:
    """Return the finest pixel size of the channels that come in one resolution only."""
    return min(
        (c.gsd for c in channels if c.gsd is not None and not c.band.is_mask), default=_LST_METRES
    )


def _select(
    name: str, group: list[_Channel], items: Sequence[pystac.Item], metres: float
) -> BandSelection:
    """Choose, item by item, the file whose pixels fit best."""

    def misfit(channel: _Channel) -> tuple[float, float]:
        gsd = channel.gsd or metres
        return abs(math.log(gsd / metres)), gsd

    ranked = sorted(group, key=misfit)
    sources: list[BandSource | None] = []
    for number, item in enumerate(items):
        fitting = next((c.sources[number] for c in ranked if number in c.sources), None)
        sources.append(None if fitting is None else _of_its_time(item, fitting))
    best = ranked[0]
    return BandSelection(name, best.layer, best.band, best.gsd, tuple(sources))


def _of_its_time(item: pystac.Item, sources: list[BandSource]) -> BandSource:
    """Of several files of one layer, return the one whose name bears the item's time."""
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
        f"Item {item.id!r} has several files of this kind: {keys}. Ask for one of them by its key."
    )
    raise ValueError(msg)


def _no_such_band(channels: list[_Channel], name: str) -> str:
    names = _names(channels)
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"No item has a band {name!r}.{hint} There are: {', '.join(names) or 'none'}."
