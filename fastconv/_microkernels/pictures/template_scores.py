"""Scores of a template from its products with the windows of a picture, and from the moments of the windows.

Moments are the mean and the mean square of each window, of which the energy, a sum of squares, is computed; or its
deviation, in place of the mean.
"""

from __future__ import annotations

import math

from numba import types

from fastconv._model.flat_windows import FLAT_ENERGY, FLAT_SHARE, MOST_EXCESS
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.memory import doubles_at, floats_at


def signature():
    """Signature of the functions of `SCORES`."""
    return types.void(view, view, view, view, *[types.intp] * 2, *[types.float64] * 4)


@compilation.inline
def _quotient(product, energy, squares, norm, flat):
    """A product over the norms by OpenCV's rules (`flat_windows`); `flat` for windows that are flat or nearly so."""
    least = FLAT_SHARE * squares
    least = least if least < FLAT_ENERGY else FLAT_ENERGY
    scale = 0.0 if energy <= least else math.sqrt(energy) * norm
    size = abs(product)
    nearly = (1.0 if product > 0 else -1.0) if size < MOST_EXCESS * scale else flat
    return product / scale if size < scale else nearly


@compilation.inline
def _products(product, mean, square, factor, area, norm, least):
    return product + factor * mean


@compilation.inline
def _differences(product, mean, square, factor, area, norm, least):
    found = area * square - 2 * (product + factor * mean) + norm * norm
    return 0.0 if found < 0 else found


@compilation.inline
def _normed_products(product, mean, square, factor, area, norm, least):
    return _quotient(product + factor * mean, area * square, area * square, norm, 0.0)


@compilation.inline
def _normed_differences(product, mean, square, factor, area, norm, least):
    found = area * square - 2 * (product + factor * mean) + norm * norm
    return _quotient(0.0 if found < 0 else found, area * square, area * square, norm, 1.0)


@compilation.inline
def _coefficients(product, mean, square, factor, area, norm, least):
    return _quotient(product, area * (square - mean * mean), area * square, norm, 0.0)


@compilation.inline
def _coefficients_by_deviation(product, deviation, square, factor, area, norm, least):
    return _quotient(product, area * deviation * deviation, area * square, norm, 0.0)


@compilation.inline
def _limited(product, variance, norm, least):
    """The quotient from -1 to 1, and 0 where the variance is at most `least`."""
    score = product / (math.sqrt(variance) * norm)
    score = -1.0 if score < -1 else score
    score = 1.0 if score > 1 else score
    return 0.0 if variance <= least else score


@compilation.inline
def _correlations(product, mean, square, factor, area, norm, least):
    return _limited(product, factor * (square - mean * mean), norm, least)


@compilation.inline
def _correlations_by_deviation(product, deviation, square, factor, area, norm, least):
    return _limited(product, deviation * deviation, norm, least)


_RULES = {
    "products": _products,
    "differences": _differences,
    "normed products": _normed_products,
    "normed differences": _normed_differences,
    "coefficients": _coefficients,
    "coefficients by deviation": _coefficients_by_deviation,
    "correlations": _correlations,
    "correlations by deviation": _correlations_by_deviation,
}


def _make(name, rule, products_at, results_at):
    """Make the function of one rule, for products and results of float32 or float64."""

    def scores(products, means, squares, out, first, stop, factor, area, norm, least):
        """Fill elements of `out`; all are contiguous arrays, and moments are float64."""
        product, mean = products_at(products.address, 0), doubles_at(means.address, 0)
        square, place = doubles_at(squares.address, 0), results_at(out.address, 0)
        for j in range(first, stop):
            place[j] = rule(product[j], mean[j], square[j], factor, area, norm, least)

    scores.__name__ = "scores_" + name.replace(" ", "_")
    return scores


_POINTERS = {"f": floats_at, "d": doubles_at}
# By rule, and the types of products and results.
SCORES = {
    (name, a, b): _make(f"{name} {a} {b}", rule, _POINTERS[a], _POINTERS[b])
    for name, rule in _RULES.items()
    for a in _POINTERS
    for b in _POINTERS
}
