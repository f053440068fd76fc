"""Overlap-save: results within the documented error, and the non-finite results of the direct engine."""

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv._engines import cost_model
from fastconv._engines.spectra import fft_tables, overlap_save_tiling
from fastconv._runtime.instrumentation import forced, observed
from tests.oracle import BOUNDARIES, DTYPES, LAYOUTS, MODES, bound_of_fft, check, expected, whole_numbers
from tests.sizes import enlarged, least_tile

FLOATS = ("f4", "f8", "c8", "c16")


@pytest.fixture(autouse=True)
def no_rounding():
    """Whole numbers, of which results are known exactly, are transformed as other numbers are."""
    with forced(rounding=False):
        yield


def tolerance(x, kernel, fill_value=0):
    """Error for data without outliers, far below the bound."""
    eps = np.finfo(np.result_type(x, kernel)).eps
    largest = max(np.abs(x.astype("c16")).max(), abs(fill_value))
    return 16 * eps * largest * np.linalg.norm(kernel.astype("c16"))


def same(x, kernel, mode="full", boundary="zero", fill_value=0, **options):
    """Compare the engine with the oracle."""
    function = fastconv.convolve1d if kernel.ndim == 1 else fastconv.convolve2d
    expect = expected(x, kernel, mode, boundary, fill_value)
    options.update(boundary=boundary, fill_value=fill_value, method="fft")
    return check(function, x, kernel, mode, expect=expect, tolerance=tolerance(x, kernel, fill_value), **options)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.usefixtures("small_tiles")
def test_small_arrays_have_several_small_tiles(dtype):
    for shape, taps in [((70, 61), (7, 10)), ((3000,), (9,)), ((61, 75), (9, 8)), ((60, 70), (9, 8))]:
        shape = enlarged(shape, dtype)
        with observed() as events:
            fastconv.convolve(np.zeros(shape, dtype), np.ones(taps, dtype), "same", method="fft")
        (event,) = (event for event in events if event.name == "fft")
        assert {event.tile.rows, event.tile.columns} <= {least_tile(dtype) * k for k in (1, 2, 3)}
        assert all(step < shape[axis] for axis, step in event.steps.items())
        assert any(shape[axis] % step for axis, step in event.steps.items())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("small_tiles")
def test_modes_boundaries_and_types(mode, boundary, dtype):
    rng = np.random.default_rng(1)
    fill = 3 if boundary == "fill" else 0
    for shape, taps in [((70, 61), (7, 10)), ((5, 90), (11, 13)), ((3000,), (9,)), ((7,), (30,)), ((1, 40), (1, 5))]:
        if mode == "valid" and len({a < b for a, b in zip(shape, taps)}) > 1:
            continue
        if min(shape) > max(taps):
            shape = enlarged(shape, dtype)
        same(whole_numbers(rng, shape, dtype), whole_numbers(rng, taps, dtype), mode, boundary, fill)


@pytest.mark.parametrize("taps", [(31, 31), (1, 101), (101, 1), (7, 150), (150, 7), (140, 160), (1, 1), (2, 64)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_kernels_of_any_aspect(taps, dtype):
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal((130, 140)).astype(dtype), rng.standard_normal(taps).astype(dtype)
    for mode, boundary in [("full", "zero"), ("same", "mirror")]:
        wide = np.result_type(dtype, "f8")
        expect = fastconv.convolve2d(x.astype(wide), kernel.astype(wide), mode, boundary=boundary, method="direct")
        found = fastconv.convolve2d(x, kernel, mode, boundary=boundary, method="fft")
        error = 4 * np.finfo("f8").eps * math.sqrt(kernel.size) * np.abs(x).max() * np.abs(kernel).sum()
        assert np.abs(found - expect).max() <= tolerance(x, kernel) + error


TYPES = [(x_dtype, kernel_dtype) for x_dtype in DTYPES for kernel_dtype in ("i2", "f4", "f8", "c8")]
TYPES = [types for types in TYPES if np.result_type(*types).kind in "fc"]


@pytest.mark.parametrize(("x_dtype", "kernel_dtype"), TYPES)
@pytest.mark.usefixtures("small_tiles")
def test_inputs_of_every_type(x_dtype, kernel_dtype):
    rng = np.random.default_rng(3)
    for shape, taps in [((40, 50), (6, 5)), ((3000,), (8,))]:
        shape = enlarged(shape, np.result_type(x_dtype, kernel_dtype))
        x, kernel = whole_numbers(rng, shape, x_dtype), whole_numbers(rng, taps, kernel_dtype)
        if np.result_type(x, kernel) == np.float16:
            np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expected(x, kernel))
        else:
            same(x, kernel)
            same(x, kernel, "same", "reflect", workers=1)


@pytest.mark.parametrize("dtype", ["g", "G", "O"])
def test_long_double_and_objects_are_refused(dtype):
    with pytest.raises(ValueError, match="method='fft' does not support results of dtype "):
        fastconv.convolve(np.ones(9, dtype), np.ones(3, dtype), method="fft")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "c16", "i2"])
