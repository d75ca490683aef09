"""Reads one band of one asset, masked by other bands; the common code of both engines."""

from __future__ import annotations

import functools
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from rasterio.errors import RasterioError

from constellr_stac.errors import (
    AssetReadError,
    ContradictionWarning,
    ResamplingWarning,
    SceneLeftEmptyWarning,
)
from constellr_stac.layers.settle import Contradiction

from .asset_ref import AssetRef
from .file_grid import key_of, name_of, same_grid
from .masks import decoded_masks, masked
from .notices import warn_once
from .raster import MASK_FILL, Pixels, output_dtype, read_pixels, reserve_window

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from odc.geo.geobox import GeoBox
    from odc.loader import RasterLoadParams

    from constellr_stac.layers.band import Band

    from .asset_file import AssetFile, HeadFetch
    from .masks import Buffer
    from .prefetch import Fetcher

__all__ = ["BandRead", "BandSource", "Errors", "MaskRead"]

Errors = Literal["raise", "nan"]
"""How to handle a scene that cannot be read: raise, or leave it empty and warn."""


class BandRead(NamedTuple):
    """What is read of one asset, and what is expected of it."""

    uri: str
    """The asset's reference."""
    band: Band
    """The band as item and documents state it."""
    target: Band | None = None
    """The cube's variable, whose unit and classes the result has."""
    stated: GeoBox | None = None
    """The grid that the item states."""
    presumed: GeoBox | None = None
    """The grid of a similar file, if its own header was not read before."""
    masks: tuple[MaskRead, ...] = ()
    """The scene's masks; pixels that any of them does not keep are without data."""
    readers: int = 1
    """How many bands of the cube need the file, be it for masking."""

    @property
    def refs(self) -> list[AssetRef]:
        """The assets that are read."""
        return [AssetRef.parse(each.uri) for each in (self, *(mask.read for mask in self.masks))]

    @property
    def key(self) -> str:
        """What of it changes pixels, as text: equal in all processes."""
        bands = self.band.key, self.target and self.target.key
        masks = [(mask.read.key, mask.kept, mask.buffer) for mask in self.masks]
        return repr((self.uri, bands, self.stated and key_of(self.stated), masks))

    @property
    def pixel_bytes(self) -> int:
        """The bytes of the file's pixels, uncompressed; 0 if unknown."""
        grid, band = self.stated or self.presumed, self.band
        if grid is None or band.dtype is None:
            return 0
        return math.prod(grid.shape) * np.dtype(band.dtype).itemsize * band.siblings

    def windows(self, geobox: GeoBox) -> Iterator[tuple[BandRead, GeoBox]]:
        """Yield what is read for a grid: the band, and its masks on the grid or around it."""
        yield self, geobox
        for mask in self.masks:
            yield mask.read, mask.around(geobox)


class MaskRead(NamedTuple):
    """A mask that is read with the values of its scene."""

    read: BandRead
    """The mask's band."""
    kept: tuple[int, ...]
    """The classes, of the cube's variable, whose pixels are kept."""
    buffer: Buffer | None = None
    """What is masked around other classes."""

    def around(self, geobox: GeoBox) -> GeoBox:
        """Return the grid of the mask that is needed for a grid of values."""
        return geobox if self.buffer is None else self.buffer.around(geobox)


