"""Tests of the benchmark of filters of pictures: its results are compared before they are timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench import pictures
from bench.alternation import QUICK


@pytest.mark.parametrize("case", pictures.CASES, ids=lambda case: case.name)
def test_results_are_checked(case: pictures.Filter):
    small = case._replace(size=90, parameter=min(case.parameter, 21))
    sides = pictures.prepare(small, 1)
    pictures.COMPARISON.check(sides)
    first, *others = sides
    wrong = np.array(sides[first](), float)
    wrong[0, 0] += np.abs(wrong).max()
    with pytest.raises(AssertionError, match="differs by"):
        pictures.COMPARISON.check({**sides, others[0]: lambda: wrong})


def test_the_table_has_all_cases_and_sides():
    cases = [pictures.Filter("box_blur", "uint8", 5, 40), pictures.Filter("motion_blur", "uint8", 5, 40)]
    found = pictures.COMPARISON.table(cases, 1, QUICK).splitlines()
    assert found[0] == "| filter | fastconv | OpenCV | SciPy |"
    assert found[2].startswith("| `box_blur` 5, uint8 40x40 |")
    assert found[3].endswith(" |  |")
