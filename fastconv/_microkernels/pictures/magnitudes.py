"""Magnitudes of two derivatives."""

from __future__ import annotations

from numba import types

from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.lane_copies import common_lanes, store_magnitudes
from fastconv._simd.memory import advance, floats_at


def signature():
    """Signature of `magnitudes`."""
    return types.void(view, view, view, types.intp, types.intp)


@compilation.inline
def combine(a, b, out, count):
    """Fill elements of `out`, which may be `a` or `b`, with ``hypot(a, b)``."""
    lanes = common_lanes(a, out)
    whole = count // lanes * lanes
    for j in range(0, whole, lanes):
        store_magnitudes(advance(a, j), advance(b, j), advance(out, j), False)
    for j in range(whole, count):
        store_magnitudes(advance(a, j), advance(b, j), advance(out, j), True)


def magnitudes(a, b, out, first, stop):
    """Fill elements of `out` with ``hypot(a, b)``; all are contiguous arrays of float32, `out` perhaps one of them."""
    combine(floats_at(a.address, first), floats_at(b.address, first), floats_at(out.address, first), stop - first)
