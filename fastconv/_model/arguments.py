"""Convert single arguments to canonical values, or raise an error that names argument, value and what is allowed.

Public functions and plans check every argument once, with this module and `checks`; engines do not check again.
"""

from __future__ import annotations

import math
import numbers
import operator
import sys
from typing import Any, Callable

import numpy as np

from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._model.message_formatting import clipped, one_of, raised_in_c, shown
from fastconv._model.passed_exceptions import passed

METHODS = ("auto", "direct", "separable", "fft")
# Samples that a dilated kernel may span, and lags: enough headroom for 64-bit index arithmetic.
LONGEST_SPAN = sys.maxsize >> 8


def as_choice(value, name: str, allowed: tuple[str, ...]) -> Any:
    """Return `value` as a plain string if it is one of the allowed names."""
    if isinstance(value, str):
        plain = value if type(value) is str else str.__str__(value)  # for instance a member of a StrEnum
        if plain in allowed:
            return plain
        raise ValueError(f"{name} must be {one_of(allowed)}; got {shown(value)}")
    raise TypeError(f"{name} must be a string, {one_of(allowed)}; got {shown(value)}")


def as_choices(mode, boundary, method, count: int) -> tuple[Any, Any, Any]:
    """Check the names of a mode, a boundary and a method.

    Mode and boundary may be tuples of one for each of `count` axes; if these are equal, they become one name.
    """
    return (
        _one_or_each(mode, "mode", MODES, count),
        _one_or_each(boundary, "boundary", BOUNDARIES, count),
        as_choice(method, "method", METHODS),
    )


def _one_or_each(value, name: str, allowed: tuple[str, ...], count: int) -> Any:
    """Return a name, or a tuple of one for each axis."""
    if not isinstance(value, (tuple, list)):
        return as_choice(value, name, allowed)
    names = for_each_axis(value, name, count, lambda one: as_choice(one, name, allowed))
    return names[0] if len(set(names)) == 1 else names


def for_each_axis(value, name: str, count: int, convert: Callable[[Any], Any]) -> tuple:
    """Convert a value for all of `count` axes, or a tuple or list of one for each."""
    if not isinstance(value, (tuple, list)):
        return (convert(value),) * count
    if len(value) != count:
        axes = "the axis" if count == 1 else f"each of the {count} axes"
        raise ValueError(f"{name} must be one value, or one for {axes}; got {shown(value)}")
    return tuple(map(convert, value))


def as_bool(value, name: str) -> bool:
    """Convert a bool, 0 or 1 to bool; reject other values, even if they have a truth value."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    # A timedelta64 counts as an integer in NumPy, and may equal 1.
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{name} must be True or False; got {shown(value)}")


def as_integer(value) -> int:
    """Convert to an integer; raise a TypeError for anything else, bools included."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError("bools are not accepted as integers")
    return operator.index(value)


def as_dtype(value, allowed: str = "a dtype") -> np.dtype:
    """Convert to a NumPy dtype."""
    try:
        return np.dtype(value)
    except passed():
        raise
    except Exception as error:  # of many types: NumPy parses lists as fields, strings as a grammar
        raise TypeError(f"dtype must be {allowed}; got {shown(value)}") from error


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def as_float(dtype, allowed: str = "float32 or float64") -> np.dtype:
    """Convert to float32 or float64."""
    if dtype is None:
        raise TypeError(f"dtype must be {allowed}; got None")
    found = as_dtype(dtype, allowed)
    if found not in FLOATS:
        raise ValueError(f"dtype must be {allowed}; got {shown(dtype)}")
    return found


def is_masked_array(value) -> bool:
    """Whether a value is an array with a mask."""
    # No masked array exists before the module is imported whole; another thread may be importing it.
    masked_array = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    # Not `isinstance`: the `__class__` of a proxy may raise.
    return masked_array is not None and issubclass(type(value), masked_array)


def is_lazy_array(value) -> bool:
    """Whether a value is a dask array, or of xarray and holds one."""
    for module, name in (("dask.array", "Array"), ("xarray", "DataArray"), ("xarray", "Variable")):
        lazy = getattr(sys.modules.get(module), name, None)  # as in `is_masked_array`
        if lazy is not None and issubclass(type(value), lazy):
            return value.chunks is not None
    return False


