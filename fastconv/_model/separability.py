"""Factor a separable kernel: ``kernel[i, j] = column[i] * row[j]``."""

from __future__ import annotations

import functools
import math
from typing import Callable, NamedTuple

import numpy as np

# Largest error of a product, in units of eps of the tap. Outer products of floats, scaled once or twice, are within 2,
# and the rounding of the factors adds 1.
_TOLERANCE = 4
# Steps of up to an eps by which a factor is scaled up and down.
_STEPS = 8
# Up to this limit floats represent all integers, by bytes of the float.
_LARGEST_INTEGER = {4: 2.0**24, 8: 2.0**53}


# The sum of a column (0) or a row (1) of taps, in the order of an engine.
Total = Callable[[np.ndarray, int], float]


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

    def factors(self, dtype: np.dtype, total: Total | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The column and the row in `dtype`, scaled by a power of two to ``sum |row| <= 1/2``."""
        shift = -math.frexp(2 * float(_sum(np.abs(self.row))))[1]
        with np.errstate(all="ignore"):
            column, row = np.ldexp(self.column, -shift), np.ldexp(self.row, shift)
            return _rounded(column, dtype, total, 0), _rounded(row, dtype, total, 1)


def as_taps(kernel: np.ndarray | Separable, dtype: np.dtype) -> np.ndarray:
    """The taps of a kernel: an array as it is, factors as an array of `dtype`."""
    return kernel.taps(dtype) if isinstance(kernel, Separable) else kernel


def factors(
    kernel: np.ndarray | Separable, dtype: np.dtype, total: Total | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the column and the row whose outer product is `kernel`, in `dtype`, the real type of the computation.

    Integers, and floats that are all integral, are factored exactly or not at all. Other taps may differ from the
    product by ``4 eps |tap|``, with the `eps` of the coarser of both types: the error of an outer product computed in
    floats and divided by its sum. The rounding of the sums of a convolution causes larger errors: ``taps * eps * sum
    |tap| |x|``. Taps near and below the smallest normal number have the tolerance of 4 times that number, since
    subnormal numbers have fewer bits.

    Returns None if there are no such factors, if a tap is an infinity or a NaN, or if the factors exceed the range of
    `dtype`. A kernel of zeros has factors of zeros.

    Factors of floats that are not integral are scaled by a power of two, so that ``sum |row| <= 1/2`` and sums along a
    row cannot overflow. Where the kernel is its own mirror image, or the negative of it, so is its factor. If its taps
    add up to a power of two, so do those of each factor, as far as they can, added up by `total`.
    """
    if isinstance(kernel, Separable):
        return kernel.factors(dtype, total)
    if kernel.dtype.kind in "biu":
        return _integer_factors(kernel, dtype)
    if kernel.dtype.kind != "f" or dtype.kind != "f" or _is_clearly_inseparable(kernel, dtype):
        return None
    # longdouble has extra bits on most processors. In C order, the sums below are the same for every memory layout.
    wide = np.dtype(np.float64 if dtype.itemsize == 4 and kernel.dtype.itemsize == 4 else np.longdouble)
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
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
        # Scaled by a power of two, so that no large tap underflows and no sum of products overflows.
        exponent = math.frexp(largest)[1]
        scaled = np.ldexp(taps, -exponent)
        # Up to rounding, the factors are the row and the column through the largest tap.
        at_row, at_column = divmod(int(size.argmax()), kernel.shape[1])
        row = scaled[at_row] / scaled[at_row, at_column]
        column = scaled[:, at_column]
        error = np.abs(np.ldexp(np.multiply.outer(column, row), exponent) - taps)
        if (error > 2 * tolerance).any():
            return None
        if 1 <= largest <= _LARGEST_INTEGER[dtype.itemsize] and (np.rint(taps) == taps).all():
            found = _integer_factors(taps.astype(np.int64), dtype)
            if found is not None:
                return found
        if error.any():
            # Least squares over all rows and columns: rounding errors average out. Sums are rounded in an order that
            # depends on the direction, so the kernel and its mirror image are turned the same way.
            down, across = _direction(column), _direction(row)
            turned, row = np.ascontiguousarray(scaled[::down, ::across]), row[::across].copy()
            column = turned @ row / (row @ row)
            row = (column @ turned / (column @ column))[::across]
            column = column[::down]
            make_symmetric(column, taps)
            make_symmetric(row, taps.T)
        if total is not None and _power_of_two(_sum(column) * _sum(row), eps) is not None:
            column, row = column * _sum(row), row / _sum(row)
        small = -math.frexp(2 * _sum(np.abs(row)))[1]
        # For a row or column that would exceed the range of the type: factors of about equal magnitude.
        even = (math.frexp(np.abs(column).max())[1] + exponent - math.frexp(np.abs(row).max())[1]) // 2
        for shift in (small, even):
            scaled_column, scaled_row = np.ldexp(column, exponent - shift), np.ldexp(row, shift)
            product = np.multiply.outer(*(part.astype(dtype).astype(wide) for part in (scaled_column, scaled_row)))
            if (np.abs(product - taps) <= tolerance).all():
                return _rounded(scaled_column, dtype, total, 0), _rounded(scaled_row, dtype, total, 1)
    return None


def _direction(factor: np.ndarray) -> int:
    """1, or -1 for the mirror image of a factor for which it is 1; a factor that is its own mirror image has none."""
    differences = factor - factor[::-1]
    places = np.flatnonzero(differences)
    return -1 if places.size and differences[places[0]] < 0 else 1


def _sum(factor: np.ndarray):
    """The sum of a factor, the same for its mirror image."""
    return factor[:: _direction(factor)].copy().sum()


def _power_of_two(value: float, eps: float) -> float | None:
    """The power of two that `value` is within some roundings; None if there is none."""
    fraction, exponent = math.frexp(float(value))
    if not (value > 0 and math.isfinite(value)):
        return None
    nearest = math.ldexp(0.5 if fraction < 0.75 else 1.0, exponent)
    return nearest if abs(value - nearest) <= _TOLERANCE * eps * nearest else None


def _rounded(factor: np.ndarray, dtype: np.dtype, total: Total | None, which: int) -> np.ndarray:
    """Round a factor to `dtype`, so that ``total(factor, which)`` is a power of two if its sum is one.

    Up to an eps larger or smaller, a factor adds up to other sums; the taps in the middle, added last if the factor is
    symmetric, take the rest: at most ``taps / 2`` eps of theirs, as much as the roundings of a sum.
    """
    rounded, eps = factor.astype(dtype), float(np.finfo(dtype).eps)
    aim = None if total is None else _power_of_two(float(_sum(factor)), eps)
    if total is None or aim is None:
        return rounded
    middle = slice((factor.size - 1) // 2, factor.size // 2 + 1)
    for step in sorted(range(-_STEPS, _STEPS + 1), key=abs):
        scaled = (factor * (1 + step * eps / _STEPS)).astype(dtype)
        for _ in range(2):
            missing = aim - total(scaled, which)
            if missing == 0:
                return scaled
            change = missing / (middle.stop - middle.start)
            if abs(change) > factor.size / 2 * eps * float(np.abs(scaled[middle]).min()):
                break
            scaled[middle] += dtype.type(change)
    return rounded


def make_symmetric(factor: np.ndarray, taps: np.ndarray) -> None:
    """Make a factor its own mirror image, or the negative of it, if the taps are, whose first axis it goes along.

    The sums of least squares are rounded in an order that BLAS chooses for each element.
    """
    half = factor.size // 2
    for sign in (1, -1):
        if (taps[:half] == sign * taps[: factor.size - half - 1 : -1]).all():
            factor[factor.size - half :] = sign * factor[:half][::-1]
            return


def _is_clearly_inseparable(kernel: np.ndarray, dtype: np.dtype) -> bool:
    """True if four taps show that there are no factors: a cheap test, since most kernels are not separable."""
    rows, columns = kernel.shape
    top, bottom, left, right = 0, rows // 2, 0, columns // 2
    a, b = float(kernel[top, left]), float(kernel[top, right])
    c, d = float(kernel[bottom, left]), float(kernel[bottom, right])
    eps, least = _limits(kernel.dtype, dtype)
    if not min(abs(a), abs(b), abs(c), abs(d)) > 1000 * least:
        return False  # too small to be sure, zero, or NaN
    # Taps within 4 eps of an outer product have determinants within 32 eps of 0.
    one, other = a * d, b * c
    return abs(one - other) > 32 * eps * (abs(one) + abs(other))


@functools.cache
def _limits(*dtypes: np.dtype) -> tuple[float, float]:
    """Return the largest eps and the largest smallest normal number of several types."""
    limits = [np.finfo(dtype) for dtype in dtypes]
    return max(float(limit.eps) for limit in limits), max(float(limit.tiny) for limit in limits)


def _integer_factors(kernel: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray] | None:
    """Return exact integer factors; the row is divided by its greatest common divisor.

    They exist if any integer factors do: every integer row of a rank-1 kernel is a multiple of the reduced one.
    """
    if kernel.dtype.itemsize == 8 and max(int(kernel.max()), -int(kernel.min())) >= 1 << 31:
        exact = kernel.astype(object)  # products could exceed 64 bits
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
    """Convert to `dtype`; integers wrap modulo 2 to the power of its bits."""
    if integers.dtype == object and dtype.kind != "f":
        integers = np.array([number % (1 << 64) for number in integers], np.uint64)
    return integers.astype(dtype)
