"""Write TIFF files of any type of samples, in pieces that may come in any order, from any thread."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.cli import tiff_tags
from fastconv.cli.raster import Colours, Kind
from fastconv.cli.tiff_tags import LONG, LONG8, SHORT, Tag, tag

# Bytes of a classic file, whose offsets have 32 bits; the rest is for directories and for what does not compress.
_MOST_CLASSIC = 2**32 - 2**27
_STRIP = 1 << 18  # bytes of a strip
NONE, DEFLATE = 1, 8
# Functions of imagecodecs that compress without loss, by the number of the compression.
_ENCODERS = {5: "lzw_encode", 8: "zlib_encode", 32946: "zlib_encode", 34925: "lzma_encode", 50000: "zstd_encode"}
_PHOTOMETRIC: dict[Colours, int] = {"L": 1, "RGB": 2, "CMYK": 5}
_FORMATS = {"u": 1, "i": 2, "f": 3}


class Layout(NamedTuple):
    """How the pixels of a page are stored."""

    shape: tuple[int, ...]
    kind: Kind
    compression: int = NONE
    predictor: int = 1  # 2: differences of integers, 3: of floats
    tile: tuple[int, int] | None = None  # rows and columns; None for strips

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.kind.dtype.itemsize

    @property
    def segment(self) -> tuple[int, int]:
        """Rows and columns of a tile or a strip."""
        if self.tile is not None:
            return self.tile
        row = self.nbytes // self.shape[0]
        return min(max(1, _STRIP // row), self.shape[0]), self.shape[1]


def kept(compression: int) -> int:
    """The compression to write where this one was read: the same if it has no loss, else deflate."""
    return compression if compression in (NONE, *_ENCODERS) else DEFLATE


class TiffWriter:
    """Writes the pages of a TIFF, one after the other, to a file that is open for reading and writing.

    Parameters
    ----------
    nbytes : int
        Of the pixels of all pages; it tells whether the file must be a BigTIFF.
    """

    def __init__(self, file: IO[bytes], nbytes: int):
        self.big, self._file = nbytes > _MOST_CLASSIC, file
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self.big else struct.pack("<2sHI", b"II", 42, 0))
        self._link, self._end = (8, 16) if self.big else (4, 8)
        self._lock = threading.Lock()

    def page(self, layout: Layout, tags: Iterable[Tag] = ()) -> TiffPage:
        """Begin a page; `tags` are those that do not depend on the layout."""
        return TiffPage(self, layout, tuple(tags))

    def append(self, content: bytes) -> int:
        """Write to the end of the file, and return the position."""
        with self._lock:
            self._end += -self._end % 2
            position = self._end
            self._file.seek(position)
            self._file.write(content)
            self._end += len(content)
            return position

    def link(self, tags: Iterable[Tag]) -> None:
        """Write the directory of a page, to which that of the page before refers."""
        tags = tuple(tags)
        position = self._end + -self._end % 2
        self.append(tiff_tags.directory(tags, position, self.big))
        form = "<Q" if self.big else "<I"
        self._file.seek(self._link)
        self._file.write(struct.pack(form, position))
        self._link = position + (8 + 20 * len(tags) if self.big else 2 + 12 * len(tags))


class TiffPage:
    """A page that is being written: assign pixels to slices of whole segments, and `finish` it."""

    def __init__(self, writer: TiffWriter, layout: Layout, tags: tuple[Tag, ...]):
        self._writer, self._layout, self._tags = writer, layout, tags
        self._encode, self._predict = _encoder(layout.compression), _predictor(layout)
        rows, columns = layout.segment
        self._across = -(-layout.shape[1] // columns)
        count = -(-layout.shape[0] // rows) * self._across
        self._offsets, self._sizes = np.zeros(count, np.uint64), np.zeros(count, np.uint64)

    def __setitem__(self, where: tuple[slice, ...], pixels: NDArray) -> None:
        rows, columns = self._layout.segment
        stored = self._layout.kind.dtype.newbyteorder("<")
        top, left = (part.start or 0 for part in where[:2])
        for i in range(0, pixels.shape[0], rows):
            for j in range(0, pixels.shape[1], columns):
                segment = pixels[i : i + rows, j : j + columns]
                if self._layout.tile is not None and segment.shape[:2] != (rows, columns):
                    whole = np.zeros((rows, columns, *segment.shape[2:]), segment.dtype)
                    whole[: segment.shape[0], : segment.shape[1]] = segment
                    segment = whole
                number = (top + i) // rows * self._across + (left + j) // columns
                content = self._encode(self._predict(np.ascontiguousarray(segment, stored)))
                self._offsets[number], self._sizes[number] = self._writer.append(content), len(content)

    def finish(self) -> None:
        """Write the directory of the page."""
        layout, kind, big = self._layout, self._layout.kind, self._writer.big
        height, width, *channels = layout.shape
        count = channels[0] if channels else 1
        offset = LONG8 if big else LONG
        places, sizes, (rows, columns) = (324, 325, layout.segment) if layout.tile else (273, 279, layout.segment)
        own = [
            tag(256, LONG, width),
            tag(257, LONG, height),
            tag(258, SHORT, *(8 * kind.dtype.itemsize,) * count),
            tag(259, SHORT, layout.compression),
            tag(262, SHORT, _PHOTOMETRIC[kind.colours]),
            tag(277, SHORT, count),
            tag(284, SHORT, 1),
            tag(339, SHORT, *(_FORMATS[kind.dtype.kind],) * count),
            *(tag(code, offset, *values.tolist()) for code, values in ((places, self._offsets), (sizes, self._sizes))),
        ]
        own += [tag(322, LONG, columns), tag(323, LONG, rows)] if layout.tile else [tag(278, LONG, rows)]
        assert self._sizes.all(), "a strip or a tile was not written"
        own += [tag(338, SHORT, *kind.extra)] if kind.extra else []
        own += [tag(317, SHORT, layout.predictor)] if layout.predictor != 1 else []
        codes = {one.code for one in own}
        self._writer.link([*own, *(one for one in self._tags if one.code not in codes)])


def _encoder(compression: int) -> Callable[[NDArray], bytes]:
    if compression == NONE:
        return lambda segment: segment.tobytes()
    import imagecodecs

    return getattr(imagecodecs, _ENCODERS[compression])


def _predictor(layout: Layout) -> Callable[[NDArray], NDArray]:
    """A function that replaces the samples of a segment by differences along rows."""
    if layout.predictor == 1:
        return lambda segment: segment
    import imagecodecs

    axis = 1 - len(layout.shape)
    encode: Any = imagecodecs.floatpred_encode if layout.predictor == 3 else imagecodecs.delta_encode
    return lambda segment: encode(segment, axis=axis)
