"""The separable engine for three and more axes, and the factorization of their kernels."""

import functools
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastconv
from fastconv._engines import cost_model
from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._engines.planes.separable_volume import SeparableVolumeEngine, supports
from fastconv._microkernels.blocks import direct_tile
from fastconv._model.geometry import BOUNDARIES, FILL, ZERO, span
from fastconv._model.problem import Finish, Problem
from fastconv._model.separability import Separable, factors
from fastconv._runtime.instrumentation import forced, observed
from fastconv.reference import source_index
from tests import guarded_arrays, oracle
from tests.guard_page_fuzzer import GuardedTables, guarded_scratch

# Smallest width that the float32 microkernels compute.
LEAST = direct_tile.minimum_width(4)
REAL = [dtype for dtype in oracle.DTYPES if dtype not in ("?", "f2", "c8", "c16")]
KERNEL_OF = {"c8": "f4", "c16": "f8"}


def outer(lines):
    return functools.reduce(np.multiply.outer, lines)


def bell(size, sigma):
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    return line / line.sum()


def problem_of(x, kernel, axes=None, mode="same", boundaries="reflect", flip=True, fill_value=0, **changes):
    axes = tuple(range(x.ndim)) if axes is None else axes
    boundaries = (boundaries,) * len(axes) if isinstance(boundaries, str) else boundaries
    spans = [span(mode, x.shape[axis], taps) for axis, taps in zip(axes, kernel.shape)]
    shape = [*x.shape]
    for axis, (length, _) in zip(axes, spans):
        shape[axis] = length
    dtype = np.result_type(x.dtype, kernel.dtype)
    problem = Problem(
        x_dtype=x.dtype,
        kernel_dtype=kernel.dtype,
        sums=dtype,
        dtype=dtype,
        x_shape=x.shape,
        kernel_shape=kernel.shape,
        out_shape=tuple(shape),
        axes=axes,
        starts=tuple(start for _, start in spans),
        flip=flip,
        boundaries=tuple(map(BOUNDARIES.index, boundaries)),
        fill_value=fill_value,
        looks_outside=True,
    )
    return problem._replace(**changes)


def computed(problem, x, kernel, workers=None, out=None):
    assert supports(problem)
    engine = SeparableVolumeEngine(problem)
    prepared = engine.prepare(kernel)
    assert prepared is not None
    out = np.empty(problem.out_shape, problem.dtype) if out is None else out
    assert engine.run(x, prepared, out, workers)
    return out


def expected(problem, x, kernel):
    """The sums by the definition, with a boundary for each axis."""
    kind = np.result_type(x, kernel)
    x = np.asarray(x).astype(np.int64 if kind.kind in "iu" else np.result_type(kind, np.float64))
    zero, filled = np.zeros((1,) * x.ndim, bool), np.zeros((1,) * x.ndim, bool)
    for k, axis in enumerate(problem.axes):
        taps, start, name = problem.kernel_shape[k], problem.starts[k], BOUNDARIES[problem.boundaries[k]]
        places = range(start - taps + 1, start + problem.out_shape[axis])
        sources = [source_index(place, problem.x_shape[axis], name) for place in places]
        x = x.take([source or 0 for source in sources], axis)
        outside = np.expand_dims([source is None for source in sources], [a for a in range(x.ndim) if a != axis])
        zero = zero | (outside & (problem.boundaries[k] == ZERO))
        filled = filled | (outside & (problem.boundaries[k] == FILL))
    x[np.broadcast_to(filled, x.shape)] = problem.fill_value
    x[np.broadcast_to(zero, x.shape)] = 0
    sums = np.zeros(problem.out_shape, x.dtype)
    for place in np.ndindex(kernel.shape):
        window = [slice(None)] * x.ndim
        for k, axis in enumerate(problem.axes):
            first = problem.kernel_shape[k] - 1 - place[k] if problem.flip else place[k]
            window[axis] = slice(first, first + problem.out_shape[axis])
        sums += kernel[place].item() * x[tuple(window)]
    return oracle.rounded(sums, problem.dtype)


