"""Sums of sizes of samples over boxes of any number of axes, axis by axis.

A window of `taps` samples is put together of windows as long as powers of two, each the sum of two of half the length:
no more than two sums for each bit of `taps`, of all samples of a line at once. Nothing is subtracted, so the error is
relative to each sum.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd.array_view import view
from fastconv._simd.complex_vectors import absolute, lanes, load, store
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import advance, call, integers_at

# A pass along an axis. Steps are from one sample along it to the next, in bytes.
BOX_PASS = Record(
    "BoxPass",
    {
        "copy_in": np.intp,  # addresses of compiled routines
        "copy_out": np.intp,
        "sum_windows": np.intp,
        "item": np.intp,  # bytes of a sum,
        "x_item": np.intp,  # and of a sample
        "x_step": np.intp,
        "out_step": np.intp,
        "samples": np.intp,
        "first": np.intp,  # sample under the first tap at output 0; it may lie outside
        "outputs": np.intp,
        "taps": np.intp,
        "width": np.intp,  # lines side by side, of adjacent samples; 1 along the last axis,
        "block": np.intp,  # of which so many are summed at a time
        "sums_at": np.intp,
        "x_places": np.intp,  # addresses of tables: offsets of the first line of each place in both arrays
        "out_places": np.intp,
    },
)
_pass_at = reader(BOX_PASS)


def signature():
    """Signature of `run`."""
    n = types.intp
    return types.void(view, n, n, n, n, n)


def sum_signature(dtype):
    """Signature of `sum_windows`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, n, n)


def sum_windows(x, sums, count, pitch, taps):
    """Compute ``sums[i] = sum over j of abs(x[i + j * pitch])`` for ``i < count``; `x` is overwritten.

    Both arrays are read and written up to two vectors beyond their ends.
    """
    step, size, done, length = 2 * lanes(x), 1, 0, count + (taps - 1) * pitch
    for k in range(0, length, step):
        store(advance(x, k), absolute(load(advance(x, k))))
    while True:
        if taps % 2:
            start = advance(x, done * pitch)
            if done == 0:
                for k in range(0, count, step):
                    store(advance(sums, k), load(advance(start, k)))
            else:
                for k in range(0, count, step):
                    store(advance(sums, k), load(advance(sums, k)) + load(advance(start, k)))
            done += size
        taps //= 2
        if taps == 0:
            break
        length -= size * pitch
        other = advance(x, size * pitch)
        for k in range(0, length, step):
            store(advance(x, k), load(advance(x, k)) + load(advance(other, k)))
        size *= 2


def run(job, x, out, first, stop, scratch):
    """Sum along an axis at places from `first` to `stop`; `x` and `out` are addresses, and may be equal."""
    floats = set_default_float_environment()
    job = _pass_at(job.address, 0)
    item, outputs, taps = job.item, job.outputs, job.taps
    length = outputs + taps - 1
    begin, end = min(max(0, -job.first), length), max(0, min(length, job.samples - job.first))
    words, sums = integers_at(scratch, 0), scratch + job.sums_at
    for place in range(first, stop):
        source, target = x + integers_at(job.x_places, place)[0], out + integers_at(job.out_places, place)[0]
        source += (job.first + begin) * job.x_step
        for left in range(0, job.width, job.block):
            width = min(job.block, job.width - left)
            if begin > 0 or end < length:
                for k in range((length * width * item + 7) // 8):
                    words[k] = 0
            if begin < end and job.width == 1:
                call(
                    job.copy_in,
                    source, 0, job.x_step, 0, scratch + begin * item, 0, item, 0, 1, end - begin, 1, 0,
                )  # fmt: skip
            elif begin < end:
                call(
                    job.copy_in,
                    source + left * job.x_item, job.x_step, job.x_item, 0,
                    scratch + begin * width * item, width * item, item, 0, end - begin, width, 1, 0,
                )  # fmt: skip
            call(job.sum_windows, scratch, sums, outputs * width, width, taps)
            if job.width == 1:
                call(job.copy_out, sums, 0, item, 0, target, 0, job.out_step, 0, 1, outputs, 1, 0)
            else:
                call(
                    job.copy_out,
                    sums, width * item, item, 0, target + left * item, job.out_step, item, 0, outputs, width, 1, 0,
                )  # fmt: skip
    restore_float_environment(floats)