class BandSource:
    """One band of one asset, and the masks of its scene.

    Args:
        fetcher: Fetches the bytes.
        read: What is read.
        errors: How to handle a scene that cannot be read.
        raw: Whether to return stored values.
        cube: The cube's name, for warnings that are given once for each.
        reader: Who needs the file; default the band itself.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        read: BandRead,
        *,
        errors: Errors = "raise",
        raw: bool = False,
        cube: str = "",
        reader: Hashable = None,
    ) -> None:
        self._fetcher = fetcher.here()
        self._reference = AssetRef.parse(read.uri)
        self._read = read
        self._errors = errors
        self._raw = raw
        self._cube = cube
        self._reader = reader or (read.uri, read.band.index)
        self._fetch: HeadFetch | None = None
        self._compared: GeoBox | None = None  # the file's grid, once it was compared
        self._masks = [
            (mask, BandSource(fetcher, mask.read, errors=errors, cube=cube, reader=self._reader))
            for mask in read.masks
        ]

    def begin(self) -> HeadFetch:
        """Start the fetches, unless started; does not block."""
        for _, source in self._masks:
            source.begin()
        if self._fetch is None:
            self._fetch = self._fetcher.start(
                self._reference,
                pixel_bytes=self._read.pixel_bytes,
                reader=self._reader,
                readers=self._read.readers,
            )
        return self._fetch

    def prepare(self, geobox: GeoBox, params: RasterLoadParams) -> None:
        """Fetch what reading a grid needs, once the file's head is there; does not block."""
        self.begin().then(functools.partial(self._claim, geobox, params))
        for mask, source in self._masks:
            source.prepare(mask.around(geobox), params)

    def _claim(self, geobox: GeoBox, params: RasterLoadParams, file: AssetFile) -> None:
        """Start to fetch the blocks of a long file; reading reports what fails here."""
        read, shared = self._read, self._read.readers > 1
        if not file.whole:
            with suppress(AssetReadError, RasterioError):
                reserve_window(file, read.band, geobox, params, read.stated, shared=shared)

    def read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        """Read the part of the band that lies on a grid; empty if left out by ``errors``.

        Raises:
            AssetReadError: The band cannot be read.

        Warns:
            ContradictionWarning: The file contradicts its item or the documents.
            ResamplingWarning: The file's grid differs from the presumed one.
            SceneLeftEmptyWarning: It cannot be read, and ``errors`` is ``"nan"``.
        """
        try:
            pixels = self._pixels(geobox, params)
        except AssetReadError as error:
            if fetch := self._fetch:
                self._fetcher.drop(fetch)  # the next read tries again
            self._fetch = fetch = None  # its bytes, which the traceback holds
            if self._errors == "raise" and params.fail_on_error:
                raise
            scene = self._reference.item or self._reference.label
            warn_once(self._cube, f"empty {scene}", f"Left empty: {error}", SceneLeftEmptyWarning)
            return Pixels(np.s_[0:0, 0:0], np.empty((0, 0), params.dtype))
        self._report(pixels)
        if not self._masks or not pixels.values.size:
            return pixels
        fill = MASK_FILL if self._read.band.is_mask else params.fill_value
        if pixels.values.dtype.kind == "f":
            fill = np.nan
        for mask, source in self._masks:
            classes = source.read_classes(mask.around(geobox), params)
            pixels = masked(pixels, classes, mask.kept, mask.buffer, fill=fill)
        return pixels

    def read_classes(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        """Read a mask as its variable has it, whatever ``params`` ask for."""
        dtype = output_dtype(self._read.band)
        return self.read(geobox, params.patch(dtype=dtype, fill_value=MASK_FILL))

    def _pixels(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        fetch = self.begin()
        try:
            return self._decoded(fetch, geobox, params)
        except RasterioError:
            self._fetch = fetch = self._fetcher.again(fetch)  # perhaps damaged in transfer
        try:
            return self._decoded(fetch, geobox, params)
        except RasterioError as error:
            raise AssetReadError(
                f"{self._reference.label} cannot be read: it is not a readable GeoTIFF "
                f"({error}). Download the file to inspect it, or exclude the scene.",
                request_url=self._reference.href,
            ) from error

    def _decoded(self, fetch: HeadFetch, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        file = self._fetcher.wait(fetch)
        decode = functools.partial(
            read_pixels,
            file,
            self._read.band,
            geobox,
            params,
            target=self._read.target,
            stated=self._read.stated,
            raw=self._raw,
            shared=self._read.readers > 1,
        )
        if not self._read.band.is_mask:
            return decode()
        grid = key_of(geobox)
        own = self._read._replace(masks=()).key  # by what it is masked is applied later
        pixels = decoded_masks().get(file, (own, grid, params.dtype), decode)
        if not file.whole:
            file.windows.pop((self._read.band.index, grid, None), None)  # if decoded before
        return pixels

    def _report(self, pixels: Pixels) -> None:
        """Warn about what contradicts the item, the documents or a similar file."""
        label, own, found = self._reference.label, pixels.grid, list(pixels.contradictions)
        if own is self._compared and not found:
            return
        self._compared = own
        stated, presumed = self._read.stated, self._read.presumed
        if own is not None and stated is not None and not same_grid(own, stated):
            text = f"the item states {_name(stated)}, the file {_name(own)}, which is used"
            found.append(Contradiction("grid", f"{text}. Pixels outside the cube's grid are lost"))
        for kind, text in found:
            message = f"{label}: {text}. Other scenes of this cube may be alike."
            warn_once(self._cube, kind, message, ContradictionWarning)
        if own is not None and presumed is not None and not same_grid(own, presumed):
            message = (
                f"Not all files share a grid, though their items share a footprint: some are on "
                f"{_name(own)}, not on {_name(presumed)} as the file whose header was read. They "
                "are resampled, and pixels outside the cube are cut off. describe() reads the "
                "header of every scene: load the items that it returns."
            )
            warn_once(self._cube, "resampling", message, ResamplingWarning)


def _name(grid: GeoBox) -> str:
    rows, columns = grid.shape
    return f"{name_of(grid)} ({rows} x {columns} from {grid.affine.c:g}, {grid.affine.f:g})"
