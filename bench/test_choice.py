"""Check that the method chosen by `method="auto"` is within a quarter of the fastest one.

The choice is based on estimates for one core, so it is measured with one core and with all of them.
"""

from __future__ import annotations

import statistics
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

import fastconv
from bench.alternation import TAPE, Budget, alternate, record
from bench.rivals import threads

_BUDGET = Budget(least=3, seconds=0.1, turn=0.005)
_MOST = 1.25
# Repeat, so that a burst of other load does not fail a correct choice.
_ATTEMPTS = 3


class Case(NamedTuple):
    dtype: type
    shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    outer: bool  # whether the kernel is an outer product

    @property
    def name(self) -> str:
        sizes = ["x".join(map(str, shape)) for shape in (self.shape, self.kernel_shape)]
        return f"{np.dtype(self.dtype)} {' by '.join(sizes)}{', an outer product' if self.outer else ''}"

    @property
    def methods(self) -> list[str]:
        """The methods that can compute the case, without direct where it would be far too slow."""
        found = ["direct"] if np.prod(self.shape) * np.prod(self.kernel_shape) < 6e9 else []
        found += ["separable"] if self.outer else []
        return found + (["fft"] if np.issubdtype(self.dtype, np.floating) else [])


def _square(side: int, taps: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (side, side), (taps, taps)


CASES = [
    *(
        Case(dtype, *_square(side, taps), outer)
        for dtype in (np.float32, np.float64)
        for side in (64, 512, 2048)
        for taps in (3, 5, 7, 11, 15, 31, 63)
        for outer in (False, True)
        if taps < side
    ),
    *(Case(np.int32, *_square(side, taps), True) for side in (256, 2048) for taps in (3, 7, 15)),
    *(
        Case(dtype, (samples,), (taps,), False)
        for dtype in (np.float32, np.float64)
        for samples in (1_000, 20_000, 1_000_000)
        for taps in (15, 63, 127, 255, 1023, 8191)
        if taps < samples
    ),
    *(Case(np.float32, (1024, 1024), shape, False) for shape in ((1, 301), (301, 1), (5, 201))),
]
# Some of each kind for `--quick`.
_QUICK = slice(None, None, 20)


def pytest_generate_tests(metafunc: Any) -> None:
    cases = CASES[_QUICK] if metafunc.config.getoption("--quick") else CASES
    metafunc.parametrize("choice", cases, ids=[case.name for case in cases])
    metafunc.parametrize("workers", sorted({1, threads()}))


def _kernel(case: Case) -> np.ndarray:
    random = np.random.default_rng(1)
    if not case.outer:
        return random.uniform(-1, 1, case.kernel_shape).astype(case.dtype)
    low = 1 if np.issubdtype(case.dtype, np.integer) else 0.1
    return np.outer(*(random.uniform(low, 9, taps).astype(case.dtype) for taps in case.kernel_shape))


def _calls(case: Case, workers: int) -> tuple[str, dict[str, Callable[[], Any]]]:
    random = np.random.default_rng(2)
    x = random.uniform(-99, 99, case.shape).astype(case.dtype)
    kernel = _kernel(case)

    def call(method: str) -> Callable[[], Any]:
        return lambda: fastconv.convolve(x, kernel, "same", method=method, workers=workers)

    chosen = fastconv.plan(kernel, case.shape, case.dtype, "same").method
    return chosen, {method: call(method) for method in ("auto", *case.methods)}


@pytest.mark.benchmark(timer=TAPE)
def test_auto_is_within_a_quarter_of_the_fastest_method(benchmark, request, choice: Case, workers: int):
    benchmark.group = f"choice: {choice.name}, {workers} workers"
    chosen, calls = _calls(choice, workers)
    results = {method: call() for method, call in calls.items()}
    for result in results.values():
        np.testing.assert_allclose(result, results["auto"], rtol=1e-3, atol=1e-3 * np.abs(results["auto"]).max())
    if benchmark.disabled:
        record(benchmark, [])
        return
    for _ in range(_ATTEMPTS):
        samples, _ = alternate(calls, {}, _BUDGET)
        medians = {method: statistics.median(times) for method, times in samples.items()}
        best = min(medians[method] for method in choice.methods)
        if medians["auto"] <= _MOST * best:
            break
    record(benchmark, samples["auto"])
    if not request.config.getoption("--quick"):  # a few samples decide nothing
        assert medians["auto"] <= _MOST * best, f"{chosen} was chosen; {medians}"
