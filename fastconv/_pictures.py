"""Convolutions that end in a picture: what their sums are taken in, and what becomes of them.

A `Picture` depends on types, shapes, options and the kernel's taps. The last few are kept: frame after frame finds its
own.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from fastconv._arguments import Finish, Problem, check_sums
from fastconv._choice import Choice, Prepared
from fastconv._geometry import BOUNDARIES, ZERO, span

# Sums of 8-bit samples fit into 16 bits if the taps' sizes add up to this: 255 * 257 is 2**16 - 1.
_MOST_NARROW = 257


class Request(NamedTuple):
    """What is asked for: all but the arrays, and the kernel's taps."""

    x_dtype: np.dtype
    x_shape: tuple[int, ...]
    dtype: np.dtype
    mode: str
    axes: tuple[int, int]
    boundary: str
    fill_value: float
    scale: float
    offset: float
    flip: bool
    premultiplied: bool


class Picture(NamedTuple):
    """A convolution ready to run."""

    shape: tuple[int, ...]
    prepared: Prepared

    def __call__(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x`."""
        self.prepared.run(x, out, workers)


def find(request: Request, kernel: np.ndarray) -> Picture:
    """The `Picture` that is asked for, with a kernel of float64."""
    return _find(request, kernel.shape, kernel.tobytes())


@functools.lru_cache(maxsize=16)
def _find(request: Request, kernel_shape: tuple[int, int], content: bytes) -> Picture:
    kernel = np.frombuffer(content).reshape(kernel_shape)
    sums = np.result_type(request.x_dtype, request.dtype, np.float32)
    check_sums(kernel, request.x_dtype, sums, request.scale, request.offset)
    # A quotient of whole sums is more exact than a sum of quotients; of others, it is only later.
    fraction = request.scale != 1 and not request.premultiplied and (np.rint(kernel) != kernel).any()
    scaled = kernel / request.scale if fraction else kernel
    wide = _problem(request._replace(scale=1.0) if fraction else request, scaled, sums)
    found = _whole(kernel) if request.x_dtype == np.uint8 and not request.premultiplied else None
    prepared = None
    if found is not None:
        taps, unit = found
        bias = 255.0 * -int(taps[taps < 0].sum(dtype=np.int64))
        scale, offset = request.scale / unit, request.offset
        plain = request.dtype == np.uint8 and scale == 1 and offset == int(offset) and abs(offset) < 2**14
        finish = Finish(scale, offset, bias, plain)
        narrow = Choice(wide._replace(kernel_dtype=taps.dtype, sums=taps.dtype, finish=finish), "auto")
        prepared = narrow.prepare(taps)
    choice = Choice(wide, "auto")
    # Only a spectrum, of a large kernel, is cheaper than narrow sums.
    if prepared is None or choice.cheapest() < prepared.cost:
        prepared = choice.prepare(scaled.astype(wide.kernel_dtype))
    return Picture(wide.out_shape, prepared)


def _problem(request: Request, kernel: np.ndarray, sums: np.dtype) -> Problem:
    """The problem, in sums that are as fine as floats of 32 bits, or finer where pixels are."""
    kernel_shape = kernel.shape
    shape, starts = list(request.x_shape), []
    for axis, extent in zip(request.axes, kernel_shape):
        shape[axis], start = span(request.mode, request.x_shape[axis], extent)
        starts.append(start)
    plain = request.scale == 1 and request.offset == 0
    fits = 256 * np.abs(kernel).sum() < 2**31  # sums of bytes
    return Problem(
        x_dtype=request.x_dtype,
        kernel_dtype=sums,
        sums=sums,
        dtype=request.dtype,
        x_shape=request.x_shape,
        kernel_shape=kernel_shape,
        out_shape=tuple(shape),
        axes=request.axes,
        starts=tuple(starts),
        flip=request.flip,
        boundary=ZERO if request.mode == "valid" else BOUNDARIES.index(request.boundary),
        fill_value=request.fill_value,
        looks_outside=any(
            start < extent - 1 or start + shape[axis] > request.x_shape[axis]
            for axis, extent, start in zip(request.axes, kernel_shape, starts)
        ),
        finish=None
        if plain and request.dtype == sums
        else Finish(request.scale, request.offset, 0.0, bool(plain and fits), request.premultiplied),
    )


def _whole(kernel: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The taps as whole numbers and their unit, if they have one and sums of 8-bit samples fit into 16 bits then.

    The unit is the smallest tap, or a half or a third of it. Taps may differ from whole numbers of it by their rounding
    to float32.
    """
    size = np.abs(kernel)
    if not size.any():
        return None
    least = size[size > 0].min()
    for part in (1, 2, 3):
        unit = least / part
        with np.errstate(over="ignore"):
            taps = np.rint(kernel / unit)
        if not np.abs(taps).sum() <= _MOST_NARROW:
            return None
        if (np.abs(taps * unit - kernel) <= _ROUNDING * size).all():
            return taps.astype(np.int16), float(unit)
    return None


# Of a tap, what its rounding and that of the unit may be.
_ROUNDING = 2.0**-23
