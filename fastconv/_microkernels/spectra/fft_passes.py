"""Passes of the Fourier transforms, and the routines that move samples to and from a tile's plane.

A complex Fourier transform of length ``N = r1 * r2 * ...`` is one pass for each factor. Forward, a pass of radix
``r`` takes blocks of ``r * span`` points: points `span` apart go through a transform of `r` points and are multiplied
by their twiddle factors, and each of the `r` results begins a block of the next pass (decimation in frequency). That
leaves the spectrum in digit-reversed order, which is irrelevant for a product of two spectra. Backward, the passes run
in the opposite order, each the inverse of the forward one up to a factor `r` (decimation in time), which restores the
natural order without sorting.

Every lane is a separate transform. A point is a register of real parts followed by one of imaginary parts; the next
point lies `pitch` elements further.

Error, of one transform: at most about ``4 * eps * log2(N)`` times the values, both in the 2-norm (Higham, Accuracy
and Stability of Numerical Algorithms, 2nd ed., theorem 24.2).
"""

from __future__ import annotations

import math

from numba import types

from fastconv._microkernels.spectra.sample_sums import sample_sums_at, store_cell
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import (
    absolute,
    add_scaled,
    all_zero,
    broadcast,
    conjugate,
    lanes,
    lanes_to_rows,
    larger,
    largest,
    load,
    load_interleaved,
    load_planes,
    rows_to_lanes,
    scaled,
    smaller,
    smallest,
    store,
    store_interleaved,
    store_planes,
    sums,
    times_1j,
    transposed_columns,
    zero,
)
from fastconv._simd.memory import advance, integers_at

# ------------------------------------------------------------------------------------- transforms of few points


@compilation.inline
def _two(a, b):
    return a + b, a - b


_SIN_3 = math.sin(2 * math.pi / 3)


@compilation.inline
def _three(a, b, c):
    s, d = b + c, times_1j(scaled(_SIN_3, b - c))
    m = add_scaled(a, -0.5, s)
    return a + s, m - d, m + d


@compilation.inline
def _four(a, b, c, d):
    s, t = a + c, a - c
    u, v = b + d, times_1j(b - d)
    return s + u, t - v, s - u, t + v


_COS_5, _COS_5_2 = math.cos(2 * math.pi / 5), math.cos(4 * math.pi / 5)
_SIN_5, _SIN_5_2 = math.sin(2 * math.pi / 5), math.sin(4 * math.pi / 5)


@compilation.inline
def _five(a, b, c, d, e):
    s, t = b + e, c + d
    u, v = b - e, c - d
    m = add_scaled(add_scaled(a, _COS_5, s), _COS_5_2, t)
    n = add_scaled(add_scaled(a, _COS_5_2, s), _COS_5, t)
    p = times_1j(add_scaled(scaled(_SIN_5, u), _SIN_5_2, v))
    q = times_1j(add_scaled(scaled(_SIN_5_2, u), -_SIN_5, v))
    return a + s + t, m - p, n - q, n + q, m + p


# Backward, the results except the first come in the opposite order.

# ------------------------------------------------------------------------------------------------------ passes


