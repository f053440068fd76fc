"""Read TIFF files through tifffile: whole pages, or parts of a page that is larger than memory."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv.cli import tiff_tags
from fastconv.cli.picture_metadata import STRUCTURE
from fastconv.cli.raster import PREMULTIPLIED, Colours, Raster, kind_of, raster_of

_COLOURS: dict[int, Colours] = {0: "L", 1: "L", 2: "RGB", 3: "RGB", 5: "CMYK"}
_WHITE_IS_ZERO, _PALETTE, _YCBCR = 0, 3, 6
_JPEG = 7  # a compression, whose decoder makes RGB of YCbCr
# Bytes of decoded segments that are kept, since neighbouring parts of a result need the same ones.
_KEPT = 1 << 26


class NotReadable(ValueError):
    """Pixels that cannot be filtered, or not in parts; the message continues the name of the file."""


@contextlib.contextmanager
def opened(file: str | IO[bytes]) -> Iterator[Any]:
    """Open a file with tifffile."""
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        yield tiff


def pages_of(tiff: Any) -> list[Any]:
    """The pages that are pictures of their own: neither smaller versions of another one, nor masks."""
    pages = [tiff.pages[number] for number in range(len(tiff.pages))]
    if not pages:
        raise NotReadable("it has no pictures")
    return [page for page in pages if not int(page.subfiletype) & 5] or pages[:1]


def exif_of(tiff: Any, page: Any) -> Image.Exif:
    """The tags of a page but those of its layout."""
    handle = tiff.filehandle
    return tiff_tags.as_exif(tiff_tags.read(handle, page.offset, tiff.byteorder, tiff.is_bigtiff, STRUCTURE))


def raster(page: Any) -> Raster:
    """Read the pixels of a page, as they are stored: not turned upright.

    Raises
    ------
    NotReadable
        If they are not grey, RGB or CMYK, or not real numbers.
    """
    colours = _checked_colours(page)
    _segment_of(page)
    samples = page.asarray().reshape(page.shaped)  # separate channels, depth, rows, columns, channels
    array = np.moveaxis(samples[:, 0], 0, -2).reshape(*page.shaped[2:4], -1)
    array = array[..., 0] if array.shape[2] == 1 else array
    bits = page.bitspersample
    if page.photometric == _PALETTE:
        array = np.ascontiguousarray(page.colormap.T)[array]
    elif bits < 8:
        array = array.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
    if page.photometric == _WHITE_IS_ZERO and array.dtype.kind == "u":
        array = (255 if bits < 8 else 2**bits - 1) - array
    return raster_of(array, colours, tuple(map(int, page.extrasamples)))


def _checked_colours(page: Any) -> Colours:
    if page.photometric == _YCBCR and page.compression == _JPEG:
        return "RGB"
    if page.photometric not in _COLOURS:
        name = getattr(page.photometric, "name", page.photometric)
        raise NotReadable(f"its colours, {name}, cannot be filtered; grey, RGB and CMYK can")
    if page.dtype is None or page.dtype.kind not in "biuf" or page.shaped[1] != 1:
        raise NotReadable(f"its samples, {page.dtype or page.sampleformat}, cannot be filtered")
    return _COLOURS[page.photometric]


def _segment_of(page: Any) -> tuple[int, int]:
    """Rows and columns of a strip or a tile; refuse a page of which some are missing."""
    planes, _, height, width, _ = page.shaped
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    if rows < 1 or columns < 1:
        raise NotReadable("its strips or tiles have no pixels")
    needed = planes * -(-height // rows) * -(-width // columns)
    found = min(len(page.dataoffsets), len(page.databytecounts))
    if found < needed:
        raise NotReadable(f"it has {found} strips or tiles instead of {needed}")
    return rows, columns


class StoredTiff:
    """The pixels of a page as an array on disk, of which parts are read; it may be read from several threads.

    Raises
    ------
    NotReadable
        For a page whose parts cannot be read, or only together.
    """

    # Those of a zarr array, as which `fastconv.dask` takes it; chunks are the units of the parts of results.
    dtype: np.dtype = np.dtype(np.uint8)
    shape: tuple[int, ...] = ()
    chunks: tuple[int, ...] = ()
    store: str = ""

    def __init__(self, tiff: Any, page: Any, path: str, largest_segment: int):
        colours, extra = _checked_colours(page), tuple(map(int, page.extrasamples))
        planes, _, height, width, channels = page.shaped
        count = planes * channels
        self.shape = (height, width, count) if count > 1 else (height, width)
        self.dtype = page.dtype.newbyteorder("=")
        self.kind = kind_of(self.dtype, count, colours, extra)
        self.store, self.name = path, str(page.index)
        self.tile = (page.tilelength, page.tilewidth) if page.is_tiled else None
        self._rows, self._columns = _segment_of(page)
        self._page, self._handle, self._lock = page, tiff.filehandle, threading.Lock()
        self._planes, self._channels, self._nodata = planes, channels, page.nodata
        self._stored = np.dtype(page.dtype).newbyteorder(tiff.byteorder)
        plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1
        self._is_plain = plain and not page.is_tiled
        segment = self._rows * self._columns * channels * self.dtype.itemsize
        if not self._is_plain and segment > largest_segment:
            raise NotReadable(f"it has strips or tiles of {segment / 1e9:.1f} GB")
        if page.bitspersample != 8 * self.dtype.itemsize or page.photometric in (_WHITE_IS_ZERO, _PALETTE):
            raise NotReadable("its samples are packed, or not those of the colours")
        if PREMULTIPLIED in extra:
            raise NotReadable("its colours are multiplied by alpha")
        self._segments: OrderedDict[int, Future[NDArray | None]] = OrderedDict()
        self._most_kept = max(2, _KEPT // max(segment, 1))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, where: tuple[slice, ...]) -> NDArray:
        top, bottom, _ = where[0].indices(self.shape[0])
        left, right, _ = where[1].indices(self.shape[1])
        part = np.empty((bottom - top, right - left, self._planes * self._channels), self.dtype)
        across = -(-self.shape[1] // self._columns)
        each = -(-self.shape[0] // self._rows) * across  # segments of a plane
        for plane in range(self._planes):
            channels = slice(plane * self._channels, (plane + 1) * self._channels)
            for row in range(top // self._rows, -(-bottom // self._rows)):
                for column in range(left // self._columns, -(-right // self._columns)):
                    y, x = row * self._rows, column * self._columns
                    inner = max(top, y), min(bottom, y + self._rows), max(left, x), min(right, x + self._columns)
                    number = plane * each + row * across + column
                    pixels = self._pixels(number, inner[0] - y, inner[1] - y, inner[2] - x, inner[3] - x)
                    part[inner[0] - top : inner[1] - top, inner[2] - left : inner[3] - left, channels] = pixels
        if len(self.shape) == 2:
            return part[..., 0]
        return part[..., where[2]] if len(where) > 2 else part

    def _pixels(self, number: int, top: int, bottom: int, left: int, right: int) -> Any:
        """A part of a segment; a number if the segment is not stored."""
        if not self._is_plain:
            segment = self._segment(number)
            return self._nodata if segment is None else segment[top:bottom, left:right]
        offset, size = self._page.dataoffsets[number], self._page.databytecounts[number]
        row = self._columns * self._channels * self.dtype.itemsize
        if size == 0:
            return self._nodata
        if size < bottom * row:
            raise self._broken(f"strip {number} has {size} bytes")
        content = self._read(offset + top * row, (bottom - top) * row)
        return np.frombuffer(content, self._stored).reshape(-1, self._columns, self._channels)[:, left:right]

    def _segment(self, number: int) -> NDArray | None:
        """Decode a segment, or wait for another thread that does; some are kept."""
        with self._lock:
            found = self._segments.get(number)
            decodes = found is None
            if found is None:
                found = self._segments[number] = Future()
                while len(self._segments) > self._most_kept:
                    self._segments.popitem(last=False)
        if decodes:
            try:
                found.set_result(self._decoded(number))
            except Exception as error:  # of many types
                found.set_exception(error if isinstance(error, OSError) else self._broken(error))
            except BaseException as error:
                found.set_exception(error)
        return found.result()

    def _decoded(self, number: int) -> NDArray | None:
        size = self._page.databytecounts[number]
        content = self._read(self._page.dataoffsets[number], size) if size else None
        tables = {} if self._page.jpegtables is None else {"jpegtables": self._page.jpegtables}
        segment, _, _ = self._page.decode(content, number, **tables)
        return None if segment is None else segment[0]

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._handle.size:
            raise self._broken(f"ends before byte {offset + size}")
        with self._lock:
            self._handle.seek(offset)
            return self._handle.read(size)

    def _broken(self, reason: object) -> OSError:
        return OSError(f"{self.store}: broken picture ({reason})")
