"""Calls in functions compiled by Numba: results, options and errors are those of calls from Python."""

import inspect
import re

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python

import fastconv
from fastconv._runtime.instrumentation import observed
from tests import guarded_arrays
from tests.sample_calls import run

fastconv.njit.register()

X, TAPS = np.random.default_rng(1).standard_normal((6, 80)), np.random.default_rng(2).standard_normal(5)
IMAGE, KERNEL = X.reshape(16, 30), TAPS[:4].reshape(2, 2)


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize(
    "pairs",
    [("f4:f4", "f8:f4"), ("c8:c8", "c16:f8", "f8:c16"), ("u1:i2", "i8:f4", "?:?", "u1:u1", "i4:i4")],
    ids=" ".join,
)
def test_bits_are_those_of_the_direct_method(pairs):
    done = run("import sys; from tests.njit.fuzzer import main; main(*sys.argv[1:])", 5, 400, *pairs, timeout=600)
    assert re.fullmatch(r"(3\d\d|400) computed, 0 wrong, 0 blocks not freed\n", done.stdout), done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (0, "")


@numba.njit
def named(x, kernel, mode, boundary):
    return fastconv.convolve1d(x, kernel, mode, boundary=boundary)


@numba.njit
def literal(x, kernel):
    return fastconv.convolve1d(x, kernel, "same", boundary="mirror")


def test_options_may_be_literal_or_known_at_run_time():
    expected = fastconv.convolve1d(X, TAPS, "same", boundary="mirror", method="direct")
    for result in (named(X, TAPS, "same", "mirror"), literal(X, TAPS)):
        assert np.array_equal(result, expected)
        assert result.flags.c_contiguous


def test_defaults_are_those_of_python():
    @numba.njit
    def default(x, taps, kernel):
        lines = fastconv.convolve1d(x, taps), fastconv.correlate1d(x, taps)
        return lines, fastconv.convolve2d(x, kernel), fastconv.correlate2d(image=x, kernel=kernel)

    lines, *planes = default(X, TAPS, KERNEL)
    names = ("convolve1d", "correlate1d"), ("convolve2d", "correlate2d")
    for results, functions, kernel in zip((lines, planes), names, (TAPS, KERNEL)):
        for result, name in zip(results, functions):
            assert np.array_equal(result, getattr(fastconv, name)(X, kernel, method="direct"))


@pytest.mark.parametrize("name", ["convolve1d", "convolve2d", "correlate1d", "correlate2d"])
def test_parameters_are_those_of_python(name):
    function = getattr(fastconv, name)
    defaults = ", ".join(
        f"{parameter.name}={parameter.default!r}"
        for parameter in inspect.signature(function).parameters.values()
        # Compiled code has one worker by default, and Numba no float constants.
        if parameter.default is not parameter.empty and parameter.name not in ("workers", "min_weight")
    )
    names = {"fastconv": fastconv}
    exec(f"def call(x, kernel):\n    return fastconv.{name}(x, kernel, {defaults})", names)
    kernel = TAPS if name.endswith("1d") else KERNEL
    assert np.array_equal(numba.njit(names["call"])(X, kernel), function(X, kernel, method="direct"))


def test_options_of_calls_from_python_may_have_their_default_value():
    @numba.njit
    def explicit(x, taps):
        return fastconv.correlate1d(x, taps, "valid", stride=1, start=None, lags=None, method="direct", nan="propagate")

    assert np.array_equal(explicit(X, TAPS), fastconv.correlate1d(X, TAPS, "valid", method="direct"))


@numba.njit
def into(x, taps, out):
    return fastconv.convolve1d(x, taps, "same", out=out)


def test_out_is_filled_and_returned():
    expected, out = fastconv.convolve1d(X, TAPS, "same", method="direct"), np.full(X.shape, np.nan)
    assert into(X, TAPS, out) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(into(X, TAPS, None), expected)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((slice(None),), (slice(None),)),
        ((slice(None), slice(0, -1)), (slice(None), slice(1, None))),
        ((slice(None), slice(None, None, -1)), (slice(None),)),
        ((slice(0, -1),), (slice(1, None),)),
    ],
)
def test_out_may_overlap_the_input(inputs, outputs):
    memory = X.copy()
    x, out = memory[inputs], memory[outputs]
    expected = fastconv.convolve1d(x.copy(), TAPS, "same", method="direct")
    assert np.array_equal(into(x, TAPS, out), expected)


def test_out_may_overlap_the_kernel():
    memory = np.concatenate((TAPS, X[0]))
    expected = fastconv.convolve1d(X[1], TAPS, "same", method="direct")
    assert np.array_equal(into(X[1], memory[:5], memory[3 : 3 + 80]), expected)


@numba.njit
def filled(x, taps, fill_value):
    return fastconv.convolve1d(x, taps, "same", boundary="fill", fill_value=fill_value)