def random_case(rng, dtype=None):
    """A random problem of whole numbers, with its arrays."""
    rank = int(rng.integers(3, 6))
    shape = [int(extent) for extent in rng.integers(1, {3: 24, 4: 10, 5: 7}[rank], rank)]
    if rng.random() < 0.4:
        shape[-1] = int(rng.integers(LEAST, 3 * LEAST))
    axes = tuple(rng.permutation(rank)[: rng.integers(3, rank + 1)].tolist())
    dtype = dtype or str(rng.choice(REAL + ["c8", "c16"]))
    low = 0 if dtype[0] == "u" else -2
    lines = [rng.integers(low, 3, rng.integers(1, 8 if len(axes) < 4 else 4)) for _ in axes]
    kernel = outer(lines).astype(KERNEL_OF.get(dtype, dtype))
    boundaries = tuple(rng.choice(oracle.BOUNDARIES, len(axes)).tolist())
    if len(axes) > 3:
        boundaries = tuple("mirror" if name == "fill" else name for name in boundaries)
    mode = str(rng.choice(["same", "full"]))
    fill_value = 3 if "fill" in boundaries else 0
    x = oracle.whole_numbers(rng, shape, dtype)
    return problem_of(x, kernel, axes, mode, boundaries, bool(rng.integers(2)), fill_value), x, kernel


@pytest.mark.parametrize(("dtype", "least", "gain"), [("f4", 1e-36, 1e12), ("f8", 1e-300, 1e40)])
def test_sums_over_planes_do_not_underflow_before_a_kernel_enlarges_them(dtype, least, gain):
    kernel, x = (outer([bell(11, 1.2)] * 3) * gain).astype(dtype), np.zeros((20, 23, 26), dtype)
    x[10, 12, 13] = least
    result = fastconv.convolve(x, kernel, "same", method="separable")
    np.testing.assert_allclose(result[5:16, 7:18, 8:19], kernel * x.max(), rtol=12 * np.finfo(dtype).eps)


# ------------------------------------------------------------------------------------------------------- factors


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 9, 2), (2, 3, 2, 3), (7, 1, 1)])
def test_outer_products_of_three_and_more_lines_are_factored(dtype, shape):
    rng, dtype = np.random.default_rng(sum(shape)), np.dtype(dtype)
    for _ in range(50):
        lines = [rng.standard_normal(extent).astype(dtype) for extent in shape]
        kernel = outer(lines)
        passes = [*range(2, len(shape)), 0, 1]
        found = factors(kernel, dtype, passes=passes)
        assert [line.shape for line in found] == [(extent,) for extent in shape]
        assert all(line.dtype == dtype for line in found)
        sums = [np.abs(found[k]).sum() for k in passes]
        assert sums[0] <= max(0.5, np.abs(kernel).sum())
        assert max(sums[1:-1]) <= 0.5
        assert sums[-1] <= 2 ** (2 * len(shape) - 1)
        error = np.abs(outer([line.astype(np.longdouble) for line in found]) - kernel)
        assert np.all(error <= 4 * np.finfo(dtype).eps * np.abs(kernel))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_kernel_of_three_axes_with_one_changed_tap_has_no_factors(dtype):
    kernel = outer([bell(3, 1), bell(4, 1.5), bell(3, 2)]).astype(dtype)
    assert factors(kernel, np.dtype(dtype)) is not None
    for place in np.ndindex(kernel.shape):
        changed = kernel.copy()
        changed[place] += 32 * np.spacing(changed[place])
        assert factors(changed, np.dtype(dtype)) is None
    changed = np.rint(kernel * 100).astype(int)
    assert factors(changed, np.dtype("i8")) is None


@given(st.integers(0, 2**32))
@example(0)
def test_integers_of_three_axes_are_factored_exactly(seed):
    rng = np.random.default_rng(seed)
    lines = [rng.integers(-9, 10, rng.integers(1, 5)) for _ in range(3)]
    kernel = outer(lines)
    for dtype in ("i8", "f4"):
        found = factors(kernel.astype(dtype), np.dtype(dtype))
        np.testing.assert_array_equal(outer([line.astype("i8") for line in found]), kernel)


