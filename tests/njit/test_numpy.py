"""`numpy.convolve` and `numpy.correlate` in functions compiled by Numba, computed by fastconv."""

import numba
import numpy as np
import pytest

import fastconv
from fastconv._microkernels.calls.call_records import KINDS
from fastconv.njit import _loading


@pytest.fixture
def replaced():
    fastconv.njit.replace_numpy()
    yield
    fastconv.njit.replace_numpy(False)


def calls():
    """New functions, each compiled once for the types of its arguments."""

    @numba.njit
    def convolve(a, v, mode):
        return np.convolve(a, v, mode)

    @numba.njit
    def correlate(a, v, mode):
        return np.correlate(a, v, mode)

    return convolve, correlate


@pytest.mark.parametrize("dtypes", ["f8 f8", "c16 c16", "i4 i8"])
def test_results_are_those_of_numpy(replaced, dtypes):
    rng, kinds = np.random.default_rng(1), dtypes.split()
    convolve, correlate = calls()
    for lengths in ((9, 4), (4, 9), (9, 5), (5, 9), (6, 6), (1, 3), (1, 1)):
        # Whole numbers have exact sums.
        a, v = (
            (rng.integers(-9, 9, n) + (1j * rng.integers(-9, 9, n) if kind == "c16" else 0)).astype(kind)
            for n, kind in zip(lengths, kinds)
        )
        for mode in ("full", "same", "valid"):
            for compiled, original in ((convolve, np.convolve), (correlate, np.correlate)):
                found, expected = compiled(a, v, mode), original(a, v, mode)
                assert found.dtype == expected.dtype
                assert np.array_equal(found, expected), (original, lengths, mode)


def test_the_direct_engine_computes_floats(replaced):
    a, v = np.random.default_rng(1).standard_normal((2, 300))
    for compiled, name in zip(calls(), ("convolve", "correlate")):
        expected = getattr(fastconv, f"{name}1d")(a, v[:31], "full", method="direct")
        assert compiled(a, v[:31], "full").tobytes() == expected.tobytes()


def test_defaults_and_errors_are_those_of_numpy(replaced):
    a, v = np.arange(5.0), np.arange(1.0, 4.0)
    assert np.array_equal(numba.njit(lambda a, v: np.convolve(a, v))(a, v), np.convolve(a, v))
    assert np.array_equal(numba.njit(lambda a, v: np.correlate(a, v=v))(a, v), np.correlate(a, v))
    with pytest.raises(ValueError, match="a and v must not be empty"):
        numba.njit(lambda a, v: np.convolve(a, v))(a[:0], v)
    with pytest.raises(ValueError, match="mode must be 'full', 'same' or 'valid'"):
        calls()[0](a, v, "some")


def routines_of(kernel):
    """The record of routines of a type that only this test uses as a kernel of int16; None if there is none."""
    return _loading.provided.get(("int16", kernel))


def test_numba_computes_before_and_after():
    a, v = np.arange(5, dtype=np.int16), np.arange(3, dtype=np.uint16)
    assert np.array_equal(calls()[0](a, v, "full"), np.convolve(a, v))
    fastconv.njit.replace_numpy()
    fastconv.njit.replace_numpy(False)
    assert np.array_equal(calls()[0](a, v, "full"), np.convolve(a, v))
    assert routines_of("uint16") is None
    fastconv.njit.replace_numpy()
    try:
        assert np.array_equal(calls()[0](a, v, "full"), np.convolve(a, v))
        record, _ = routines_of("uint16")
        assert KINDS[record["result_kind"]] == "i"
    finally:
        fastconv.njit.replace_numpy(False)


def test_what_fastconv_does_not_take_is_left_to_numba(replaced):
    a = np.array([True, False, True])
    assert np.array_equal(calls()[0](a, np.ones(2), "full"), np.convolve(a, np.ones(2)))


def test_active_is_a_bool():
    with pytest.raises(TypeError, match="active"):
        fastconv.njit.replace_numpy("yes")