@pytest.mark.parametrize(
    ("dtype", "fill_value"),
    [
        ("i1", -128), ("i1", 127.0), ("i1", 128), ("i1", -129), ("i1", 0.5), ("i1", np.nan), ("i1", True),
        ("u1", 255), ("u1", 256), ("u1", -1), ("u1", 255.0),
        ("i8", -(2**63)), ("i8", 2**63 - 1), ("i8", np.uint64(2**63)), ("i8", -(2.0**63)), ("i8", 2.0**63),
        ("u8", np.uint64(2**64 - 1)), ("u8", -1), ("u8", 2.0**63), ("u8", 2.0**64), ("u8", np.inf),
        ("?", 1), ("?", 2), ("?", 0.0), ("?", 1.5),
        ("f4", 3), ("f4", 1e39), ("f4", -1e38), ("f4", np.inf), ("f4", np.nan), ("f8", np.uint64(2**64 - 1)),
        ("f8", 1e300), ("c8", 1 + 2j), ("c8", 1e39j), ("c16", 2), ("c16", complex(np.inf, 1)),
    ],
)  # fmt: skip
def test_fill_values_are_held_or_refused(dtype, fill_value):
    x, taps = np.ones(8, dtype), np.array([1, 0, 1, 1, 1], dtype)
    options = {"boundary": "fill", "fill_value": fill_value, "method": "direct"}
    try:
        expected = fastconv.convolve1d(x, taps, "same", **options)
    except ValueError:
        with pytest.raises(ValueError, match="fill_value must be a number that"):
            filled(x, taps, fill_value)
    else:
        assert np.array_equal(filled(x, taps, fill_value), expected, equal_nan=True)


@numba.njit
def line(x, taps, mode, axis, boundary, fill_value, workers):
    return fastconv.convolve1d(
        x, taps, mode, axis=axis, boundary=boundary, fill_value=fill_value, workers=workers, out=None
    )


@numba.njit
def plane(image, kernel, mode, axes):
    return fastconv.convolve2d(image, kernel, mode, axes=axes)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (line, (X, TAPS, "sam", -1, "zero", 0, 1), "mode must be 'full', 'same' or 'valid'"),
        (line, (X, TAPS, "sämé", -1, "zero", 0, 1), "mode must be 'full', 'same' or 'valid'"),
        (line, (X, TAPS, "same", -1, "zéro", 0, 1), "boundary must be 'zero', 'fill'"),
        (line, (X, TAPS, "same", 2, "zero", 0, 1), "axis must be in range for x"),
        (line, (X, TAPS, "same", -3, "zero", 0, 1), "axis must be in range for x"),
        (line, (X, TAPS, "same", -1, "wrap", 1, 1), "fill_value is for boundary='fill' only"),
        (line, (X, TAPS, "same", -1, "zero", 0, 0), "workers must be None or a positive integer"),
        (line, (X[:, :0], TAPS, "same", -1, "zero", 0, 1), "x and kernel must not be empty"),
        (line, (X[:0], TAPS, "same", -1, "zero", 0, 1), "x and kernel must not be empty"),
        (line, (X, TAPS[:0], "same", -1, "zero", 0, 1), "x and kernel must not be empty"),
        (plane, (IMAGE, KERNEL, "same", (1, -1)), "axes must be different"),
        (plane, (IMAGE, KERNEL, "same", (0, 2)), "axes must be in range for image"),
        (plane, (IMAGE[:1], np.ones((2, 3)), "valid", (0, 1)), "in mode 'valid' one of image and kernel"),
        (into, (X, TAPS, np.empty((6, 81))), "out must have the shape of the result"),
        (into, (X, TAPS, np.lib.stride_tricks.as_strided(X.copy(), (6, 80), (0, 8))), "out must have separate memory"),
    ],
)
def test_errors_of_run_time(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)


def test_results_that_no_memory_holds_are_refused():
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, "i1"), (1 << 30, 1 << 25), (0, 0))
    with pytest.raises(ValueError, match="must have a result that fits into memory"):
        line(huge, TAPS, "same", -1, "zero", 0, 1)


