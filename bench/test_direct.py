"""The cases of `bench.cases` under pytest-benchmark: one group a case, one benchmark a library."""

from __future__ import annotations

import math

import pytest

from bench import cases
from bench.cases import CASES, Case, Rival

SIDES = [(case, rival) for case in CASES for rival in (None, *(versus.rival for versus in case.versus))]


def _label(case: Case, rival: Rival | None) -> str:
    return f"{case.name} - {rival.name if rival else 'fastconv'}"


@pytest.mark.parametrize(("case", "rival"), SIDES, ids=[_label(*side) for side in SIDES])
def test_convolution(benchmark, case: Case, rival: Rival | None):
    if rival is not None:
        pytest.importorskip(rival.module)
    benchmark.group = f"{case.group}: {case.name}"
    benchmark.extra_info["outputs"] = math.prod(case.shape)
    benchmark.extra_info["taps"] = math.prod(case.kernel_shape)

    ours = cases.ours(case)
    expected = ours()  # which also compiles
    if rival is None:
        benchmark(ours)
        return
    theirs = rival.prepare(case)
    if benchmark.disabled:  # a smoke run, in which the slow ones need not run twice
        cases.check_same(case, rival, benchmark(theirs), expected)
    else:
        cases.check_same(case, rival, theirs(), expected)
        benchmark(theirs)
