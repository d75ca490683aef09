"""The plan of a cube, made before any pixel is read: scenes, variables, grid, steps, chunks.

:func:`constellr_stac.load` builds it, and :func:`constellr_stac.explain` estimates its cost.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack, get_args

import numpy as np
from odc.loader import resolve_chunk_shape

from constellr_stac.layers.resolve import resolve_bands
from constellr_stac.layers.settle import ContradictionError, check_convertible
from constellr_stac.layers.units import conversion
from constellr_stac.reading.dilation import reach_of
from constellr_stac.reading.masks import Buffer
from constellr_stac.reading.prefetch import Fetcher, shared_fetcher
from constellr_stac.reading.raster import fill_of, output_dtype
from constellr_stac.reading.resample import METHODS
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.stac.items import sorted_items

from .arguments import Bands, Engine, Errors, Units
from .chunks import auto_chunks
from .grid import cube_grid, needs_native_grids
from .mask import CLASSES, classes_of, split_classes, split_numbers
from .native_grids import with_native_grids
from .pixel_size import pixel_size
from .raw import with_file_encodings, with_fill
from .scene import Scene, scenes_of, with_documents
from .steps import time_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from odc.geo.geobox import GeoBox

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.band import Band
    from constellr_stac.layers.resolve import BandSelection
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

    from .arguments import Chunks, GridArguments, GroupBy, Mask, Overlap, Resampling

_METRES_PER_DEGREE = 111_320

__all__ = ["Plan", "Variable", "make_plan", "with_mask_bands"]


@dataclass(frozen=True)
class Variable:
    """One variable of a cube."""

    name: str
    band: Band
    """The band, as the first scene that has it states it."""
    resampling: str
    """The resampling method for files not aligned with the cube's grid."""
    dtype: np.dtype[Any]
    """The dtype of the variable in the cube."""
    fill: float
    """The value where there is no data."""


@dataclass(frozen=True)
class Plan:
    """The plan of a cube."""

    steps: tuple[tuple[Scene, ...], ...]
    """The time steps, in order, and the scenes of each: the first valid pixel is used."""
    variables: Mapping[str, Variable]
    geobox: GeoBox
    """The grid."""
    chunks: Mapping[str, Any]
    """Chunk sizes along time, y and x."""
    fetcher: Fetcher
    engine: Engine
    classes: tuple[str, ...]
    """The classes to mask out."""
    mask_buffer: float
    """Metres around pixels of these classes that are masked out too."""
    units: Units
    errors: Errors
    raw: bool

    @property
    def scenes(self) -> Iterator[Scene]:
        """All scenes, ordered by step."""
        return (scene for step in self.steps for scene in step)

    @functools.cached_property
    def masks(self) -> Mapping[str, tuple[tuple[int, ...], Buffer | None]]:
        """Of each mask that is applied, the classes that are kept and the buffer."""
        metres, masks = self.mask_buffer, {}
        pixel = pixel_size(self.geobox) if metres else (1.0, 1.0)
        reach = reach_of(metres, pixel)
        for name in dict.fromkeys(CLASSES[each] for each in self.classes):
            for scene in self.scenes:
                if own := scene.bands.get(name):
                    where = f"scene {scene.item.id!r}"
                    split_classes(name, own.band.flag_meanings, self.classes, where)
            kept, masked = split_numbers(name, self.variables[name].band, self.classes)
            masks[name] = kept, Buffer(masked, metres, pixel, reach) if metres else None
        return masks

    @property
    def times(self) -> list[np.datetime64]:
        """The time of each step: that of its first scene, UTC."""
        return [min(scene.time64 for scene in step) for step in self.steps]

    @property
    def token(self) -> str:
        """A name of the cube, equal for equal searches."""
        digest = hashlib.sha256(repr(self.geobox).encode())
        for scene in self.scenes:
            for band in scene.bands.values():
                digest.update(str(band.ref).encode())
        return digest.hexdigest()[:16]


def make_plan(
    items: Items,
    bands: Bands = None,
    *,
    engine: Engine = "odc",
    chunks: Chunks = "auto",
    mask: Mask = None,
    mask_buffer: float = 0.0,
    units: Units = "K",
    raw: bool = False,
    groupby: GroupBy = "time",
    overlap: Overlap = "first",
    resampling: Resampling = None,
    errors: Errors = "raise",
    with_metadata: bool = False,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
    local_files: bool = False,
    **grid: Unpack[GridArguments],
) -> Plan:
    """Plan a cube; parameters and errors are those of :func:`load`."""
    units = "degC" if units in ("C", "celsius") else units
    _check_choices(engine, units, errors, raw=raw)
    classes = classes_of(mask)
    if mask_buffer and not classes:
        raise ValueError("mask_buffer= needs mask=, such as mask='clear'.")
    found = sorted_items(items)
    selections = resolve_bands(
        found,
        with_mask_bands(bands, classes),
        resolution=_metres(grid.get("resolution")),
        stacklevel=4,
    )
    if missing := {CLASSES[name] for name in classes} - selections.keys():
        selections |= resolve_bands(found, sorted(missing))  # refuses what no item has
    fetcher = shared_fetcher(AssetResolver(auth, signer, limits))
    for item in found:
        fetcher.resolver.remember(item)
    scenes = scenes_of(found, selections, local_files=local_files)
    refs = (band.ref for scene in scenes for band in scene.bands.values())
    fetcher.resolver.check_credentials(refs)
    if raw:
        scenes = with_file_encodings(scenes, fetcher, lenient=errors == "nan")
    variables = _variables(scenes, selections, resampling, raw=raw)
    if errors == "raise":
        _check_convertible(scenes, variables)
    scenes = with_native_grids(
        scenes, fetcher if needs_native_grids(**grid) else None, lenient=errors == "nan"
    )
    if with_metadata:
        scenes = with_documents(scenes, fetcher, local_files=local_files, lenient=errors == "nan")
    geobox = cube_grid(scenes, **grid)
    steps = time_steps(scenes, groupby, overlap, geobox)
    itemsize = max(variable.dtype.itemsize for variable in variables.values())
    return Plan(
        steps=steps,
        variables=variables,
        geobox=geobox,
        chunks=_chunks(chunks, len(steps), geobox, itemsize),
        fetcher=fetcher,
        engine=engine,
        classes=classes,
        mask_buffer=mask_buffer,
        units=units,
        errors=errors,
        raw=raw,
    )