@pytest.mark.usefixtures("small_tiles")
def test_layouts(layout, dtype):
    rng = np.random.default_rng(4)
    for shape, taps in [((60, 70), (9, 8)), ((3000,), (10,))]:
        shape = enlarged(shape, np.result_type(dtype, "f4"))
        x, kernel = whole_numbers(rng, shape, dtype), whole_numbers(rng, taps, "f4")
        plain = same(x, kernel, "same", "wrap")
        turned = same(LAYOUTS[layout](x), LAYOUTS[layout](kernel), "same", "wrap")
        if not LAYOUTS[layout](x).dtype.byteorder == ">":
            np.testing.assert_array_equal(turned, plain)


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "crop", "unaligned"])
@pytest.mark.usefixtures("small_tiles")
def test_layout_of_out_does_not_affect_the_result(layout):
    rng = np.random.default_rng(5)
    for dtype in FLOATS:
        shape = enlarged((61, 75), dtype)
        x, kernel = rng.standard_normal(shape).astype(dtype), rng.standard_normal((9, 8)).astype(dtype)
        plain = fastconv.convolve2d(x, kernel, "same", method="fft")
        out = LAYOUTS[layout](np.zeros(shape, dtype))
        assert fastconv.convolve2d(x, kernel, "same", method="fft", out=out) is out
        np.testing.assert_array_equal(out, plain)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
@pytest.mark.usefixtures("small_tiles")
def test_pairs_of_axes(axes, dtype):
    rng = np.random.default_rng(6)
    x, kernel = whole_numbers(rng, enlarged((30, 41, 25), dtype), dtype), whole_numbers(rng, (6, 9), dtype)
    for mode in ("full", "same"):
        direct = fastconv.convolve2d(x, kernel, mode, axes=axes, boundary="nearest", method="direct")
        found = fastconv.convolve2d(x, kernel, mode, axes=axes, boundary="nearest", method="fft")
        assert np.abs(found - direct).max() <= tolerance(x, kernel)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.usefixtures("small_tiles")
def test_single_axes(axis, dtype):
    rng = np.random.default_rng(7)
    x, kernel = whole_numbers(rng, enlarged((60, 3, 70), dtype), dtype), whole_numbers(rng, (11,), dtype)
    for mode in ("full", "same"):
        direct = fastconv.convolve1d(x, kernel, mode, axis=axis, boundary="reflect", method="direct")
        found = fastconv.convolve1d(x, kernel, mode, axis=axis, boundary="reflect", method="fft")
        assert np.abs(found - direct).max() <= tolerance(x, kernel)


@pytest.mark.parametrize("shape", [(3, 200, 210), (200, 210, 3), (2, 2, 90, 80), (90, 80, 4)])
def test_batches_equal_single_images(shape):
    rng = np.random.default_rng(8)
    x, kernel = rng.standard_normal(shape).astype("f4"), rng.standard_normal((21, 17)).astype("f4")
    last = shape[-1] < 5
    axes = (-3, -2) if last else (-2, -1)
    found = fastconv.convolve2d(x, kernel, "same", axes=axes, method="fft")
    pick = np.moveaxis(x, -1, 0) if last else x.reshape(-1, *shape[-2:])
    other = np.moveaxis(found, -1, 0) if last else found.reshape(-1, *shape[-2:])
    for image, result in zip(pick, other):
        single = fastconv.convolve2d(image, kernel, "same", method="fft")
        assert np.abs(result - single).max() <= tolerance(x, kernel)


