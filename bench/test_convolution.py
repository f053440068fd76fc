"""The cases of `bench.cases` under pytest-benchmark: a group for each case, a benchmark for each library."""

from __future__ import annotations

from typing import Any

import pytest

from bench import check, roofline
from bench.alternation import QUICK, TAPE, THOROUGH, alternate, record
from bench.cases import CASES, Case
from bench.rivals import FASTCONV, RIVALS, Side

SIDES = [(case, side) for case in CASES for side in (FASTCONV, *RIVALS) if side is FASTCONV or side.does(case)]


class Series:
    """The samples of one case; all its sides are measured together when the first one is requested."""

    def __init__(self, config: pytest.Config, items: list[pytest.Item]):
        self._quick = config.getoption("--quick")
        self._disabled = config.getoption("benchmark_disable")
        self._sides: dict[Case, list[Side]] = {}
        for item in items:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            if "side" in parameters and isinstance(parameters["case"], Case):
                self._sides.setdefault(parameters["case"], []).append(parameters["side"])
        self._case: Case | None = None
        self._failed: dict[str, Exception] = {}

    def of(self, case: Case, side: Side) -> tuple[list[float], dict[str, Any]]:
        """Return the samples of one side, and the limits of the machine measured meanwhile."""
        if case != self._case:
            self._case = None  # an error must not leave the samples of another case
            self._measure(case)
            self._case = case
        if side.name in self._failed:
            raise self._failed[side.name]
        return self._samples[side.name], self._limits

    def _measure(self, case: Case) -> None:
        expected = check.check_ours(case, FASTCONV.prepare(case)())  # which also compiles
        calls, self._failed = {}, {}
        for side in self._sides[case]:
            if not side.is_installed():
                continue
            try:
                call = side.prepare(case)
                if side is not FASTCONV:
                    check.check_same(case, side, call(), expected)
                calls[side.name] = call
            except Exception as error:  # reported by its own test; the others continue
                self._failed[side.name] = error
        del expected
        if self._disabled:
            self._samples: dict[str, list[float]] = {name: [] for name in calls}
            self._limits: dict[str, Any] = {}
            return
        self._samples, readings = alternate(calls, roofline.meters(case), QUICK if self._quick else THOROUGH)
        bound = roofline.bound(case, readings)
        self._limits = {**readings, "bound": bound.seconds, "bound_by": bound.by}


@pytest.fixture(scope="session")
def series(request: pytest.FixtureRequest) -> Series:
    return Series(request.config, request.session.items)


@pytest.mark.benchmark(timer=TAPE)
@pytest.mark.parametrize(
    ("case", "side"), SIDES, ids=[f"{case.group}: {case.name} - {side.name}" for case, side in SIDES]
)
def test_convolution(benchmark, series: Series, case: Case, side: Side):
    if not side.is_installed():
        pytest.skip(f"{side.library} is not installed")
    benchmark.group = f"{case.group}: {case.name}"
    samples, limits = series.of(case, side)
    benchmark.extra_info.update(
        case=case.name,
        group=case.group,
        side=side.name,
        library=side.library,
        series=case.series,
        dtype=str(case.dtype.__name__),
        kernel_shape=list(case.kernel_shape),
        operations=case.operations,
        bytes=case.bytes,
        brief=case.brief,
        difference=side.difference + (f"; pixels may be {side.levels} off" if case.is_picture and side.levels else ""),
        **limits,
    )
    record(benchmark, samples)
