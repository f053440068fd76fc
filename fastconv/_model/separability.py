"""Factor a separable kernel, an outer product of lines of taps: ``kernel[i, j, ...] = f[i] * g[j] * ...``."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple

import numpy as np

# Largest error of a product, in units of eps of the tap. Outer products of floats, scaled once or twice, are within 2,
# and the rounding of the factors adds 1.
_TOLERANCE = 4
# Steps of up to an eps by which a factor is scaled up and down.
_STEPS = 8
# Up to this limit floats represent all integers, by bytes of the float.
_LARGEST_INTEGER = {4: 2.0**24, 8: 2.0**53}


# The sum of the factor of an axis, in the order of an engine.
Total = Callable[[np.ndarray, int], float]


class Separable(NamedTuple):
    """A kernel given by its factors, floats of 64 bits, one for each axis; their product is rounded to `dtype`."""

    lines: tuple[np.ndarray, ...]
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(line.size for line in self.lines)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return sum(line.nbytes for line in self.lines)

    def taps(self, dtype: np.dtype) -> np.ndarray:
        """The outer product as an array of `dtype`."""
        result = np.empty(self.shape, dtype)
        first, *others = self.lines
        with np.errstate(all="ignore"):
            for start in range(0, first.size, 64):
                result[start : start + 64] = outer([first[start : start + 64], *others]).astype(self.dtype)
        return result

    def total(self) -> float:
        """The sum of the absolute taps."""
        with np.errstate(all="ignore"):
            return float(math.prod(np.abs(line).sum() for line in self.lines))

    def factors(
        self, dtype: np.dtype, total: Total | None = None, passes: Sequence[int] | None = None
    ) -> tuple[np.ndarray, ...]:
        """The factors in `dtype`, scaled by powers of two as those of `factors`."""
        shifts = _usual_shifts(self.lines, 0, _order(self.lines, passes))
        with np.errstate(all="ignore"):
            lines = [np.ldexp(line, shift) for line, shift in zip(self.lines, shifts)]
            return tuple(_rounded(line, dtype, total, k) for k, line in enumerate(lines))


def outer(lines: Sequence[np.ndarray]) -> np.ndarray:
    """The outer product of lines."""
    return functools.reduce(np.multiply.outer, lines)


def as_taps(kernel: np.ndarray | Separable, dtype: np.dtype) -> np.ndarray:
    """The taps of a kernel: an array as it is, factors as an array of `dtype`."""
    return kernel.taps(dtype) if isinstance(kernel, Separable) else kernel


def factors(
    kernel: np.ndarray | Separable,
    dtype: np.dtype,
    total: Total | None = None,
    passes: Sequence[int] | None = None,
) -> tuple[np.ndarray, ...] | None:
    """Return the factors, one for each of two or more axes, whose outer product is `kernel`, in `dtype`.

    That is the real type of the computation. Integers, and floats that are all integral, are factored exactly or not at
    all. Other taps may differ from the product by ``4 eps |tap|``, with the `eps` of the coarser of both types: the
    error of an outer product computed in floats and divided by its sum. The rounding of the sums of a convolution
    causes larger errors: ``taps * eps * sum |tap| |x|``. Taps near and below the smallest normal number, which have
    fewer bits, have the tolerance of 4 times that number if the largest tap exceeds the sum of so many tolerances: see
    `has_underflowed`.

    Returns None if there are no such factors, if a tap is an infinity or a NaN, or if the factors exceed the range of
    `dtype`. A kernel of zeros has factors of zeros.

    Factors of floats that are not integral are scaled by powers of two, so that no sum overflows that the result does
    not, and what underflows grows little afterwards. `passes` are the axes in the order in which the engine sums along
    them; the first axis is last if it is not given. Where the kernel is its own mirror image, or the negative of it, so
    is its factor. If its taps add up to a power of two, so do those of each factor, as far as they can, added up by
    `total`.
    """
    if isinstance(kernel, Separable):
        return kernel.factors(dtype, total, passes)
    if kernel.dtype.kind in "biu":
        return _integer_factors(kernel, dtype)
    if kernel.dtype.kind != "f" or dtype.kind != "f" or is_clearly_inseparable(kernel, dtype):
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
        return tuple(np.zeros(extent, dtype) for extent in kernel.shape)
    eps, least = _limits(kernel.dtype, dtype)
    floor = 4 * least if 4 * _TOLERANCE * least * kernel.size <= largest else 0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        tolerance = _TOLERANCE * eps * np.maximum(size, floor)
        # Scaled by a power of two, so that no large tap underflows and no sum of products overflows.
        exponent = math.frexp(largest)[1]
        scaled = np.ldexp(taps, -exponent)
        # Up to rounding, the factors are the lines through the largest tap.
        place = np.unravel_index(int(size.argmax()), kernel.shape)
        lines = [line if k == 0 else line / scaled[place] for k, line in enumerate(_lines_through(scaled, place))]
        error = np.abs(np.ldexp(outer(lines), exponent) - taps)
        if (error > 2 * tolerance).any():
            return None
        if 1 <= largest <= _LARGEST_INTEGER[dtype.itemsize] and (np.rint(taps) == taps).all():
            found = _integer_factors(taps.astype(np.int64), dtype)
            if found is not None:
                return found
        if error.any():
            lines = _refined(lines, scaled, taps)
        sums = [_sum(line) for line in lines]
        if total is not None and _power_of_two(math.prod(sums), eps) is not None:
            lines = [lines[0] * math.prod(sums[1:]), *(line / one for line, one in zip(lines[1:], sums[1:]))]
        for shifts in _shifts(lines, exponent, _order(lines, passes)):
            moved = [np.ldexp(line, shift) for line, shift in zip(lines, shifts)]
            product = outer([line.astype(dtype).astype(wide) for line in moved])
            if (np.abs(product - taps) <= tolerance).all():
                return tuple(_rounded(line, dtype, total, k) for k, line in enumerate(moved))
    return None


def _lines_through(array: np.ndarray, place: tuple) -> list[np.ndarray]:
    """The lines along each axis through the element at `place`."""
    indices = (place[:k] + (slice(None),) + place[k + 1 :] for k in range(array.ndim))
    return [array[index] for index in indices]


def _refined(lines: list[np.ndarray], scaled: np.ndarray, taps: np.ndarray) -> list[np.ndarray]:
    """The factors of least squares, one after the other, over all taps: rounding errors average out.

    Sums are rounded in an order that depends on the direction, so the kernel and its mirror image are turned the same
    way.
    """
    turns = [_direction(line) for line in lines]
    turned = np.ascontiguousarray(scaled[tuple(slice(None, None, turn) for turn in turns)])
    lines = [line[::turn].copy() for line, turn in zip(lines, turns)]
    for k in range(len(lines)):
        part = turned
        for line in lines[:k:-1]:
            part = part @ line
        for line in lines[:k]:
            part = line @ part.reshape(line.size, -1)
        lines[k] = part / math.prod(line @ line for line in (*lines[:k], *lines[k + 1 :]))
    lines = [line[::turn] for line, turn in zip(lines, turns)]
    for k, line in enumerate(lines):
        make_symmetric(line, np.moveaxis(taps, k, 0))
    return lines


def _order(lines: Sequence[np.ndarray], passes: Sequence[int] | None) -> Sequence[int]:
    return range(len(lines))[::-1] if passes is None else passes


def _shifts(lines: list[np.ndarray], exponent: int, passes: Sequence[int]) -> Iterator[list[int]]:
    """Powers of two for the factors: the usual ones; and for factors that would exceed the range of the type, those of
    about equal magnitude."""
    yield _usual_shifts(lines, exponent, passes)
    tops = [math.frexp(np.abs(line).max())[1] for line in lines]
    shifts = [(sum(tops) + exponent) // len(lines) - top for top in tops]
    shifts[passes[-1]] += exponent - sum(shifts)
    yield shifts


def _usual_shifts(lines: Sequence[np.ndarray], exponent: int, passes: Sequence[int]) -> list[int]:
    """Powers of two by which ``sum |factor| <= 1/2``, but for two axes.

    The last pass makes up for it, so that no sum before it can overflow, but not for much more: it would enlarge what
    has underflowed before. The first one takes the rest.
    """
    shifts = [-math.frexp(2 * float(_sum(np.abs(line))))[1] for line in lines]
    rest, most = exponent - sum(shifts), 2 * len(shifts)
    shifts[passes[-1]] += min(rest, most)
    shifts[passes[0]] += max(0, rest - most)
    return shifts


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
        scaled = (factor + factor * (step * eps / _STEPS)).astype(dtype)  # a double has no eighth of an eps beside 1
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


def is_clearly_inseparable(kernel: np.ndarray, dtype: np.dtype) -> bool:
    """True if four taps show that there are no factors: a cheap test, since most kernels are not separable."""
    kernel = kernel.reshape(kernel.shape[0], -1)
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


def has_underflowed(kernel: np.ndarray) -> bool:
    """Whether the small taps of a kernel, if it is an outer product, are less precise than the others, or 0.

    Times large samples, their products differ from those of the factors.
    """
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        size, is_zero = np.abs(kernel), kernel == 0
        if ((size < 4 * np.finfo(kernel.dtype).tiny) & ~is_zero).any():
            return True
    axes = range(kernel.ndim)
    lines = (is_zero.all(axis=tuple(k for k in axes if k != axis), keepdims=True) for axis in axes)
    return bool((is_zero & ~functools.reduce(np.logical_or, lines)).any())


@functools.cache
def _limits(*dtypes: np.dtype) -> tuple[float, float]:
    """Return the largest eps and the largest smallest normal number of several types."""
    limits = [np.finfo(dtype) for dtype in dtypes]
    return max(float(limit.eps) for limit in limits), max(float(limit.tiny) for limit in limits)


def _integer_factors(kernel: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, ...] | None:
    """Return exact integer factors; all but the first are divided by their greatest common divisors.

    They exist if any integer factors do: along an axis, every line of a rank-1 kernel is a multiple of the reduced one.
    """
    if kernel.dtype.itemsize == 8 and max(int(kernel.max()), -int(kernel.min())) >= 1 << 31:
        exact = kernel.astype(object)  # products could exceed 64 bits
    else:
        exact = kernel.astype(np.int64)
    place = np.unravel_index(int(np.abs(exact).argmax()), kernel.shape)
    if exact[place] == 0:
        return tuple(np.zeros(extent, dtype) for extent in kernel.shape)
    first, *others = _lines_through(exact, place)
    others = [line // np.gcd.reduce(line) for line in others]
    divisor = math.prod(int(line[at]) for line, at in zip(others, place[1:]))
    if abs(divisor) > abs(int(exact[place])):
        return None
    first = first // divisor
    if (outer([first, *others]) != exact).any():
        return None
    return tuple(_wrapped(line, dtype) for line in (first, *others))


def _wrapped(integers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert to `dtype`; integers wrap modulo 2 to the power of its bits."""
    if integers.dtype == object and dtype.kind != "f":
        integers = np.array([number % (1 << 64) for number in integers], np.uint64)
    return integers.astype(dtype)
