"""Errors of invalid arguments: type, name of the argument, value, and what is allowed."""

import sys
import types

import numpy as np
import pytest

import fastconv

ONES = np.ones((3, 3))

VALUE_ERRORS = {
    "empty x": (lambda: fastconv.convolve1d([], [1]), r"x must not be empty; got shape \(0,\)"),
    "empty kernel": (lambda: fastconv.convolve1d([1], []), r"kernel must not be empty; got shape \(0,\)"),
    "empty image": (
        lambda: fastconv.convolve2d(np.ones((3, 0)), ONES),
        r"image must not be empty; got shape \(3, 0\)",
    ),
    "empty batch": (lambda: fastconv.convolve1d(np.ones((0, 3)), [1]), r"x must not be empty; got shape \(0, 3\)"),
    "mode": (lambda: fastconv.convolve1d([1], [1], "Same"), "mode must be 'full', 'same' or 'valid'; got 'Same'"),
    "boundary": (
        lambda: fastconv.convolve1d([1], [1], boundary="pad"),
        "boundary must be 'zero', 'fill', 'nearest', 'reflect', 'mirror' or 'wrap'; got 'pad'",
    ),
    "boundary in mode valid": (lambda: fastconv.convolve1d([1], [1], "valid", boundary="pad"), "boundary must be"),
    "method": (
        lambda: fastconv.convolve1d([1], [1], method="fast"),
        "method must be 'auto', 'direct', 'separable' or 'fft'; got 'fast'",
    ),
    "axis": (lambda: fastconv.convolve1d(ONES, [1], axis=2), "axis must lie in -2 .. 1 for .* 2 dimensions; got 2"),
    "axes": (lambda: fastconv.convolve2d(ONES, ONES, axes=(0, -3)), "axes must lie in -2 .. 1 for .*; got -3"),
    "same axes": (lambda: fastconv.convolve2d(ONES, ONES, axes=(0, -2)), r"axes must be different axes; got \(0, -2\)"),
    "three axes": (
        lambda: fastconv.convolve2d(ONES, ONES, axes=(0, 1, 2)),
        r"axes must be 2 integers; got \(0, 1, 2\)",
    ),
    "2-D kernel": (lambda: fastconv.convolve1d([1], ONES), r"kernel must be 1-D; got shape \(3, 3\)"),
    "1-D kernel": (lambda: fastconv.convolve2d(ONES, [1, 2]), r"kernel must be 2-D; got shape \(2,\)"),
    "1-D image": (
        lambda: fastconv.convolve2d([1, 2], ONES),
        r"image must have at least 2 dimensions; got shape \(2,\)",
    ),
    "0-D image": (lambda: fastconv.convolve2d(3, ONES), r"image must have at least 2 dimensions; got shape \(\)"),
    "dimensions": (
        lambda: fastconv.convolve(ONES, [1]),
        r"the same number of dimensions, or axes must tell along which to convolve; got shapes \(3, 3\) and \(1,\)",
    ),
    "valid": (
        lambda: fastconv.convolve2d(np.ones((3, 5)), np.ones((5, 3)), "valid"),
        r"at least as large as the other along both axes; got \(3, 5\) and \(5, 3\)",
    ),
    "ragged": (lambda: fastconv.convolve1d([[1], [1, 2]], [1]), "x must be an array or nested sequences"),
    "fill value unused": (
        lambda: fastconv.convolve1d([1], [1], fill_value=2),
        "fill_value is for boundary='fill' only; got 2",
    ),
    "fill array unused": (lambda: fastconv.convolve1d([1], [1], fill_value=[1, 2]), "for boundary='fill' only"),
    "NaN for integers": (
        lambda: fastconv.convolve1d([1], [1], boundary="fill", fill_value=np.nan),
        "fill_value must be an integer in -9.* .. 9.* for a result of type int64; got nan",
    ),
    "fraction for integers": (
        lambda: fastconv.convolve1d([1], [1], boundary="fill", fill_value=1.5),
        "fill_value must be an integer in .*; got 1.5",
    ),
    "too large for its type": (
        lambda: fastconv.convolve1d(np.ones(3, "u1"), np.ones(3, "u1"), boundary="fill", fill_value=256),
        r"fill_value must be an integer in 0 \.\. 255 for a result of type uint8; got 256",
    ),
    "infinity for bools": (
        lambda: fastconv.convolve1d([True], [True], boundary="fill", fill_value=np.inf),
        r"fill_value must be an integer in 0 \.\. 1 for a result of type bool; got inf",
    ),
    "too large for a float": (
        lambda: fastconv.convolve1d(np.ones(3, "f4"), np.ones(3, "f4"), boundary="fill", fill_value=1e39),
        r"fill_value must be a number that float32 can hold; got 1e\+39",
    ),
    "complex for reals": (
        lambda: fastconv.convolve1d([1.0], [1.0], boundary="fill", fill_value=1j),
        "fill_value must be real for a result of type float64; got 1j",
    ),
    "workers": (lambda: fastconv.convolve1d([1], [1], workers=0), "workers must be None or a positive integer; got 0"),
    "out shape": (
        lambda: fastconv.convolve1d([1], [1, 2], out=np.zeros(3, int)),
        r"out must have shape \(2,\); got \(3,\)",
    ),
    "out type": (
        lambda: fastconv.convolve1d([1.0], [1.0], out=np.zeros(1, "f4")),
        "out must have dtype float64; got float32",
    ),
    "out with shared elements": (
        lambda: fastconv.convolve1d([1.0, 2.0], [1.0], out=np.lib.stride_tricks.as_strided(np.zeros(1), (2,), (0,))),
        r"out must have separate memory for each element; got strides \(0,\)",
    ),
    "a result larger than any memory": (
        lambda: fastconv.convolve1d(*[np.broadcast_to(np.uint8(1), (2**62,))] * 2),
        r"a result that fits into memory; theirs has shape \(9223372036854775807,\)",
    ),
    "an integer too large for floats": (
        lambda: fastconv.convolve1d([1.0], [1.0], boundary="fill", fill_value=10**400),
        "fill_value must be a number that float64 can hold; got 1000",
    ),
    "out byte order": (
        lambda: fastconv.convolve1d([1.0], [1.0], out=np.zeros(1, ">f8")),
        "out must have dtype float64; got >f8",
    ),
}

