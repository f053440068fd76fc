"""From what users pass to canonical values; every error message about an argument is here.

Below this floor nothing is checked again.
"""

from __future__ import annotations

import math
import numbers
import operator
import reprlib
import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.geometry import BOUNDARIES, MODES

METHODS = ("auto", "direct", "separable", "fft")

# Of what the methods of an argument raise, that which is not about it. All other exceptions become TypeErrors.
PASSED = (MemoryError, Warning)


class Finish(NamedTuple):
    """What becomes of a sum on its way into a picture: ``sum * unit / scale + offset``, rounded and saturated.

    Integer sums wrap, and with `bias` added they are unsigned. `plain` sums need no scale: see `pixel_vectors.PLAIN`.
    Where pixels are `premultiplied`, their last channel is alpha: colours are multiplied by it before they are summed,
    and divided by its sum after.
    """

    bias: float
    unit: float
    scale: float
    offset: float
    plain: bool = False
    premultiplied: bool = False


class Problem(NamedTuple):
    """A convolution with all its types and sizes: what an engine prepares itself for.

    ``axes[k]`` of the input goes with axis ``k`` of the kernel. `starts` are the indices in the full convolution of
    the first output, and `boundary` is the number of a boundary. Types are never float16. Sums are taken in the type
    `sums`, which is that of the result, `dtype`, unless they are to be finished.
    """

    x_dtype: np.dtype
    kernel_dtype: np.dtype
    sums: np.dtype
    dtype: np.dtype
    x_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    axes: tuple[int, ...]
    starts: tuple[int, ...]
    flip: bool
    boundary: int
    fill_value: Any
    looks_outside: bool
    finish: Finish | None = None

    @property
    def from_pixels(self) -> bool:
        """Whether it goes from pixels to pixels: integers of one type, whose sums are to be finished."""
        finish = self.finish
        alike = self.dtype.kind in "iu" and self.x_dtype.newbyteorder("=") == self.dtype
        return finish is not None and not finish.premultiplied and alike


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxother = _SHORT.maxstring = _SHORT.maxlong = 80
# Characters of a value in a message.
_MOST_SHOWN = 200
# Elements of an array that is shown as such.
_MOST_ELEMENTS = 16


def shown(value) -> str:
    """`value` for a message: its `repr`, as far as that is short and there is one."""
    try:
        if isinstance(value, np.ndarray) and value.size > _MOST_ELEMENTS:
            text = f"an array of shape {value.shape} and dtype {value.dtype}"
        else:
            text = _SHORT.repr(value)
    except Exception:  # it may be anybody's, and it is not what is to be complained of
        text = f"a value of type {type(value).__name__}"
    return clipped(text)


def clipped(text: object) -> str:
    """A text, a name of a type or the words of an error, as far as it is short and there are words."""
    try:
        words = str(text)
    except Exception:  # an error may be anybody's, too
        words = type(text).__name__
    return words if len(words) <= _MOST_SHOWN else f"{words[:_MOST_SHOWN]}..."


def _one_of(values) -> str:
    *most, last = map(repr, values)
    return f"{', '.join(most)} or {last}"


def choice(value, name: str, allowed: tuple[str, ...]) -> Any:
    """`value` as a plain string, if it is one of the names allowed."""
    if isinstance(value, str):
        plain = value if type(value) is str else str.__str__(value)  # a member of an enumeration, say
        if plain in allowed:
            return plain
        raise ValueError(f"{name} must be {_one_of(allowed)}; got {shown(value)}")
    raise TypeError(f"{name} must be a string, {_one_of(allowed)}; got {shown(value)}")


def as_choices(mode, boundary, method) -> tuple[Any, Any, Any]:
    """The names of a mode, a boundary and a method."""
    return choice(mode, "mode", MODES), choice(boundary, "boundary", BOUNDARIES), choice(method, "method", METHODS)


def as_truth(value, name: str) -> bool:
    """`value` as a bool: it, or 0 or 1, but not whatever else has a truth."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    # To NumPy a time span is an integer, and may be equal to one.
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{name} must be True or False; got {shown(value)}")


def as_integer(value) -> int:
    """`value` as an integer; a TypeError if it is none, and bools are none."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError("a bool is no integer here")
    return operator.index(value)


