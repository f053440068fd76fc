"""Argument conversion and errors of `scipy.ndimage`."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from fastconv._model.arguments import plain_array
from fastconv._model.geometry import FILL, MIRROR, NEAREST, REFLECT, WRAP, ZERO
from fastconv._model.message_formatting import clipped, raised_in_c, shown
from fastconv._model.passed_exceptions import passed
from fastconv._runtime.cpu_limits import check_variable_once

_MODES = {
    "reflect": REFLECT,
    "grid-mirror": REFLECT,
    "constant": FILL,
    "grid-constant": FILL,
    "nearest": NEAREST,
    "mirror": MIRROR,
    "wrap": WRAP,
    "grid-wrap": WRAP,
}
_TYPES = frozenset("?bBhHiIlLqQfdFD")


def check_type(dtype: np.dtype, name: str) -> None:
    """Check that filters support the type of an array."""
    if dtype.char not in _TYPES:
        raise RuntimeError(
            f"{name} must hold bools, integers, or floats or complex numbers of usual size; got {clipped(dtype)}"
        )


def as_output(output, x: np.ndarray, is_complex: bool = False, depth: int = 1) -> np.ndarray:
    """Return the array for the result: `output` itself, or a new one of its type or of that of `x`.

    If `is_complex`, a real type is promoted to a complex one, with a warning. `depth` is the number of calls between
    the public function and this one: the warning names the caller of the public function.
    """
    check_variable_once()
    if output is None:
        if is_complex:
            return np.empty(x.shape, np.promote_types(x.dtype, np.complex64))
        # By name, as in SciPy: byte order becomes native, and types without a name of their own are refused.
        usual = x.dtype.isnative and x.dtype.char in _TYPES
        return np.empty(x.shape, x.dtype if usual else np.dtype(x.dtype.name))
    if isinstance(output, (type, np.dtype)):
        dtype = np.dtype(output)
        if is_complex and dtype.kind != "c":
            warnings.warn("promoting specified output dtype to complex", stacklevel=2 + depth)
            dtype = np.promote_types(dtype, np.complex64)
        return np.empty(x.shape, dtype)
    if isinstance(output, str):
        dtype = np.dtype(output)
        if is_complex and dtype.kind != "c":
            raise RuntimeError(f"output must be a complex type for a complex result; got {shown(output)}")
        if not issubclass(dtype.type, np.number):
            raise RuntimeError(f"output must be a type of numbers; got {shown(output)}")
        return np.empty(x.shape, dtype)
    output = plain_array(output, "output")
    check_shape(output, x.shape)
    if is_complex and output.dtype.kind != "c":
        raise RuntimeError(f"output must hold complex numbers for a complex result; got {clipped(output.dtype)}")
    return output


def check_output(output: np.ndarray, x: np.ndarray) -> None:
    """Check that the type of `output` can hold the results of `x`."""
    check_type(x.dtype, "input")
    check_type(output.dtype, "output")
    if (output.dtype.kind == "c") != (x.dtype.kind == "c"):
        kinds = "complex numbers" if x.dtype.kind == "c" else "real numbers"
        raise RuntimeError(f"output must hold {kinds}, as input does; got {clipped(output.dtype)}")


def writable(output: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a writable view of `output`, which other threads cannot reshape."""
    output = output.view()
    if not output.flags.writeable:
        raise ValueError("output must be writable; got a read-only array")
    check_shape(output, shape)
    return output


def check_shape(output: np.ndarray, shape: tuple[int, ...]) -> None:
    if output.shape != shape:
        raise RuntimeError(f"output must have the shape of input, {shape}; got {output.shape}")


def as_boundary(mode) -> int:
    """Return the number of a boundary."""
    boundary = _MODES.get(str.__str__(mode)) if isinstance(mode, str) else None
    if boundary is None:
        raise RuntimeError(f"mode must be one of {', '.join(map(repr, _MODES))}; got {shown(mode)}")
    return boundary


def check_real(cval, x: np.ndarray, weights: np.ndarray) -> None:
    """Refuse a complex `cval` for a real input with complex weights."""
    if weights.dtype.kind == "c" and x.dtype.kind != "c" and np.iscomplexobj(cval):
        raise ValueError(f"cval must be real for an input that is; got {shown(cval)}")


