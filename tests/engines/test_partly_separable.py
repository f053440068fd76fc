"""Kernels of three axes that are an outer product of a line along planes and a matrix of taps in them."""

import numpy as np
import pytest

import fastconv
from fastconv._engines import cost_model
from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._engines.planes.partly_separable import PartlySeparableEngine, supports
from fastconv._model.geometry import BOUNDARIES, FILL
from fastconv._runtime.instrumentation import forced, observed
from tests import oracle
from tests.problems import problem_of, result_of


def kernel_of(rng, taps, dtype):
    """Whole numbers, of no further factors in most cases."""
    dtype = {"c8": "f4", "c16": "f8"}.get(dtype, dtype)
    line, matrix = rng.integers(1, 4, taps[0]), rng.integers(0, 4, taps[1:])
    return np.multiply.outer(line, matrix).astype(dtype)


def computed(problem, x, kernel, workers=None):
    assert supports(problem)
    engine = PartlySeparableEngine(problem)
    prepared, out = engine.prepare(kernel), np.full(problem.out_shape, 77, problem.dtype)
    assert prepared is not None
    assert engine.run(x, prepared, out, workers)
    return out


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "u8", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("mode", ["same", "full"])
def test_whole_numbers_are_exact(dtype, mode):
    rng = np.random.default_rng(4)
    for k in range(2 * len(BOUNDARIES)):
        boundaries = tuple(int(one) for one in rng.integers(0, len(BOUNDARIES), 3))
        if FILL in boundaries:
            continue
        shape = tuple(rng.integers(1, 40, 4).tolist())
        axes = tuple(sorted(rng.permutation(4)[:3].tolist()))
        kernel = kernel_of(rng, rng.integers(2, 6, 3).tolist(), dtype)
        x = oracle.LAYOUTS[sorted(oracle.LAYOUTS)[k % len(oracle.LAYOUTS)]](oracle.whole_numbers(rng, shape, dtype))
        problem = problem_of(x, kernel, mode, axes, boundaries, flip=bool(k % 2))
        wanted = result_of(problem, x, kernel)
        for block in (None, (3, 5)):
            with forced(block=block):
                np.testing.assert_array_equal(computed(problem, x, kernel), wanted)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_blocks_threads_and_layouts_give_the_same_bits(dtype, monkeypatch):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((19, 23, 90)).astype(dtype)
    kernel = np.multiply.outer(rng.standard_normal(5), rng.standard_normal((3, 4))).astype(dtype)
    problem = problem_of(x, kernel, boundary=BOUNDARIES.index("wrap"))
    usual = computed(problem, x, kernel)
    monkeypatch.setattr(cost_model, "PRODUCTS_FOR_THREADS", 0)
    for block in ((1, 1), (4, 7), (100, 100)):
        with forced(block=block, cpus=3):
            for layout in oracle.LAYOUTS.values():
                given = layout(x)
                found = computed(problem._replace(x_dtype=given.dtype), given, kernel)
                assert found.tobytes() == usual.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_errors_are_within_the_bound(dtype):
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((12, 13, 70)) * 2.0 ** rng.integers(-20, 20, (12, 13, 70))).astype(dtype)
    kernel = np.multiply.outer(rng.standard_normal(9), rng.standard_normal((4, 5))).astype(dtype)
    found = computed(problem_of(x, kernel, boundary=BOUNDARIES.index("reflect")), x, kernel)
    bound = (9 + 4 * 5 + 4) * np.finfo(dtype).eps
    for place in [(0, 0, 0), (11, 12, 69), *zip(*(rng.integers(0, extent, 20) for extent in x.shape))]:
        exact, size = oracle.exact_at([int(part) for part in place], x, kernel, "same", "reflect")
        assert abs(float(found[place]) - float(exact)) <= bound * float(size)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_results_that_are_not_finite_are_those_of_the_definition(dtype):
    rng = np.random.default_rng(8)
    x = rng.integers(-3, 4, (9, 10, 80)).astype(dtype)
    for value in (np.inf, -np.inf, np.nan):
        x[tuple(rng.integers(0, extent) for extent in x.shape)] = value
    x[4, 4, 40] = np.finfo(dtype).max
    kernel = np.multiply.outer([1, 2, -1], [[1, 0, 3], [2, 1, -2]]).astype(np.dtype(dtype).type(0).real.dtype)
    problem = problem_of(x, kernel)
    with observed() as events:
        found = computed(problem, x, kernel)
    assert "repair" in [event.name for event in events]
    wanted = np.empty_like(found)
    NumpyEngine(problem)(x, kernel, wanted)
    assert not np.isfinite(wanted).all()
    assert np.isfinite(wanted).any()
    np.testing.assert_array_equal(found, wanted)


def test_sums_in_planes_do_not_overflow():
    x = np.full((5, 6, 70), np.finfo("f4").max / 8, "f4")
    kernel = np.multiply.outer([0.5, 0.25], [[4, 3], [-2, -4.5]]).astype("f4")
    with observed() as events:
        found = computed(problem_of(x, kernel, "valid"), x, kernel)
    assert "planes" not in [event.name for event in events]  # nothing is recomputed
    np.testing.assert_allclose(found, kernel.sum() * x[:4, :5, :69], rtol=1e-5)


def test_kernels_without_factors():
    rng = np.random.default_rng(9)
    x, kernel = np.ones((9, 9, 9)), rng.standard_normal((3, 3, 3))
    assert PartlySeparableEngine(problem_of(x, kernel)).prepare(kernel) is None
    kernel = np.multiply.outer([1.0, 2.0], rng.standard_normal((3, 3)))
    kernel[1, 1, 1] = np.inf
    assert PartlySeparableEngine(problem_of(x, kernel)).prepare(kernel) is None


def test_problems_that_are_not_supported():
    x, kernel = np.ones((4, 5, 6), "f4"), np.ones((2, 2, 2), "f4")
    problem = problem_of(x, kernel)
    assert supports(problem)
    assert not supports(problem_of(x, kernel[:1]))
    assert not supports(problem_of(x, kernel[0], axes=(0, 1)))
    assert not supports(problem_of(x, kernel, boundary=FILL))
    assert not supports(problem._replace(strides=(1, 2, 1)))
    assert not supports(problem._replace(dilations=(1, 1, 3)))
    assert not supports(problem._replace(kernel_dtype=np.dtype("c8")))
    assert not supports(problem_of(x.astype("?"), kernel.astype("?")))


def test_convolutions_and_plans_find_the_factors():
    rng = np.random.default_rng(3)
    x, matrix = rng.standard_normal((40, 50, 60)).astype("f4"), rng.standard_normal((7, 7))
    kernel = np.multiply.outer(np.hanning(9)[1:-1], matrix).astype("f4")
    with observed() as events:
        found = fastconv.convolve(x, kernel, "same", boundary="mirror")
    assert "partly_separable" in [event.name for event in events]
    directly = fastconv.convolve(x, kernel, "same", boundary="mirror", method="direct")
    np.testing.assert_allclose(found, directly, atol=1e-5 * np.abs(directly).max())
    plan = fastconv.plan(kernel, shape=x.shape, mode="same", boundary="mirror")
    assert plan.method == "separable"
    assert f"at most {7 + 49 + 4} eps" in plan.guarantee
    assert plan(x).tobytes() == found.tobytes()
    with pytest.raises(ValueError, match="separable"):
        fastconv.convolve(x, kernel, "same", method="separable")
