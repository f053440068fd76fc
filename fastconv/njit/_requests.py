"""Type checks of a call in a user's function, and what is known of it when it is compiled."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

import numpy as np
from numba import types
from numba.core import errors
from numba.np.numpy_support import as_dtype, from_dtype

from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._model.message_formatting import one_of

# The options that only calls from Python have, with the values that change nothing.
PYTHON_ONLY: dict[str, tuple] = {
    "stride": (1,),
    "dilation": (1,),
    "start": (None,),
    "lags": (None,),
    "method": ("auto", "direct"),
    "check": (True, False),
    "progress": (None,),
    "nan": ("propagate",),
    "weights": (None,),
    "min_weight": (0.0,),
    "return_weight": (False,),
    "normalize": (True,),
    "missing_value": (None,),
}
_SCALARS = types.Boolean, types.Integer, types.Float, types.Complex


class Request(NamedTuple):
    """What is known of a call when it is compiled.

    A mode or boundary is an index, or None if its name is known at run time only.
    """

    names: tuple[str, str]  # of the arrays, in messages
    dimensions: int  # of the kernel
    flip: bool
    result: types.Array
    mode: int | None
    boundary: int | None
    numpy_sizes: bool = False


def constant(kind) -> tuple[bool, Any]:
    """Whether the value of an argument is known when it is compiled, and the value."""
    if isinstance(kind, types.Omitted):
        return True, kind.value
    if isinstance(kind, types.Literal):
        return True, kind.literal_value
    if isinstance(kind, types.NoneType):
        return True, None
    known = not isinstance(kind, types.Type)  # a default value as it is
    return known, kind if known else None


def _is_default(kind) -> bool:
    """Whether an argument is left out."""
    return isinstance(kind, types.Omitted) or not isinstance(kind, types.Type)


def _dtype_of(name: str, array) -> np.dtype:
    """The NumPy type of an array of numbers that compiled engines support."""
    if not isinstance(array, types.Array):
        raise errors.TypingError(f"{name} must be an array in compiled code; got {array}")
    if isinstance(array.dtype, _SCALARS):
        dtype = as_dtype(array.dtype)
        if dtype.kind not in "fc" or dtype.char in "fdFD":
            return dtype
    raise errors.TypingError(f"{name} must hold integers, bools, or floats of 32 or 64 bits; got {array.dtype}")


def _index_of(name: str, kind, allowed: tuple[str, ...]) -> int | None:
    """Index of a string among those allowed, or None if it is known at run time only."""
    known, value = constant(kind)
    if known and isinstance(value, str):
        if value not in allowed:
            # Numba tries again with a string of run time: the call raises the ValueError that it raises in Python.
            raise errors.TypingError(f"{name} must be {one_of(allowed)}; got {value!r}")
        return allowed.index(value)
    if not isinstance(kind, types.UnicodeType):
        raise errors.TypingError(f"{name} must be one string, {one_of(allowed)}, in compiled code; got {kind}")
    return None


def _check_axes(name: str, kind, count: int) -> None:
    if _is_default(kind):
        return
    kinds = [*kind] if count == 2 and isinstance(kind, types.BaseTuple) else [kind]
    if len(kinds) != count or not all(isinstance(types.unliteral(one), types.Integer) for one in kinds):
        allowed = "an integer" if count == 1 else "a tuple of two integers"
        raise errors.TypingError(f"{name} must be {allowed}; got {kind}")


def _check_fill_value(kind, x: np.dtype) -> None:
    if _is_default(kind):
        return
    kind = types.unliteral(kind)
    if not isinstance(kind, _SCALARS):
        raise errors.TypingError(f"fill_value must be a number; got {kind}")
    if isinstance(kind, types.Complex) and x.kind != "c":
        raise errors.TypingError(f"fill_value must be real in compiled code, unless x is complex; got {kind}")


def _check_workers(kind) -> None:
    if not (_is_default(kind) or isinstance(kind, types.NoneType) or isinstance(types.unliteral(kind), types.Integer)):
        raise errors.TypingError(f"workers must be None or an integer; got {kind}")


def _check_out(kind, result: types.Array) -> None:
    known, value = constant(kind)
    if known and value is None:
        return
    if not isinstance(kind, types.Array):
        raise errors.TypingError(f"out must be an array or None; got {kind}")
    if kind.dtype != result.dtype or kind.ndim != result.ndim:
        raise errors.TypingError(f"out must hold {result.dtype} in {result.ndim} dimensions; got {kind}")
    if not kind.mutable:
        raise errors.TypingError(f"out must be writable; got {kind}")


def request_for(
    names: tuple[str, str], x, kernel, mode, boundary, dimensions: int, flip: bool, numpy_sizes: bool = False
) -> Request:
    """Check the types of arrays, mode and boundary; return what is known of the call."""
    dtypes = _dtype_of(names[0], x), _dtype_of(names[1], kernel)
    if kernel.ndim != dimensions:
        raise errors.TypingError(f"{names[1]} must be {dimensions}-D; got {kernel}")
    if x.ndim < dimensions:
        raise errors.TypingError(
            f"{names[0]} must have at least {dimensions} dimension{'s' * (dimensions > 1)}; got {x}"
        )
    result = types.Array(from_dtype(np.result_type(*dtypes)), x.ndim, "C")
    known_mode, known_boundary = _index_of("mode", mode, MODES), _index_of("boundary", boundary, BOUNDARIES)
    return Request(names, dimensions, flip, result, known_mode, known_boundary, numpy_sizes)


def check_options(request: Request, x, axes, fill_value, workers, out, others: Mapping[str, Any]) -> None:
    """Check the types of all other options; `others` are those that only calls from Python have."""
    _check_axes("axis" if request.dimensions == 1 else "axes", axes, request.dimensions)
    _check_fill_value(fill_value, as_dtype(x.dtype))
    _check_workers(workers)
    _check_out(out, request.result)
    for option, kind in others.items():
        known, value = constant(kind)
        if not known or not any(value is usual or value == usual for usual in PYTHON_ONLY[option]):
            raise errors.TypingError(
                f"{option} is not supported in compiled code, but by calls from Python; got {kind}"
            )
