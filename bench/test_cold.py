"""Costs paid once: importing, and the first result of each dtype.

Times are those of whole processes, fresh interpreters from start to end. Only fastconv caches compiled code: for its
rivals an empty cache is the same as a full one, and they are measured again to be interleaved with fastconv.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import pytest

from bench import processes
from bench.alternation import TAPE, record
from bench.processes import Finished, Interpreters

_ROUNDS, _QUICK_ROUNDS = 5, 1

# Small integers, whose sums are exact in each type. The checksum at the end depends on their positions.
_FIRST_RESULT = """
import numpy as np
{library}
def integers(shape):
    return (np.arange(np.prod(shape)) % 3).astype(np.{dtype}).reshape(shape)
x, kernel = integers({shape}), integers({kernel_shape})
result = {call}
print(int(np.rint(result.astype(float)).ravel() @ np.arange(result.size)))
"""

_CONVOLVE2D = {
    "fastconv": 'fastconv.convolve2d(x, kernel, "same")',
    "scipy.signal": 'scipy.signal.fftconvolve(x, kernel, "same")',
    "cv2": "cv2.filter2D(x, -1, np.ascontiguousarray(kernel[::-1, ::-1]), borderType=cv2.BORDER_CONSTANT)",
}
# For integers an FFT would compute in floats.
_CONVOLVE2D_UINT8 = {**_CONVOLVE2D, "scipy.signal": 'scipy.signal.convolve2d(x, kernel, "same")'}
_CONVOLVE1D = {
    "fastconv": 'fastconv.convolve1d(x, kernel, "same")',
    "numpy": 'np.convolve(x, kernel, "same")',
    "scipy.signal": 'scipy.signal.fftconvolve(x, kernel, "same")',
}


class Side(NamedTuple):
    """One way to compute a case: the code of a process."""

    name: str
    code: str
    quick: bool  # whether it belongs to the subset that `--quick` measures

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]

    @property
    def has_kernels(self) -> bool:
        """Whether the side compiles kernels and caches them."""
        return self.name == "fastconv"


class Case(NamedTuple):
    name: str
    sides: tuple[Side, ...]
    empty_cache: bool = False


def _import() -> Case:
    modules = "numpy", "numba", "fastconv", "scipy.signal", "cv2", "torch"
    code = {name: f"import {name}" for name in modules}
    code["fastconv"] = "import numpy, fastconv"
    return Case("import", tuple(Side(name, code[name], quick=name not in ("numba", "torch")) for name in modules))


def _first_result(dtype: str, calls: dict[str, str], empty_cache: bool) -> Case:
    dimensions = 1 if calls is _CONVOLVE1D else 2
    shape, kernel_shape = ((1000,), (5,)) if dimensions == 1 else ((64, 64), (5, 5))
    quick = dimensions == 2 and dtype == "float32" and not empty_cache
    sides = []
    for name, call in calls.items():
        code = _FIRST_RESULT.format(
            library=f"import {name}", dtype=dtype, shape=shape, kernel_shape=kernel_shape, call=call
        )
        sides.append(Side(name, code, quick))
    cache = "empty" if empty_cache else "full"
    return Case(f"first {dimensions}-D result, {dtype}, {cache} cache", tuple(sides), empty_cache)


CASES = [
    _import(),
    *(
        _first_result(dtype, calls, empty_cache)
        for dtype, calls in (
            ("float32", _CONVOLVE2D),
            ("float64", _CONVOLVE2D),
            ("uint8", _CONVOLVE2D_UINT8),
            ("float32", _CONVOLVE1D),
        )
        for empty_cache in (True, False)
    ),
]


def pytest_generate_tests(metafunc: Any) -> None:
    quick = metafunc.config.getoption("--quick")
    processes.parametrize(metafunc, [(case, side) for case in CASES for side in case.sides if side.quick or not quick])


@pytest.fixture(scope="module")
def measured() -> dict[Case, dict[str, list[float]]]:
    """The seconds of each side of a case; the first test of a case measures all of them."""
    return {}


@pytest.mark.benchmark(timer=TAPE)
def test_cold(benchmark, request, measured, case: Case, side: Side):
    if case not in measured:
        quick = request.config.getoption("--quick")
        rounds = 0 if benchmark.disabled else _QUICK_ROUNDS if quick else _ROUNDS
        interpreters = processes.interpreters(own_bytecode=rounds == _ROUNDS)
        measured[case] = _measure(case, processes.selected_sides(request), interpreters, rounds)
    benchmark.group = f"cold: {case.name}"
    benchmark.extra_info.update(case=case.name, group="cold", side=side.name, library=side.library)
    record(benchmark, measured[case][side.name])


def _measure(case: Case, sides: list[Side], interpreters: Interpreters, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side; without rounds, those of the process that fills the caches."""
    if rounds:
        for side in sides:
            if side.has_kernels or interpreters.own_bytecode:
                interpreters.warm(side.code)
        taken = processes.in_turn({side.name: _process(case, side, interpreters) for side in sides}, rounds)
    else:
        taken = {side.name: [interpreters.warm(side.code)] for side in sides}
    _check_same(taken)
    return {name: [process.seconds for process in done] for name, done in taken.items()}


def _process(case: Case, side: Side, interpreters: Interpreters) -> Callable[[], Finished]:
    empty = case.empty_cache and side.has_kernels
    return functools.partial(interpreters.run_with_empty_cache if empty else interpreters.run, side.code)


def _check_same(taken: dict[str, list[Finished]]) -> None:
    printed = {name: {process.printed.strip() for process in done} for name, done in taken.items()}
    if len(set().union(*printed.values())) > 1:
        raise AssertionError(f"the sides have different results: {printed}")