def signature(dtype):
    """Signature of a pass."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, n, pointer)


def forward_2(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 2 * block * far), twiddles
        for _ in range(span):
            a, b = _two(load(point), load(advance(point, far)))
            store(point, a)
            store(advance(point, far), b * broadcast(w))
            point, w = advance(point, pitch), advance(w, 2)


def backward_2(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 2 * block * far), twiddles
        for _ in range(span):
            a, b = _two(load(point), load(advance(point, far)) * conjugate(broadcast(w)))
            store(point, a)
            store(advance(point, far), b)
            point, w = advance(point, pitch), advance(w, 2)


def forward_3(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 3 * block * far), twiddles
        for _ in range(span):
            a, b, c = _three(load(point), load(advance(point, far)), load(advance(point, 2 * far)))
            store(point, a)
            store(advance(point, far), b * broadcast(w))
            store(advance(point, 2 * far), c * broadcast(advance(w, 2)))
            point, w = advance(point, pitch), advance(w, 4)


def backward_3(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 3 * block * far), twiddles
        for _ in range(span):
            b = load(advance(point, far)) * conjugate(broadcast(w))
            c = load(advance(point, 2 * far)) * conjugate(broadcast(advance(w, 2)))
            a, c, b = _three(load(point), b, c)
            store(point, a)
            store(advance(point, far), b)
            store(advance(point, 2 * far), c)
            point, w = advance(point, pitch), advance(w, 4)


@compilation.inline
def _get_four(point, far):
    return load(point), load(advance(point, far)), load(advance(point, 2 * far)), load(advance(point, 3 * far))


@compilation.inline
def _put_four(point, far, a, b, c, d):
    store(point, a)
    store(advance(point, far), b)
    store(advance(point, 2 * far), c)
    store(advance(point, 3 * far), d)


def forward_4(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 4 * block * far), twiddles
        a, b, c, d = _get_four(point, far)
        a, b, c, d = _four(a, b, c, d)
        _put_four(point, far, a, b, c, d)  # the first three twiddle factors are one
        for _ in range(1, span):
            point, w = advance(point, pitch), advance(w, 6)
            a, b, c, d = _get_four(point, far)
            a, b, c, d = _four(a, b, c, d)
            b, c, d = b * broadcast(w), c * broadcast(advance(w, 2)), d * broadcast(advance(w, 4))
            _put_four(point, far, a, b, c, d)


def backward_4(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 4 * block * far), twiddles
        a, b, c, d = _get_four(point, far)
        a, d, c, b = _four(a, b, c, d)
        _put_four(point, far, a, b, c, d)
        for _ in range(1, span):
            point, w = advance(point, pitch), advance(w, 6)
            a, b, c, d = _get_four(point, far)
            b, c = b * conjugate(broadcast(w)), c * conjugate(broadcast(advance(w, 2)))
            d = d * conjugate(broadcast(advance(w, 4)))
            a, d, c, b = _four(a, b, c, d)
            _put_four(point, far, a, b, c, d)


def forward_5(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 5 * block * far), twiddles
        for _ in range(span):
            a, b, c, d = _get_four(point, far)
            a, b, c, d, e = _five(a, b, c, d, load(advance(point, 4 * far)))
            b, c = b * broadcast(w), c * broadcast(advance(w, 2))
            d, e = d * broadcast(advance(w, 4)), e * broadcast(advance(w, 6))
            _put_four(point, far, a, b, c, d)
            store(advance(point, 4 * far), e)
            point, w = advance(point, pitch), advance(w, 8)


def backward_5(data, pitch, blocks, span, twiddles):
    far = span * pitch
    for block in range(blocks):
        point, w = advance(data, 5 * block * far), twiddles
        for _ in range(span):
            a, b, c, d = _get_four(point, far)
            e = load(advance(point, 4 * far)) * conjugate(broadcast(advance(w, 6)))
            b, c = b * conjugate(broadcast(w)), c * conjugate(broadcast(advance(w, 2)))
            d = d * conjugate(broadcast(advance(w, 4)))
            a, e, d, c, b = _five(a, b, c, d, e)
            _put_four(point, far, a, b, c, d)
            store(advance(point, 4 * far), e)
            point, w = advance(point, pitch), advance(w, 8)


FORWARD = {2: forward_2, 3: forward_3, 4: forward_4, 5: forward_5}
BACKWARD = {2: backward_2, 3: backward_3, 4: backward_4, 5: backward_5}


# ------------------------------------------------------- the last pass forward, the first pass backward, or both


def middle_signature(dtype):
    """Signature of the routines between the passes forward and the passes backward."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n)


def last_pass(data, pitch, blocks, factors, factor_pitch):
    """The last pass forward."""
    for block in range(blocks):
        point = advance(data, 4 * block * pitch)
        a, b, c, d = _get_four(point, pitch)
        a, b, c, d = _four(a, b, c, d)
        _put_four(point, pitch, a, b, c, d)


def first_pass_back(data, pitch, blocks, factors, factor_pitch):
    """The first pass backward."""
    for block in range(blocks):
        point = advance(data, 4 * block * pitch)
        a, b, c, d = _get_four(point, pitch)
        a, d, c, b = _four(a, b, c, d)
        _put_four(point, pitch, a, b, c, d)


def spectrum_product(data, pitch, blocks, factors, factor_pitch):
    """The last pass forward, the product with one spectrum for each lane, and the first pass backward."""
    for block in range(blocks):
        point, factor = advance(data, 4 * block * pitch), advance(factors, 4 * block * factor_pitch)
        a, b, c, d = _get_four(point, pitch)
        a, b, c, d = _four(a, b, c, d)
        p, q, r, s = _get_four(factor, factor_pitch)
        a, d, c, b = _four(a * p, b * q, c * r, d * s)
        _put_four(point, pitch, a, b, c, d)


def spectrum_product_uniform(data, pitch, blocks, factors, factor_pitch):
    """`spectrum_product` with one spectrum for all lanes."""
    for block in range(blocks):
        point, factor = advance(data, 4 * block * pitch), advance(factors, 4 * block * factor_pitch)
        a, b, c, d = _get_four(point, pitch)
        a, b, c, d = _four(a, b, c, d)
        a, b = a * broadcast(factor), b * broadcast(advance(factor, factor_pitch))
        c, d = c * broadcast(advance(factor, 2 * factor_pitch)), d * broadcast(advance(factor, 3 * factor_pitch))
        a, d, c, b = _four(a, b, c, d)
        _put_four(point, pitch, a, b, c, d)


def four_step_twiddle(data, pitch, blocks, factors, factor_pitch):
    """The last pass forward, and the product with the twiddle factors of a four-step transform, for each lane.

    Those are the factors between the columns and the rows of one long transform.
    """
    for block in range(blocks):
        point, factor = advance(data, 4 * block * pitch), advance(factors, 4 * block * factor_pitch)
        a, b, c, d = _get_four(point, pitch)
        a, b, c, d = _four(a, b, c, d)
        p, q, r, s = _get_four(factor, factor_pitch)
        _put_four(point, pitch, a * p, b * q, c * r, d * s)