def as_fill(boundary: int, cval, is_complex: bool) -> tuple[int, complex]:
    """Return the boundary and the value outside; a fill value of 0 is the boundary ZERO."""
    if type(cval) is not float:
        cval = as_number(cval, is_complex)
    if boundary != FILL:
        return boundary, 0.0
    if cval == 0:
        return ZERO, 0.0
    return FILL, (math.nan if cval != cval and type(cval) is float else cval)  # one NaN object, since plans are cached


def as_number(cval, is_complex: bool) -> complex:
    """Convert `cval` to a float or a complex number."""
    cause = None
    try:
        has_parts = np.iscomplexobj(cval)
        if not (isinstance(cval, (str, bytes)) or np.ndim(cval) != 0 or (has_parts and not is_complex)):
            return complex(cval) if has_parts else float(cval)
    except passed():
        raise
    except Exception as error:
        if isinstance(error, OverflowError) and raised_in_c(error):
            raise
        cause = error
    raise TypeError(f"cval must be {'a number' if is_complex else 'a real number'}; got {shown(cval)}") from cause


def as_index(value, name: str) -> int:
    """Convert `value` to an integer; refuse `numpy.bool_`, which older NumPy converts with a warning."""
    cause = None
    try:
        if not isinstance(value, np.bool_):
            return operator.index(value)
    except passed():
        raise
    except Exception as error:
        cause = error
    raise TypeError(f"{name} must be an integer; got {shown(value)}") from cause


def as_float(value, name: str) -> float:
    """Convert `value` to a float; one that is too large is an OverflowError."""
    try:
        return float(value)
    except passed():
        raise
    except Exception as error:
        if isinstance(error, (ValueError, OverflowError)) and raised_in_c(error):
            raise
        raise TypeError(f"{name} must be a number; got {shown(value)}") from error


def as_axis(axis, ndim: int) -> int:
    """Return an axis as a non-negative integer."""
    axis = as_index(axis, "axis")
    if not -ndim <= axis < ndim:
        raise AxisError(axis, ndim)
    return axis % ndim


def as_axes(axes, ndim: int) -> tuple[int, ...]:
    """Return distinct axes as non-negative integers; None means all."""
    if axes is None:
        return tuple(range(ndim))
    if np.isscalar(axes):
        axes = (axes,)
    elif not isinstance(axes, Iterable):
        raise ValueError(f"axes must be an integer, integers or None; got {shown(axes)}")
    try:
        given = tuple(as_index(axis, "axes") for axis in axes)
    except passed():
        raise
    except TypeError:
        raise
    except Exception as error:
        raise TypeError(f"axes must be an integer, integers or None; got {shown(axes)}") from error
    for axis in given:
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"axes must lie in {-ndim} .. {ndim - 1} for an input of {ndim} dimensions; {axis} is out of range"
            )
    found = tuple(axis % ndim for axis in given)
    if len(set(found)) != len(found):
        raise ValueError(f"axes must be unique; got {shown(axes)}")
    return found


def is_iterable(value, name: str) -> bool:
    """True if `value` is iterable; released memory is a ValueError, where Python 3.10 raises a SystemError."""
    try:
        return np.iterable(value)
    except passed():
        raise
    except (SystemError, ValueError) as error:
        raise ValueError(f"{name} must be a value, or a sequence of them; got {shown(value)}") from error
    except Exception as error:
        raise TypeError(f"{name} must be a value, or a sequence of them; got {shown(value)}") from error


def as_sequence(value, count: int, name: str) -> list[Any]:
    """Return a value for each of `count` axes: `value` is a sequence of them, or one for all."""
    if isinstance(value, (str, int, float)) or not is_iterable(value, name):
        return [value] * count
    try:
        values = list(value)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"{name} must be a value, or a sequence of them; got {shown(value)}") from error
    if len(values) != count:
        raise RuntimeError(
            f"{name}, as a sequence argument must have length equal to input rank, or to that of axes: {count}; "
            f"got {shown(value)}"
        )
    return values


def as_first(origin, taps: int) -> int:
    """Return the index of the sample under the first of `taps` weights, for output 0."""
    origin = as_index(origin, "origin")
    if not -(taps // 2) <= origin <= (taps - 1) // 2:
        raise ValueError(
            f"origin must lie in {-(taps // 2)} .. {(taps - 1) // 2} for {taps} weights along an axis; got {origin}"
        )
    return -(taps // 2) - origin
