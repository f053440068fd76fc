"""A call from compiled code with several workers: computed by the engine that calls from Python share."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._planning.plans import find
from fastconv._runtime.borrowed_arrays import array_at
from fastconv._runtime.signals import deferred, send_later

_WORD = ctypes.c_ssize_t


def sharing(x_dtype: np.dtype, kernel_dtype: np.dtype) -> Any:
    """A C function that computes the call at an address in several threads; it returns whether it has.

    It runs in threads of Python's only, with or without the GIL. Exceptions cannot pass through the caller: after one
    the caller computes the call itself, and signals are sent again when it is back in its own code.
    """
    from fastconv._microkernels.call_records import CALL

    def words(address: int, count: int) -> tuple[int, ...]:
        return tuple((_WORD * count).from_address(address))

    def share(address: int) -> int:
        received: list[int] = []
        try:
            with deferred(received.extend):
                call = array_at(address, np.dtype(np.uint8), (CALL.dtype.itemsize,), (1,)).view(CALL.dtype)[0]
                rank, count = int(call["rank"]), int(call["count"])
                ranks = {"x": (rank, x_dtype), "kernel": (count, kernel_dtype)}
                ranks["out"] = rank, np.result_type(x_dtype, kernel_dtype)
                arrays = [
                    array_at(
                        int(call[name]),
                        dtype,
                        words(int(call[f"{name}_extents"]), axes),
                        words(int(call[f"{name}_strides"]), axes),
                    )
                    for name, (axes, dtype) in ranks.items()
                ]
                x, kernel, out = arrays
                boundary = BOUNDARIES[call["boundary"]]
                fill = _fill_value(call["fill_value"], out.dtype) if boundary == "fill" else 0
                axes = tuple(call["axes"].view(np.intp)[:count].tolist())
                options = MODES[call["mode"]], axes, boundary, fill, "direct", bool(call["flip"])
                plan = find("x", x.dtype, x.shape, kernel.dtype, kernel.shape, *options)
                plan(x, kernel, out, int(call["workers"]) or None)
            return 1
        except BaseException:
            return 0
        finally:
            send_later(received)

    return ctypes.CFUNCTYPE(_WORD, _WORD)(share)


def _fill_value(parts: np.ndarray, dtype: np.dtype) -> Any:
    """The fill value of a call that has been checked: see `CALL`."""
    if dtype.kind in "fc":
        real = dtype.type(0).real.dtype
        numbers = parts.view(real)[:: 8 // real.itemsize]
        return complex(*numbers) if dtype.kind == "c" else float(numbers[0])
    return parts.view(np.int64)[:1].astype(dtype)[0].item()
