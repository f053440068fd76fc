"""Scores of a template at all places, by compiled code."""

from __future__ import annotations

import numpy as np
from numba import config

from fastconv._engines import scheduler
from fastconv._microkernels.pictures import template_scores
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._simd import compilation

# Elements of a call, between which Python handles Ctrl-C, and what one takes, in products.
_MOST_ELEMENTS, _PRODUCTS = 1 << 17, 40


@compilation.once
def _function(rule: str, products: str, results: str):
    found = template_scores.SCORES[rule, products, results]
    return compilation.compile_entry(found, template_scores.signature())


def supports(*arrays: np.ndarray) -> bool:
    """Whether these arrays are taken: contiguous ones of native floats."""
    return not config.DISABLE_JIT and all(
        array.dtype.char in "fd" and array.dtype.isnative and array.flags.c_contiguous for array in arrays
    )


def fill(
    rule: str,
    products: np.ndarray,
    means: np.ndarray,
    squares: np.ndarray,
    out: np.ndarray,
    numbers: tuple[float, float, float, float],
    workers: int | None,
) -> None:
    """Fill `out`, which is none of the others, by a rule of `template_scores.SCORES`."""
    _pins = pinned(products, means, squares, out)
    function = _function(rule, products.dtype.char, out.dtype.char)
    calls = [
        (products, means, squares, out, first, min(first + _MOST_ELEMENTS, out.size), *numbers)
        for first in range(0, out.size, _MOST_ELEMENTS)
    ]
    scheduler.run_each(function, calls, scheduler.threads_for_products(_PRODUCTS * out.size, len(calls), workers))
