"""The compiled routines that a call from a user's compiled code needs, by types: records for `direct_call`."""

from __future__ import annotations

import ctypes
from typing import Any, Callable

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines.compiled_routines import compiled_routine, transfer_routine
from fastconv._engines.layout import COMPUTE, EXPONENTS, stored
from fastconv._microkernels import transfers
from fastconv._microkernels.blocks import direct_tile
from fastconv._microkernels.calls import direct_call
from fastconv._microkernels.calls.call_records import KINDS, ROUTINES

# Functions of Python's C interface that need no GIL.
_OF_PYTHON = {
    "allocate": "PyMem_RawMalloc",
    "free": "PyMem_RawFree",
    "thread_state": "PyGILState_GetThisThreadState",
    "holds_gil": "PyGILState_Check",
    "release_gil": "PyEval_SaveThread",
    "acquire_gil": "PyEval_RestoreThread",
    "new_lock": "PyThread_allocate_lock",
    "acquire_lock": "PyThread_acquire_lock",
    "free_lock": "PyThread_free_lock",
    "start_thread": "PyThread_start_new_thread",
}


def routines(x: np.dtype, kernel: np.dtype, interface: int, share: Callable | None) -> np.ndarray:
    """The record for arrays of these types; `share`, a function of `ctypes`, computes a call in several threads.

    No routine is compiled during a call. So there are all for kernels of any shape, and for any boundary.
    """
    result = np.result_type(x, kernel)
    compute = COMPUTE[result.kind, result.itemsize]
    x_type, kernel_type, out_type = (stored(dtype, compute) for dtype in (x, kernel, result))
    x_parts, kernel_parts, out_parts = (2 if dtype.kind == "c" else 1 for dtype in (x, kernel, result))
    is_float = isinstance(compute, types.Float)
    microkernels = {
        "line": direct_tile.convolve_symmetric_rows if is_float else direct_tile.convolve_rows,
        "column": direct_tile.convolve_symmetric_columns if is_float else direct_tile.convolve_tiles,
        "tile": direct_tile.convolve_tiles,
    }
    fields: dict[str, Any] = {
        "convolve": compiled_routine(direct_call.convolve, direct_call.signature()),
        "interface": interface,
        "pack": transfer_routine(x_type, compute),
        "convert_kernel": transfer_routine(kernel_type, compute),
        "copy": transfer_routine(compute, compute),
        "store": transfer_routine(compute, out_type),
        "share": 0 if share is None else _address(share),
        **{name: _address(getattr(ctypes.pythonapi, function)) for name, function in _OF_PYTHON.items()},
        "work_for_threads": cost_model.PRODUCTS_FOR_THREADS,
        "result_kind": KINDS.index(result.kind),
        "exponent_mask": EXPONENTS.get(compute, 0),
        "compute_bytes": compute.bitwidth // 8,
        "x_bytes": x.itemsize // x_parts,
        "kernel_bytes": kernel.itemsize // kernel_parts,
        "out_bytes": result.itemsize // out_parts,
        "x_parts": x_parts,
        "kernel_parts": kernel_parts,
        "minimum_width": direct_tile.minimum_width(compute.bitwidth // 8),
        "x_is_of_samples": x_type == compute,
        "kernel_is_of_samples": kernel_type == compute,
        "out_is_of_samples": out_type == compute,
    }
    for name, microkernel in microkernels.items():
        fields[f"{name}_microkernel"] = compiled_routine(microkernel, direct_tile.signature(compute))
    if x_parts == kernel_parts == 2:
        fields["add_rotated"] = compiled_routine(transfers.add_rotated, transfers.rotate_signature(compute))
    return ROUTINES.filled(fields)


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