def test_lines_of_a_batch_are_independent():
    rng = np.random.default_rng(9)
    x, kernel = rng.standard_normal((40, 700)).astype("f4"), rng.standard_normal(101).astype("f4")
    loud = x.copy()
    loud[3] *= 1e12
    quiet = np.arange(40) != 3
    for axis, turn in ((1, lambda a: a), (0, np.transpose)):
        one = turn(fastconv.convolve1d(turn(x), kernel, "same", axis=axis, method="fft"))
        two = turn(fastconv.convolve1d(turn(loud), kernel, "same", axis=axis, method="fft"))
        np.testing.assert_array_equal(one[quiet], two[quiet])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1500, 700), (300_000,), (40, 9000)])
def test_results_do_not_depend_on_the_number_of_workers(shape, dtype):
    rng = np.random.default_rng(10)
    x = rng.standard_normal(shape).astype(dtype)
    kernel = rng.standard_normal((33,) * len(shape)).astype(dtype)
    function = fastconv.convolve1d if len(shape) == 1 else fastconv.convolve2d
    one = function(x, kernel, "same", boundary="wrap", method="fft", workers=1)
    for workers in (2, 3, None):
        other = function(x, kernel, "same", boundary="wrap", method="fft", workers=workers)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_that_share_a_plane(dtype, monkeypatch):
    monkeypatch.setattr(cost_model, "LARGE_PLANE", 0)
    monkeypatch.setattr(cost_model, "WORK_FOR_THREADS", 0)
    rng = np.random.default_rng(18)
    for shape, taps, options in [
        ((130, 140), (40, 30), {}),
        ((5000,), (700,), {}),
        ((30, 400), (90,), {"axis": 1}),
        ((400, 30), (90,), {"axis": 0}),
        ((2, 70, 80), (20, 30), {}),
    ]:
        x, kernel = whole_numbers(rng, shape, dtype), whole_numbers(rng, taps, dtype)
        function = fastconv.convolve1d if kernel.ndim == 1 else fastconv.convolve2d
        direct = function(x, kernel, boundary="mirror", method="direct", **options)
        with forced(cpus=2), observed() as events:
            one = function(x, kernel, boundary="mirror", method="fft", workers=1, **options)
            assert np.abs(one - direct).max() <= tolerance(x, kernel)
            for _ in range(3):
                two = function(x, kernel, boundary="mirror", method="fft", workers=2, **options)
                np.testing.assert_array_equal(one, two)
        assert all(event.shared for event in events if event.name == "fft")
        assert any(event.name == "share" for event in events)


def test_a_long_signal_by_a_long_kernel():
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(19)
    for shape, taps in [((300_000,), (200_000,)), ((900, 700), (600, 800)), ((3000, 4), (20_000, 3))]:
        x, kernel = rng.standard_normal(shape).astype("f4"), rng.standard_normal(taps).astype("f4")
        exact = signal.fftconvolve(x.astype("f8"), kernel.astype("f8"))
        assert np.abs(fastconv.convolve(x, kernel, method="fft") - exact).max() <= tolerance(x, kernel)


def test_direct_engine_computes_kernels_larger_than_any_tile(monkeypatch):
    monkeypatch.setattr(overlap_save_tiling, "MOST_POINTS", 1 << 10)
    x, kernel = np.ones((50, 60)), np.ones((40, 40))
    with forced():
        plan = fastconv.plan(kernel, x.shape, method="fft")
        assert plan.method == "direct"
        assert "too large" in repr(plan)
        assert np.allclose(plan(x), fastconv.convolve2d(x, kernel, method="direct"))