TYPE_ERRORS = {
    "text": (lambda: fastconv.convolve1d(["a"], [1]), "x must hold numbers; got dtype <U1"),
    "dates": (lambda: fastconv.convolve1d([1], np.array(["2020-01-01"], "M8[D]")), "kernel must hold numbers; got .*D"),
    "a record": (lambda: fastconv.convolve1d(np.zeros(2, "i4,f4"), [1]), "x must hold numbers; got dtype"),
    "nothing": (
        lambda: fastconv.convolve1d(None, [1.0]),
        "x and kernel must hold objects that can be multiplied and added; unsupported operand",
    ),
    "objects without conjugate": (
        lambda: fastconv.correlate2d([[1, None]], [[1, None]]),
        "image and kernel must hold objects that can be multiplied and added",
    ),
    "dates, filled": (
        lambda: fastconv.convolve1d(np.array(["2020"], "M8[Y]"), [1.0], boundary="fill", fill_value=1),
        "x must hold numbers; got dtype datetime64",
    ),
    "an array of boundaries": (
        lambda: fastconv.convolve1d([1], [1], boundary=np.array(["fill", "zero"])),
        "boundary must be a string",
    ),
    "text to fill objects": (
        lambda: fastconv.convolve1d(np.array([1], object), [1], boundary="fill", fill_value="a"),
        "fill_value must be a number; got 'a'",
    ),
    "mode None": (lambda: fastconv.convolve1d([1], [1], None), "mode must be a string, 'full', .*; got None"),
    "a list in modes": (lambda: fastconv.convolve1d([1], [1], [["same"]]), "mode must be a string, .*; got .'same'."),
    "a boundary of bytes": (lambda: fastconv.convolve1d([1], [1], boundary=b"zero"), "boundary must be a string"),
    "a dict as method": (lambda: fastconv.convolve1d([1], [1], method={}), "method must be a string"),
    "a float axis": (lambda: fastconv.convolve1d([1], [1], axis=0.0), "axis must be an integer; got 0.0"),
    "one axis instead of two": (lambda: fastconv.convolve2d(ONES, ONES, axes=1), "axes must be 2 integers; got 1"),
    "float axes": (lambda: fastconv.convolve2d(ONES, ONES, axes=(0, 1.0)), r"axes must be 2 integers; got \(0, 1.0\)"),
    "a fill value of text": (
        lambda: fastconv.convolve1d([1], [1], boundary="fill", fill_value="x"),
        "fill_value must be a number; got 'x'",
    ),
    "an array to fill with": (
        lambda: fastconv.convolve1d([1], [1], boundary="fill", fill_value=[1]),
        r"fill_value must be a number; got \[1\]",
    ),
    "workers of text": (lambda: fastconv.convolve1d([1], [1], workers="all"), "workers must be None or a positive"),
    "a bool as workers": (lambda: fastconv.convolve1d([1], [1], workers=True), "workers must be None or a positive"),
    "a list as out": (lambda: fastconv.convolve1d([1], [1], out=[0]), "out must be a numpy.ndarray; got list"),
    "masked": (
        lambda: fastconv.convolve1d([1], np.ma.masked_equal([1, 2], 2)),
        r"kernel has masked elements.*kernel.filled\(\.\.\.\)",
    ),
}


