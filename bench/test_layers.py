"""Tests of the benchmark of layers: its results are compared before they are timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench import layers
from bench.alternation import QUICK

pytest.importorskip("torch")
SMALL = [layers.Layer("dense", 2, 3, 5, 9, 3, 2, 1), layers.Layer("depthwise", 1, 32, 32, 8, 3, 1, 1, 32)]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
@pytest.mark.parametrize("layout", layers.LAYOUTS)
@pytest.mark.parametrize("operation", layers.OPERATIONS)
def test_results_are_checked(case: layers.Layer, layout: str, operation: str):
    calls = layers.prepare(case, layout, operation, 1)
    layers.check(calls, layout)
    wrong = np.array(calls.ours())
    wrong.flat[0] += 1
    with pytest.raises(AssertionError, match="results differ"):
        layers.check(calls._replace(ours=lambda: wrong), layout)


def test_the_table_has_all_cases():
    text = layers.table(SMALL[:1], layers.OPERATIONS, 1, QUICK)
    assert text.count("| dense |") == 3
    assert text.count("geometric mean") == 3
