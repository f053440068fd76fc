"""Whether a kernel is an outer product, and of what: ``kernel[i, j] = column[i] * row[j]``."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

# Of a tap, in units of its rounding (eps): how far a product may lie from it. Outer products of floats, scaled once or
# twice, are within 2, and the factors found add another 1.
_TOLERANCE = 4
# Floats are whole numbers up to here.
_WHOLE = {4: 2.0**24, 8: 2.0**53}


class Separable(NamedTuple):
    """A kernel given by its factors, floats of 64 bits: ``kernel[i, j] = column[i] * row[j]``, rounded to `dtype`."""

    column: np.ndarray
    row: np.ndarray
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return self.column.size, self.row.size

    @property
    def size(self) -> int:
        return self.column.size * self.row.size

    @property
    def nbytes(self) -> int:
        return self.column.nbytes + self.row.nbytes

    def taps(self, dtype: np.dtype) -> np.ndarray:
        """The outer product as an array of `dtype`."""
        result = np.empty(self.shape, dtype)
        with np.errstate(all="ignore"):
            for first in range(0, self.column.size, 64):
                part = np.multiply.outer(self.column[first : first + 64], self.row)
                result[first : first + 64] = part.astype(self.dtype)
        return result

    def total(self) -> float:
        """The sum of the absolute taps."""
        with np.errstate(all="ignore"):
            return float(np.abs(self.column).sum() * np.abs(self.row).sum())

    def factors(self, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """The column and the row in `dtype`, scaled by a power of two to ``sum |row| <= 1/2``."""
        shift = -math.frexp(2 * float(np.abs(self.row).sum()))[1]
        return np.ldexp(self.column, -shift).astype(dtype), np.ldexp(self.row, shift).astype(dtype)


def as_taps(kernel: np.ndarray | Separable, dtype: np.dtype) -> np.ndarray:
    """The taps of a kernel: an array as it is, factors as an array of `dtype`."""
    return kernel.taps(dtype) if isinstance(kernel, Separable) else kernel


def factors(kernel: np.ndarray | Separable, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray] | None:
    """The column and the row whose outer product `kernel` is, in the real type `dtype` that a result is computed in.

    Integers, and floats that are whole numbers, are factored exactly or not at all. Of other floats each tap may differ
    from the product by ``4 eps |tap|``, with the `eps` of the coarser of both types. That is what a few roundings
    leave, those of an outer product computed in floats and divided by its sum among them, and it is less than what the
    rounding of the sums of a convolution leaves: ``taps * eps * sum |tap| |x|``. Taps near the least normal number are
    taken as that large, since what is smaller has fewer bits.

    None if there are no such factors; if a tap is an infinity or a NaN; and if the factors do not fit into `dtype`,
    for kernels that span more than its range. A kernel of nothing but zeros has factors of zeros.

    The row is scaled, by a power of two, to ``sum |row| <= 1/2`` where `dtype` has floats and the factors are not whole
    numbers: then the sums along a row cannot overflow.
    """
    if isinstance(kernel, Separable):
        return kernel.factors(dtype)
    if kernel.dtype.kind in "biu":
        return _whole_factors(kernel, dtype)
    if kernel.dtype.kind != "f" or dtype.kind != "f" or _is_plainly_none(kernel, dtype):
        return None
    # With bits to spare, on most processors; and in one order, so that the sums below are the same for every layout.
    wide = np.dtype(np.float64 if dtype.itemsize == 4 and kernel.dtype.itemsize == 4 else np.longdouble)
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        taps = kernel.astype(wide, order="C")
    size = np.abs(taps)
    largest = float(size.max())
    if not largest < math.inf:
        return None
    if largest == 0:
        return np.zeros(kernel.shape[0], dtype), np.zeros(kernel.shape[1], dtype)
    eps, least = _limits(kernel.dtype, dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        tolerance = _TOLERANCE * eps * np.maximum(size, 4 * least)
        # Scaled by a power of two, so that no large tap underflows, and no sum of products overflows.
        exponent = math.frexp(largest)[1]
        scaled = np.ldexp(taps, -exponent)
        # The two lines through the largest tap are the factors, but for their rounding.
        at_row, at_column = divmod(int(size.argmax()), kernel.shape[1])
        row = scaled[at_row] / scaled[at_row, at_column]
        column = scaled[:, at_column]
        error = np.abs(np.ldexp(np.multiply.outer(column, row), exponent) - taps)
        if (error > 2 * tolerance).any():
            return None
        if 1 <= largest <= _WHOLE[dtype.itemsize] and (np.rint(taps) == taps).all():
            found = _whole_factors(taps.astype(np.int64), dtype)
            if found is not None:
                return found
        if error.any():
            # All lines have a share in each factor, by least squares: their roundings average out.
            column = scaled @ row / (row @ row)
            row = column @ scaled / (column @ column)
        small = -math.frexp(2 * np.abs(row).sum())[1]
        # Where that leaves the range of the type, both factors have the same share of the largest tap.
        even = (math.frexp(np.abs(column).max())[1] + exponent - math.frexp(np.abs(row).max())[1]) // 2
        for shift in (small, even):
            found = np.ldexp(column, exponent - shift).astype(dtype), np.ldexp(row, shift).astype(dtype)
            product = np.multiply.outer(found[0].astype(wide), found[1].astype(wide))
            if (np.abs(product - taps) <= tolerance).all():
                return found
    return None


def _is_plainly_none(kernel: np.ndarray, dtype: np.dtype) -> bool:
    """Whether four taps show that there are no factors: most kernels have none, and that should cost little."""
    rows, columns = kernel.shape
    top, bottom, left, right = 0, rows // 2, 0, columns // 2
    a, b = float(kernel[top, left]), float(kernel[top, right])
    c, d = float(kernel[bottom, left]), float(kernel[bottom, right])
    eps, least = _limits(kernel.dtype, dtype)
    if not min(abs(a), abs(b), abs(c), abs(d)) > 1000 * least:
        return False  # too small to be sure, or zero, or no number
    # Each tap of an outer product is within 4 eps of it, and all others within 8 times that.
    one, other = a * d, b * c
    return abs(one - other) > 32 * eps * (abs(one) + abs(other))


@functools.cache
def _limits(*dtypes: np.dtype) -> tuple[float, float]:
    """Of several types the coarsest rounding, and the largest of their least normal numbers."""
    limits = [np.finfo(dtype) for dtype in dtypes]
    return max(float(limit.eps) for limit in limits), max(float(limit.tiny) for limit in limits)


def _whole_factors(kernel: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray] | None:
    """Exact factors of integers: the row has no common divisor.

    If any integers have this outer product, these have: a row of integers is a multiple of the one without a common
    divisor.
    """
    if kernel.dtype.itemsize == 8 and max(int(kernel.max()), -int(kernel.min())) >= 1 << 31:
        exact = kernel.astype(object)  # the products of 64 bits would not fit
    else:
        exact = kernel.astype(np.int64)
    at_row, at_column = divmod(int(np.abs(exact).argmax()), kernel.shape[1])
    divisor = np.gcd.reduce(exact[at_row])
    if divisor == 0:
        return np.zeros(kernel.shape[0], dtype), np.zeros(kernel.shape[1], dtype)
    row = exact[at_row] // divisor
    column = exact[:, at_column] // row[at_column]
    if (np.multiply.outer(column, row) != exact).any():
        return None
    return _wrapped(column, dtype), _wrapped(row, dtype)


def _wrapped(integers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """In `dtype`: modulo 2 to the power of its bits, or as floats."""
    if integers.dtype == object and dtype.kind != "f":
        integers = np.array([number % (1 << 64) for number in integers], np.uint64)
    return integers.astype(dtype)
