"""Conversion between Pillow pictures and arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv._model.message_formatting import clipped
from fastconv._model.passed_exceptions import passed
from fastconv._runtime.interruptible_numpy import chunk_slices, converted

# Modes whose pixels can be summed; True if the last channel is alpha.
MODES = {
    "1": False,
    "L": False,
    "LA": True,
    "RGB": False,
    "RGBA": True,
    "CMYK": False,
    "YCbCr": False,
    "I;16": False,
    "I;16B": False,
    "I": False,
    "F": False,
}


class Pixels(NamedTuple):
    """The pixels of a picture, with its mode and info."""

    array: NDArray[Any]  # of shape (H, W) or (H, W, C)
    mode: str
    info: dict[Any, Any]

    @classmethod
    def of(cls, image: Image.Image, name: str = "image") -> Pixels:
        """Read the pixels of a picture; 0 and 255 for one bit.

        Raises
        ------
        ValueError
            For a mode whose pixels cannot be summed, and a picture without pixels.
        """
        if image.mode not in MODES:
            raise ValueError(
                f"{name} must have a mode of {', '.join(MODES)}; got {image.mode!r} ({name}.convert changes it)"
            )
        if 0 in image.size:
            raise ValueError(f"{name} must have pixels; got {image.width} x {image.height}")
        try:
            array = _array_of(image.convert("L") if image.mode == "1" else image)
        except passed():
            raise
        except OSError:  # a damaged or missing file
            raise
        except ValueError as error:
            raise ValueError(f"{name} must be a picture that can be read; {clipped(error)}") from error
        except Exception as error:
            message = f"{name} must be a picture that can be read; {type(error).__name__}: {clipped(error)}"
            raise TypeError(message) from error
        return cls(array, image.mode, image.info)

    @classmethod
    def of_any(cls, image: Any, name: str = "image") -> Pixels | None:
        """Read the pixels of a Pillow picture; return None for anything else."""
        return cls.of(image, name) if issubclass(type(image), Image.Image) else None

    @property
    def has_alpha(self) -> bool:
        return MODES[self.mode]

    def picture(self, array: NDArray[Any]) -> Image.Image:
        """Make a picture of this mode from `array`.

        `info` is copied without "transparency": filtered pixels have no transparent colour.
        """
        size = array.shape[1], array.shape[0]
        if self.mode == "1":
            image = Image.fromarray(array >= 128)
        else:
            stored = np.ascontiguousarray(array, self.array.dtype)
            image = Image.frombuffer(self.mode, size, stored, "raw", self.mode, 0, 1)
        image.info = {key: value for key, value in self.info.items() if key != "transparency"}
        return image


def saturated(result: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """Round `result` half to even and saturate it to pixels of `dtype`; `result` is overwritten."""
    if dtype.kind == "f":
        return result if result.dtype == dtype else converted(result, dtype)
    limits = np.iinfo(dtype)
    lowest, highest = float(limits.min), float(limits.max)
    stored = np.empty(result.shape, dtype)
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(result.shape):
            part = result[chunk]
            np.rint(part, out=part)
            np.clip(part, lowest, highest, out=part)
            stored[chunk] = part
            if highest > limits.max:  # of 64 bits: floats hold no number so close to the limit
                stored[chunk][part == highest] = limits.max
    return stored


# Bytes of a picture to read at a time.
_BAND = 1 << 18


def _array_of(image: Image.Image) -> NDArray[Any]:
    """Return a copy of the pixels, read in bands.

    Pillow copies piece by piece and joins the pieces, returning the memory to the system each time: 2048 x 2048 RGB
    pixels take 31 ms at once, and 6 ms in bands that stay in cache.
    """
    width, height = image.size
    rows = max(1, _BAND // (4 * width))
    if rows >= height:
        return np.asarray(image)
    array: NDArray[Any] | None = None
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = np.asarray(image.crop((0, top, width, bottom)))
        if array is None:
            array = np.empty((height, *band.shape[1:]), band.dtype)
        array[top:bottom] = band
    assert array is not None
    return array