def as_dtype(value, allowed: str = "a dtype") -> np.dtype:
    """`value` as a type of elements."""
    try:
        return np.dtype(value)
    except PASSED:
        raise
    except Exception as error:  # of many kinds: a list is taken for fields, a string for a grammar
        raise TypeError(f"dtype must be {allowed}; got {shown(value)}") from error


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def as_float(dtype, allowed: str = "float32 or float64") -> np.dtype:
    """`dtype` as float32 or float64."""
    if dtype is None:
        raise TypeError(f"dtype must be {allowed}; got None")
    found = as_dtype(dtype, allowed)
    if found not in FLOATS:
        raise ValueError(f"dtype must be {allowed}; got {shown(dtype)}")
    return found


def as_array(value, name: str) -> np.ndarray:
    """`value` as a plain array; `check_operands` looks at what it holds."""
    masked = sys.modules.get("numpy.ma")  # imported at first use, and by whoever has a masked array
    # By the type: a proxy's `__class__` may raise.
    if masked is not None and issubclass(type(value), masked.MaskedArray) and masked.is_masked(value):
        raise TypeError(f"{name} has masked elements, which would count as numbers; pass {name}.filled(...) instead")
    return plain_array(value, name)


def is_compiled(error: Exception) -> bool:
    """Whether an error that was caught comes from compiled code, NumPy's say, and not from a method in Python."""
    return error.__traceback__ is None or error.__traceback__.tb_next is None


def plain_array(value, name: str) -> np.ndarray:
    """`value` as a plain array, what is masked as any other element."""
    try:
        return np.asarray(value)
    except PASSED:
        raise
    except Exception as error:
        if isinstance(error, RecursionError) and is_compiled(error):  # the program's stack is at its end
            raise
        if isinstance(error, ValueError) and is_compiled(error):
            message = f"{name} must be an array or nested sequences of equal lengths; {clipped(error)}"
            raise ValueError(message) from error
        raise TypeError(
            f"{name} must be an array or nested sequences; making an array of it raised "
            f"{type(error).__name__}: {clipped(error)}"
        ) from error


def check_operands(name: str, x_dtype: np.dtype, x_shape, kernel_dtype: np.dtype, kernel_shape) -> None:
    """Check that both hold numbers, and some."""
    for operand, dtype, shape in ((name, x_dtype, x_shape), ("kernel", kernel_dtype, kernel_shape)):
        if dtype.kind not in "fiucbO":
            raise TypeError(f"{operand} must hold numbers; got dtype {clipped(dtype)}")
        if 0 in shape:
            raise ValueError(f"{operand} must not be empty; got shape {shape}")


def as_dtypes(dtypes) -> list[np.dtype]:
    """Types of numbers, native and each of them once; from one of them, or several."""
    found: dict[np.dtype, None] = {}
    for dtype in dtypes if isinstance(dtypes, (tuple, list, set, frozenset)) else (dtypes,):
        number, cause = None, None
        try:
            number = None if dtype is None else np.dtype(dtype)
        except PASSED:
            raise
        except Exception as error:  # as in `as_dtype`
            cause = error
        if number is None or number.kind not in "fiucb":
            raise TypeError(f"dtypes must be types of numbers, such as 'float32'; got {shown(dtype)}") from cause
        found[number.newbyteorder("=")] = None
    if not found:
        raise ValueError(f"dtypes must name a type, or several; got {shown(dtypes)}")
    return list(found)