def as_array(value, name: str) -> np.ndarray:
    """Convert to a plain array; reject lazy ones, and masked elements. `checks.check_operands` checks the dtype."""
    if type(value) is np.ndarray:
        return value
    if is_lazy_array(value):
        raise TypeError(
            f"{name} must be an array in memory, and loading all of a dask array may take more than there is; see "
            f"fastconv.dask for lazy arrays, or pass {name}.compute()"
        )
    if is_masked_array(value) and np.ma.is_masked(value):
        raise TypeError(f"{name} has masked elements, which would count as numbers; pass {name}.filled(...) instead")
    return plain_array(value, name)


def plain_array(value, name: str) -> np.ndarray:
    """Convert to a plain array; masks are ignored."""
    if type(value) is np.ndarray:
        return value
    try:
        with np.errstate(invalid="ignore"):  # raised by a signalling NaN in a list
            return np.asarray(value)
    except passed():
        raise
    except Exception as error:
        if isinstance(error, RecursionError) and raised_in_c(error):  # stack overflow, not a fault of the argument
            raise
        if isinstance(error, ValueError) and raised_in_c(error):
            message = f"{name} must be an array or nested sequences of equal lengths; {clipped(error)}"
            raise ValueError(message) from error
        raise TypeError(
            f"{name} must be an array or nested sequences; making an array of it raised "
            f"{type(error).__name__}: {clipped(error)}"
        ) from error


def as_dtypes(dtypes) -> list[np.dtype]:
    """Convert one dtype, or a collection, to a list of distinct numeric dtypes in native byte order."""
    found: dict[np.dtype, None] = {}
    for dtype in dtypes if isinstance(dtypes, (tuple, list, set, frozenset)) else (dtypes,):
        number, cause = None, None
        try:
            number = None if dtype is None else np.dtype(dtype)
        except passed():
            raise
        except Exception as error:  # as in `as_dtype`
            cause = error
        if number is None or number.kind not in "fiucb":
            raise TypeError(f"dtypes must be numeric types, such as 'float32'; got {shown(dtype)}") from cause
        found[number.newbyteorder("=")] = None
    if not found:
        raise ValueError(f"dtypes must name at least one type; got {shown(dtypes)}")
    return list(found)


def as_axes(axes, count: int, ndim: int, name: str) -> tuple[int, ...]:
    """Convert to `count` distinct non-negative axes of an array of `ndim` dimensions."""
    wanted, given = ("an integer" if count == 1 else f"{count} integers"), axes
    try:
        if count == 1 and isinstance(axes, (tuple, list)) and len(axes) == 1:
            given = axes[0]
        numbers = tuple(as_integer(axis) for axis in axes)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"{name} must be {wanted}; got {shown(given)}") from error
    if len(numbers) != count:
        raise ValueError(f"{name} must be {wanted}; got {shown(given)}")
    for axis in numbers:
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"{name} must lie in {-ndim} .. {ndim - 1} for an array of {ndim} dimensions; got {shown(axis)}"
            )
    numbers = tuple(axis % ndim for axis in numbers)
    if len(set(numbers)) != count:
        raise ValueError(f"{name} must be different axes; got {shown(axes)}")
    return numbers


def given_axes(axes, kernel_ndim: int, ndim: int) -> tuple[int, ...]:
    """Convert to the axes of an array of `ndim` dimensions that a kernel has taps along.

    They are as many as its dimensions, or at least one if it has those of the array.
    """
    several = axes if isinstance(axes, (tuple, list)) else (axes,)
    if kernel_ndim != ndim or not 1 <= len(several) <= ndim:
        return as_axes(axes if kernel_ndim > 1 else several, kernel_ndim, ndim, "axes")
    return as_axes(several, len(several), ndim, "axes")


