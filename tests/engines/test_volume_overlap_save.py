"""Overlap-save along three and more axes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._engines.planes import plane_engine
from fastconv._engines.spectra import volume_overlap_save
from fastconv._engines.spectra.volume_overlap_save import VolumeOverlapSaveEngine, estimate, supports
from fastconv._model.guarantees import LOST_BITS, RAW, RELATIVE
from fastconv._runtime.instrumentation import forced, observed
from tests import oracle
from tests.engines.test_separable_volume import KERNEL_OF, REAL, expected, problem_of


def computed(problem, x, kernel, workers=None):
    assert supports(problem)
    engine, out = VolumeOverlapSaveEngine(problem), np.empty(problem.out_shape, problem.dtype)
    assert engine.run(x, engine.prepare(kernel), out, workers)
    return out


def random_case(rng, dtype=None):
    """A random problem of whole numbers, with its arrays."""
    rank = int(rng.integers(3, 6))
    shape = rng.integers(1, {3: 24, 4: 10, 5: 7}[rank], rank).tolist()
    axes = tuple(rng.permutation(rank)[: rng.integers(3, rank + 1)].tolist())
    dtype = dtype or str(rng.choice([*REAL, "c8", "c16"]))
    taps = rng.integers(1, 8 if len(axes) < 4 else 4, len(axes))
    kernel = oracle.whole_numbers(rng, taps, dtype if rng.integers(2) else KERNEL_OF.get(dtype, dtype))
    boundaries = tuple(rng.choice(oracle.BOUNDARIES, len(axes)).tolist())
    fill_value = 3 if "fill" in boundaries else 0
    mode = str(rng.choice(["same", "full"]))
    x = oracle.whole_numbers(rng, shape, dtype)
    return problem_of(x, kernel, axes, mode, boundaries, bool(rng.integers(2)), fill_value), x, kernel


def random_matrix(rng):
    """A random problem of two axes in any order, other axes a batch, of whole numbers in floats; and its arrays."""
    rank = int(rng.integers(2, 5))
    shape = rng.integers(1, {2: 40, 3: 16, 4: 7}[rank], rank).tolist()
    axes = tuple(rng.permutation(rank)[:2].tolist())
    dtype = str(rng.choice(["f4", "f8"]))
    x = oracle.whole_numbers(rng, shape, str(rng.choice([dtype, "u1", "i2"])))
    kernel = oracle.whole_numbers(rng, rng.integers(1, 30, 2).tolist(), dtype)
    boundaries = tuple(rng.choice(oracle.BOUNDARIES, 2).tolist())
    fill_value = 3 if "fill" in boundaries else 0
    mode, flip = str(rng.choice(["same", "full"])), bool(rng.integers(2))
    return problem_of(x, kernel, axes, mode, boundaries, flip, fill_value), x, kernel


def sum_of_norms(problem, x, kernel):
    """For each result the norm of the kernel times that of the samples under it."""
    squares = expected(problem, np.abs(x.astype("f8")) ** 2, np.ones(kernel.shape))
    return np.sqrt(squares.astype("f8")) * float(np.linalg.norm(kernel.astype("f8")))


@pytest.mark.parametrize("case", [random_case, random_matrix])
@pytest.mark.parametrize("seed", range(100))
def test_whole_numbers(seed, case):
    rng = np.random.default_rng(seed)
    problem, x, kernel = case(rng)
    layout = oracle.LAYOUTS[sorted(oracle.LAYOUTS)[seed % len(oracle.LAYOUTS)]]
    x = layout(x)
    problem = problem._replace(x_dtype=x.dtype)
    wanted = expected(problem, x, kernel)
    for block in (None, tuple(rng.integers(1, 9, 2).tolist())):
        with forced(block=block, cpus=2):
            found = computed(problem, x, kernel)
        if problem.dtype.kind in "iuf":
            np.testing.assert_array_equal(found, wanted)
        else:
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e4 * np.finfo(problem.dtype).eps)


@pytest.mark.parametrize("dtype", ["i8", "u8", "i4"])
def test_integers_wrap_exactly(dtype):
    rng = np.random.default_rng(1)
    limits = np.iinfo(dtype)
    x, kernel = (rng.integers(limits.min, limits.max, shape, dtype) for shape in ((9, 8, 20), (3, 4, 5)))
    problem = problem_of(x, kernel, mode="full", boundaries="zero")
    wanted = np.zeros(problem.out_shape, dtype)
    for place in np.ndindex(kernel.shape):
        window = tuple(slice(first, first + extent) for first, extent in zip(place, x.shape))
        wanted[window] += kernel[place] * x
    np.testing.assert_array_equal(computed(problem, x, kernel), wanted)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["f4", "f8"]), st.integers(0, 60), st.sampled_from([2, 3]))
def test_errors_are_relative_to_the_samples_under_the_kernel(seed, dtype, spread, axes):
    """Samples of any sizes, some regions far smaller than others: also where other rows of a plane are large."""
    rng = np.random.default_rng(seed)
    shape, taps = rng.integers(4, 22, axes).tolist(), rng.integers(2, 6, axes).tolist()
    x, kernel = rng.standard_normal(shape).astype(dtype), rng.standard_normal(taps).astype(dtype)
    half = tuple(slice(int(rng.integers(0, extent))) for extent in shape)
    x[half] *= 2.0 ** -float(spread)
    problem = problem_of(x, kernel, mode="full", boundaries=str(rng.choice(["zero", "reflect", "wrap"])))
    found = computed(problem, x, kernel)
    wanted = expected(problem._replace(dtype=np.dtype("g")), x.astype("g"), kernel.astype("g"))
    limit = 2.0 ** LOST_BITS[x.itemsize] * np.finfo(dtype).eps * sum_of_norms(problem, x, kernel)
    assert np.all(np.abs(found - wanted) <= limit + np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_where_only_zeros_are_under_the_kernel_results_are_zero(dtype):
    rng = np.random.default_rng(2)
    x = np.zeros((20, 24, 40), dtype)
    x[3:6, 20:, 4:9] = rng.standard_normal((3, 4, 5))
    kernel = rng.standard_normal((5, 4, 6)).astype(KERNEL_OF.get(dtype, dtype))
    problem = problem_of(x, kernel, boundaries="zero")
    reached = expected(problem, (x != 0).astype("f8"), np.ones(kernel.shape)) > 0
    found = computed(problem, x, kernel)
    assert not found[~reached].any()
    assert found[reached].any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_smallest_number_is_no_zero(dtype):
    x, kernel = np.zeros((40, 40, 40), dtype), np.full((5, 5, 5), 2.0**20, dtype)
    kernel[0, 0, 0] *= -1
    x[:10, :10, :10] = np.random.default_rng(0).standard_normal((10, 10, 10))
    x[30, 30, 30] = np.nextafter(x.dtype.type(0), x.dtype.type(1))
    problem = problem_of(x, kernel, boundaries="zero")
    found = computed(problem, x, kernel)
    np.testing.assert_array_equal(found[25:, 25:, 25:], expected(problem, x, kernel)[25:, 25:, 25:])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_operands_of_one_sign_have_results_of_one_sign(dtype, signs):
    rng = np.random.default_rng(3)
    x = (signs[0] * rng.random((16, 18, 20)) ** 40).astype(dtype)
    kernel = (signs[1] * rng.random((7, 6, 5)) ** 9).astype(dtype)
    for guarantee in (RELATIVE, None):
        problem = problem_of(x, kernel, boundaries="reflect")
        problem = problem if guarantee is None else problem._replace(guarantee=guarantee)
        found = computed(problem, x, kernel)
        assert np.all(found * signs[0] * signs[1] >= 0)
        if guarantee is not None:
            wanted = expected(problem._replace(dtype=np.dtype("f8")), x.astype("f8"), kernel.astype("f8"))
            limit = 2.0 ** LOST_BITS[x.itemsize] * np.finfo(dtype).eps
            assert np.all(np.abs(found - wanted) <= limit * np.abs(wanted) + np.finfo(dtype).tiny)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("boundary", ["zero", "nearest"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("axes", [2, 3])
def test_samples_that_are_not_finite_stay_under_the_kernel(axes, value, boundary, dtype):
    rng = np.random.default_rng(4)
    x, kernel = rng.standard_normal((14, 15, 40)).astype(dtype), rng.standard_normal((3, 5, 4)).astype(dtype)
    x[7, 3, 20] = x[0, 14, 39] = value
    if axes == 2:
        x, kernel = x[7], kernel[1]
    problem = problem_of(x, kernel, boundaries=boundary)
    wanted = np.empty(problem.out_shape, dtype)
    NumpyEngine(problem)(x, kernel, wanted)
    found = computed(problem, x, kernel)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
    np.testing.assert_array_equal(found[~np.isfinite(found)], wanted[~np.isfinite(wanted)])
    scale = float(np.linalg.norm(x[np.isfinite(x)]) * np.linalg.norm(kernel))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=0, atol=100 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_kernel_that_is_not_finite(value):
    rng = np.random.default_rng(5)
    x, kernel = rng.standard_normal((6, 7, 20)), rng.standard_normal((3, 2, 4))
    kernel[1, 1, 2] = value
    for boundary in ("zero", "wrap"):
        problem = problem_of(x, kernel, boundaries=boundary)
        wanted = np.empty(problem.out_shape)
        NumpyEngine(problem)(x, kernel, wanted)
        np.testing.assert_allclose(computed(problem, x, kernel), wanted, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_very_large_and_very_small_numbers(dtype):
    rng = np.random.default_rng(6)
    x, kernel = rng.standard_normal((6, 7, 20)).astype(dtype), rng.standard_normal((3, 2, 4)).astype(dtype)
    eps, limits = np.finfo(dtype).eps, np.finfo(dtype)
    for scale, other in ((limits.max / 64, 1), (limits.tiny * 16, 1), (1, limits.tiny), (limits.max / 2, 0.25)):
        with np.errstate(over="ignore", under="ignore"):
            a, b = x * np.dtype(dtype).type(scale), kernel * np.dtype(dtype).type(other)
        a[np.isinf(a)] = limits.max
        problem = problem_of(a, b, boundaries="zero")
        wanted = np.empty(problem.out_shape, dtype)
        NumpyEngine(problem)(a, b, wanted)
        sizes = np.empty(problem.out_shape, dtype)
        NumpyEngine(problem)(np.abs(a), np.abs(b), sizes)
        with np.errstate(invalid="ignore"):
            close = np.abs(computed(problem, a, b) - wanted) <= 50 * eps * sizes + 30 * limits.smallest_subnormal
        assert np.all(close | ~np.isfinite(wanted))


def test_without_checks_nothing_is_looked_at():
    rng = np.random.default_rng(7)
    x, kernel = rng.standard_normal((9, 10, 30)), rng.standard_normal((3, 4, 5))
    x[:6] *= 1e-30
    problem = problem_of(x, kernel, mode="full", boundaries="zero")
    for guarantee, looks in ((RAW, False), (problem.guarantee, True)):
        with observed() as events:
            computed(problem._replace(guarantee=guarantee), x, kernel)
        names = [event.name for event in events]
        assert "transform" in names
        assert ("boxes" in names) == looks


def test_float32_with_many_weak_results_is_transformed_in_double():
    rng = np.random.default_rng(8)
    x, kernel = rng.standard_normal((30, 40, 120)).astype("f4"), rng.standard_normal((25, 25, 25)).astype("f4")
    x[..., 40:] *= 2.0**-16
    problem = problem_of(x, kernel, boundaries="zero")
    with observed() as events:
        found = computed(problem, x, kernel)
    assert {event.sums for event in events if event.name == "transform"} == {np.dtype("f8")}
    wanted = computed(problem._replace(sums=np.dtype("f8"), dtype=np.dtype("f8")), x, kernel)
    np.testing.assert_allclose(found, wanted, rtol=2e-7, atol=1e-9)


def test_few_weak_results_are_computed_directly():
    rng = np.random.default_rng(9)
    x, kernel = rng.standard_normal((30, 30, 60)).astype("f4"), rng.standard_normal((9, 9, 9)).astype("f4")
    x[:12, :12, :12] *= 2.0**-40
    problem = problem_of(x, kernel)
    with observed() as events:
        found = computed(problem, x, kernel)
    assert {event.sums for event in events if event.name == "transform"} == {np.dtype("f4")}
    marked = [event.marked.sum() for event in events if event.name in ("vague", "points")]
    assert marked
    assert 0 < sum(marked) < found.size / 20
    corner = expected(problem._replace(dtype=np.dtype("g")), x.astype("g"), kernel.astype("g"))[:3, :3, :3]
    np.testing.assert_allclose(found[:3, :3, :3], corner, rtol=0.02)


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("boundary", ["zero", "reflect", "fill"])
def test_weak_results_one_by_one_and_in_boxes(boundary, dtype, one_by_one, monkeypatch):
    rng = np.random.default_rng(10)
    x, kernel = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 20, 2, 21, 30), (5, 6, 7)))
    x[1, :9, :, 3:13, :14] *= 2.0**-60
    if not one_by_one:
        monkeypatch.setattr(volume_overlap_save, "WORK_OF_POINTS", 0.0)
    for mode, flip in (("same", True), ("full", False)):
        problem = problem_of(x, kernel, (1, 3, 4), mode, boundary, flip, 2.0**-60 if boundary == "fill" else 0)
        with observed() as events:
            found = computed(problem, x, kernel, 2)
        (event,) = [event for event in events if event.name in ("vague", "points")]
        assert event.name == ("points" if one_by_one else "vague")
        exact = problem._replace(dtype=np.dtype("g"))
        wanted = expected(exact, x.astype("g"), kernel.astype("g"))
        size = expected(
            exact._replace(fill_value=abs(exact.fill_value)), np.abs(x).astype("g"), np.abs(kernel).astype("g")
        )
        error = np.abs(found - wanted).transpose(0, 2, 1, 3, 4)[event.marked]  # in the order of a matrix
        assert 0 < error.size < found.size / 10
        assert (error <= 2 * kernel.size * np.finfo(dtype).eps * size.transpose(0, 2, 1, 3, 4)[event.marked]).all()


@pytest.mark.parametrize("shape", [(40, 24, 26, 28), (3, 700, 40, 40), (2000, 3, 9, 9, 9)])
def test_parts_are_small(shape):
    x, kernel = np.broadcast_to(np.float32(1), shape), np.full((5, 6, 7), 0.3, "f4")
    problem = problem_of(x, kernel, tuple(range(len(shape) - 3, len(shape))))
    with observed() as events:
        found = computed(problem, x, kernel)
    np.testing.assert_allclose(found, 63, rtol=1e-5)
    runs = [event for event in events if event.name == "survey"]
    sizes = [array.nbytes for event in runs for array in (event.x, event.cells)]
    assert max(sizes) <= 36 << 20


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(30, 31, 32), (180, 170)])
def test_at_the_ends_of_an_array_few_samples_are_enough(shape, dtype):
    """Mode full: results of few samples keep the rule, unless these are small; such ones are computed one by one."""
    rng = np.random.default_rng(11)
    x, kernel = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    corner = (slice(2),) * x.ndim
    for factor, reached in ((1.0, 8), (1e-9, 16)):
        x[corner] *= factor
        problem = problem_of(x, kernel, mode="full", boundaries="zero")
        with observed() as events:
            found = computed(problem, x, kernel, 2)
        assert not {"boxes", "vague"} & {event.name for event in events}
        marked = [np.argwhere(event.marked) for event in events if event.name == "points"]
        corners = [np.minimum(places, np.subtract(found.shape, 1) - places).max() for places in marked]
        assert max(corners, default=0) <= reached
        if factor < 1:
            for place in np.ndindex(*x[corner].shape):
                under = tuple(slice(0, index + 1) for index in place)
                direct = (np.flip(kernel[under]).astype("g") * x[under].astype("g")).sum()
                np.testing.assert_allclose(found[place], direct, rtol=1e3 * np.finfo(dtype).eps)


def test_estimates_grow_with_the_problem_and_support_is_told():
    x, kernel = np.ones((8, 9, 10), "f4"), np.ones((3, 3, 3), "f4")
    problem = problem_of(x, kernel)
    large = problem_of(np.ones((80, 90, 100), "f4"), kernel)
    assert 0 < estimate(problem) < estimate(large) < math.inf
    assert not supports(problem._replace(strides=(1, 2, 1)))
    assert not supports(problem._replace(dilations=(2, 1, 1)))
    assert not supports(problem._replace(sums=np.dtype("?"), dtype=np.dtype("?")))
    matrix = problem_of(x[0], kernel[0])
    assert supports(matrix)
    assert not supports(problem_of(x[0, 0], kernel[0, 0]))
    for dtype in ("i4", "c8"):
        assert not supports(matrix._replace(sums=np.dtype(dtype), dtype=np.dtype(dtype)))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("taps", "is_whole"), [((300, 280), True), ((280, 300), True), ((21, 21), False)])
def test_matrices_by_large_kernels_are_transformed_whole(taps, is_whole, dtype):
    rng = np.random.default_rng(12)
    x, kernel = rng.standard_normal((290, 310)).astype(dtype), rng.standard_normal(taps).astype(dtype)
    with observed() as events:
        found = fastconv.convolve2d(x, kernel, "full", method="fft")
    assert ("transform" in [event.name for event in events]) == is_whole
    problem = problem_of(x.astype("f8"), kernel.astype("f8"), mode="full", boundaries="zero")
    wanted = np.empty(problem.out_shape)
    plane_engine.compute(problem, x.astype("f8"), kernel.astype("f8"), wanted, None)
    limit = 4 * np.finfo(dtype).eps * np.linalg.norm(x) * np.linalg.norm(kernel)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)
