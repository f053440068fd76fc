"""Scores of a template at all places, by compiled code."""

from __future__ import annotations

import numpy as np
from numba import config

from fastconv._engines import scheduler
from fastconv._microkernels.pictures import template_scores
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._simd import compilation

# Elements of a call, between which Python handles Ctrl-C; and nanoseconds of one, in cache.
_MOST_ELEMENTS, _ELEMENT = 1 << 17, 1.0


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
    scheduler.run_slices(
        lambda first, stop: function(products, means, squares, out, first, stop, *numbers),
        range(out.size), _MOST_ELEMENTS, _ELEMENT * out.size, workers,
    )  # fmt: skip
