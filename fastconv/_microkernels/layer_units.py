"""The loop over the units of a layer, and the fields that the job records of layers share.

A unit is a block of output rows of one image, and in some engines a part of the output channels. Several threads may
run a loop with the same counters.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    NON_FINITE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.memory import fetch_add, integers_at

# Fields of a job record about kernel, input rows and units.
UNITS = {
    "kernel_rows": np.intp,
    "kernel_columns": np.intp,
    "row_stride": np.intp,
    "column_stride": np.intp,
    "row_dilation": np.intp,
    "column_dilation": np.intp,
    "height": np.intp,  # input rows: of the image, or as the boundary extends it,
    "top": np.intp,  # and the one under the first row of the kernel at output row 0
    "left": np.intp,  # the input column there, if the input is read in place
    "out_height": np.intp,
    "block_rows": np.intp,  # output rows of a unit, or of a block of a gradient
    "row_blocks": np.intp,
    "units": np.intp,  # of all images
}


def signature():
    """Signature of the functions that `make_run` makes."""
    return types.intp(view, view, view, view, view, view, types.intp, types.intp, types.intp)


@compilation.inline
def rows_of(job, unit):
    """The image of a block of rows; its first output row, and their number; and the input rows under them.

    These are the one under the first row of the kernel, and those of the image: the first, and the one after the last.
    """
    image, first = unit // job.row_blocks, unit % job.row_blocks * job.block_rows
    rows = min(job.block_rows, job.out_height - first)
    top = first * job.row_stride + job.top
    stop = top + (rows - 1) * job.row_stride + (job.kernel_rows - 1) * job.row_dilation + 1
    return image, first, rows, top, max(0, top), min(job.height, stop)


def make_run(name: str, job_at, reads_in_place, compute_unit):
    """Make the loop of an engine: `job_at` reads its job record, and `compute_unit` computes one unit.

    That returns whether the engine is to keep the results."""

    def run(x, weights, bias, out, job, progress, limit, max_spins, scratch):
        """Compute units of `out`.

        Parameters
        ----------
        x, out : view
            Arrays of shape (number, channels, rows, columns), of any strides; those of `out` are as the job says.
        weights, bias : view
            The packed weights and the packed bias.
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
        job = job_at(job.address, 0)
        thread = release_gil()
        floats = set_default_float_environment()
        advance_epoch(progress)
        in_place = reads_in_place(x, job)
        status, taken = DONE, 0
        while True:
            if taken == limit:
                status = MORE
                break
            unit = take_piece(progress)
            if unit >= job.units:
                break
            taken += 1
            if not compute_unit(x, weights, bias, out, job, scratch, unit, in_place):
                fetch_add(integers_at(progress.address, NON_FINITE), 1)
            finish_piece(progress)
        if status == DONE:
            status = wait_for_others(progress, job.units, max_spins)
        restore_float_environment(floats)
        acquire_gil(thread)
        return status

    run.__name__ = name
    return run