def fits_into_memory(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether there may be an array of this size: that of an address, less what is reckoned with it."""
    return math.prod(shape) * dtype.itemsize <= sys.maxsize >> 8


def check_result(name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Complain of a result that no memory has room for."""
    if not fits_into_memory(shape, dtype):
        raise ValueError(f"{name} and kernel must have a result that fits into memory; theirs has shape {shape}")


def check_room(kernel_shape: tuple[int, ...], kernel_dtype: np.dtype) -> None:
    """Complain of a kernel that there is no memory for (one of strides 0): what looks at all of it has no end."""
    if not fits_into_memory(kernel_shape, kernel_dtype):
        raise ValueError(f"kernel must be of a size that fits into memory; got shape {kernel_shape}")
    if math.prod(kernel_shape) * kernel_dtype.itemsize > _MUCH:
        np.empty(kernel_shape, kernel_dtype)  # for its MemoryError, before any work is done


_MUCH = 1 << 30


def as_dimensions(x: np.ndarray, kernel: np.ndarray, dimensions: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Both, if the kernel has this many dimensions, and `x` as many or more; a scalar is a signal of one sample."""
    if dimensions == 1:
        kernel, x = np.atleast_1d(kernel), np.atleast_1d(x)
    if kernel.ndim != dimensions:
        raise ValueError(f"kernel must be {dimensions}-D; got shape {kernel.shape}")
    if x.ndim < dimensions:
        raise ValueError(f"{name} must have at least {dimensions} dimensions; got shape {x.shape}")
    return x, kernel


def as_axes(axes, count: int, ndim: int, name: str) -> tuple[int, ...]:
    """`count` different axes of an array of `ndim` dimensions, counted from 0."""
    wanted, given = ("an integer" if count == 1 else f"{count} integers"), axes
    try:
        if count == 1 and isinstance(axes, (tuple, list)) and len(axes) == 1:
            given = axes[0]
        numbers = tuple(as_integer(axis) for axis in axes)
    except PASSED:
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


def _as_number(value) -> Any:
    """`value`, or the number in an array without dimensions; None where there is no number.

    To NumPy a time span is an integer, and what a mask hides is a number.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        if value.ndim or value.dtype.kind not in "biufcO" or np.ma.is_masked(value):
            return None
        value = value.item()
    return value if isinstance(value, numbers.Number) else None


def as_finite(value, name: str, but_zero: bool = False, positive: bool = False) -> float:
    """A finite number, as a float."""
    allowed = "a positive number" if positive else f"a finite number{' but 0' if but_zero else ''}"
    found = _as_number(value)
    if not isinstance(found, numbers.Real):
        raise TypeError(f"{name} must be {allowed}; got {shown(value)}")
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    except PASSED:
        raise
    except Exception as error:
        raise TypeError(f"{name} must be {allowed}; got {shown(value)}") from error
    if not math.isfinite(number) or (but_zero and number == 0) or (positive and not number > 0):
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}")
    return number


def as_workers(workers) -> int | None:
    """A number of threads, or None for all there are."""
    if workers is None:
        return None
    try:
        number = as_integer(workers)
    except PASSED:
        raise
    except Exception as error:
        raise TypeError(f"workers must be None or a positive integer; got {shown(workers)}") from error
    if number < 1:
        raise ValueError(f"workers must be None or a positive integer; got {shown(workers)}")
    return number


def as_fill_value(fill_value, dtype: np.dtype) -> Any:
    """`fill_value` as a number that a result of type `dtype` can hold."""
    number = _as_number(fill_value)
    if number is None:
        raise TypeError(f"fill_value must be a number; got {shown(fill_value)}")
    if dtype.kind == "O":
        return number
    is_real = isinstance(number, numbers.Real) or not isinstance(number, numbers.Complex)
    if not is_real and dtype.kind != "c":
        raise ValueError(f"fill_value must be real for a result of type {dtype}; got {shown(fill_value)}")
    if dtype.kind in "iub":
        limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        whole = 0
        try:
            held = limits[0] <= number <= limits[1]
            if held:
                whole = int(number)
                held = number == whole
        except ArithmeticError:  # a Decimal that compares with nothing
            held = False
        except PASSED:
            raise
        except Exception as error:
            raise TypeError(f"fill_value must be a number; got {shown(fill_value)}") from error
        if not held:
            raise ValueError(
                f"fill_value must be an integer in {limits[0]} .. {limits[1]} for a result of type {dtype}; "
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
    except (OverflowError, ValueError) as error:
        message = f"fill_value must be a number that {dtype} can hold; got {shown(fill_value)}"
        raise ValueError(message) from error
    except PASSED:
        raise
    except Exception as error:
        raise TypeError(f"fill_value must be a number; got {shown(fill_value)}") from error
    # Plans are kept by their arguments: there must be one NaN only, as no NaN equals another.
    return math.nan if isinstance(number, float) and math.isnan(number) else number


def check_no_fill_value(fill_value) -> None:
    """Complain of a fill value that no boundary asks for."""
    try:
        unused = bool(fill_value != 0)
    except Exception:  # an array, or whatever it may be: it is not 0
        unused = True
    if unused:
        raise ValueError(f"fill_value is for boundary='fill' only; got {shown(fill_value)}")


def check_sums(
    total: float, x_dtype: np.dtype, sums: np.dtype, scale: float, offset: float, premultiplied: bool
) -> None:
    """Check that no sum of pixels, or of products of two, can leave its type: a NaN or an infinity has no pixel.

    `total` is the sum of the absolute taps.
    """
    limits = np.iinfo(x_dtype) if x_dtype.kind in "iu" else None
    largest = 1 if limits is None else max(abs(int(limits.min)), int(limits.max))
    if premultiplied:
        largest **= 2
    with np.errstate(all="ignore"):
        divisor = sums.type(scale)
        factor = abs(float(1 / divisor)) if np.isfinite(divisor) else math.inf
        bound = total * largest
    most = float(np.finfo(sums).max)
    if not bound < most:
        raise ValueError(f"kernel must be finite, with sums that {sums} can hold; they may reach {bound:.3g}")
    if not (factor < most and bound * factor + abs(offset) < most):
        raise ValueError(
            f"scale and offset must leave results that {sums} can hold; got {scale!r} and {offset!r}, "
            f"with sums of up to {bound:.3g}"
        )


def check_method(method: str, kernel_dtype: np.dtype, kernel_shape, dtype: np.dtype) -> None:
    """Check what a method asked for by name cannot do, as far as that is known before the taps are looked at."""
    if method in ("auto", "direct"):
        return
    if dtype.char in "gGO":
        raise ValueError(f"method={method!r} is for results of the usual types; got inputs whose result is {dtype}")
    if method == "fft" and dtype.kind not in "fc":
        raise ValueError(f"method='fft' is for floating results; got inputs whose result is {dtype}")
    if method == "separable" and len(kernel_shape) != 2:
        raise ValueError(f"method='separable' is for 2-D kernels; got shape {kernel_shape}")
    if method == "separable" and kernel_dtype.kind == "c":
        raise ValueError(f"method='separable' is for kernels of real numbers; got dtype {kernel_dtype}")


def not_separable() -> ValueError:
    """The error for a kernel that has no factors."""
    return ValueError(
        "kernel must be an outer product, a column times a row, for method='separable'; "
        "got one that is not, to within its rounding"
    )


def as_out(out, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The memory of `out`, as in `as_array`, if the result can be written into it."""
    if type(out) is np.ndarray:
        out = out.view()
    elif isinstance(out, np.ndarray):
        out = np.asarray(out).view()  # a subclass may have its own ideas of a shape, and of writing
    else:
        raise TypeError(f"out must be a numpy.ndarray; got {clipped(type(out).__name__)}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}; got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have dtype {dtype}; got {clipped(out.dtype)}")
    if not out.flags.writeable:
        raise ValueError("out must be writable; got a read-only array")
    if any(stride == 0 and extent > 1 for stride, extent in zip(out.strides, out.shape)):
        raise ValueError(f"out must have a place for each element; got an array of strides {out.strides}")
    return out


def overlaps_itself(array: np.ndarray) -> bool:
    """Whether two elements may lie in one place: not, if each axis steps over all that the finer ones reach."""
    reach = array.itemsize
    for stride, extent in sorted((abs(stride), extent) for stride, extent in zip(array.strides, array.shape)):
        if extent > 1:
            if stride < reach:
                return True
            reach += stride * (extent - 1)
    return False
