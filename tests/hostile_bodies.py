"""Bodies that are not GeoTIFFs, and GeoTIFFs that are not to be opened.

GDAL recognises most of them by content, and some make it read local files, call hosts or write.
"""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

WEST, NORTH, PIXEL, SIDE = 381060, 3746640, 30, 16
_GRID = f"<SRS>EPSG:32611</SRS><GeoTransform>{WEST},{PIXEL},0,{NORTH},0,-{PIXEL}</GeoTransform>"
_SOURCE = "<SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>"


def not_tiffs(path: Path, url: str) -> dict[str, bytes]:
    """Return bodies that name a local GeoTIFF or a host, or belong to another driver of GDAL."""
    source = _SOURCE.format(path=path)
    raw = (
        f'<SourceFilename relativetoVRT="0">{path}</SourceFilename><ImageOffset>0</ImageOffset>'
        f"<PixelOffset>1</PixelOffset><LineOffset>{SIDE}</LineOffset>"
    )
    warp = (
        "<GDALWarpOptions><WarpMemoryLimit>6.7e+07</WarpMemoryLimit>"
        f"<SourceDataset>{path}</SourceDataset><BandList><BandMapping src='1' dst='1'/></BandList>"
        "</GDALWarpOptions>"
    )
    pan = (
        "<PansharpeningOptions><PanchroBand>"
        f"{source}</PanchroBand><SpectralBand dstBand='1'>{source}</SpectralBand>"
        "</PansharpeningOptions>"
    )
    processed = (
        f"<Input><SourceFilename>{path}</SourceFilename></Input>"
        "<ProcessingSteps><Step><Algorithm>BandAffineCombination</Algorithm></Step>"
        "</ProcessingSteps>"
    )
    wms = (
        "<GDAL_WMS><Service name='TMS'><ServerUrl>{target}/${{z}}/${{x}}/${{y}}.png</ServerUrl>"
        "</Service><DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>1</UpperLeftY>"
        "<LowerRightX>1</LowerRightX><LowerRightY>0</LowerRightY><TileLevel>0</TileLevel>"
        "</DataWindow><BandsCount>1</BandsCount><Cache><Path>{cache}</Path></Cache></GDAL_WMS>"
    )
    bodies: dict[str, str | bytes] = {
        "VRT, simple source": _vrt("", f"<SimpleSource>{source}</SimpleSource>"),
        "VRT, complex source": _vrt("", f"<ComplexSource>{source}</ComplexSource>"),
        "VRT, averaged source": _vrt("", f"<AveragedSource>{source}</AveragedSource>"),
        "VRT, kernel": _vrt("", f"<KernelFilteredSource>{source}</KernelFilteredSource>"),
        "VRT, raw": _vrt("VRTRawRasterBand", raw),
        "VRT, derived": _vrt(
            "VRTDerivedRasterBand",
            f"<PixelFunctionType>sum</PixelFunctionType><SimpleSource>{source}</SimpleSource>",
        ),
        "VRT, source on a host": _vrt(
            "", f"<SimpleSource>{_SOURCE.format(path='/vsicurl/' + url)}</SimpleSource>"
        ),
        "VRT, warped": _vrt("VRTWarpedRasterBand", "", "VRTWarpedDataset", warp),
        "VRT, pansharpened": _vrt("VRTPansharpenedRasterBand", "", "VRTPansharpenedDataset", pan),
        "VRT, processed": _vrt("VRTProcessedRasterBand", "", "VRTProcessedDataset", processed),
        "VRT, multidimensional": (
            f"<VRTDataset><Group name='/'><Array name='a'><DataType>Byte</DataType><Source>"
            f"<SourceFilename>{path}</SourceFilename></Source></Array></Group></VRTDataset>"
        ),
        "VRT after blanks": b"  \n" + _vrt("", f"<SimpleSource>{source}</SimpleSource>"),
        "VRT after a byte-order mark": "\ufeff".encode()
        + _vrt("", f"<SimpleSource>{source}</SimpleSource>"),
        "WMS": wms.format(target=url, cache=path.with_name("cache")),
        "WMS of a local file": wms.format(target=path.as_uri(), cache=path.with_name("cache")),
        "WMTS": f"<GDAL_WMTS><GetCapabilitiesUrl>{url}</GetCapabilitiesUrl></GDAL_WMTS>",
        "WCS": f"<WCS_GDAL><ServiceURL>{url}</ServiceURL></WCS_GDAL>",
        "tile index": (
            "<GDALTileIndexDataset><IndexDataset>"
            f"{path}</IndexDataset><IndexLayer>tiles</IndexLayer></GDALTileIndexDataset>"
        ),
        "STACIT": f'{{"type":"FeatureCollection","stac_version":"1.0.0","features":[{{"type":'
        f'"Feature","stac_version":"1.0.0","id":"a","assets":{{"a":{{"href":"{path}"}}}}}}]}}',
        "STACTA": f'{{"stac_extensions":["tiled-assets"],"asset_templates":{{"a":{{"href":'
        f'"{path}"}}}}}}',
        "GeoJSON": '{"type":"FeatureCollection","features":[]}',
        "ESRI JSON": '{"geometryType":"esriGeometryPoint","fields":[],"features":[]}',
        "EEDA": f'{{"tilesets":["{url}"]}}',
        "MRF": (
            "<MRF_META><CachedSource><Source>"
            f"{path}</Source></CachedSource><Raster><Size x='16' y='16'/></Raster></MRF_META>"
        ),
        "ENVI header": "ENVI\nsamples = 16\nlines = 16\nbands = 1\ndata type = 1\n",
        "SVG": f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{path}'/></svg>",
        "KML": f"<kml><GroundOverlay><Icon><href>{path}</href></Icon></GroundOverlay></kml>",
        "XML with an entity": f'<!DOCTYPE a [<!ENTITY b SYSTEM "{path.as_uri()}">]><a>&b;</a>',
        "HTML": "<!DOCTYPE html><html><body>Please sign in</body></html>",
        "S3 error": "<Error><Code>SlowDown</Code></Error>",
        "a path": str(path),
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(600),
        "netCDF": b"CDF\x01" + bytes(600),
        "SQLite": b"SQLite format 3\0" + bytes(600),
        "GRIB": b"GRIB" + bytes(600),
        "PNG": b"\x89PNG\r\n\x1a\n" + bytes(600),
        "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(600),
        "gzip of a GeoTIFF": zlib.compress(tiff(), wbits=31),
        "GeoTIFF after one byte": b"\0" + tiff(),
        "nothing": b"",
        "two bytes": b"II",
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("lst.tiff", tiff())
    bodies["ZIP"] = archive.getvalue()
    return {name: body.encode() if isinstance(body, str) else body for name, body in bodies.items()}


def bad_tiffs(path: Path) -> dict[str, bytes]:
    """Return GeoTIFFs that refer to another file or are huge."""
    bodies = {
        f"external {domain}": tiff(tags={domain: {key: str(path)}})
        for domain, key in (
            ("OVERVIEWS", "OVERVIEW_FILE"),
            ("overviews", "OVERVIEW_FILE"),
            ("GEOLOCATION", "X_DATASET"),
        )
    }
    # ImageWidth and ImageLength; then also the size of a tile.
    bodies["10^18 pixels"] = patched(tiff(), {256: 10**9, 257: 10**9})
    huge = dict.fromkeys((256, 257, 322, 323), 80_000)
    bodies["a tile of 6.4 GB"] = patched(tiff(tiled=True, blockxsize=16, blockysize=16), huge)
    return bodies


def tiff(
    fill: ArrayLike = 1,
    *,
    side: int = SIDE,
    tags: dict[str, dict[str, str]] | None = None,
    overviews: Sequence[int] = (),
    masked: bool = False,
    **options: Any,
) -> bytes:
    """Return a GeoTIFF of one band of uint8 unless ``dtype=`` says otherwise."""
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="GTiff",
            count=1,
            height=side,
            width=side,
            crs="EPSG:32611",
            transform=Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH),
            **{"dtype": "uint8", **options},
        ) as file:
            for domain, items in (tags or {}).items():
                file.update_tags(ns=domain, **items)
            file.write(np.full((1, side, side), fill, file.dtypes[0]))
            if masked:
                file.write_mask(np.ones((side, side), bool))
            file.build_overviews(list(overviews), Resampling.average)
        return bytes(memory.read())