def test_a_wrong_literal_is_the_error_that_it_is_in_python():
    with pytest.raises(ValueError, match="boundary must be"):
        numba.njit(lambda x, taps: fastconv.convolve1d(x, taps, boundary="symmetric"))(X, TAPS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, taps: fastconv.convolve1d([1.0, 2.0], taps), "x must be an array in compiled code"),
        (lambda x, taps: fastconv.convolve2d(x, taps), "kernel must be 2-D"),
        (lambda x, taps: fastconv.convolve2d(x[0], x), "image must have at least 2 dimensions"),
        (lambda x, taps: fastconv.convolve1d(x.astype(np.complex64), taps > 0, axis=0.5), "axis must be an integer"),
        (lambda x, taps: fastconv.convolve2d(x, x, axes=1), "axes must be a tuple of two integers"),
        (lambda x, taps: fastconv.convolve2d(x, x, ("same", "full")), "mode must be one string"),
        (lambda x, taps: fastconv.convolve2d(x, x, boundary=("zero", "wrap")), "boundary must be one string"),
        (lambda x, taps: fastconv.convolve1d(x, taps, fill_value="0"), "fill_value must be a number"),
        (lambda x, taps: fastconv.convolve1d(x, taps, fill_value=1j), "fill_value must be real in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, workers=1.0), "workers must be None or an integer"),
        (lambda x, taps: fastconv.convolve1d(x, taps, out=taps), "out must hold float64 in 2 dimensions"),
        (lambda x, taps: fastconv.convolve1d(x, taps, out=1), "out must be an array or None"),
        (lambda x, taps: fastconv.convolve1d(x, taps, stride=2), "stride is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, dilation=2), "dilation is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, start=1), "start is not supported in compiled code"),
        (lambda x, taps: fastconv.correlate1d(x, taps, lags=(0, 1)), "lags is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, method="fft"), "method is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, nan="ignore"), "nan is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, progress=1), "progress is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve1d(x, taps, weights=x), "weights is not supported in compiled code"),
        (lambda x, taps: fastconv.convolve3d(x, taps, mode="same"), "fastconv.convolve3d is not supported in compiled"),
        (lambda x, taps: fastconv.correlate(x, taps), "fastconv.correlate is not supported in compiled code"),
    ],
)
def test_what_compiled_code_cannot_do_is_named_when_it_is_compiled(call, message):
    with pytest.raises(numba.TypingError, match=re.escape(message)):
        numba.njit(call)(X, TAPS)


def test_read_only_output_is_refused():
    out = np.empty(X.shape)
    out.flags.writeable = False
    with pytest.raises(numba.TypingError, match="out must be writable"):
        into(X, TAPS, out)


def test_half_precision_is_refused():
    call = numba.njit(lambda x, taps: fastconv.convolve1d(x, taps))
    with pytest.raises(numba.TypingError, match="x must hold integers, bools, or floats of 32 or 64 bits; got float16"):
        call(X.astype("f2"), TAPS)


def test_no_result_stays_alive():
    @numba.njit
    def total(x, taps, count):
        found = 0.0
        for _ in range(count):
            found += fastconv.convolve1d(x, taps)[0, 0]
        return found

    total(X, TAPS, 1)
    _nrt_python.memsys_enable_stats()
    before = numba.core.runtime.rtsys.get_allocation_stats()
    total(X, TAPS, 100)
    after = numba.core.runtime.rtsys.get_allocation_stats()
    _nrt_python.memsys_disable_stats()
    assert after.mi_alloc - before.mi_alloc >= 100
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free


def test_calls_do_not_change_the_float_environment_of_others():
    @numba.njit
    def denormal(x, taps):
        fastconv.convolve1d(x, taps)
        return x[0, 0] * 1e-320

    assert denormal(np.full((1, 3), 0.5), TAPS) != 0


def test_the_shared_engine_computes_with_several_workers_only():
    image = np.random.default_rng(3).standard_normal((900, 1000)).astype("f4")
    kernel = np.random.default_rng(4).standard_normal((5, 7)).astype("f4")
    compute = numba.njit(lambda image, kernel, workers: fastconv.convolve2d(image, kernel, "same", workers=workers))
    every = numba.njit(lambda image, kernel: fastconv.convolve2d(image, kernel, "same", workers=None))
    small = numba.njit(lambda image, kernel: fastconv.convolve2d(image[:50], kernel, "same", workers=2))
    expected = fastconv.convolve2d(image, kernel, "same", method="direct")
    for function, arguments, shared in (
        (compute, (1,), False), (compute, (3,), True), (every, (), True), (small, (), False),
    ):  # fmt: skip
        with observed() as events:
            result = function(image, kernel, *arguments)
        assert any(event.name == "direct" for event in events) is shared
        if function is not small:
            assert np.array_equal(result, expected)


def test_the_shared_engine_gets_all_options():
    image = np.random.default_rng(3).integers(-100, 100, (700, 60, 80), np.int16)
    kernel = np.random.default_rng(4).integers(-9, 9, (3, 5), np.int8)

    @numba.njit
    def compute(image, kernel, mode, boundary, fill_value):
        options = fastconv.correlate2d(
            image, kernel, mode, axes=(2, 0), boundary=boundary, fill_value=fill_value, workers=2
        )
        return options

    for mode, boundary, fill_value in (("full", "fill", -300), ("same", "reflect", 0), ("valid", "zero", 0)):
        with observed() as events:
            result = compute(image, kernel, mode, boundary, fill_value)
        assert any(event.name == "direct" for event in events)
        expected = fastconv.correlate2d(image, kernel, mode, axes=(2, 0), boundary=boundary, fill_value=fill_value)
        assert np.array_equal(result, expected)
