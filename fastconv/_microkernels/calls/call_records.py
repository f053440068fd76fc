"""What code compiled for a user's function passes to `direct_call`, and what that returns.

These layouts are part of the user's machine code, which Numba may keep in a cache on disk: `njit/_loading.py` has such
code compiled again whenever this file changes.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.job_records import Record

# Sizes and addresses for the types of an input, a kernel and a result.
ROUTINES = Record(
    "CallRoutines",
    {
        "convolve": np.intp,  # address of `direct_call.convolve`; this field and the next one stay where they are
        "interface": np.intp,  # identifies these layouts
        # Addresses of microkernels: for kernels of one row, of one column, and of any size;
        "line_microkernel": np.intp,
        "column_microkernel": np.intp,
        "tile_microkernel": np.intp,
        # of other routines;
        "pack": np.intp,
        "convert_kernel": np.intp,
        "copy": np.intp,  # between samples
        "store": np.intp,
        "add_rotated": np.intp,
        # of C functions.
        "allocate": np.intp,
        "free": np.intp,
        "share": np.intp,  # computes the call at an address in several threads, and lets its lock go
        "thread_state": np.intp,  # not 0 in a thread of Python's
        "holds_gil": np.intp,
        "release_gil": np.intp,
        "acquire_gil": np.intp,
        "new_lock": np.intp,
        "acquire_lock": np.intp,
        "free_lock": np.intp,
        "start_thread": np.intp,
        "work_for_threads": np.intp,  # below which a call is not shared: multiplications, plus 8 for each output
        "result_kind": np.intp,  # index in `KINDS`
        # As in `BLOCK_JOB`; without a check of the kernel where that makes no difference.
        "exponent_mask": np.intp,
        "compute_bytes": np.intp,
        "x_bytes": np.intp,
        "kernel_bytes": np.intp,
        "out_bytes": np.intp,
        "x_parts": np.intp,
        "kernel_parts": np.intp,
        "minimum_width": np.intp,
        "x_is_of_samples": np.bool_,
        "kernel_is_of_samples": np.bool_,
        "out_is_of_samples": np.bool_,
    },
)
KINDS = "biufc"  # of dtypes

# A call. Addresses of extents and strides are those of integers, one for each axis of the array.
CALL = Record(
    "Call",
    {
        "x": np.intp,
        "x_extents": np.intp,
        "x_strides": np.intp,
        "kernel": np.intp,
        "kernel_extents": np.intp,
        "kernel_strides": np.intp,
        "out": np.intp,
        "out_extents": np.intp,  # set by the check, unless `has_out`
        "out_strides": np.intp,
        "rank": np.intp,  # of input and output
        "count": np.intp,  # of axes to convolve along: 1 or 2
        "axes": 16,
        "starts": 16,  # of the results in the full ones, along each axis; set by the check
        "mode": np.intp,  # index in `geometry.MODES`, -1 for none of them
        "boundary": np.intp,  # index in `geometry.BOUNDARIES`, -1 for none of them
        "fill_kind": np.intp,  # index in `KINDS`
        "fill_value": 16,  # an integer, or one or two doubles; the check makes it that of `BLOCK_JOB`
        "workers": np.intp,  # 0 for all that are available
        "lock": np.intp,  # of C, held until a shared call has ended
        "shared": np.intp,  # set to 1 by `share` if it has computed the call
        "checked": np.bool_,  # False for the check: nothing is computed
        "flip": np.bool_,
        "has_out": np.bool_,
        "numpy_sizes": np.bool_,  # whether mode 'same' is as in NumPy: as long as the longer array
    },
)

# What a call returns: 0, or the number of an error.
(
    OK,
    BAD_MODE,
    BAD_BOUNDARY,
    BAD_AXIS,
    EQUAL_AXES,
    EMPTY,
    NO_FIT,
    UNUSED_FILL_VALUE,
    BAD_FILL_VALUE,
    TOO_LARGE,
    BAD_WORKERS,
    BAD_OUT_SHAPE,
    BAD_OUT_STRIDES,
    NO_MEMORY,
) = range(14)