def four_step_twiddle_back(data, pitch, blocks, factors, factor_pitch):
    """The inverse of `four_step_twiddle`, with the first pass backward."""
    for block in range(blocks):
        point, factor = advance(data, 4 * block * pitch), advance(factors, 4 * block * factor_pitch)
        a, b, c, d = _get_four(point, pitch)
        p, q, r, s = _get_four(factor, factor_pitch)
        a, d, c, b = _four(a * conjugate(p), b * conjugate(q), c * conjugate(r), d * conjugate(s))
        _put_four(point, pitch, a, b, c, d)


# ---------------------------------------------------------------------------------------- to the plane, and back


def rows_signature(dtype):
    """Signature of `transpose_rows` and `transpose_back`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n)


def transpose_rows(plane, pitch, points, columns):
    """Transpose as many rows of the plane as there are lanes into `points`."""
    step = 2 * lanes(plane)
    for first in range(0, columns, lanes(plane)):
        for c in range(0, lanes(plane), transposed_columns(plane)):
            source, target = advance(plane, 2 * first + c), advance(points, (first + c) * step)
            rows_to_lanes(source, pitch, target, step)
            rows_to_lanes(advance(source, lanes(plane)), pitch, advance(target, lanes(plane)), step)


def transpose_back(plane, pitch, points, columns):
    """Transpose rows back from `points` into the plane."""
    step = 2 * lanes(plane)
    for first in range(0, columns, lanes(plane)):
        for c in range(0, lanes(plane), transposed_columns(plane)):
            target, source = advance(plane, 2 * first + c), advance(points, (first + c) * step)
            lanes_to_rows(source, step, target, pitch)
            lanes_to_rows(advance(source, lanes(plane)), step, advance(target, lanes(plane)), pitch)


def staging_signature(dtype):
    """Signature of the routines that move rows between the staging buffers and the plane."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, pointer, n, n, n, n)


def _make(name: str, interleaved: bool):
    """A routine that moves rows of two packed real tiles, or of `interleaved` complex numbers, into the plane."""

    def move(real, imag, wide, plane, pitch, rows, columns, totals):
        """Store the samples register by register, and add their sizes to the `SAMPLE_SUMS` at the address `totals`.

        Rows are `wide` elements long, and their number is a multiple of the rows of a cell.
        """
        totals = sample_sums_at(totals, 0)
        down, across = totals.cell_rows, totals.cell_vectors
        count, step, jump = down * across, wide, pitch
        if across > 1:
            step, jump = lanes(plane), 2 * lanes(plane)
        every, highest, lowest = zero(plane), zero(plane), zero(plane)
        for r in range(0, rows, down):
            for c in range(0, columns, across * lanes(plane)):
                cell, source, target = zero(plane), r * wide + c, advance(plane, r * pitch + 2 * c)
                for _ in range(count):
                    if interleaved:
                        values = load_interleaved(advance(real, 2 * source))
                    else:
                        values = load_planes(advance(real, source), advance(imag, source))
                    store(target, values)
                    cell = cell + absolute(values)
                    highest, lowest = larger(highest, values), smaller(lowest, values)
                    source, target = source + step, advance(target, jump)
                every = every + cell
                store_cell(totals, plane, r, c // lanes(plane), cell)
        total, second_total = sums(every)
        totals.total, totals.second_total = totals.total + total, totals.second_total + second_total
        first, second = largest(highest)
        totals.highest, totals.second_highest = max(totals.highest, first), max(totals.second_highest, second)
        first, second = smallest(lowest)
        totals.lowest, totals.second_lowest = min(totals.lowest, first), min(totals.second_lowest, second)

    move.__name__ = name
    return move


interleave_pair = _make("interleave_pair", False)
deinterleave_complex = _make("deinterleave_complex", True)


def deinterleave_pair(real, imag, wide, plane, pitch, rows, columns, not_finite):
    """Undo `interleave_pair`. Set the integer at the address `not_finite` to 1 if a number is an infinity or a NaN."""
    different = zero(plane)
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load(advance(plane, r * pitch + 2 * c))
            store_planes(advance(real, r * wide + c), advance(imag, r * wide + c), values)
            different = different + (values - values)  # zero if all are finite, else NaN
    if not all_zero(different):
        integers_at(not_finite, 0)[0] = 1


def interleave_complex(real, imag, wide, plane, pitch, rows, columns, not_finite):
    """Undo `deinterleave_complex`, and set `not_finite` as `deinterleave_pair` does."""
    different = zero(plane)
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load(advance(plane, r * pitch + 2 * c))
            store_interleaved(advance(real, 2 * (r * wide + c)), values)
            different = different + (values - values)
    if not all_zero(different):
        integers_at(not_finite, 0)[0] = 1
