"""Pictures that Pillow cannot hold: colours of more than 8 bits, other types of samples, more channels."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Colours = Literal["grey", "RGB", "CMYK"]
_CHANNELS: dict[Colours, int] = {"grey": 1, "RGB": 3, "CMYK": 4}
# What a channel beside the colours is, as in TIFF.
OTHER, PREMULTIPLIED, ALPHA = 0, 1, 2


class Raster(NamedTuple):
    """A picture as an array, rows first, of one or more channels along a last axis if there is one."""

    array: NDArray
    colours: Colours
    extra: tuple[int, ...] = ()  # channels beside the colours: `OTHER`, or `ALPHA` for the last one

    @property
    def width(self) -> int:
        return self.array.shape[1]

    @property
    def height(self) -> int:
        return self.array.shape[0]

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.extra[-1:] == (ALPHA,)

    @property
    def mode(self) -> str:
        """Colours and type, as text."""
        others = len(self.extra) - self.has_alpha
        name = ("L" if self.colours == "grey" else self.colours) + "A" * self.has_alpha
        return f"{name}{f' + {others}' if others else ''} {self.array.dtype}"


def raster_of(array: NDArray, colours: Colours, extra: tuple[int, ...]) -> Raster:
    """Make a raster of samples in any byte order; colours that are multiplied by alpha are divided by it."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    count = array.shape[2] - _CHANNELS[colours] if array.ndim == 3 else 0
    extra = (*extra, *(OTHER,) * count)[:count]
    if extra == (PREMULTIPLIED,):
        return Raster(_divided(array), colours, (ALPHA,))
    others = (OTHER,) * (count - 1)
    return Raster(array, colours, (*others, ALPHA if extra[-1] == ALPHA else OTHER) if count > 0 else ())


def check_linear(raster: Raster) -> None:
    """Refuse a picture that is not sRGB.

    Raises
    ------
    ValueError
        With a one-line message.
    """
    if raster.colours == "CMYK" or OTHER in raster.extra:
        raise ValueError(f"argument --linear: is for sRGB pixels, grey or RGB; got {raster.mode}")


def _divided(array: NDArray) -> NDArray:
    """Divide colours by the alpha channel that they are multiplied by."""
    divided = array.copy()
    for row in divided:
        with np.errstate(all="ignore"):
            most = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
            colours = row[:, :-1].astype(np.float64) / row[:, -1:] * most
            colours[row[:, -1] == 0] = 0
            row[:, :-1] = np.rint(np.minimum(colours, most)) if array.dtype.kind in "iu" else colours
    return divided


def turned(array: NDArray, orientation: int) -> NDArray:
    """An array upright, that is stored in an orientation of EXIF: 1 to 8."""
    upright = array.swapaxes(0, 1) if orientation >= 5 else array
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return upright[::rows, ::columns]


def side_by_side(before: Raster, after: Raster) -> Raster:
    """Join two rasters with a gap between them, the smaller one centred vertically, on zeros."""
    gap, height = max(1, before.width // 50), max(before.height, after.height)
    shape = (height, before.width + gap + after.width, *before.array.shape[2:])
    both = np.zeros(shape, before.array.dtype)
    for one, left in ((before, 0), (after, before.width + gap)):
        top = (height - one.height) // 2
        both[top : top + one.height, left : left + one.width] = one.array
    return before._replace(array=both)
