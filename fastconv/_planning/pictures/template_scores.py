"""Matching of a template: its products with all windows of a picture, their moments, and the scores."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.flat_windows import FLAT_ENERGY, FLAT_SHARE, MOST_EXCESS
from fastconv._planning import engine_loader
from fastconv._planning.pictures import windows
from fastconv._runtime.interruptible_numpy import chunk_slices

_DOUBLE = np.dtype(np.float64)
# The elements of a strip, and the least number of windows that it is high: the rows of a window are read twice.
STRIP_ELEMENTS, WINDOWS = 1 << 19, 4
# Samples so much larger than an eighth of all are no part of a picture, such as marks of missing data.
_HUGE = 2.0**20
# Squares of bytes are exact in 16 bits.
_SQUARES = np.dtype(np.uint16)


class Numbers(NamedTuple):
    """What scores depend on besides the window."""

    factor: float = 0.0  # of the mean, in a sum of products; of the variance, in correlations
    area: float = 1.0  # of the window in pixels
    norm: float = 1.0  # of the template
    least: float = 0.0  # the largest variance of a flat window


def about_the_mean(plane: np.ndarray) -> tuple[float, float]:
    """About the mean of pixels, and the largest distance from it of those that are looked at.

    Products with a template that has no mean lose no digits to that of the pixels if it is subtracted. Samples that are
    not finite, and huge ones, are left out: less a mean of these the others would have no digits.
    """
    is_narrow = plane.dtype.kind not in "fc" and plane.dtype.itemsize < 8
    some = plane[tuple(slice(None, None, max(1, extent // (256 if is_narrow else 64))) for extent in plane.shape)]
    with np.errstate(all="ignore"):
        if not is_narrow:
            some = some[np.isfinite(some)].astype(np.float64)
            sizes = np.abs(some)
            some = some[sizes <= _HUGE * np.partition(sizes, len(sizes) // 8)[len(sizes) // 8]] if some.size else some
        mean = float(some.mean(dtype=np.float64)) if some.size else 0.0
        mean = mean if math.isfinite(mean) else 0.0
        mean = round(mean) if plane.dtype.kind in "iu" else mean
        return mean, max(float(some.max()) - mean, mean - float(some.min())) if some.size else 0.0


def centred(plane: np.ndarray, mean: float, exponent: int, dtype: np.dtype) -> np.ndarray:
    """Return ``(plane - mean) / 2**exponent``, computed in the type of the result."""
    found = np.empty(plane.shape, dtype)
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(plane.shape):
            part = found[chunk]
            np.subtract(plane[chunk], dtype.type(mean), out=part, dtype=dtype)
            if not exponent:
                continue
            if exponent > -1000:
                part *= dtype.type(math.ldexp(1.0, -exponent))
            else:
                np.ldexp(part, -exponent, out=part)
    return found


def strips(rows: int, row_elements: int, window_rows: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows of results in mode 'valid', and those of the input: so few that their moments stay in cache."""
    step = max(WINDOWS * window_rows, STRIP_ELEMENTS // row_elements, 1)
    for first in range(0, rows, step):
        stop = min(first + step, rows)
        yield slice(first, stop), slice(first, stop + window_rows - 1)


def moments(x: np.ndarray, request: windows.Request, square: bool, workers: int | None) -> np.ndarray:
    """The means of windows as float64, or the means of squares; those of bytes are exact."""
    if square:
        wide = np.empty(x.shape, _SQUARES if x.dtype == np.uint8 else _DOUBLE)
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(x.shape):
                np.multiply(x[chunk], x[chunk], out=wide[chunk], dtype=wide.dtype)
        x = wide
    return windows.compute(request._replace(x_dtype=x.dtype, x_shape=x.shape, dtype=_DOUBLE), x, workers)


def fill(
    rule: str,
    products: np.ndarray,
    means: np.ndarray,
    squares: np.ndarray,
    out: np.ndarray,
    numbers: Numbers,
    workers: int | None,
) -> None:
    """Fill `out`, which is none of the others, by a rule: see `_microkernels.pictures.template_scores`.

    `means` are deviations if the rule says so. What a rule does not need may be any array of float64.
    """
    engines = None if sys.is_finalizing() else engine_loader.load()
    if engines is not None and engines.template_scores.supports(products, means, squares, out):
        engines.template_scores.fill(rule, products, means, squares, out, tuple(numbers), workers)
        return
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(out.shape):
            product, mean, square = (one[chunk].astype(_DOUBLE) for one in (products, means, squares))
            out[chunk] = _by_numpy(rule, product, mean, square, numbers)


def _by_numpy(rule: str, products: Any, means: Any, squares: Any, numbers: Numbers) -> Any:
    factor, area, norm, least = numbers
    if rule.startswith("correlations"):
        variances = means * means if rule.endswith("deviation") else factor * (squares - means * means)
        scores = np.maximum(np.minimum(products / (np.sqrt(variances) * norm), 1), -1)
        return np.where(variances <= least, 0, scores)
    variances, squares = squares - means * means, area * squares
    energies = squares
    if rule == "coefficients":
        energies = area * variances
    elif rule == "coefficients by deviation":
        energies = area * means * means
    else:
        products = products + factor * means
    if rule.endswith("differences"):
        products = np.maximum(squares - 2 * products + norm * norm, 0)
    if rule in ("products", "differences"):
        return products
    flat = np.minimum(FLAT_ENERGY, FLAT_SHARE * squares)
    scales = np.where(energies <= flat, 0, np.sqrt(energies) * norm)
    sizes = np.abs(products)
    nearly = np.where(sizes < MOST_EXCESS * scales, np.sign(products), float(rule == "normed differences"))
    return np.where(sizes < scales, products / scales, nearly)
