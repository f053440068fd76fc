"""The problem that an engine solves: types, shapes, axes, boundary, and the conversion of sums to pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv._model.geometry import FILL, ZERO
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


class Pairs(NamedTuple):
    """Samples, of real numbers, that may be missing: pairs with their weights.

    The kernel of a problem is complex, its imaginary part the sizes of the taps, if the sums of those are needed.
    """

    ignores_nan: bool
    normalize: bool
    weights: np.dtype | None  # of an array of weights


class Problem(NamedTuple):
    """A convolution without its data: all types and sizes that an engine is prepared for.

    Along axis ``axes[k]`` of the input, with ``d, s = dilations[k], strides[k]`` and ``taps = kernel_shape[k]``::

        out[o] = sum_j kernel[j] * x[starts[k] + s * o - d * j]                     if flip
        out[o] = sum_j kernel[j] * x[starts[k] + s * o - d * (taps - 1 - j)]        if not

    so `starts` is the index of the first output in the full convolution. Samples outside are those of
    ``boundaries[k]``, an index into `geometry.BOUNDARIES`; a sample outside along any axis of `ZERO` is 0, else one
    outside along any of `FILL` is `fill_value`. Along all other axes each position is a problem of its own, with the
    same kernel; or, if `kernels` is not empty, each with its own: the kernel then has these extents, those of the
    output along the other axes in their order, in front of its taps.

    No type is float16. The type `sums` of the accumulators equals the type `dtype` of the result, unless `finish` or a
    rounded engine converts them. `guarantee` bounds the error. If `pairs` is not None, samples may be missing, and the
    results are sums of pairs, of a sample times its weight and of that weight, that are divided by each other. `roles`,
    those of `PlaneRoles`, are given where sums must be taken in the order of another problem.
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
    boundaries: tuple[int, ...]
    fill_value: Any
    looks_outside: bool
    finish: Finish | None = None
    guarantee: int = FOOTPRINT
    strides: tuple[int, ...] = ()  # empty: all 1
    dilations: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    pairs: Pairs | None = None
    roles: tuple | None = None

    def part(self, where: tuple[slice, ...]) -> tuple[Problem, tuple[slice, ...]]:
        """The problem of a part of the output, and the part of the input that it takes: convolved axes are whole."""
        steps = self.strides or (1,) * len(self.axes)
        starts = tuple(start + step * where[axis].start for axis, start, step in zip(self.axes, self.starts, steps))
        source = tuple(slice(None) if axis in self.axes else part for axis, part in enumerate(where))
        out_shape = tuple(part.stop - part.start for part in where)
        x_shape = tuple(extent if axis in self.axes else out_shape[axis] for axis, extent in enumerate(self.x_shape))
        return self._replace(x_shape=x_shape, out_shape=out_shape, starts=starts), source

    @property
    def is_plain(self) -> bool:
        """True for one or two axes, without strides and dilations, and the same kernel and value outside everywhere."""
        steps = self.strides + self.dilations
        one_outside = not (FILL in self.boundaries and ZERO in self.boundaries)
        plain = len(self.axes) <= 2 and not self.kernels and steps.count(1) == len(steps) and one_outside
        return plain and self.roles is None

    @property
    def fills(self) -> bool:
        """True if `fill_value` may lie outside."""
        return FILL in self.boundaries

    @property
    def misses_samples(self) -> bool:
        """True if some results have no sample under some of their taps, since zeros outside are not multiplied."""
        return self.looks_outside and ZERO in self.boundaries

    @property
    def from_pixels(self) -> bool:
        """True if integer pixels are converted to pixels of the same type, without premultiplication."""
        finish = self.finish
        same_type = self.dtype.kind in "iu" and self.x_dtype.newbyteorder("=") == self.dtype
        return finish is not None and not finish.premultiplied and same_type


def correlation(
    x_dtype: np.dtype,
    x_shape: tuple[int, ...],
    kernel_dtype: np.dtype,
    kernel_shape: tuple[int, ...],
    axes: tuple[int, ...],
    firsts: tuple[int, ...],
    boundaries: tuple[int, ...],
    fill_value: Any,
    sums: np.dtype,
    dtype: np.dtype,
    **others: Any,
) -> Problem:
    """The problem of a correlation as large as its input; `firsts` are the samples under the first weight at output 0.

    A zero outside counts like one inside, even times an infinite weight.
    """
    return Problem(
        x_dtype=x_dtype,
        kernel_dtype=kernel_dtype,
        sums=sums,
        dtype=dtype,
        x_shape=x_shape,
        kernel_shape=kernel_shape,
        out_shape=x_shape,
        axes=axes,
        starts=tuple(first + extent - 1 for first, extent in zip(firsts, kernel_shape)),
        flip=False,
        boundaries=boundaries,
        fill_value=fill_value,
        looks_outside=False,
        **others,
    )
