"""Properties of convolution, tested by hypothesis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastconv
from fastconv._runtime.instrumentation import observed
from tests.oracle import BOUNDARIES, DTYPES, MODES, check, expected

settings.register_profile("fastconv", deadline=None, max_examples=60)
settings.load_profile("fastconv")

WHOLE = {"b": st.booleans(), "u": st.integers(0, 5), "i": st.integers(-5, 5), "f": st.integers(-5, 5)}


def elements(dtype):
    kind = np.dtype(dtype).kind
    if kind == "c":
        return st.builds(complex, st.integers(-5, 5), st.integers(-5, 5))
    return WHOLE[kind]


def arrays(dtype, shape):
    return hnp.arrays(dtype, shape, elements=elements(dtype))


signals = st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, st.integers(1, 150)))
taps = st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, st.integers(1, 30)))
images = st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, st.tuples(st.integers(1, 14), st.integers(1, 60))))
kernels = st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, st.tuples(st.integers(1, 7), st.integers(1, 9))))
modes, boundaries, flips = st.sampled_from(MODES), st.sampled_from(BOUNDARIES), st.booleans()


@given(signals, taps, modes, boundaries, flips)
def test_1d_equals_the_reference(x, kernel, mode, boundary, flip):
    function = fastconv.convolve1d if flip else fastconv.correlate1d
    fill = 1 if boundary == "fill" else 0
    expect = expected(x, kernel, mode, boundary, fill, flip)
    check(function, x, kernel, mode, boundary=boundary, fill_value=fill, expect=expect)


@given(images, kernels, modes, boundaries, flips)
def test_2d_equals_the_reference(x, kernel, mode, boundary, flip):
    function = fastconv.convolve2d if flip else fastconv.correlate2d
    fill = 1 if boundary == "fill" else 0
    if mode == "valid" and (x.shape[0] - kernel.shape[0]) * (x.shape[1] - kernel.shape[1]) < 0:
        with pytest.raises(ValueError, match="at least as large"):
            function(x, kernel, mode)
        return
    expect = expected(x, kernel, mode, boundary, fill, flip)
    check(function, x, kernel, mode, boundary=boundary, fill_value=fill, expect=expect)


@given(signals, taps)
def test_full_and_valid_commute(x, kernel):
    def convolve(x, kernel, mode):
        # One of two lines: there the engines do not have the two change places, as they would where x is the shorter.
        found = fastconv.convolve1d(np.stack([x, x]), kernel, mode)
        np.testing.assert_array_equal(found[0], found[1])
        return found[0].copy()

    check(convolve, x, kernel, "full", expect=convolve(kernel, x, "full"))
    shorter, longer = sorted((x, kernel), key=len)
    check(fastconv.convolve1d, shorter, longer, "valid", expect=convolve(longer, shorter, "valid"))


def test_commuted_calls_are_different_problems():
    with observed() as events:
        test_full_and_valid_commute.hypothesis.inner_test(np.ones(9), np.ones(4))
    assert [event.problem.kernel_shape for event in events if event.name == "direct"][:2] == [(9,), (4,)]


@given(arrays("f8", (9, 40)), arrays("f8", (9, 40)), arrays("f8", (4, 3)), boundaries)
def test_linearity(a, b, kernel, boundary):
    def same(x):
        return fastconv.convolve2d(x, kernel, "same", boundary=boundary)

    np.testing.assert_array_equal(same(a + 3 * b), same(a) + 3 * same(b))


@given(arrays("f4", (6, 5)), st.integers(0, 30), st.integers(0, 70))
def test_impulse_response_is_the_kernel(kernel, row, column):
    image = np.zeros((31, 71), np.float32)
    image[row, column] = 1
    full = fastconv.convolve2d(image, kernel)
    np.testing.assert_array_equal(full[row : row + 6, column : column + 5], kernel)
    assert np.count_nonzero(full) == np.count_nonzero(kernel)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 150))
def test_shifted_input_shifts_the_output_exactly(seed, down, right):
    # Inexact sums, so that another order of summation changes them.
    rng = np.random.default_rng(seed)
    patch, kernel = rng.standard_normal((9, 60)), rng.standard_normal((5, 7))
    image = np.zeros((60, 300))
    image[down : down + 9, right : right + 60] = patch
    found = fastconv.convolve2d(image, kernel)[down : down + 13, right : right + 66]
    np.testing.assert_array_equal(found, fastconv.convolve2d(patch, kernel))


@given(signals, taps, taps)
def test_convolution_is_associative(x, first, second):
    x, first, second = (
        a.astype(np.int64) if a.dtype.kind != "c" else a.real.astype(np.int64) for a in (x, first, second)
    )
    both = fastconv.convolve1d(first, second)
    check(fastconv.convolve1d, x, both, expect=fastconv.convolve1d(fastconv.convolve1d(x, first), second))


@given(images, kernels, boundaries)
def test_correlation_equals_convolution_with_the_flipped_conjugate(x, kernel, boundary):
    conjugate = np.conj(kernel).astype(kernel.dtype)  # NumPy's conjugate of bools is int8
    expect = fastconv.convolve2d(x, conjugate[::-1, ::-1], "same", boundary=boundary)
    check(fastconv.correlate2d, x, kernel, "same", boundary=boundary, expect=expect)
