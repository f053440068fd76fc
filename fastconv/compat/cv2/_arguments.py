"""Argument conversion and errors of OpenCV's Python binding."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from fastconv._model.message_formatting import clipped, shown
from fastconv._model.passed_exceptions import passed
from fastconv.compat._unsupported import Unsupported

BAD_ARGUMENT, BAD_FORMAT, NOT_IMPLEMENTED, OUT_OF_RANGE, ASSERTION = -5, -210, -213, -211, -215

# Largest number of channels, the third axis.
_MOST_CHANNELS = 128
# Element types of a `Mat`.
_KNOWN = {f"{kind}{size}" for kind, size in ("b1", "i1", "u1", "i2", "u2", "i4", "f2", "f4", "f8")}


class error(Exception):
    """Raised for an invalid argument, where OpenCV raises `cv2.error`.

    Attributes
    ----------
    code : int
        OpenCV's number for the kind of error: -5 is a bad argument, -215 a failed assertion.
    err, msg : str
        The message.
    file, func : str
    line : int
        The location; empty and 0 here.

    See Also
    --------
    filter2D : Raises it.
    """

    file, func, line = "", "", 0

    def __new__(cls, *arguments: Any) -> error:
        """Make it an exception of OpenCV's class, too, if a program has imported that."""
        original = original_error() if cls is error else None
        return super().__new__(cls if original is None else _of_both(original), *arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return error, (self.msg, self.code)

    def __init__(self, message: str = "", code: int = BAD_ARGUMENT):
        super().__init__(message)
        self.code, self.err, self.msg = code, message, message


def original_error() -> Any:
    """The class of OpenCV's errors, if it is imported."""
    return getattr(sys.modules.get("cv2"), "error", None)


@functools.cache
def _of_both(original: Any) -> type[error]:
    """The class of errors that are fastconv's and OpenCV's."""
    return type("error", (error, original), {"__module__": "fastconv.compat.cv2", "__doc__": error.__doc__})


def as_integer(value: Any, name: str, default: int = 0) -> int:
    """Convert `value` to an integer; None gives the default, bools and floats are refused."""
    if type(value) is int:
        return value
    if value is None:
        return default
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise error(f"{name} must be an integer; got {shown(value)}")
    return int(value)


def as_number(value: Any, name: str, default: float = 0.0) -> float:
    """Convert `value` to a float; None gives the default, bools are refused."""
    if type(value) is float:
        return value
    if value is None:
        return default
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise error(f"{name} must be a number; got {shown(value)}")
    try:
        return float(value)
    except passed():
        raise
    except Exception as problem:
        raise error(f"{name} must be a number that float64 can hold; got {shown(value)}") from problem


def as_truth(value: Any, name: str, default: bool) -> bool:
    """Convert `value` to a bool; None gives the default."""
    if value is None:
        return default
    if not isinstance(value, (bool, np.bool_, int, np.integer)):
        raise error(f"{name} must be a bool; got {shown(value)}")
    return bool(value)


def as_pair(value: Any, name: str, default: tuple[int, int]) -> tuple[int, int]:
    """Convert `value` to two integers: x and y, or width and height."""
    if value is None:
        return default
    try:
        first, second = value
    except passed():
        raise
    except Exception as problem:
        raise error(f"{name} must be a pair of integers; got {shown(value)}") from problem
    if type(first) is int and type(second) is int:
        return first, second
    return as_integer(first, name), as_integer(second, name)


def as_anchor(value: Any, width: int, height: int) -> tuple[int, int]:
    """Return x and y of the anchor: -1 stands for ``size // 2``."""
    x, y = as_pair(value, "anchor", (-1, -1))
    x, y = width // 2 if x == -1 else x, height // 2 if y == -1 else y
    if not (0 <= x < width and 0 <= y < height):
        raise error(f"anchor must be within the kernel of {width} x {height}, or -1; got {shown(value)}", ASSERTION)
    return x, y


def as_mat(value: Any, name: str) -> np.ndarray:
    """Return a view with 2 dimensions, or 3 with channels, as OpenCV does; a single channel has no axis."""
    value = _as_ndarray(value, name)
    if value.ndim == 2:
        found = value
    elif value.ndim == 1:
        found = value[np.newaxis]
    elif value.ndim == 3 and value.shape[2] == 1:
        found = value[..., 0]
    elif value.ndim == 3 and value.shape[2] <= _MOST_CHANNELS:
        found = value
    else:
        raise error(
            f"{name} must be of shape (H, W) or (H, W, C), with at most {_MOST_CHANNELS} channels; got {value.shape}",
            ASSERTION,
        )
    if not found.size:
        raise error(f"{name} must not be empty; got shape {value.shape}", ASSERTION)
    return found


def as_taps(value: Any, name: str) -> np.ndarray:
    """Return a kernel as a view with 2 dimensions."""
    found = as_mat(value, name)
    if found.ndim > 2 or found.dtype.kind not in "biuf":
        raise error(
            f"{name} must hold real numbers, in 2 dimensions; got shape {found.shape}, dtype {clipped(found.dtype)}"
        )
    return found


def as_dst(dst: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """Return `dst` as a view of `shape` if shape and type fit, else None; refuse what OpenCV refuses."""
    dst = _as_ndarray(dst, "dst")
    if dst.dtype.str[1:] not in _KNOWN:
        raise error(f"dst must be of a type that OpenCV supports; got {clipped(dst.dtype)}")
    if not dst.flags.writeable:
        raise error("dst must be writable; got a read-only array")
    if not dst.size or not _in_rows(dst):
        raise error(f"dst must have pixels without gaps in each row; got shape {dst.shape}, strides {dst.strides}")
    if dst.dtype != dtype and dst.dtype.newbyteorder("=") != dtype:
        return None
    if dst.shape == shape:
        return dst
    if dst.ndim == 1 and shape == (1, *dst.shape):
        return dst[np.newaxis]
    return dst[..., 0] if dst.ndim == 3 and dst.shape == (*shape, 1) else None


def _in_rows(array: np.ndarray) -> bool:
    """True if a `Mat` can have this layout: contiguous rows, at any distance from each other."""
    least = array.itemsize
    for axis in range(array.ndim - 1, -1, -1):
        extent, stride = array.shape[axis], array.strides[axis]
        if extent > 1 and (stride < least or (stride > least and (axis > 0 or array.ndim == 1))):
            return False
        least *= extent
    return True


def _as_ndarray(value: Any, name: str) -> np.ndarray:
    """Return a view of an array, since other threads may reshape the array itself."""
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    if isinstance(value, (list, str, bytes, dict, set)) or value is None:
        raise error(f"{name} must be a numpy.ndarray; got {type(value).__name__}")
    raise Unsupported(f"{name} must be a numpy.ndarray for fastconv; got {type(value).__name__}")
