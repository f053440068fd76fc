"""Transforms of real lines by complex ones of half the length, a line in each lane.

The even samples of a line are the real parts, and the odd ones the imaginary parts, of half as many points. With ``Z``
their spectrum, `h` their number, and ``w = exp(-1j * pi / h)``, the spectrum of the line is::

    2 * X[f] = (Z[f] + conj(Z[h - f])) - 1j * w**f * (Z[f] - conj(Z[h - f])),    f = 0 .. h,  Z[h] = Z[0]

which `untangle` computes two by two, since ``X[h - f]`` is the conjugate of the same with the opposite sign in between.
`tangle` is its inverse, up to a factor of 4. Points are those of `fft_passes`.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import (
    broadcast,
    conjugate,
    lanes,
    lanes_to_rows,
    load,
    rows_to_lanes,
    scaled,
    store,
    transposed_columns,
)
from fastconv._simd.memory import advance
from fastconv._simd.memory import load as load_element

# Two frequencies that are computed together: where ``f`` and ``h - f`` lie in `Z`, and in `X`.
TANGLE = Record("Tangle", dict.fromkeys(("point", "opposite_point", "bin", "opposite_bin"), np.intp))
_tangle_at = reader(TANGLE)


def tangle_signature(dtype):
    """Signature of `untangle` and `tangle`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, pointer, n)


@compilation.inline
def _both(a, b, factor):
    """``(a + conj(b)) + factor * (a - conj(b))``, and the conjugate of their difference."""
    b = conjugate(b)
    total, turned = a + b, factor * (a - b)
    return total + turned, conjugate(total - turned)


def untangle(points, bins, tangles, factors, count):
    """Twice the spectra of lines, of those of half as many points; ``-1j * w**f`` are the factors."""
    step = 2 * lanes(points)
    for k in range(count):
        at = _tangle_at(tangles, k)
        a, b = load(advance(points, at.point * step)), load(advance(points, at.opposite_point * step))
        a, b = _both(a, b, broadcast(advance(factors, 2 * k)))
        store(advance(bins, at.bin * step), a)
        store(advance(bins, at.opposite_bin * step), b)


def tangle(points, bins, tangles, factors, count):
    """Twice the spectra of half as many points, of those of real lines."""
    step = 2 * lanes(points)
    for k in range(count):
        at = _tangle_at(tangles, k)
        a, b = load(advance(bins, at.bin * step)), load(advance(bins, at.opposite_bin * step))
        a, b = _both(a, b, conjugate(broadcast(advance(factors, 2 * k))))
        store(advance(points, at.point * step), a)
        store(advance(points, at.opposite_point * step), b)


def lines_signature(dtype):
    """Signature of `lines_to_points` and `points_to_lines`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n)


def lines_to_points(lines, pitch, points, columns):
    """Transpose a line for each lane into vectors of one sample of all lines."""
    for c in range(0, columns, transposed_columns(lines)):
        rows_to_lanes(advance(lines, c), pitch, advance(points, c * lanes(points)), lanes(points))


def points_to_lines(lines, pitch, points, columns):
    """Undo `lines_to_points`."""
    for c in range(0, columns, transposed_columns(lines)):
        lanes_to_rows(advance(points, c * lanes(points)), lanes(points), advance(lines, c), pitch)


def scale_signature(dtype):
    """Signature of `scale_points`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, pointer)


def scale_points(points, target, count, factor):
    """Multiply points by a real number."""
    step = 2 * lanes(points)
    for k in range(count):
        store(advance(target, k * step), scaled(load_element(factor), load(advance(points, k * step))))
