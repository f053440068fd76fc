"""Integer results of `scipy.ndimage`: sums in double, truncated toward zero, wrapped.

If a sum is close to an integer, its rounding decides the result: 0.99999 becomes 0 and 1.00001 becomes 1. A constant
image filtered by a Gaussian has only such sums. Sums are therefore taken in SciPy's order, each product rounded, unless
all are exact in any order, as with integer weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._model.geometry import FILL
from fastconv._planning.ndimage import scipy_order
from fastconv._planning.ndimage.nd_correlation import Filter, blocks, correlate, kept_by_content, samples

_DOUBLE = np.dtype(np.float64)
_EPS = 2.0**-52
# Error bound of overlap-save for the largest tiles, in units of eps times the largest sum.
_SPECTRAL = 4e5


def correlate_whole(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """Correlate into `out`, of integers and apart from `x`."""
    if wraps(x.dtype, out.dtype, filter):
        taps = filter.weights.astype(np.int64).astype(out.dtype)
        fill = int(np.array(int(filter.fill_value.real) % (1 << 64), np.uint64).astype(out.dtype))
        correlate(x, filter._replace(weights=taps, fill_value=fill), out, out.dtype)
        return
    if filter.weights.size <= scipy_order.MOST_IN_ORDER or not _is_exact_in_any_order(x, filter):
        scipy_order.correlate(x, filter, out)
        return
    sums = np.empty(x.shape, _DOUBLE)
    correlate(x, filter, sums, _DOUBLE)
    with np.errstate(all="ignore"):
        for block in blocks(x.shape):
            scipy_order.store(np.rint(sums[block]), out[block])


def _is_exact_in_any_order(x: np.ndarray, filter: Filter) -> bool:
    """Whether all sums are whole, and small enough for every method to miss them by less than a half."""
    facts = facts_of(filter.weights)
    if facts.unit < 1 or not _has_whole_samples(x, filter):
        return False
    return (2 * filter.weights.size + _SPECTRAL) * _EPS * facts.total * _largest(x, filter) < 0.5


def average_whole(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """`correlate_whole` for averages: weights of 1, sums divided by their number."""
    sums = np.empty(x.shape, _DOUBLE)
    size, bound = filter.weights.size, filter.weights.size * _largest(x, filter)
    with np.errstate(all="ignore"):
        if bound < 2.0**53 and _has_whole_samples(x, filter):
            method = correlate(x, filter, sums, _DOUBLE)
            if method == "fft":
                if _SPECTRAL * _EPS * bound < 0.5:
                    np.rint(sums, out=sums)
                else:
                    sums = _running_sums(x, filter)
        else:
            sums = _running_sums(x, filter)
        for block in blocks(x.shape):
            scipy_order.store(sums[block] / size, out[block])


def wraps(x_dtype: np.dtype, dtype: np.dtype, filter: Filter) -> bool:
    """True if weights are integers and types narrow: then wrapping integer arithmetic gives the result."""
    if x_dtype.kind not in "iu" or max(x_dtype.itemsize, dtype.itemsize) > 2:
        return False
    fill = filter.fill_value.real if filter.boundary == FILL else 0.0
    facts = facts_of(filter.weights)
    whole = facts.unit >= 1 and math.isfinite(fill) and fill == math.floor(fill)
    return whole and facts.total * max(abs(fill), 2.0**16) < 2.0**31


class Facts(NamedTuple):
    """Properties of weights: the sum of their magnitudes, and the largest power of two that divides all."""

    total: float
    unit: float


@kept_by_content
def facts_of(weights: np.ndarray) -> Facts:
    """Return the properties of weights."""
    with np.errstate(all="ignore"):
        total = float(np.abs(weights).sum())
    if total == 0 or not math.isfinite(total):
        return Facts(total, math.inf if total == 0 else 0.0)
    fractions, exponents = np.frexp(weights[weights != 0])
    digits = np.ldexp(fractions, 53).astype(np.int64)
    last = np.frexp((digits & -digits).astype(np.float64))[1] - 1
    return Facts(total, math.ldexp(1.0, int((exponents - 53 + last).min())))


def _running_sums(x: np.ndarray, filter: Filter) -> np.ndarray:
    """Running sums over the window of the weights: add the sample that enters, subtract the one that leaves."""
    (axis,), size = filter.axes, filter.weights.size
    whole = tuple(slice(0, extent) for extent in x.shape)
    around = np.moveaxis(samples(x.astype(_DOUBLE), filter, whole), axis, -1)
    steps = np.empty((*around.shape[:-1], x.shape[axis]))
    steps[..., 0] = np.add.accumulate(around[..., :size], -1)[..., -1]
    np.subtract(around[..., size:], around[..., : x.shape[axis] - 1], out=steps[..., 1:])
    return np.moveaxis(np.add.accumulate(steps, -1), -1, axis)


def _largest(x: np.ndarray, filter: Filter) -> float:
    """Return an upper bound of the magnitude of samples."""
    fill = abs(filter.fill_value.real) if filter.boundary == FILL else 0.0
    if x.dtype.kind in "iu" and x.dtype.itemsize <= 2:
        return max(float(1 << 8 * x.dtype.itemsize), fill)
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        sizes = float(np.fmax.reduce(x, axis=None)), -float(np.fmin.reduce(x, axis=None)), fill
    return max((size for size in sizes if not math.isnan(size)), default=0.0)


def _has_whole_samples(x: np.ndarray, filter: Filter) -> bool:
    fill = filter.fill_value.real if filter.boundary == FILL else 0.0
    whole = math.isfinite(fill) and fill == math.floor(fill)
    return whole and (x.dtype.kind in "iu" or _is_whole(x))


def _is_whole(numbers: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        return bool((np.rint(numbers) == numbers).all()) and bool(np.isfinite(numbers).all())
