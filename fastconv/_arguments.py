"""From what users pass to canonical values; every error message about an argument is here.

Below this floor nothing is checked again.
"""

from __future__ import annotations

import math
import numbers
import operator
import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._geometry import BOUNDARIES, MODES

METHODS = ("auto", "direct", "separable", "fft")


class Finish(NamedTuple):
    """What becomes of a sum on its way into a picture: ``sum * unit / scale + offset``, rounded and saturated.

    Integer sums wrap, and with `bias` added they are unsigned. `plain` sums need no scale: see `_pixels.PLAIN`. Where
    pixels are `premultiplied`, their last channel is alpha: colours are multiplied by it before they are summed, and
    divided by its sum after.
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


def _one_of(values) -> str:
    *most, last = map(repr, values)
    return f"{', '.join(most)} or {last}"


def choice(value, name: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of the names allowed."""
    if isinstance(value, str):
        if value in allowed:
            return value
        raise ValueError(f"{name} must be {_one_of(allowed)}; got {value!r}")
    raise TypeError(f"{name} must be a string, {_one_of(allowed)}; got {value!r}")


def check_choices(mode, boundary, method) -> None:
    choice(mode, "mode", MODES)
    choice(boundary, "boundary", BOUNDARIES)
    choice(method, "method", METHODS)


def as_array(value, name: str) -> np.ndarray:
    """`value` as a plain array; `check_operands` looks at what it holds."""
    masked = sys.modules.get("numpy.ma")  # imported at first use, and by whoever has a masked array
    if masked is not None and isinstance(value, masked.MaskedArray) and masked.is_masked(value):
        raise TypeError(f"{name} has masked elements, which would count as numbers; pass {name}.filled(...) instead")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array or nested sequences of equal lengths; {error}") from None


def check_operands(name: str, x_dtype: np.dtype, x_shape, kernel_dtype: np.dtype, kernel_shape) -> None:
    """Check that both hold numbers, and some."""
    for operand, dtype, shape in ((name, x_dtype, x_shape), ("kernel", kernel_dtype, kernel_shape)):
        if dtype.kind not in "fiucbO":
            raise TypeError(f"{operand} must hold numbers; got dtype {dtype}")
        if 0 in shape:
            raise ValueError(f"{operand} must not be empty; got shape {shape}")


def as_dtypes(dtypes) -> list[np.dtype]:
    """Types of numbers, native and each of them once; from one of them, or several."""
    several = isinstance(dtypes, (tuple, list, set, frozenset))
    found: dict[np.dtype, None] = {}
    for dtype in dtypes if several else (dtypes,):
        try:
            number = np.dtype(dtype)
        except (TypeError, ValueError):
            raise TypeError(f"dtypes must be types of numbers, such as 'float32'; got {dtype!r}") from None
        if dtype is None or number.kind not in "fiucb":
            raise TypeError(f"dtypes must be types of numbers, such as 'float32'; got {dtype!r}")
        found[number.newbyteorder("=")] = None
    return list(found)


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
    if count == 1 and isinstance(axes, (tuple, list)) and len(axes) == 1:
        given = axes[0]
    try:
        numbers = tuple(operator.index(axis) for axis in axes)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}; got {given!r}") from None
    if len(numbers) != count:
        raise ValueError(f"{name} must be {wanted}; got {given!r}")
    for axis in numbers:
        if not -ndim <= axis < ndim:
            raise ValueError(f"{name} must lie in {-ndim} .. {ndim - 1} for an array of {ndim} dimensions; got {axis}")
    numbers = tuple(axis % ndim for axis in numbers)
    if len(set(numbers)) != count:
        raise ValueError(f"{name} must be different axes; got {axes!r}")
    return numbers


def as_finite(value, name: str, but_zero: bool = False) -> float:
    """A finite number, as a float."""
    if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (but_zero and number == 0):
        shown = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:30]}..."
        raise ValueError(f"{name} must be a finite number{' but 0' if but_zero else ''}; got {shown}")
    return number


def as_workers(workers) -> int | None:
    """A number of threads, or None for all there are."""
    if workers is None:
        return None
    try:
        if isinstance(workers, bool):
            raise TypeError
        number = operator.index(workers)
    except TypeError:
        raise TypeError(f"workers must be None or a positive integer; got {workers!r}") from None
    if number < 1:
        raise ValueError(f"workers must be None or a positive integer; got {workers!r}")
    return number


def as_fill_value(fill_value, dtype: np.dtype) -> Any:
    """`fill_value` as a number that a result of type `dtype` can hold."""
    number: Any = fill_value
    if isinstance(number, (np.ndarray, np.generic)) and number.ndim == 0:
        number = number.item()
    is_number = isinstance(number, numbers.Number)
    if not is_number:
        raise TypeError(f"fill_value must be a number; got {fill_value!r}")
    if dtype.kind == "O":
        return number
    is_real = isinstance(number, numbers.Real) or not isinstance(number, numbers.Complex)
    if not is_real and dtype.kind != "c":
        raise ValueError(f"fill_value must be real for a result of type {dtype}; got {fill_value!r}")
    if dtype.kind in "iub":
        limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not (limits[0] <= number <= limits[1] and number == int(number)):
            raise ValueError(
                f"fill_value must be an integer in {limits[0]} .. {limits[1]} for a result of type {dtype}; "
                f"got {fill_value!r}"
            )
        return int(number)
    try:
        if not isinstance(number, (np.longdouble, np.clongdouble)):
            number = complex(number) if dtype.kind == "c" else float(number)
        with np.errstate(over="ignore"):
            held = np.asarray(number).astype(dtype)
        if np.isfinite(number) and not np.isfinite(held):
            raise OverflowError
    except OverflowError:
        raise ValueError(f"fill_value must be a number that {dtype} can hold; got {fill_value!r}") from None
    # Plans are kept by their arguments: there must be one NaN only, as no NaN equals another.
    return math.nan if isinstance(number, float) and math.isnan(number) else number


def check_no_fill_value(fill_value) -> None:
    """Complain of a fill value that no boundary asks for."""
    try:
        unused = bool(fill_value != 0)
    except Exception:  # an array, or whatever it may be: it is not 0
        unused = True
    if unused:
        raise ValueError(f"fill_value is for boundary='fill' only; got {fill_value!r}")


def check_sums(kernel: np.ndarray, x_dtype: np.dtype, sums: np.dtype, scale: float, offset: float) -> None:
    """Check that no sum of pixels can leave its type: a NaN or an infinity has no pixel."""
    limits = np.iinfo(x_dtype) if x_dtype.kind in "iu" else None
    largest = 1 if limits is None else max(abs(int(limits.min)), int(limits.max))
    with np.errstate(all="ignore"):
        factor = abs(float(sums.type(1) / sums.type(scale)))
        bound = float(np.abs(kernel).sum()) * largest
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
    """`out`, if the result can be written into it."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray; got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}; got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have dtype {dtype}; got {out.dtype}")
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