def snap_tiff() -> bytes:
    """Return a GeoTIFF that GDAL's driver SNAP_TIFF takes as well, which comes before GTiff.

    That driver looks for tag 65000 in a big-endian file of one uncompressed float32 strip.
    """
    body = tiff(side=4, dtype="float32", ENDIANNESS="BIG", tags={"": {"a": "b"}})
    (at,) = struct.unpack_from(">I", body, 4)
    (count,) = struct.unpack_from(">H", body, at)
    last = at + 2 + 12 * (count - 1)
    assert body[last : last + 2] == (42112).to_bytes(2, "big"), "GDAL's metadata comes last"
    return body[:last] + (65000).to_bytes(2, "big") + body[last + 2 :]


def _vrt(band: str, content: str, kind: str = "", after: str = "") -> bytes:
    subclass = f' subClass="{kind}"' if kind else ""
    band_class = f' subClass="{band}"' if band else ""
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"{subclass}>{_GRID}'
        f'<VRTRasterBand dataType="Byte" band="1"{band_class}>{content}</VRTRasterBand>'
        f"{after}</VRTDataset>"
    ).encode()


def patched(body: bytes, values: dict[int, int], directory: int = 0) -> bytes:
    """Set numeric tags of a directory of a little-endian TIFF, as 32-bit numbers."""
    changed = bytearray(body)
    (at,) = struct.unpack_from("<I", body, 4)
    for _ in range(directory):
        (count,) = struct.unpack_from("<H", body, at)
        (at,) = struct.unpack_from("<I", body, at + 2 + 12 * count)
    (count,) = struct.unpack_from("<H", body, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", body, entry)
        if tag in values:
            struct.pack_into("<HII", changed, entry + 2, 4, 1, values[tag])
    return bytes(changed)