def test_factors_are_symmetric_and_add_up_to_powers_of_two():
    x = np.ones((9, 9, 100), "f4")
    for sigma in (0.7, 1, 2.3):
        kernel = outer([bell(9, sigma)] * 3).astype("f4")
        kernel /= kernel.sum()
        engine = SeparableVolumeEngine(problem_of(x, kernel))
        weights = engine.prepare(kernel).weights[0].reshape(3, 9)
        np.testing.assert_array_equal(weights, weights[:, ::-1])


# -------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("seed", range(120))
def test_whole_numbers_are_exact(seed):
    rng = np.random.default_rng(seed)
    problem, x, kernel = random_case(rng)
    layout = oracle.LAYOUTS[sorted(oracle.LAYOUTS)[seed % len(oracle.LAYOUTS)]]
    x = layout(x)
    problem = problem._replace(x_dtype=x.dtype)
    found = [computed(problem, x, kernel)]
    block = tuple(rng.integers(1, 40, 2).tolist())
    with pytest.MonkeyPatch.context() as patch, forced(block=block, cpus=2):
        patch.setattr(cost_model, "PRODUCTS_FOR_THREADS", 0)
        found.append(computed(problem, x, kernel))
    for result in found:
        np.testing.assert_array_equal(result, expected(problem, x, kernel))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("taps", [(1, 1, 1), (2, 3, 4), (9, 9, 9), (17, 5, 33), (40, 1, 3)])
@pytest.mark.parametrize("width", [LEAST - 1, LEAST, 3 * LEAST + 1])
def test_blocks_and_threads_give_the_same_bits(dtype, taps, width):
    rng = np.random.default_rng(width)
    x = rng.standard_normal((19, 23, width)).astype(dtype)
    kernel = outer([rng.standard_normal(count) for count in taps]).astype(dtype)
    problem = problem_of(x, kernel, boundaries="mirror")
    usual = computed(problem, x, kernel)
    for block in ((3, LEAST + 7), (16, 1 << 20)):
        with pytest.MonkeyPatch.context() as patch, forced(block=block, cpus=3):
            patch.setattr(cost_model, "PRODUCTS_FOR_THREADS", 0)
            np.testing.assert_array_equal(computed(problem, x, kernel).view("i4"), usual.view("i4"))
    turned = computed(problem._replace(x_dtype=x.dtype.newbyteorder()), x.astype(x.dtype.newbyteorder()), kernel)
    np.testing.assert_array_equal(turned.view("i4"), usual.view("i4"))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("boundary", ["reflect", "zero", "wrap", "fill", "nearest"])
def test_errors_are_within_the_bound(dtype, boundary):
    rng = np.random.default_rng(5)
    x = (rng.standard_normal((12, 13, 70)) * 2.0 ** rng.integers(-20, 20, (12, 13, 70))).astype(dtype)
    kernel = outer([rng.standard_normal(count) for count in (9, 5, 17)]).astype(dtype)
    problem = problem_of(x, kernel, boundaries=boundary, fill_value=0)
    found, name = computed(problem, x, kernel), "zero" if boundary == "fill" else boundary
    bound = oracle.bound_of_separable(x, kernel)
    for place in [(0, 0, 0), (11, 12, 69), *zip(*(rng.integers(0, extent, 20) for extent in x.shape))]:
        exact, size = oracle.exact_at([int(part) for part in place], x, kernel, "same", name)
        assert abs(float(found[place]) - float(exact)) <= bound * float(size)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("value", [1, 0.25, -(2.0**40)])
def test_a_constant_power_of_two_stays_itself(dtype, value):
    for shape, taps in (((20, 20, 100), (9, 9, 9)), ((7, 30, 40), (5, 17, 33)), ((5, 5, 5, 70), (5, 3, 7, 9))):
        x = np.full(shape, value, dtype)
        lines = [bell(count, count / 8) for count in taps]
        for kernel in (outer(lines).astype(dtype), Separable(tuple(lines), np.dtype(dtype))):
            problem = problem_of(x, np.empty(taps, dtype))
            np.testing.assert_array_equal(computed(problem, x, kernel), x)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_mirrored_input_gives_the_mirrored_result(dtype):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((11, 12, 90)).astype(dtype)
    kernel = outer([bell(9, 1.2), bell(7, 1), bell(19, 3)]).astype(dtype)
    problem = problem_of(x, kernel)
    found = computed(problem, x, kernel)
    for axis in range(3):
        mirrored = computed(problem, np.flip(x, axis), kernel)
        np.testing.assert_array_equal(np.flip(mirrored, axis), found)


