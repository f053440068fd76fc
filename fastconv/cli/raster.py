"""Pictures that Pillow cannot hold: colours of more than 8 bits, other types of samples, more channels."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Colours = Literal["L", "RGB", "CMYK"]
_CHANNELS: dict[Colours, int] = {"L": 1, "RGB": 3, "CMYK": 4}
# What a channel beside the colours is, as in TIFF.
OTHER, PREMULTIPLIED, ALPHA = 0, 1, 2


class Kind(NamedTuple):
    """What the samples of a picture are."""

    dtype: np.dtype
    colours: Colours
    extra: tuple[int, ...] = ()  # channels beside the colours: `OTHER`, or `ALPHA` for the last one

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.extra[-1:] == (ALPHA,)

    @property
    def text(self) -> str:
        """The mode of a picture, as Pillow would call it, and the type of its samples."""
        others = len(self.extra) - self.has_alpha
        return f"{self.colours}{'A' * self.has_alpha}{f' + {others}' if others else ''} {self.dtype}"

    @property
    def pillow_mode(self) -> str | None:
        """The mode in which Pillow holds such a picture; None if it cannot."""
        mode = self.colours + "A" * self.has_alpha
        others = len(self.extra) - self.has_alpha
        return mode if self.dtype == np.uint8 and not others and mode != "CMYKA" else None

    def alpha_options(self, alpha: str) -> dict[str, Any]:
        """The options of `image.filter` about alpha: without such a channel there is nothing to keep or to filter."""
        return {"alpha_channel": -1, "alpha": alpha} if self.has_alpha else {"alpha_channel": None, "alpha": "auto"}

    def check_linear(self) -> None:
        """Raise a ValueError for pixels that are not sRGB."""
        plain = self.colours != "CMYK" and OTHER not in self.extra
        if not plain or self.dtype.name not in ("uint8", "uint16", "float16", "float32", "float64"):
            raise ValueError(f"argument --linear: is for sRGB pixels, grey or RGB; got {self.text}")


class Raster(NamedTuple):
    """A picture as an array, rows first, of one or more channels along a last axis if there is one."""

    array: NDArray
    kind: Kind

    @property
    def width(self) -> int:
        return self.array.shape[1]

    @property
    def height(self) -> int:
        return self.array.shape[0]

    @property
    def has_alpha(self) -> bool:
        return self.kind.has_alpha

    @property
    def mode(self) -> str:
        return self.kind.text


def kind_of(dtype: np.dtype, channels: int, colours: Colours, extra: tuple[int, ...]) -> Kind:
    """What samples are; of the channels beside the colours only the last one is treated as alpha."""
    count = channels - _CHANNELS[colours]
    extra = (*extra, *(OTHER,) * count)[: max(count, 0)]
    others = (OTHER,) * (count - 1)
    return Kind(dtype, colours, (*others, ALPHA if extra[-1] == ALPHA else OTHER) if extra else ())


def raster_of(array: NDArray, colours: Colours, extra: tuple[int, ...]) -> Raster:
    """Make a raster of samples in any byte order; colours that are multiplied by alpha are divided by it."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    channels = array.shape[2] if array.ndim == 3 else 1
    if extra == (PREMULTIPLIED,):
        array, extra = _divided(array), (ALPHA,)
    return Raster(array, kind_of(array.dtype, channels, colours, extra))


def _divided(array: NDArray) -> NDArray:
    """Divide colours by the alpha channel that they are multiplied by."""
    divided = array.copy()
    is_whole = array.dtype.kind in "iu"
    most = np.iinfo(array.dtype).max if is_whole else 1
    for row in divided:
        with np.errstate(all="ignore"):
            colours = row[:, :-1].astype(np.float64) / row[:, -1:] * most
            colours[row[:, -1] == 0] = 0
            row[:, :-1] = np.rint(np.minimum(colours, most)) if is_whole else colours
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
