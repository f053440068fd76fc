"""Tests of the benchmark suite: results are checked, sides take turns, bounds are correct."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bench import check, data, rivals, roofline
from bench.alternation import TAPE, Budget, alternate, record
from bench.cases import CASES, GAUSSIAN, RANDOM, WHOLE, Case
from bench.rivals import FASTCONV, RIVALS

SMALL = [
    Case("signals", np.float32, (50,), (7,)),
    Case("signals", np.float64, (20,), (20,), mode="full"),
    Case("rows", np.float32, (12, 10), (5,), axis=0),
    Case("rows", np.float64, (12, 10), (5,)),
    Case("images", np.float32, (24, 20), (5, 3)),
    Case("images", np.float64, (24, 20), (3, 5), boundary="reflect"),
    Case("images", np.float64, (9, 8), (9, 8), mode="full"),
    Case("channels last", np.float32, (14, 12, 3), (3, 3)),
    Case("integers", np.int32, (20, 24), (5, 5)),
    Case("integers", np.uint8, (20, 24), (5, 5)),
    Case("layouts", np.float32, (20, 24), (5, 5), layout="Fortran"),
    Case("layouts", np.float32, (20, 24), (5, 5), layout="negative strides"),
    Case("boundaries", np.float32, (20, 24), (5, 5), boundary="wrap"),
    Case("pictures", np.uint8, (20, 24), (3, 3), is_picture=True, boundary="nearest"),
    Case("pictures", np.uint8, (20, 24), (3, 3), WHOLE, is_picture=True, boundary="nearest"),
    Case("pictures", np.uint8, (20, 24), (9, 9), GAUSSIAN, is_picture=True, boundary="nearest"),
    Case("pictures", np.uint8, (20, 24, 3), (5, 5), is_picture=True, boundary="nearest"),
    Case("separable", np.float32, (20, 24), (9, 9), GAUSSIAN, boundary="nearest"),
    Case("volumes", np.float32, (8, 9, 10), (3, 3, 3)),
    Case("volumes", np.float64, (8, 9, 10), (3, 5, 3), boundary="nearest"),
    Case("volumes", np.float32, (18, 19, 20), (9, 9, 9), GAUSSIAN, boundary="nearest"),
    Case("volumes", np.float32, (8, 7, 9), (8, 7, 9), mode="full"),
    Case("steps", np.float32, (20, 24), (5, 3), stride=2),
    Case("steps", np.float32, (20, 24), (3, 3), dilation=3),
    Case("steps", np.float32, (7, 8, 9), (3, 3, 3), stride=3),
    Case("steps", np.float32, (5, 24), (5, 7), own_kernels=True),
]
SIDES = [(case, side) for case in SMALL for side in RIVALS if side.does(case)]


def _name(value) -> str:
    return value.name


@pytest.mark.parametrize("case", SMALL, ids=_name)
def test_wrong_results_of_fastconv_are_detected(case: Case):
    result = check.check_ours(case, FASTCONV.prepare(case)())
    wrong = result.copy()
    wrong[0] += 2  # a corner is in it
    with pytest.raises(check.ResultsDiffer, match="its reference"):
        check.check_ours(case, wrong)


@pytest.mark.parametrize(("case", "side"), SIDES, ids=_name)
def test_wrong_results_of_rivals_are_detected(case: Case, side: rivals.Side):
    if not side.is_installed():
        pytest.skip(f"{side.library} is not installed")
    expected = np.asarray(FASTCONV.prepare(case)())
    result = np.asarray(side.prepare(case)())
    check.check_same(case, side, result, expected)
    wrong = result.copy()
    middle = tuple(n // 2 for n in wrong.shape)
    wrong[middle] = wrong[middle] - 9 if wrong[middle] > 100 else wrong[middle] + 9
    with pytest.raises(check.ResultsDiffer, match="differ by up to"):
        check.check_same(case, side, wrong, expected)
    with pytest.raises(check.ResultsDiffer, match="of shape"):
        check.check_same(case, side, result.reshape(-1)[:-1], expected)
    with pytest.raises(check.ResultsDiffer, match="returned complex128"):
        check.check_same(case, side, result.astype(complex), expected)


def test_nan_is_detected():
    case = SMALL[0]
    expected = np.asarray(FASTCONV.prepare(case)())
    wrong = expected.copy()
    wrong[3] = np.nan
    with pytest.raises(check.ResultsDiffer):
        check.check_same(case, RIVALS[0], wrong, expected)


@pytest.mark.parametrize("case", [case for case in CASES if np.issubdtype(case.dtype, np.floating)], ids=_name)
def test_tolerance_is_far_below_the_results(case: Case):
    kernel = data.inputs(case).kernel
    size = np.linalg.norm(kernel.astype(float)) / 3**0.5  # the root mean square of a result
    assert 2 * check.tolerance_of(case) < 0.01 * size


def test_names_of_cases_and_sides_are_unique():
    names = [f"{case.group}: {case.name}" for case in CASES]
    assert len(set(names)) == len(names)
    sides = [side.name for side in (FASTCONV, *RIVALS)]
    assert len(set(sides)) == len(sides)


def test_every_rival_has_a_case_and_every_case_a_rival():
    assert all(any(side.does(case) for case in CASES) for side in RIVALS)
    assert all(any(side.does(case) for side in RIVALS) for case in CASES)


def test_quick_subset_covers_all_kinds():
    quick = [case for case in CASES if case.quick]
    assert 0 < len(quick) < len(CASES) / 4
    assert {case.kernel for case in quick} == {RANDOM, WHOLE, GAUSSIAN}
    assert {case.is_picture for case in quick} == {False, True}
    assert {case.group for case in quick} >= {"signals", "images", "small", "pictures", "separable"}


def test_operations_and_bytes_of_cases():
    case = Case("images", np.float32, (10, 20), (3, 5))
    assert case.operations == 2 * 10 * 20 * 15
    assert case.bytes == 4 * (200 + 200 + 15)
    full = Case("images", np.float64, (4, 4), (2, 3), mode="full")
    assert full.operations == 2 * 16 * 6
    assert full.bytes == 8 * (16 + 5 * 6 + 6)
    assert case.least_operations == case.operations
    assert Case("separable", np.float32, (10, 20), (7, 7), GAUSSIAN).least_operations == 2 * 200 * 14
    # One tile of 16 points: a signal of 8 with 9 taps has 16 results.
    assert Case("signals", np.float32, (8,), (9,), mode="full").operations == 2 * 8 * 9
    large = Case("signals", np.float32, (4096,), (4097,), mode="full")
    assert large.least_operations == 8192 * (10 * 13 + 6) / 2


def test_bound_is_the_larger_limit():
    case = Case("images", np.float32, (10, 20), (3, 5))
    assert roofline.bound(case, {"peak": 6000.0, "bandwidth": 1e9}) == (1.0, "arithmetic")
    assert roofline.bound(case, {"peak": 1e12, "bandwidth": 1660.0}) == (1.0, "memory")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int16])
def test_measurements_of_the_limits_are_positive(dtype):
    assert 1e8 < roofline.Peak(dtype, 1, seconds=1e-4)() < 1e15
    assert 1e7 < roofline.Bandwidth(1, 2**16)() < 1e15


def test_sides_take_turns():
    calls: list[str] = []

    def side(name: str, seconds: float):
        def call():
            calls.append(name)
            time.sleep(seconds)

        return call

    samples, readings = alternate(
        {"a": side("a", 0.002), "b": side("b", 0.004)}, {"meter": lambda: 7.0}, Budget(least=3, seconds=0, turn=0)
    )
    assert all(seconds >= 0.002 for seconds in samples["a"])
    assert all(seconds >= 0.004 for seconds in samples["b"])
    assert len(samples["a"]) == len(samples["b"]) == 3
    assert readings == {"meter": 7.0}
    order = "".join(calls[2:]).replace("aa", "a").replace("bb", "b")  # the first two calibrate the length of a call
    for _ in range(4):
        order = order.replace("aa", "a").replace("bb", "b")
    assert order == "ababab"


def test_slow_sides_get_fewer_turns():
    counts = dict.fromkeys("ab", 0)

    def side(name: str, seconds: float):
        def call():
            counts[name] += 1
            time.sleep(seconds)

        return call

    alternate({"a": side("a", 0.001), "b": side("b", 0.06)}, {}, Budget(least=2, seconds=0.1, turn=0.001))
    assert counts["b"] <= 1 + 2 * 3 < counts["a"]


def test_timer_replays_recorded_samples():
    class Fixture:
        """Uses the timer as pytest-benchmark does."""

        def pedantic(self, target, rounds, iterations):
            assert iterations == 1
            self.samples = []
            for _ in range(rounds):
                start = TAPE()
                target()
                self.samples.append(TAPE() - start)

    fixture = Fixture()
    record(fixture, [0.1, 0.3, 0.2])
    assert fixture.samples == [0.1, 0.3, 0.2]


def test_data_of_a_case_are_reproducible():
    case = SMALL[4]
    first = data.inputs(case)
    data.inputs.cache_clear()
    again = data.inputs(case)
    assert first.image is not again.image
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.kernel, again.kernel)
