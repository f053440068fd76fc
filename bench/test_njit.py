"""Tests of the benchmark of calls in compiled code: its results are compared before they are timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench import njit
from bench.alternation import QUICK

CASE = njit.Loop(3, 40, 5, "float64")


def test_results_are_checked():
    sides = njit.prepare(CASE, 1)
    njit.COMPARISON.check(sides)
    wrong = np.array(next(iter(sides.values()))())
    wrong[0, 0] += 100
    with pytest.raises(AssertionError, match="differs by"):
        njit.COMPARISON.check({**sides, "fastconv from Python": lambda: wrong})


def test_the_table_has_all_cases():
    assert njit.COMPARISON.table([CASE], 1, QUICK).count("| float64, 3 rows of 40 by 5 |") == 1
