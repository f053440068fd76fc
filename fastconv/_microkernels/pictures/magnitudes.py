"""Magnitudes of two derivatives."""

from __future__ import annotations

from numba import types

from fastconv._simd.array_view import view
from fastconv._simd.lane_copies import common_lanes, store_magnitudes
from fastconv._simd.memory import advance, floats_at


def signature():
    """Signature of `magnitudes`."""
    return types.void(view, view, view, types.intp, types.intp)


def magnitudes(a, b, out, first, stop):
    """Fill elements of `out` with ``hypot(a, b)``; all are contiguous arrays of float32, `out` perhaps one of them."""
    x, y, to = floats_at(a.address, 0), floats_at(b.address, 0), floats_at(out.address, 0)
    lanes = common_lanes(x, to)
    whole = first + (stop - first) // lanes * lanes
    for j in range(first, whole, lanes):
        store_magnitudes(advance(x, j), advance(y, j), advance(to, j), False)
    for j in range(whole, stop):
        store_magnitudes(advance(x, j), advance(y, j), advance(to, j), True)