def _as_number(value) -> Any:
    """Return a number, or the number in a 0-d array; None for anything else.

    Excluded are masked elements, and timedelta64, which counts as an integer in NumPy.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        if value.ndim or value.dtype.kind not in "biufcO" or np.ma.is_masked(value):
            return None
        value = value.item()
    return value if isinstance(value, numbers.Number) else None


def as_finite(value, name: str, but_zero: bool = False, positive: bool = False, not_negative: bool = False) -> float:
    """Convert a finite number to a float."""
    usual = (type(value) is int or type(value) is float) and 0 <= value < 1e300
    if usual and (value or not (but_zero or positive)):  # the other checks take a microsecond
        return float(value)
    allowed = "a positive number" if positive else f"a finite number{' other than 0' if but_zero else ''}"
    allowed = "0 or a positive number" if not_negative else allowed
    found = _as_number(value)
    if not isinstance(found, numbers.Real):
        raise TypeError(f"{name} must be {allowed}; got {shown(value)}")
    try:
        number = float(found)
    except passed():
        raise
    except OverflowError:
        number = math.inf
    except Exception as error:
        raise TypeError(f"{name} must be {allowed}; got {shown(value)}") from error
    excluded = (but_zero and number == 0) or (positive and not number > 0) or (not_negative and number < 0)
    if not math.isfinite(number) or excluded:
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}")
    return number


def as_count(value, name: str, allowed: str = "a positive integer") -> int:
    """Convert to a positive integer."""
    try:
        number = as_integer(value)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"{name} must be {allowed}; got {shown(value)}") from error
    if number < 1:
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}")
    return number


def as_length(value, name: str) -> int:
    """Convert to a length of an axis."""
    number = as_count(value, name)
    if number > LONGEST_SPAN:
        raise ValueError(f"{name} must be at most {LONGEST_SPAN}; got {shown(value)}")
    return number


def as_workers(workers) -> int | None:
    """Convert to a number of threads; None means all that are available."""
    return None if workers is None else as_count(workers, "workers", "None or a positive integer")


def as_fill_value(fill_value, dtype: np.dtype, name: str = "fill_value") -> Any:
    """Convert to a number that a result of type `dtype` can represent."""
    number = _as_number(fill_value)
    if number is None:
        raise TypeError(f"{name} must be a number; got {shown(fill_value)}")
    if dtype.kind == "O":
        return number
    is_real = isinstance(number, numbers.Real) or not isinstance(number, numbers.Complex)
    if not is_real and dtype.kind != "c":
        raise ValueError(f"{name} must be real for a result of type {dtype}; got {shown(fill_value)}")
    if dtype.kind in "iub":
        limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        whole = 0
        try:
            held = limits[0] <= number <= limits[1]
            if held:
                whole = int(number)
                held = number == whole
        except passed():
            raise
        except ArithmeticError:  # a signalling NaN of Decimal, for instance
            held = False
        except Exception as error:
            raise TypeError(f"{name} must be a number; got {shown(fill_value)}") from error
        if not held:
            raise ValueError(
                f"{name} must be an integer in {limits[0]} .. {limits[1]} for a result of type {dtype}; "
                f"got {shown(fill_value)}"
            )
        return whole
    try:
        if not isinstance(number, (np.longdouble, np.clongdouble)):
            number = complex(number) if dtype.kind == "c" else float(number)
        with np.errstate(all="ignore"):
            held = np.asarray(number).astype(dtype)
        if np.isfinite(number) and not np.isfinite(held):
            raise OverflowError
    except passed():
        raise
    except (OverflowError, ValueError) as error:
        message = f"{name} must be a number that {dtype} can hold; got {shown(fill_value)}"
        raise ValueError(message) from error
    except Exception as error:
        raise TypeError(f"{name} must be a number; got {shown(fill_value)}") from error
    # Plans are cached by their arguments: use one NaN object, since NaNs do not compare equal.
    return math.nan if isinstance(number, float) and math.isnan(number) else number


def check_no_fill_value(fill_value) -> None:
    """Reject a non-zero fill value for a boundary that does not use it."""
    try:
        unused = fill_value is np.ma.masked or bool(fill_value != 0)
    except passed():
        raise
    except Exception:  # an array, for instance: not 0
        unused = True
    if unused:
        raise ValueError(f"fill_value is for boundary='fill' only; got {shown(fill_value)}")
