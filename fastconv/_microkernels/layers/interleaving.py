"""Rows of two arrays as the even and the odd columns of a third."""

from __future__ import annotations

from numba import types

from fastconv._simd.array_view import view
from fastconv._simd.complex_vectors import lanes, load_planes, store_interleaved
from fastconv._simd.memory import advance, call, load, store


def signature(dtype):
    """Signature of `interleave_rows`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n, pointer, n, n, n)


def interleave_rows(even, even_row, odd, odd_row, out, out_row, rows, columns):
    """Fill rows of `columns` of `out`; pitches are in elements."""
    pairs, step = columns // 2, lanes(out)
    whole = pairs - pairs % step
    for r in range(rows):
        a, b, line = advance(even, r * even_row), advance(odd, r * odd_row), advance(out, r * out_row)
        for k in range(0, whole, step):
            store_interleaved(advance(line, 2 * k), load_planes(advance(a, k), advance(b, k)))
        for k in range(whole, pairs):
            store(advance(line, 2 * k), load(advance(a, k)))
            store(advance(line, 2 * k + 1), load(advance(b, k)))
        if columns % 2:
            store(advance(line, 2 * pairs), load(advance(a, pairs)))


def entry_signature():
    """Signature of `interleave_planes`."""
    n = types.intp
    return types.void(view, view, view, n, n, n, n)


def interleave_planes(even, odd, out, routine, item, first, stop):
    """Fill the planes from `first` to `stop` of `out`; arrays have four axes, and columns are side by side."""
    channels, rows, columns = out.extents[1], out.extents[2], out.extents[3]
    for k in range(first, stop):
        number, channel = k // channels, k % channels
        call(
            routine,
            even.address + number * even.strides[0] + channel * even.strides[1], even.strides[2] // item,
            odd.address + number * odd.strides[0] + channel * odd.strides[1], odd.strides[2] // item,
            out.address + number * out.strides[0] + channel * out.strides[1], out.strides[2] // item, rows, columns,
        )  # fmt: skip
