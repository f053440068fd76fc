"""The loop over the units of a job, such as blocks of output rows of one image.

Each engine has a routine that computes one, which the loop calls by address: so the loop is compiled once, and each
routine by itself. Several threads may run the loop with the same counters.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.memory import address_of, call

# The first fields of a job record, which `run` reads.
HEAD = {"compute_unit": np.intp, "units": np.intp}  # the address of a routine, and the number of units of all images
_head_at = reader(Record("UnitsHead", HEAD))


def signature():
    """Signature of `run`."""
    return types.intp(view, view, view, view, view, view, types.intp, types.intp, types.intp)


def unit_signature():
    """Signature of the routines that compute a unit."""
    return types.void(*[types.intp] * 12)


def run(x, y, a, b, job, progress, limit, max_spins, scratch):
    """Compute units of a job, by a routine that takes addresses, extents and strides of `x` and `y` and the others.

    Parameters
    ----------
    x, y : view
        The input, and the output or its gradient: arrays of shape (number, channels, rows, columns), of any strides
        that the job allows.
    a, b : view
        Two more arrays, of which a unit gets the addresses.
    job : view
        A job record.
    progress : view
        `progress_counters`, shared by all calls of a job.
    limit : intp
        How many units to compute at most.
    max_spins : intp
        How often to check, when no unit is left to take, whether other threads have finished theirs.
    scratch : intp
        Address of a buffer of this thread alone.

    Returns
    -------
    intp
        A status of `progress_counters`.
    """
    head = _head_at(job.address, 0)
    thread = release_gil()
    floats = set_default_float_environment()
    advance_epoch(progress)
    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        unit = take_piece(progress)
        if unit >= head.units:
            break
        taken += 1
        call(
            head.compute_unit,
            x.address, address_of(x.extents), address_of(x.strides),
            y.address, address_of(y.extents), address_of(y.strides),
            a.address, b.address, job.address, progress.address, scratch, unit,
        )  # fmt: skip
        finish_piece(progress)
    if status == DONE:
        status = wait_for_others(progress, head.units, max_spins)
    restore_float_environment(floats)
    acquire_gil(thread)
    return status
