"""Linear light: pixels decoded from sRGB to 0 .. 1, and encoded again (IEC 61966-2-1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices

# Types of encoded pixels, and their white.
WHITES = {
    np.dtype(name): white
    for name, white in {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}.items()
}


def decoded(array: NDArray[Any], dtype: np.dtype, has_alpha: bool) -> NDArray[Any]:
    """Return pixels as linear light, of a type of floats; alpha, the last channel, is only scaled to 0 .. 1."""
    native = array.dtype.newbyteorder("=")
    result = np.empty(array.shape, dtype)
    table = _table(native, dtype) if native.kind == "u" else None
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(array.shape):
            if table is not None:
                np.take(table, array[chunk], out=result[chunk], mode="clip")
            else:
                result[chunk] = _as_light(array[chunk].astype(dtype, copy=False))
        if has_alpha:
            for chunk in chunk_slices(array.shape[:-1]):
                result[..., -1][chunk] = array[..., -1][chunk] / dtype.type(WHITES[native])
    return result


def encode(light: NDArray[Any], white: float, has_alpha: bool) -> None:
    """Encode linear light in place, as floats from 0 to `white`; alpha is only scaled."""
    colours = light[..., :-1] if has_alpha else light
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(colours.shape):
            part = colours[chunk]
            size = np.abs(part)
            root = 1.055 * size ** (1 / 2.4) - 0.055
            part[...] = np.where(size > 0.0031308, np.copysign(root, part), 12.92 * part) * white
        if has_alpha:
            for chunk in chunk_slices(light.shape[:-1]):
                light[..., -1][chunk] *= white


def decoded_value(value: float, white: float) -> float:
    """The linear light of one value."""
    return float(_as_light(np.float64(value) / white))


def _as_light(values: Any) -> Any:
    """Decode numbers from 0 to 1; beyond, the curve continues, and negative ones mirror it."""
    size = np.abs(values)
    return np.where(size > 0.04045, np.copysign(((size + 0.055) / 1.055) ** 2.4, values), values / 12.92)


@kept
def _table(pixels: np.dtype, dtype: np.dtype) -> NDArray[Any]:
    """The linear light of each integer."""
    white = WHITES[pixels]
    table = _as_light(np.arange(white + 1) / white).astype(dtype)
    table.flags.writeable = False
    return table