def with_mask_bands(bands: Bands, classes: Sequence[str]) -> Bands:
    """Return ``bands`` and the masks of these classes."""
    if bands is None or not classes:
        return bands
    asked = [bands] if isinstance(bands, str) else list(bands)
    return list(dict.fromkeys([*asked, *(CLASSES[name] for name in classes)]))


def _check_choices(engine: str, units: str, errors: str, *, raw: bool) -> None:
    for name, value, choices in (
        ("engine", engine, get_args(Engine)),
        ("units", units, get_args(Units)),
        ("errors", errors, get_args(Errors)),
    ):
        if value not in choices:
            either = " or ".join(f'"{choice}"' for choice in choices)
            raise ValueError(f"{name}= must be {either}, not {value!r}.")
    if raw and units != "K":
        msg = "raw=True returns stored values, which have no unit; omit units=."
        raise ValueError(msg)


def _variables(
    scenes: Sequence[Scene],
    selections: Mapping[str, BandSelection],
    asked: Resampling,
    *,
    raw: bool,
) -> dict[str, Variable]:
    named = asked if isinstance(asked, Mapping) else {} if asked is None else {"*": asked}
    if unknown := named.keys() - selections.keys() - {"*"}:
        raise ValueError(
            f"resampling= has {', '.join(map(repr, sorted(unknown)))}, which is not loaded; "
            f"use {', '.join(selections)}, and '*' for the others."
        )
    for method in named.values():
        if method not in METHODS:
            raise ValueError(f"Unknown resampling {method!r}; use one of {', '.join(METHODS)}.")
    return {
        name: Variable(
            name,
            band := _target(name, selection.band, scenes, raw=raw),
            "nearest" if band.is_mask else named.get(name, named.get("*", band.resampling)),
            np.dtype(output_dtype(band, raw=raw)),
            fill_of(band, raw=raw),
        )
        for name, selection in selections.items()
    }


def _target(name: str, band: Band, scenes: Sequence[Scene], *, raw: bool) -> Band:
    """Return the band of a variable: temperatures are in kelvin, stored values as in the files."""
    if raw:
        scene = next((scene for scene in scenes if name in scene.bands), None)
        return band if scene is None else with_fill(scene.bands[name].band, scene)
    documented = band.base.unit if band.base is not None else None
    if documented is not None and conversion(band.unit, documented) is not None:
        return replace(band, unit=documented)
    return band


def _check_convertible(scenes: Sequence[Scene], variables: Mapping[str, Variable]) -> None:
    """Refuse scenes whose unit or classes cannot be converted to those of the cube."""
    first: dict[str, Scene] = {}
    for scene in scenes:
        for name, own in scene.bands.items():
            target, other = variables[name].band, first.setdefault(name, scene)
            if not (own.band.is_mask or target.is_mask or "unit" in own.band.by_item):
                continue  # its file may state another unit; checked when it is read
            try:
                check_convertible(own.band, target)
            except ContradictionError as error:
                raise ValueError(
                    f"{name!r} of scene {scene.item.id!r} does not go with that of "
                    f"{other.item.id!r}: {error}. Load them apart."
                ) from error


def _chunks(chunks: Chunks, times: int, geobox: GeoBox, itemsize: int) -> Mapping[str, Any]:
    """Resolve chunk sizes; y and x may have the grid's dimension names."""
    rows, columns = geobox.shape
    if chunks == "auto":
        return auto_chunks(times, rows, columns, itemsize)
    if not isinstance(chunks, Mapping | None):
        raise ValueError(f'chunks= must be "auto", None or sizes by dimension, not {chunks!r}.')  # noqa: TRY004 - as for other arguments
    whole = {"time": 1, "y": rows, "x": columns}
    names = dict(zip(geobox.dimensions, ("y", "x"), strict=True))
    given = {names.get(name, name): size for name, size in (chunks or {}).items()}
    if given.keys() - whole.keys():
        raise ValueError(f"chunks= takes time, y and x, not {sorted(given.keys() - whole.keys())}.")
    if 0 in given.values():
        raise ValueError(f"chunks= needs sizes of at least 1, not {chunks!r}.")
    sizes = resolve_chunk_shape(times, geobox, whole | given, dtype=f"V{itemsize}")
    return dict(zip(("time", "y", "x"), sizes, strict=True))


def _metres(resolution: Any) -> float | None:
    """Return a pixel size in metres, roughly for one in degrees."""
    if not isinstance(resolution, int | float):
        return None
    return float(resolution) if resolution >= 1 else resolution * _METRES_PER_DEGREE