@pytest.mark.parametrize("boundary", ["reflect", "zero", "fill"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_results_that_are_not_finite_are_those_of_the_definition(boundary, dtype):
    rng = np.random.default_rng(8)
    x = rng.integers(-3, 4, (9, 10, 80)).astype(dtype)
    for value in (np.inf, -np.inf, np.nan):
        x[tuple(rng.integers(0, extent) for extent in x.shape)] = value
    x[4, 4, 40] = np.finfo(dtype).max
    kernel = outer([[1, 2, -1], [1, 0, 3], [2, 1, 1, -2]]).astype(KERNEL_OF.get(dtype, dtype))
    problem = problem_of(x, kernel, boundaries=boundary, fill_value=np.inf if boundary == "fill" else 0)
    with observed() as events:
        found = computed(problem, x, kernel)
    assert "repair" in [event.name for event in events]
    wanted = np.empty_like(found)
    NumpyEngine(problem)(x, kernel, wanted)
    assert not np.isfinite(wanted).all()
    assert np.isfinite(wanted).any()
    np.testing.assert_array_equal(found, wanted)


def test_given_positive_factors_need_no_repair():
    x = np.random.default_rng(0).random((12, 13, 70))
    x[5, 6, 30], x[2, 2, 2] = np.nan, np.inf
    kernel = Separable(tuple(bell(count, 1) for count in (3, 5, 7)), np.dtype("f8"))
    problem = problem_of(x, np.empty(kernel.shape))
    with observed() as events:
        found = computed(problem, x, kernel)
    assert "repair" not in [event.name for event in events]
    wanted = np.empty_like(found)
    NumpyEngine(problem)(x, kernel.taps(x.dtype), wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_sums_along_some_axes_do_not_overflow():
    x = np.full((5, 6, 70), np.finfo("f4").max / 8, "f4")
    kernel = outer([[1.5, 2.5], [0.25, 0.5, 0.125], [3.5, 0.5]]).astype("f4") / 16
    with observed() as events:
        found = computed(problem_of(x, kernel), x, kernel)
    assert "repair" not in [event.name for event in events]
    np.testing.assert_allclose(found, kernel.sum() * x, rtol=1e-6)


@pytest.mark.parametrize("scale", [1, 16])
def test_pixels_are_rounded_and_saturated(scale):
    rng = np.random.default_rng(scale)
    x = rng.integers(0, 256, (7, 9, 80, 3), np.uint8)
    lines = ([1, 2, 1], [1, 3], [2, 1, 1])
    kernel = outer(lines).astype("f4") / 64
    finish = Finish(0.0, 1.0, scale / 4, 2.5)
    problem = problem_of(x, kernel, (0, 1, 2), boundaries="nearest", sums=np.dtype("f4"), dtype=x.dtype, finish=finish)
    sums = expected(problem._replace(dtype=np.dtype("f8")), x, kernel)
    np.testing.assert_array_equal(computed(problem, x, kernel), oracle.pixels(sums, x.dtype, scale / 4, 2.5))


def test_sums_may_be_more_precise_than_the_result():
    x = np.random.default_rng(1).standard_normal((9, 9, 70)).astype("f4")
    kernel = outer([bell(5, 1)] * 3)
    problem = problem_of(x, kernel, sums=np.dtype("f8"), dtype=np.dtype("f4"))
    wanted = computed(problem_of(x.astype("f8"), kernel), x.astype("f8"), kernel)
    np.testing.assert_array_equal(computed(problem, x, kernel), wanted.astype("f4"))


def test_axes_of_one_tap_are_left_out():
    x = np.random.default_rng(2).standard_normal((6, 7, 80))
    kernel = outer([[3.0], bell(5, 1), bell(3, 1)])
    with observed() as events:
        found = computed(problem_of(x, kernel), x, kernel)
    assert [event.name for event in events if event.name in ("separable", "volume")][-1] == "separable"
    np.testing.assert_allclose(found, expected(problem_of(x, kernel), x, kernel), rtol=1e-12, atol=1e-12)


def test_unsupported_problems():
    x, kernel = np.ones((4, 4, 4), "f4"), np.ones((2, 2, 2), "f4")
    problem = problem_of(x, kernel)
    assert supports(problem)
    assert supports(problem._replace(strides=(1, 1, 1), dilations=(1, 1, 1)))
    assert not supports(problem._replace(strides=(1, 2, 1)))
    assert not supports(problem._replace(dilations=(1, 1, 3)))
    assert not supports(problem._replace(kernel_dtype=np.dtype("c8")))
    assert not supports(problem._replace(sums=np.dtype("O")))
    four = problem_of(np.ones((4, 4, 4, 4), "f4"), np.ones((2, 2, 2, 2), "f4"), boundaries="fill")
    assert not supports(four)


# ---------------------------------------------------------------------------------------------------------- memory


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect")
def test_no_access_outside_of_the_arrays():
    region, target, chosen = guarded_arrays.Region(1 << 25), guarded_arrays.Region(1 << 25), random.Random(4)
    for seed in range(150):
        rng = np.random.default_rng(1000 + seed)
        problem, x, kernel = random_case(rng)
        block = tuple(rng.integers(1, 40, 2).tolist()) if seed % 2 else None
        kinds = ("contiguous", "permuted", "stepped", "reversed", "padded", "odd", "any")
        strides = [
            guarded_arrays.strides_of(chosen, shape, item, chosen.choice(kinds))
            for shape, item in ((x.shape, x.itemsize), (problem.out_shape, problem.dtype.itemsize))
        ]
        source, _ = region.filled(x, strides[0], seed % 4 < 2)
        out = target.empty(problem.out_shape, problem.dtype, strides[1], seed % 2 == 0)
        with forced(block=block, scratch=guarded_scratch, tables=GuardedTables(), cpus=2):
            computed(problem, source, kernel, out=out)
        np.testing.assert_array_equal(out, expected(problem, x, kernel))
        assert target.untouched(out)


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c16"])
@pytest.mark.parametrize("shape", [(40, 40, 4096), (4096, 40, 40), (40, 4096, 40)])
def test_scratch_memory_is_bounded(dtype, shape):
    x, sums = np.broadcast_to(np.zeros(1, dtype), shape), np.result_type(dtype, "f4")
    kernel = Separable((np.ones(65),) * 3, np.dtype("f4"))
    problem = problem_of(x, np.broadcast_to(np.float32(1), kernel.shape), sums=sums, dtype=sums)
    with observed() as events, forced(cpus=2):
        computed(problem, x, kernel)
    buffers = [event.buffer for event in events if event.name == "scratch"]
    assert buffers
    assert all(buffer.nbytes < 8 << 20 for buffer in buffers)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_random_floats_agree_with_the_definition(seed):
    rng = np.random.default_rng(seed)
    problem, x, kernel = random_case(rng, str(rng.choice(["f4", "f8"])))
    x = (x + rng.standard_normal(x.shape)).astype(x.dtype)
    wanted = expected(problem, x.astype("f8"), kernel.astype("f8"))
    sizes = expected(problem, np.abs(x).astype("f8"), np.abs(kernel).astype("f8"))
    bound = oracle.bound_of_separable(x, kernel) * sizes
    assert np.all(
        np.abs(computed(problem, x, kernel) - wanted.astype("f8")) <= bound + np.finfo(x.dtype).eps * np.abs(wanted)
    )


def test_integers_whose_factors_would_not_fit_are_no_outer_product():
    kernel = np.random.default_rng(0).integers(1, 1 << 20, (3,) * 5).astype("i4")
    x = np.ones((4,) * 5, "f4")
    result = fastconv.convolve(x, kernel, "valid")
    np.testing.assert_allclose(result, float(kernel.sum()), rtol=1e-5)
