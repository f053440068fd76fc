"""Results of a convolution along up to three axes at single points, in float64: where few are wanted, far apart.

Samples and taps lie in contiguous lines, all zeros outside. A result is ``sum taps[i, j, k] * x[z + i, y + j, c + k]``
(the engine has flipped the kernel), with two sums in turn.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd import compilation
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import doubles_at, floats_at, integers_at

# An axis: samples and their distance, taps and theirs, outputs, and the sample under the first tap at output 0.
POINT_AXIS = Record("PointAxis", dict.fromkeys(("samples", "pitch", "taps", "step", "outputs", "first"), np.intp))
# Addresses of samples and taps, and the distance of the samples of the batch, through which points are counted last.
POINT_JOB = Record("PointJob", dict.fromkeys(("x", "taps", "batch"), np.intp))
_axis_at, _job_at = map(reader, (POINT_AXIS, POINT_JOB))


def signature():
    """Signature of `sum_points`."""
    n = types.intp
    return types.void(n, n, n, n, n)


@compilation.inline
def _part(axis, place):
    """First tap and the one after the last that lie on samples, and the sample under the first tap."""
    start = axis.first + place
    return max(0, -start), min(axis.taps, axis.samples - start), start


def _make(name: str, numbers_at):
    def sum_points(job, axes, points, count, sums):
        """Compute the results with the numbers at `points` into `sums`; all are addresses, but for the count."""
        floats = set_default_float_environment()
        job, planes, rows, columns = _job_at(job, 0), _axis_at(axes, 0), _axis_at(axes, 1), _axis_at(axes, 2)
        taps, found, numbers = numbers_at(job.taps, 0), doubles_at(sums, 0), integers_at(points, 0)
        for p in range(count):
            place = numbers[p]
            first, stop, column = _part(columns, place % columns.outputs)
            place //= columns.outputs
            top, bottom, row = _part(rows, place % rows.outputs)
            place //= rows.outputs
            front, back, plane = _part(planes, place % planes.outputs)
            x = numbers_at(job.x, place // planes.outputs * job.batch)
            even = odd = 0.0
            for i in range(front, back):
                for j in range(top, bottom):
                    line = (plane + i) * planes.pitch + (row + j) * rows.pitch + column
                    weights = i * planes.step + j * rows.step
                    k = first
                    while k + 1 < stop:
                        even += types.float64(taps[weights + k]) * types.float64(x[line + k])
                        odd += types.float64(taps[weights + k + 1]) * types.float64(x[line + k + 1])
                        k += 2
                    if k < stop:
                        even += types.float64(taps[weights + k]) * types.float64(x[line + k])
            found[p] = even + odd
        restore_float_environment(floats)

    sum_points.__name__ = name
    return sum_points


# By bytes of a sample.
SUM_POINTS = {4: _make("sum_points_of_floats", floats_at), 8: _make("sum_points_of_doubles", doubles_at)}
