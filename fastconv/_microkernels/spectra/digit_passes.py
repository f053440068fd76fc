"""Routines of `digit_loop` that split integers into digits, multiply their spectra, and join the sums to integers.

The planes of the digits are consecutive, lowest digit first. A digit of weight ``i`` by one of the kernel of weight
``j`` is a product of weight ``i + j``; spectra of equal weight are added, and make one plane of results. A plane holds
a digit of each of two tiles, or two digits of a single tile: then the imaginary part of a result is one weight higher.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd.complex_vectors import broadcast, lanes, load, store, zero
from fastconv._simd.digit_vectors import (
    add_rounded,
    add_squares,
    larger_squares,
    largest_of,
    load_digits,
    load_whole,
    store_rounded,
    total_of,
)
from fastconv._simd.memory import advance
from fastconv._simd.memory import load as load_number
from fastconv._simd.memory import store as store_number

# The digits of a plane: ``((x + bias) >> shift & mask) - offset``.
DIGIT = Record(
    "Digit",
    dict.fromkeys(("bias", "shift", "mask", "offset", "imag_shift", "imag_mask", "imag_offset"), np.intp),
)
digit_at = reader(DIGIT)


def split_signature():
    """Signature of `split_pair`."""
    number, integer, n = types.CPointer(types.float64), types.CPointer(types.int64), types.intp
    return types.void(integer, integer, n, number, n, n, n, n, number)


def split_pair(real, imag, wide, plane, pitch, rows, columns, digit, squares):
    """Store a digit of each of two packed integer tiles, or two digits of one, as the complex numbers of a plane.

    Rows of the tiles are `wide` elements apart. Adds the squares of the digits to the first number of `squares`; the
    second becomes the largest of them.
    """
    digit = digit_at(digit, 0)
    bias, shift, mask, offset = digit.bias, digit.shift, digit.mask, digit.offset
    imag_shift, imag_mask, imag_offset = digit.imag_shift, digit.imag_mask, digit.imag_offset
    total, most = zero(plane), zero(plane)
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load_digits(
                advance(real, r * wide + c), advance(imag, r * wide + c),
                bias, shift, mask, offset, imag_shift, imag_mask, imag_offset,
            )  # fmt: skip
            store(advance(plane, r * pitch + 2 * c), values)
            total, most = add_squares(total, values), larger_squares(most, values)
    store_number(squares, load_number(squares) + total_of(total))
    largest = advance(squares, 1)
    store_number(largest, max(load_number(largest), largest_of(most)))


def join_signature():
    """Signature of `join_pair`."""
    number, integer, n = types.CPointer(types.float64), types.CPointer(types.int64), types.intp
    return types.void(integer, integer, n, number, n, n, n, n, n, n, n)


def join_pair(real, imag, wide, plane, pitch, rows, columns, shift, keep, imag_shift, imag_keep):
    """Round and shift a plane, and add it to two integer tiles if `keep` is -1, or store it if `keep` is 0."""
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load(advance(plane, r * pitch + 2 * c))
            add_rounded(
                advance(real, r * wide + c), advance(imag, r * wide + c), values, shift, keep, imag_shift, imag_keep
            )


def split_whole_signature():
    """Signature of `split_whole`."""
    number, n = types.CPointer(types.float64), types.intp
    return types.void(number, number, n, number, n, n, n, n, number)


def split_whole(real, imag, wide, plane, pitch, rows, columns, digit, squares):
    """`split_pair` for whole numbers in float64; others are stored as infinities."""
    total, most = zero(plane), zero(plane)
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load_whole(advance(real, r * wide + c), advance(imag, r * wide + c))
            store(advance(plane, r * pitch + 2 * c), values)
            total, most = add_squares(total, values), larger_squares(most, values)
    store_number(squares, load_number(squares) + total_of(total))
    largest = advance(squares, 1)
    store_number(largest, max(load_number(largest), largest_of(most)))


def join_whole_signature(results):
    """Signature of `join_whole` for results of a type of floats."""
    number, n = types.CPointer(types.float64), types.intp
    result = types.CPointer(results)
    return types.void(result, result, n, number, n, n, n, n, n, n, n)


def join_whole(real, imag, wide, plane, pitch, rows, columns, shift, keep, imag_shift, imag_keep):
    """Store a rounded plane as two tiles of floats."""
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load(advance(plane, r * pitch + 2 * c))
            store_rounded(advance(real, r * wide + c), advance(imag, r * wide + c), values)


def product_signature():
    """Signature of `product` and `product_uniform`."""
    pointer, n = types.CPointer(types.float64), types.intp
    return types.void(pointer, n, n, n, pointer, n, n, n, n, n, n)


def product(data, pitch, points, plane, factors, table, planes, step, kernel_digits, results, result_step):
    """Multiply the spectra of `planes` planes by those of the kernel's digits, one for each lane, in place.

    Distances in elements: `pitch` between points, `plane` between planes, whose weights differ by `step`, and `table`
    between digits of the kernel. Weights of results are multiples of `result_step`.
    """
    for p in range(points):
        point, factor = advance(data, p * pitch), advance(factors, p * pitch)
        for result in range(results - 1, -1, -1):  # downwards: a result replaces a digit that no lower one needs
            weight, total = result * result_step, zero(data)
            for k in range(max(0, weight - kernel_digits + step) // step, min(weight // step + 1, planes)):
                spectrum = advance(factor, (weight - step * k) * table)
                total = total + load(advance(point, k * plane)) * load(spectrum)
            store(advance(point, result * plane), total)


def product_uniform(data, pitch, points, plane, factors, table, planes, step, kernel_digits, results, result_step):
    """`product` with one spectrum for all lanes."""
    for p in range(points):
        point, factor = advance(data, p * pitch), advance(factors, 2 * p)
        for result in range(results - 1, -1, -1):
            weight, total = result * result_step, zero(data)
            for k in range(max(0, weight - kernel_digits + step) // step, min(weight // step + 1, planes)):
                spectrum = advance(factor, (weight - step * k) * table)
                total = total + load(advance(point, k * plane)) * broadcast(spectrum)
            store(advance(point, result * plane), total)
