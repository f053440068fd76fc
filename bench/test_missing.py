"""Tests of the benchmark of missing data: its results are compared before they are timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench import missing
from bench.alternation import QUICK


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_checked(dtype: str):
    sides = missing.prepare(missing.Hole(30, 5, dtype), 1)
    missing.COMPARISON.check(sides)
    wrong = np.array(sides[missing.OURS]())
    wrong[0, 0] += 100
    with pytest.raises(AssertionError, match="differs by"):
        missing.COMPARISON.check({**sides, "astropy convolve": lambda: wrong})


def test_the_table_has_all_cases():
    found = missing.COMPARISON.table([missing.Hole(30, 25, "float32", 3.0)], 1, QUICK)
    assert found.count("| float32 30x30 by 25x25, Gaussian of sigma 3, 5% NaN |") == 1
