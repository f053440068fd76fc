"""Check arguments against each other: operands, kernel, method and result of one convolution."""

from __future__ import annotations

import math
import sys

import numpy as np

from fastconv._model.message_formatting import clipped


def check_operands(name: str, x_dtype: np.dtype, x_shape, kernel_dtype: np.dtype, kernel_shape) -> None:
    """Check that input and kernel hold numbers and are not empty."""
    for operand, dtype, shape in ((name, x_dtype, x_shape), ("kernel", kernel_dtype, kernel_shape)):
        if dtype.kind not in "fiucbO":
            raise TypeError(f"{operand} must hold numbers; got dtype {clipped(dtype)}")
        if 0 in shape:
            raise ValueError(f"{operand} must not be empty; got shape {shape}")


def fits_into_memory(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """True if the size leaves headroom for 64-bit index arithmetic."""
    return math.prod(shape) * dtype.itemsize <= sys.maxsize >> 8


def check_result_size(name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Reject a result too large for any memory."""
    if not fits_into_memory(shape, dtype):
        raise ValueError(f"{name} and kernel must have a result that fits into memory; theirs has shape {shape}")


def check_kernel_size(kernel_shape: tuple[int, ...], kernel_dtype: np.dtype) -> None:
    """Reject a kernel too large for memory, such as a broadcast one: a pass over its elements would never end."""
    if not fits_into_memory(kernel_shape, kernel_dtype):
        raise ValueError(f"kernel must be of a size that fits into memory; got shape {kernel_shape}")
    if math.prod(kernel_shape) * kernel_dtype.itemsize > 1 << 30:
        np.empty(kernel_shape, kernel_dtype)  # raises MemoryError before any work is done


def as_dimensions(x: np.ndarray, kernel: np.ndarray, dimensions: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Check that the kernel has `dimensions` axes and `x` at least as many; in 1-D, scalars become one sample."""
    if dimensions == 1:
        kernel, x = np.atleast_1d(kernel), np.atleast_1d(x)
    if kernel.ndim != dimensions:
        raise ValueError(f"kernel must be {dimensions}-D; got shape {kernel.shape}")
    if x.ndim < dimensions:
        raise ValueError(f"{name} must have at least {dimensions} dimensions; got shape {x.shape}")
    return x, kernel


def check_sums(
    total: float, x_dtype: np.dtype, sums: np.dtype, scale: float, offset: float, premultiplied: bool
) -> None:
    """Check that sums of pixels, or of products of two, cannot overflow: NaN and infinity have no pixel value.

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
    """Reject a method that cannot compute this problem, judging by types and shapes alone."""
    if method in ("auto", "direct"):
        return
    if dtype.char in "gGO" or (method == "fft" and dtype.kind == "b"):
        raise ValueError(f"method={method!r} does not support results of dtype {dtype}")
    if method == "separable" and len(kernel_shape) < 2:
        raise ValueError(f"method='separable' is for kernels of two or more axes; got shape {kernel_shape}")
    if method == "separable" and kernel_dtype.kind == "c":
        raise ValueError(f"method='separable' is for kernels of real numbers; got dtype {kernel_dtype}")


def not_separable() -> ValueError:
    """Return the error for a kernel that is not separable."""
    return ValueError(
        "kernel must be an outer product, a column times a row, for method='separable'; "
        "got one that is not, within rounding errors"
    )


def as_out(out, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a plain view of `out` after checking that the result can be written into it."""
    if type(out) is np.ndarray:
        out = out.view()
    elif isinstance(out, np.ndarray):
        out = np.asarray(out).view()  # a subclass may override shape and assignment
    else:
        raise TypeError(f"out must be a numpy.ndarray; got {clipped(type(out).__name__)}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}; got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have dtype {dtype}; got {clipped(out.dtype)}")
    if not out.flags.writeable:
        raise ValueError("out must be writable; got a read-only array")
    if any(stride == 0 and extent > 1 for stride, extent in zip(out.strides, out.shape)):
        raise ValueError(f"out must have separate memory for each element; got strides {out.strides}")
    return out


def overlaps_itself(array: np.ndarray) -> bool:
    """True if elements may share memory: an axis steps less than the extent of the finer axes."""
    extent_below = array.itemsize
    for stride, extent in sorted((abs(stride), extent) for stride, extent in zip(array.strides, array.shape)):
        if extent > 1:
            if stride < extent_below:
                return True
            extent_below += stride * (extent - 1)
    return False
