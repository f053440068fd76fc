"""A call from compiled code with several workers: computed by the engine that calls from Python share."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._planning.plans import find
from fastconv._runtime.borrowed_arrays import array_at

_WORD = ctypes.c_ssize_t


def sharing(x_dtype: np.dtype, kernel_dtype: np.dtype) -> Any:
    """A C function for a new thread, which computes the call at an address in several threads: see `CALL`.

    After an exception the caller computes the call itself.
    """
    from fastconv._microkernels.calls.call_records import CALL

    def words(address: int, count: int) -> tuple[int, ...]:
        return tuple((_WORD * count).from_address(address))

    def share(address: int) -> None:
        call = array_at(address, np.dtype(np.uint8), (CALL.dtype.itemsize,), (1,)).view(CALL.dtype)
        lock = int(call["lock"][0])
        try:
            fields = call[0]
            rank, count = int(fields["rank"]), int(fields["count"])
            x, kernel, out = (
                array_at(
                    int(fields[name]),
                    dtype,
                    words(int(fields[f"{name}_extents"]), axes),
                    words(int(fields[f"{name}_strides"]), axes),
                )
                for name, axes, dtype in (
                    ("x", rank, x_dtype),
                    ("kernel", count, kernel_dtype),
                    ("out", rank, np.result_type(x_dtype, kernel_dtype)),
                )
            )
            boundary = BOUNDARIES[fields["boundary"]]
            fill = _fill_value(fields["fill_value"], out.dtype) if boundary == "fill" else 0
            axes = tuple(fields["axes"].view(np.intp)[:count].tolist())
            options = MODES[fields["mode"]], axes, boundary, fill, "direct", bool(fields["flip"])
            plan = find("x", x.dtype, x.shape, kernel.dtype, kernel.shape, *options)
            plan(x, kernel, out, int(fields["workers"]) or None)
            call["shared"] = 1
        except BaseException:  # of memory, for instance
            pass
        finally:
            _release(lock)

    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(share)


_release = ctypes.pythonapi["PyThread_release_lock"]  # an object of its own: the types of arguments are set
_release.argtypes, _release.restype = (ctypes.c_void_p,), None


def _fill_value(parts: np.ndarray, dtype: np.dtype) -> Any:
    """The fill value of a call that has been checked: see `CALL`."""
    if dtype.kind in "fc":
        real = dtype.type(0).real.dtype
        numbers = parts.view(real)[:: 8 // real.itemsize]
        return complex(*numbers) if dtype.kind == "c" else float(numbers[0])
    return parts.view(np.int64)[:1].astype(dtype)[0].item()
