"""Tests of the benchmark of banks: its results are compared before they are timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench import banks
from bench.alternation import QUICK


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_results_are_checked(dtype: str):
    sides = banks.prepare(banks.Bank(20, 30, 4, 5, dtype), 1)
    banks.COMPARISON.check(sides)
    wrong = np.array(sides["convolve_bank"]())
    wrong[0, 0, 0] += 100
    with pytest.raises(AssertionError, match="differs by"):
        banks.COMPARISON.check({**sides, "cv2.filter2D": lambda: wrong})


def test_the_table_has_all_cases():
    assert banks.COMPARISON.table([banks.Bank(20, 30, 4, 3)], 1, QUICK).count("| 4 of 3x3, float32 20x30 |") == 1