@pytest.mark.parametrize("case", VALUE_ERRORS)
def test_value_errors(case):
    call, message = VALUE_ERRORS[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("case", TYPE_ERRORS)
def test_type_errors(case):
    call, message = TYPE_ERRORS[case]
    with pytest.raises(TypeError, match=message):
        call()


def test_read_only_out_raises_and_is_unchanged():
    out = np.zeros(1)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writable; got a read-only array"):
        fastconv.convolve1d([1.0], [1.0], out=out)
    assert out[0] == 0


def test_axes_are_checked_despite_equal_cached_ones():
    # Plans are cached by their arguments, and 0 == 0.0 == False.
    assert fastconv.convolve1d([1], [1], axis=0).tolist() == [1]
    with pytest.raises(TypeError, match="axis must be an integer"):
        fastconv.convolve1d([1], [1], axis=0.0)
    assert fastconv.convolve2d(ONES, ONES, axes=(0, 1)).shape == (5, 5)
    with pytest.raises(TypeError, match="axes must be 2 integers"):
        fastconv.convolve2d(ONES, ONES, axes=(0.0, 1.0))


def test_errors_leave_out_unchanged():
    out = np.zeros(3)
    with pytest.raises(ValueError, match="boundary must be"):
        fastconv.convolve1d([1.0, 1.0, 1.0], [1.0], "same", boundary="pad", out=out)
    assert not out.any()


def test_numpy_integers_are_accepted():
    assert fastconv.convolve1d(ONES, [1], axis=np.int8(0), workers=np.int64(1)).shape == (3, 3)
    assert fastconv.convolve2d(ONES, ONES, axes=np.array([0, 1])).shape == (5, 5)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_invalid_number_of_threads_in_the_environment_raises(monkeypatch, value):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", value)
    large = np.ones((1000, 1000))
    with pytest.raises(ValueError, match=f"FASTCONV_NUM_THREADS must be a positive integer; got '{value}'"):
        fastconv.convolve2d(large, np.ones((3, 3)))


def test_sequences_are_accepted_while_another_thread_imports_masked_arrays(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy.ma", types.ModuleType("numpy.ma"))
    assert fastconv.convolve([1, 2], [3]).tolist() == [3, 6]
