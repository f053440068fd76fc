"""The problem that an engine solves: types, shapes, axes, boundary, and the conversion of sums to pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv._model.guarantees import FOOTPRINT


class Finish(NamedTuple):
    """Conversion of a sum to a pixel: ``sum * unit / scale + offset``, rounded and saturated.

    Integer sums wrap; adding `bias` makes them unsigned. `plain` sums need no scale: see `pixel_vectors.PLAIN`.
    If `premultiplied`, the last channel is alpha: colours are multiplied by it before summation, and divided by the sum
    of alpha afterwards.
    """

    bias: float
    unit: float
    scale: float
    offset: float
    plain: bool = False
    premultiplied: bool = False


class Problem(NamedTuple):
    """A convolution without its data: all types and sizes that an engine is prepared for.

    Axis ``axes[k]`` of the input corresponds to axis ``k`` of the kernel. `starts` is the index of the first output in
    the full convolution; `boundary` is an index into `geometry.BOUNDARIES`. No type is float16. The type `sums` of the
    accumulators equals the type `dtype` of the result, unless `finish` or a rounded engine converts them. `guarantee`
    bounds the error.
    """

    x_dtype: np.dtype
    kernel_dtype: np.dtype
    sums: np.dtype
    dtype: np.dtype
    x_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    axes: tuple[int, ...]
    starts: tuple[int, ...]
    flip: bool
    boundary: int
    fill_value: Any
    looks_outside: bool
    finish: Finish | None = None
    guarantee: int = FOOTPRINT

    @property
    def from_pixels(self) -> bool:
        """True if integer pixels are converted to pixels of the same type, without premultiplication."""
        finish = self.finish
        same_type = self.dtype.kind in "iu" and self.x_dtype.newbyteorder("=") == self.dtype
        return finish is not None and not finish.premultiplied and same_type
