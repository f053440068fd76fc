"""Check a call from a user's compiled code, and find the shape of its result, before anything is allocated."""

from __future__ import annotations

import sys

from fastconv._microkernels.calls.call_records import (
    BAD_AXIS,
    BAD_BOUNDARY,
    BAD_FILL_VALUE,
    BAD_MODE,
    BAD_OUT_SHAPE,
    BAD_OUT_STRIDES,
    BAD_WORKERS,
    EMPTY,
    EQUAL_AXES,
    KINDS,
    NO_FIT,
    OK,
    TOO_LARGE,
    UNUSED_FILL_VALUE,
)
from fastconv._model.geometry import FILL, ZERO
from fastconv._simd import compilation
from fastconv._simd.memory import doubles_at, floats_at, integers_at

_FULL, _SAME, _VALID = range(3)
_BOOL, _SIGNED, _UNSIGNED, _FLOAT, _COMPLEX = range(len(KINDS))
# Headroom for 64-bit index arithmetic, as in `checks.fits_into_memory`.
_MOST_BYTES = float(sys.maxsize >> 8)
_HALF_RANGE = 2.0**63  # of integers of 64 bits


@compilation.inline
def _is_held(word, is_huge, kind, bits):
    """Whether a type holds an integer: `word`, or if `is_huge` that plus 2**64."""
    if word < 0 and is_huge:
        return kind == _UNSIGNED and bits == 64
    if kind == _BOOL:
        return word == 0 or word == 1
    if bits == 64:
        return kind == _SIGNED or word >= 0
    if kind == _SIGNED:
        return -(1 << (bits - 1)) <= word < 1 << (bits - 1)
    return 0 <= word < 1 << bits


@compilation.outline
def _convert_fill_value(routines, call):
    """Replace the fill value by that of a job: parts in the type of the sums, 8 bytes apart; return an error."""
    words, doubles, floats = (
        integers_at(call.fill_value, 0),
        doubles_at(call.fill_value, 0),
        floats_at(call.fill_value, 0),
    )
    kind, is_huge = routines.result_kind, call.fill_kind == _UNSIGNED
    is_float = call.fill_kind == _FLOAT or call.fill_kind == _COMPLEX
    imaginary = doubles[1] if call.fill_kind == _COMPLEX else 0.0
    value = doubles[0] if is_float else float(words[0]) + (2 * _HALF_RANGE if is_huge and words[0] < 0 else 0.0)
    if call.boundary != FILL:
        if value != 0 or imaginary != 0:
            return UNUSED_FILL_VALUE
        value = imaginary = 0.0
    if kind == _FLOAT or kind == _COMPLEX:
        for k, number in ((0, value), (1, imaginary)):
            doubles[k] = number
            if routines.compute_bytes == 4:
                floats[2 * k] = number
                rounded = float(floats[2 * k])
                if rounded - rounded != 0 and number - number == 0:  # infinite, unlike the number
                    return BAD_FILL_VALUE
        return OK
    if is_float:
        is_huge = value >= _HALF_RANGE
        if not -_HALF_RANGE <= value < 2 * _HALF_RANGE or not (is_huge or value == float(int(value))):
            return BAD_FILL_VALUE
        words[0] = int(value - 2 * _HALF_RANGE) if is_huge else int(value)
    words[1] = 0
    return OK if _is_held(words[0], is_huge, kind, 8 * routines.out_bytes) else BAD_FILL_VALUE


@compilation.outline
def _set_line(call, k, samples, taps):
    """Find where the results along axis number `k` are; return their number."""
    starts, mode = integers_at(call.starts, 0), call.mode
    longer, shorter = max(samples, taps), min(samples, taps)
    if mode == _FULL:
        starts[k] = 0
        return samples + taps - 1
    if mode == _VALID:
        starts[k] = shorter - 1
        return longer - shorter + 1
    if not call.numpy_sizes:
        starts[k] = (taps - 1) // 2
        return samples
    if call.flip:
        starts[k] = (shorter - 1) // 2
    else:
        starts[k] = (taps - 1) // 2 if samples >= taps else samples // 2
    return longer


@compilation.outline
def check(routines, call):
    """Check a call; set the shape of its output, its starts, its fill value, and axes that are not negative."""
    extents, taps = integers_at(call.x_extents, 0), integers_at(call.kernel_extents, 0)
    out, axes, rank = integers_at(call.out_extents, 0), integers_at(call.axes, 0), call.rank
    if call.mode < 0:
        return BAD_MODE
    if call.boundary < 0:
        return BAD_BOUNDARY
    if call.workers < 0:
        return BAD_WORKERS
    for k in range(call.count):
        if not -rank <= axes[k] < rank:
            return BAD_AXIS
        axes[k] += rank if axes[k] < 0 else 0
        if taps[k] == 0:
            return EMPTY
    if call.count == 2 and axes[0] == axes[1]:
        return EQUAL_AXES
    is_larger = is_smaller = differs = False
    total = float(routines.out_bytes * max(routines.x_parts, routines.kernel_parts))
    for axis in range(rank):
        wanted = extents[axis]
        if wanted == 0:
            return EMPTY
        for k in range(call.count):
            if axes[k] == axis:
                is_larger, is_smaller = is_larger or wanted > taps[k], is_smaller or wanted < taps[k]
                wanted = _set_line(call, k, wanted, taps[k])
        total *= wanted
        differs = differs or out[axis] != wanted
        out[axis] = wanted
    if call.mode == _VALID and is_larger and is_smaller:
        return NO_FIT
    if not total <= _MOST_BYTES:
        return TOO_LARGE
    if call.has_out:
        if differs:
            return BAD_OUT_SHAPE
        for axis in range(rank):
            if integers_at(call.out_strides, 0)[axis] == 0 and out[axis] > 1:
                return BAD_OUT_STRIDES
    status = _convert_fill_value(routines, call)
    if call.mode == _VALID:  # zeros lie beside an array that is shorter than the kernel, and nothing beside others
        call.boundary = ZERO
        for k in range(2):
            integers_at(call.fill_value, k)[0] = 0
    return status
