"""`method="auto"`: which method is chosen, that the choice never shows, and plans that are kept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from fastconv import kernels

from . import oracle


def noise(shape, dtype="f4", seed=1):
    values = np.random.default_rng(seed).standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * np.random.default_rng(seed + 1).standard_normal(shape)
    return values.astype(dtype)


def close(result, wanted, taps):
    """To within some roundings of the largest values."""
    assert result.dtype == wanted.dtype
    assert result.shape == wanted.shape
    eps = np.finfo(wanted.dtype).eps
    assert np.abs(result - wanted).max() <= 50 * eps * np.sqrt(taps) * np.abs(wanted).max()


# ------------------------------------------------------------------------------------------------------ the choice


@pytest.mark.parametrize(
    ("kernel", "shape", "method"),
    [
        (noise((3, 3)), (2048, 2048), "direct"),
        (noise((63, 63)), (2048, 2048), "fft"),
        (kernels.gaussian(3), (2048, 2048), "separable"),
        (np.outer(np.arange(1, 16), np.arange(1, 10)), (1000, 1000), "separable"),
        (np.arange(225).reshape(15, 15) % 7, (1000, 1000), "direct"),
        (noise(5), (1000,), "direct"),
        (noise(3001), (1_000_000,), "fft"),
        (noise((63, 63)), (8, 8), "direct"),
        (noise((3, 3), "g"), (100, 100), "direct"),
    ],
)
def test_the_choice(kernel, shape, method):
    plan = fastconv.plan(kernel, shape, mode="same")
    assert plan.method == method
    assert method in repr(plan)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_a_method_asked_for_is_the_one(method):
    plan = fastconv.plan(kernels.gaussian(1), (100, 100), mode="same", method=method)
    assert plan.method == method
    assert "as asked for" in repr(plan)


def test_the_reason_has_the_estimates():
    told = repr(fastconv.plan(kernels.gaussian(3), (2048, 2048), mode="same"))
    assert "separable" in told
    assert "direct" in told
    assert "ms" in told


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "f2"])
@pytest.mark.parametrize("size", [63, 16])
@pytest.mark.parametrize("boundary", oracle.BOUNDARIES)
def test_the_choice_does_not_show(dtype, size, boundary):
    x = noise((300, 310), dtype)
    fill = 2 if boundary == "fill" else 0
    options = {"boundary": boundary, "fill_value": fill}
    for kernel in (noise((size, size - 5), dtype), np.outer(noise(size), noise(size - 1)).astype(dtype)):
        wanted = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
        close(fastconv.convolve2d(x, kernel, "same", **options), wanted, kernel.size)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i4", "u8"])
def test_integers_are_exact_whatever_is_chosen(dtype):
    rng = np.random.default_rng(3)
    high = 2 if dtype == "?" else 100
    x = rng.integers(0, high, (400, 410)).astype(dtype)
    outer = np.outer(rng.integers(1, high, 31), rng.integers(1, high, 29)).astype(dtype)
    for kernel in (outer, rng.integers(0, high, (31, 29)).astype(dtype)):
        wanted = fastconv.convolve2d(x, kernel, "same", method="direct")
        result = fastconv.convolve2d(x, kernel, "same")
        assert result.dtype == wanted.dtype
        assert np.array_equal(result, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", [noise((41, 41)), kernels.gaussian(4), np.pad(noise((5, 5)), 12)])
@pytest.mark.parametrize("boundary", ["zero", "wrap"])
def test_what_is_not_finite_stays_where_it_is(bad, kernel, boundary):
    x = noise((500, 500))
    x[100, 490] = bad
    x[400, 3] = bad
    wanted = fastconv.convolve2d(x, kernel, "same", boundary=boundary, method="direct")
    result = fastconv.convolve2d(x, kernel, "same", boundary=boundary)
    finite = np.isfinite(wanted)
    assert np.array_equal(np.isfinite(result), finite)
    assert np.array_equal(result[~finite], wanted[~finite], equal_nan=True)
    close(result[finite], wanted[finite], kernel.size)


def test_small_values_beside_large_ones():
    x = np.array([0.0] * 2000 + [10.0 ** (9 * i) for i in range(10)])
    kernel = np.array([0.25, 0.5, 0.25])
    result = fastconv.convolve(x, kernel)
    wanted = np.convolve(x, kernel)
    assert np.allclose(result, wanted, rtol=1e-15, atol=0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_choice_does_not_depend_on_workers(workers):
    x = noise((700, 800))
    for kernel in (noise((35, 35)), kernels.gaussian(2), noise((7, 7))):
        assert np.array_equal(fastconv.convolve2d(x, kernel, workers=workers), fastconv.convolve2d(x, kernel))


# ------------------------------------------------------------------------------------------------- zeros around it


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i4"])
@pytest.mark.parametrize("boundary", oracle.BOUNDARIES)
@pytest.mark.parametrize("correlate", [False, True])
def test_zeros_around_a_kernel(dtype, boundary, correlate):
    x = oracle.whole_numbers(np.random.default_rng(4), (300, 290), dtype)
    kernel = np.zeros((31, 26), dtype)
    kernel[20:23, 4:9] = oracle.whole_numbers(np.random.default_rng(5), (3, 5), dtype)
    fill = 3 if boundary == "fill" else 0
    function = fastconv.correlate2d if correlate else fastconv.convolve2d
    for mode in oracle.MODES:
        plan = fastconv.plan(kernel, x.shape, dtype, mode, boundary=boundary, fill_value=fill, correlate=correlate)
        assert "without the zeros" in repr(plan)
        wanted = function(x, kernel, mode, boundary=boundary, fill_value=fill, method="direct")
        assert np.array_equal(plan(x), wanted)
        assert np.array_equal(function(x, kernel, mode, boundary=boundary, fill_value=fill), wanted)


@pytest.mark.parametrize("mode", oracle.MODES)
@pytest.mark.parametrize("corner", [(0, 0), (100, 100), (0, 90), (45, 60)])
@pytest.mark.parametrize("correlate", [False, True])
def test_zeros_around_a_large_kernel_leave_no_output_out(mode, corner, correlate):
    x, kernel = noise((300, 310), "f8"), np.zeros((200, 200))
    kernel[corner[0] : corner[0] + 100, corner[1] : corner[1] + 100] = noise((100, 100), "f8")
    plan = fastconv.plan(kernel, x.shape, mode=mode, correlate=correlate)
    assert plan.method == "fft"
    function = fastconv.correlate2d if correlate else fastconv.convolve2d
    wanted = function(x, kernel, mode, method="direct")
    out = np.full(plan.out_shape, 1e300)
    close(plan(x, out), wanted, 100 * 100)


def test_zeros_around_a_long_line_leave_no_output_out():
    x, kernel = noise((3, 5000), "f8"), np.zeros(4000)
    kernel[3000:] = noise(1000, "f8")
    for mode in oracle.MODES:
        plan = fastconv.plan(kernel, x.shape, mode=mode)
        assert plan.method == "fft"
        wanted = fastconv.convolve1d(x, kernel, mode, method="direct")
        close(plan(x, np.full(plan.out_shape, 1e300)), wanted, 1000)


def test_an_infinite_fill_value_meets_the_zeros_too():
    x, kernel = noise((200, 200), "f8"), np.pad(noise((5, 5), "f8"), 18)
    options = {"boundary": "fill", "fill_value": np.inf}
    wanted = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
    assert np.array_equal(np.isnan(fastconv.convolve2d(x, kernel, "same", **options)), np.isnan(wanted))


def test_zeros_along_a_signal():
    kernel = np.zeros(2001)
    kernel[1500:1503] = 1, 2, 3
    x = oracle.whole_numbers(np.random.default_rng(6), 50_000, "f8")
    assert np.array_equal(fastconv.convolve(x, kernel), np.convolve(x, kernel))


def test_nothing_but_zeros():
    x = noise((400, 400))
    assert not fastconv.convolve2d(x, np.zeros((30, 30), "f4"), "same").any()


def test_a_zero_times_an_infinity_counts():
    x = noise((400, 400))
    x[200, 200] = np.inf
    kernel = np.pad(np.ones((3, 3), "f4"), 14)
    result = fastconv.convolve2d(x, kernel, "same")
    assert np.isnan(result[215, 215])
    assert np.isinf(result[200, 200])
    assert np.isfinite(result[216, 200])


# --------------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("kernel_shape", [(5,), (301,), (5, 4), (31, 31)])
@pytest.mark.parametrize("mode", oracle.MODES)
@pytest.mark.parametrize("correlate", [False, True])
@pytest.mark.parametrize(
    ("x_dtype", "kernel_dtype"), [("f4", "f4"), ("c8", "c8"), ("u1", "f4"), ("f2", "f2"), ("i4", "i4")]
)
def test_a_plan_is_the_function(kernel_shape, mode, correlate, x_dtype, kernel_dtype):
    rng = np.random.default_rng(7)
    kernel = oracle.whole_numbers(rng, kernel_shape, kernel_dtype)
    name = f"{'correlate' if correlate else 'convolve'}{kernel.ndim}d"
    plan = fastconv.plan(kernel, (60, 340), x_dtype, mode, correlate=correlate)
    for _ in range(2):
        x = oracle.whole_numbers(rng, (60, 340), x_dtype)
        wanted = getattr(fastconv, name)(x, kernel, mode)
        result = plan(x)
        assert (result.dtype, result.shape) == (plan.dtype, plan.out_shape) == (wanted.dtype, wanted.shape)
        assert np.array_equal(result, wanted)


def test_axes():
    rng = np.random.default_rng(8)
    x = oracle.whole_numbers(rng, (40, 30, 20), "f4")
    kernel = oracle.whole_numbers(rng, (3, 4), "f4")
    wanted = fastconv.convolve2d(x, kernel, axes=(2, 0))
    assert np.array_equal(fastconv.plan(kernel, x.shape, axes=(2, 0))(x), wanted)
    line = kernel[0]
    assert np.array_equal(fastconv.plan(line, x.shape, axes=1)(x), fastconv.convolve1d(x, line, axis=1))
    assert np.array_equal(fastconv.plan(line, x.shape, axes=(1,))(x), fastconv.convolve1d(x, line, axis=1))


@pytest.mark.parametrize("axes", [(0, 1), [0, 1], np.array([0, 1]), (-3, -2)])
def test_axes_may_be_any_sequence(axes):
    x = noise((9, 8, 2))
    wanted = fastconv.convolve2d(x, np.ones((2, 3), "f4"), axes=(0, 1))
    assert np.array_equal(fastconv.plan(np.ones((2, 3), "f4"), x.shape, axes=axes)(x), wanted)


def test_a_plan_without_a_dtype_is_for_native_arrays():
    assert fastconv.plan(np.ones(3, ">f4"), 9).x_dtype == np.dtype("f4").newbyteorder("=")


def test_objects_that_cannot_be_multiplied():
    with pytest.raises(TypeError, match="x and kernel must hold objects that can be multiplied"):
        fastconv.plan(np.array([None, 1], object), 9)(np.ones(9, object))
    with pytest.raises(TypeError, match="x and kernel must hold objects that can be multiplied"):
        fastconv.plan(np.array([None, 1], object), 9, correlate=True)


def test_where_kernel_and_signal_change_places():
    plan = fastconv.plan(noise(1000, "f8"), 30, mode="full")
    x = noise(30, "f8", seed=9)
    assert np.array_equal(plan(x), fastconv.convolve(x, noise(1000, "f8")))
    assert "direct" in repr(plan)


def test_the_kernel_is_copied():
    kernel = noise((31, 31))
    for method in ("direct", "fft"):
        plan = fastconv.plan(kernel, (200, 200), method=method)
        x = noise((200, 200))
        before = plan(x)
        kernel += 1
        assert np.array_equal(plan(x), before)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_out(method):
    plan = fastconv.plan(kernels.gaussian(1.5), (300, 300), mode="same", method=method)
    x = noise((300, 300))
    wanted = plan(x)
    out = np.empty_like(x)
    assert plan(x, out=out) is out
    assert np.array_equal(out, wanted)
    assert plan(x, x) is x  # over its own input
    assert np.array_equal(x, wanted)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_threads_share_a_plan(method):
    plan = fastconv.plan(kernels.gaussian(2), (300, 400), mode="same", method=method)
    frames = [noise((300, 400), seed=seed) for seed in range(8)]
    wanted = [plan(frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for result, expected in zip(pool.map(plan, frames), wanted):
                assert np.array_equal(result, expected)


# --------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (ValueError, r"kernel must be 1-D or 2-D; got shape \(2, 2, 2\)", (np.ones((2, 2, 2)), (9, 9, 9)), {}),
        (ValueError, r"kernel must be 1-D or 2-D; got shape \(\)", (1.0, 9), {}),
        (ValueError, "shape must have at least 2 dimensions", (np.ones((2, 2)), 9), {}),
        (ValueError, "shape must hold positive integers", (np.ones(2), (0,)), {}),
        (TypeError, "shape must be an integer or a tuple of integers; got 2.5", (np.ones(2), 2.5), {}),
        (TypeError, "shape must be an integer", (np.ones(2), "9"), {}),
        (ValueError, "mode must be", (np.ones(2), 9, None, "some"), {}),
        (ValueError, "boundary must be", (np.ones(2), 9), {"boundary": "some"}),
        (ValueError, "method must be 'auto', 'direct', 'separable' or 'fft'", (np.ones(2), 9), {"method": "some"}),
        (ValueError, "fill_value is for boundary='fill' only", (np.ones(2), 9), {"fill_value": 1}),
        (ValueError, "workers must be", (np.ones(2), 9), {"workers": 0}),
        (ValueError, "axes must lie in", (np.ones(2), 9), {"axes": 1}),
        (ValueError, "axes must be different", (np.ones((2, 2)), (9, 9)), {"axes": (0, 0)}),
        (TypeError, "axes must be 2 integers", (np.ones((2, 2)), (9, 9)), {"axes": 1}),
        (TypeError, "axes must be 2 integers", (np.ones((2, 2)), (9, 9)), {"axes": (0, [1])}),
        (ValueError, r"axes must be an integer; got \(\)", (np.ones(2), 9), {"axes": ()}),
        (ValueError, r"axes must be an integer; got \(0, 1\)", (np.ones(2), (9, 9)), {"axes": (0, 1)}),
        (ValueError, "method='fft' is for floating results", (np.ones(2, int), 9), {"method": "fft"}),
        (ValueError, "method='fft' is for results of the usual types", (np.ones(2, "g"), 9), {"method": "fft"}),
        (ValueError, "method='separable' is for 2-D kernels", (np.ones(2), 9), {"method": "separable"}),
        (ValueError, "for kernels of real numbers", (np.ones((2, 2), "c8"), (9, 9)), {"method": "separable"}),
        (ValueError, "kernel must be an outer product", (np.eye(3), (9, 9)), {"method": "separable"}),
        (TypeError, "x must hold numbers", (np.ones(2), 9, "U3"), {}),
    ],
)
def test_errors(error, message, arguments, options):
    with pytest.raises(error, match=message):
        fastconv.plan(*arguments, **options)


def test_errors_of_calls():
    plan = fastconv.plan(np.ones(3, "f4"), (4, 5))
    with pytest.raises(ValueError, match=r"x must have shape \(4, 5\) and dtype float32"):
        plan(np.ones((4, 6), "f4"))
    with pytest.raises(ValueError, match=r"got shape .* and dtype float64"):
        plan(np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"out must have shape \(4, 7\)"):
        plan(np.ones((4, 5), "f4"), np.ones((4, 5), "f4"))
    with pytest.raises(TypeError, match=r"out must be a numpy.ndarray"):
        plan(np.ones((4, 5), "f4"), [])


@pytest.mark.parametrize("method", ["separable", "fft"])
def test_methods_of_the_functions(method):
    x, kernel = noise((50, 60)), kernels.gaussian(1)
    wanted = fastconv.convolve2d(x, kernel)
    close(fastconv.convolve2d(x, kernel, method=method), wanted, kernel.size)
    close(fastconv.convolve(x, kernel, method=method), wanted, kernel.size)
    with pytest.raises(ValueError, match="method="):
        fastconv.convolve1d(np.ones(9, int), np.ones(3, int), method=method)