@pytest.mark.parametrize("correlate", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_correlation(correlate, dtype):
    rng = np.random.default_rng(11)
    for shape, taps in [((50, 60), (8, 5)), ((9, 7), (20, 30)), ((100,), (17,))]:
        x, kernel = whole_numbers(rng, shape, dtype), whole_numbers(rng, taps, dtype)
        function = fastconv.correlate if correlate else fastconv.convolve
        found = function(x, kernel, "same", method="fft")
        assert np.abs(found - function(x, kernel, "same", method="direct")).max() <= tolerance(x, kernel)


# ------------------------------------------------------------------------------------------ infinities and errors


def assert_alike(found, direct, bound):
    """Check that non-finite results are equal and others within the bound."""
    finite = np.isfinite(direct)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    np.testing.assert_array_equal(found[~finite], direct[~finite])
    assert np.all(np.abs(found[finite] - direct[finite]) <= bound)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.usefixtures("small_tiles")
def test_non_finite_samples_affect_only_their_footprint(value, dtype):
    rng = np.random.default_rng(12)
    cases = [
        ((70, 80), (5, 6), {}),
        ((3000,), (9,), {}),
        ((20, 300), (7,), {"axis": 1}),
        ((300, 20), (7,), {"axis": 0}),
    ]
    cases += [((3, 60, 50), (6, 5), {}), ((60, 50, 3), (6, 5), {"axes": (0, 1)})]
    for shape, taps, options in cases:
        shape = enlarged(shape, dtype)
        x, kernel = rng.standard_normal(shape).astype(dtype), rng.standard_normal(taps).astype(dtype)
        bound = tolerance(x, kernel)
        x[tuple(n // 3 for n in shape)] = value
        x[tuple(0 for n in shape)] = value
        function = fastconv.convolve1d if kernel.ndim == 1 else fastconv.convolve2d
        for boundary in ("zero", "wrap", "mirror"):
            found = function(x, kernel, "same", boundary=boundary, method="fft", **options)
            direct = function(x, kernel, "same", boundary=boundary, method="direct", **options)
            assert_alike(found, direct, bound)


def test_many_non_finite_samples():
    rng = np.random.default_rng(13)
    x, kernel = rng.standard_normal((400, 500)).astype("f4"), rng.standard_normal((9, 9)).astype("f4")
    bound = tolerance(x, kernel)
    x[rng.random(x.shape) < 0.001] = np.nan
    found = fastconv.convolve2d(x, kernel, method="fft")
    assert_alike(found, fastconv.convolve2d(x, kernel, method="direct"), bound)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_kernels(value):
    x, kernel = np.arange(600.0), np.ones(7)
    kernel[2] = value
    for mode, boundary in [("full", "zero"), ("valid", "zero"), ("same", "reflect")]:
        found = fastconv.convolve1d(x, kernel, mode, boundary=boundary, method="fft")
        expect = fastconv.convolve1d(x, kernel, mode, boundary=boundary, method="direct")
        np.testing.assert_array_equal(found, expect)


def test_non_finite_fill_values():
    rng = np.random.default_rng(14)
    x, kernel = rng.standard_normal((90, 80)), rng.standard_normal((7, 7))
    for fill in (np.nan, np.inf):
        options = {"mode": "same", "boundary": "fill", "fill_value": fill}
        found = fastconv.convolve2d(x, kernel, method="fft", **options)
        assert_alike(found, fastconv.convolve2d(x, kernel, method="direct", **options), tolerance(x, kernel))


def test_overflow_in_a_transform_does_not_affect_results():
    x, kernel = np.full((100, 120), 1e38, "f4"), np.full((5, 5), 0.01, "f4")
    x[::2] *= -1
    found = fastconv.convolve2d(x, kernel, "valid", method="fft")
    np.testing.assert_array_equal(found, fastconv.convolve2d(x, kernel, "valid", method="direct"))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_errors_are_within_the_documented_bound(dtype):
    rng = np.random.default_rng(15)
    for spread in (0, 4, 15):
        for shape, taps in [((90, 100), (21, 19)), ((5000,), (301,)), ((40_000,), (9001,))]:
            x = rng.standard_normal(shape) * 10.0 ** rng.uniform(-spread, spread, shape)
            kernel = rng.standard_normal(taps) * 10.0 ** rng.uniform(-spread / 2, spread / 2, taps)
            x, kernel = x.astype(dtype), kernel.astype(dtype)
            found = fastconv.convolve(x, kernel, "valid", method="fft")
            bound = bound_of_fft(x, kernel, points=2 * x.size)
            flipped = np.flip(kernel).ravel()
            for _ in range(5):
                at = tuple(int(rng.integers(n)) for n in found.shape)
                patch = x[tuple(slice(k, k + n) for k, n in zip(at, taps))].ravel()
                exact = math.fsum((patch.real.astype("f8") * flipped.real.astype("f8")).tolist())
                assert abs(found[at].real - exact) <= bound


@pytest.mark.parametrize("dtype", FLOATS)
def test_error_for_random_data_is_about_that_of_scipy(dtype):
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(16)
    for shape, taps in [((250, 260), (31, 33)), ((60_000,), (1001,))]:
        x, kernel = rng.standard_normal(shape), rng.standard_normal(taps)
        wide = np.clongdouble if np.dtype(dtype).kind == "c" else np.longdouble
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        exact = signal.fftconvolve(x.astype(wide), kernel.astype(wide), "same")
        error = np.abs(fastconv.convolve(x, kernel, "same", method="fft") - exact)
        assert np.sqrt(np.mean(error**2)) <= 3 * np.finfo(dtype).eps * np.linalg.norm(kernel.ravel())


# ------------------------------------------------------------------------------------------------------- threads


def test_many_threads_may_share_a_spectrum():
    rng = np.random.default_rng(17)
    frames, kernel = rng.standard_normal((6, 300, 280)).astype("f4"), rng.standard_normal((25, 25)).astype("f4")
    plans = [fastconv.plan(kernel, (300, 280), mode="same", method="fft", workers=workers) for workers in (1, 2)]
    expect = [fastconv.convolve2d(frame, kernel, "same", method="fft") for frame in frames]
    kernel[:] = 0  # the spectrum is a copy
    wrong = []

    def work(number):
        for turn in range(6):
            k = (number + turn) % len(frames)
            if not np.array_equal(plans[turn % 2](frames[k]), expect[k]):
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ------------------------------------------------------------------------------------------------------ the parts


@pytest.mark.parametrize("size", [16, 32, 48, 80, 96, 144, 240, 256, 480, 960, 2048])
def test_passes_and_order(size):
    assert math.prod(fft_tables.radices(size)) == size
    assert fft_tables.radices(size)[-1] == 4
    assert sorted(fft_tables.frequencies(size)) == list(range(size))


@pytest.mark.parametrize("size", [16, 48, 80, 240, 4096])
def test_roots_of_unity_are_accurate(size):
    turns = np.arange(size).astype(np.longdouble)
    angle = 8 * np.arctan(np.longdouble(1)) * turns / size
    roots = fft_tables.roots(size)
    assert np.abs(roots.real - np.cos(angle)).max() <= 1.6e-16
    assert np.abs(roots.imag + np.sin(angle)).max() <= 1.6e-16


dimensions = st.sampled_from([1, 2])


@settings(deadline=None, max_examples=60)
@given(dimensions, st.data())
def test_random_sizes(ndim, data):
    shape = tuple(data.draw(st.integers(1, 300 if ndim == 1 else 40)) for _ in range(ndim))
    taps = tuple(data.draw(st.integers(1, 120 if ndim == 1 else 20)) for _ in range(ndim))
    mode, boundary = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from(BOUNDARIES))
    if mode == "valid" and ndim == 2 and (shape[0] - taps[0]) * (shape[1] - taps[1]) < 0:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    dtype, kernel_dtype = data.draw(st.sampled_from(FLOATS)), data.draw(st.sampled_from(FLOATS))
    fill = 2 if boundary == "fill" else 0
    same(whole_numbers(rng, shape, dtype), whole_numbers(rng, taps, kernel_dtype), mode, boundary, fill)


# ------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize(("shape", "axis"), [((2000, 600), 0), ((64, 1200), 1), ((512, 512), 1), ((300, 40, 3), 0)])
def test_large_samples_do_not_affect_other_lines(shape, axis):
    rng = np.random.default_rng(23)
    x, kernel = rng.standard_normal(shape).astype("f4"), rng.standard_normal(101).astype("f4")
    line = [slice(None)] * x.ndim
    line[1 - axis] = 3
    usual = fastconv.convolve1d(x, kernel, "same", axis=axis, method="fft")
    x[tuple(line)] *= 1e6
    result = fastconv.convolve1d(x, kernel, "same", axis=axis, method="fft")
    result[tuple(line)] = usual[tuple(line)]
    np.testing.assert_array_equal(result, usual)


@pytest.mark.parametrize("places", [[(30, 900, 0), (30, 100, 1)], [(0, 0, 2), (63, 999, 0), (20, 500, 1)]])
def test_infinities_in_several_channels(places):
    rng = np.random.default_rng(24)
    x, kernel = rng.standard_normal((64, 1000, 3)), rng.standard_normal((31, 31))
    for place in places:
        x[place] = np.nan
    wanted = fastconv.convolve2d(x, kernel, "same", axes=(0, 1), method="direct")
    result = fastconv.convolve2d(x, kernel, "same", axes=(0, 1), method="fft")
    np.testing.assert_array_equal(np.isnan(result), np.isnan(wanted))
    np.testing.assert_allclose(result, wanted, atol=1e-11)


def test_small_kernels_under_strict_error_handling():
    x, kernel = np.ones((60, 60), "f4"), np.full((20, 20), 1e-30, "f4")
    with np.errstate(all="raise"):
        result = fastconv.convolve2d(x, kernel, "valid", method="fft")
    np.testing.assert_allclose(result, 400e-30, rtol=1e-5)
