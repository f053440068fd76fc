"""Overloads of `numpy.convolve` and `numpy.correlate`, which take precedence over Numba's own while they are active."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core.typing.templates import builtin_registry
from numba.extending import overload

from fastconv.njit._requests import request_for

# The overloads stay registered; those that return None leave a call to Numba.
_state = {"active": False}


def replace(active: bool) -> None:
    """Make the overloads active, or leave all calls to Numba again."""
    _state["active"] = active
    for template in builtin_registry.functions:  # Numba keeps what an overload returned for the same types
        if getattr(template, "_overload_func", None) in (_convolve, _correlate):
            template._impl_cache.clear()


def _takes(*arrays) -> bool:
    """Whether the arrays are lines of numbers: of bools, Numba's result is not NumPy's, nor that of fastconv."""
    numbers = types.Integer, types.Float, types.Complex
    return _state["active"] and all(
        isinstance(array, types.Array) and array.ndim == 1 and isinstance(array.dtype, numbers) for array in arrays
    )


def _call(a, v, mode, flip: bool):
    request = request_for(("a", "v"), a, v, mode, "zero", 1, flip, numpy_sizes=True)
    from fastconv.njit._lowering import call_of

    return call_of(request)


# For processors, which Numba prefers to its own for any target.
@overload(np.convolve, prefer_literal=True, target="cpu")
def _convolve(a, v, mode="full"):
    if not _takes(a, v):
        return None
    call = _call(a, v, mode, True)

    def compiled(a, v, mode="full"):
        return call(a, v, mode, -1, "zero", 0, 1, None)

    return compiled


@overload(np.correlate, prefer_literal=True, target="cpu")
def _correlate(a, v, mode="valid"):
    if not _takes(a, v):
        return None
    call = _call(a, v, mode, False)

    def compiled(a, v, mode="valid"):
        return call(a, v, mode, -1, "zero", 0, 1, None)

    return compiled
