"""The rule for types, and what each does at its limits."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import fastconv
from fastconv import reference
from fastconv._simd.target import processor
from tests.oracle import check, expected, rounded


@pytest.mark.parametrize(
    ("x", "kernel", "result"),
    [
        ("i1", "i1", "i1"),
        ("u1", "i1", "i2"),
        ("u1", "f4", "f4"),
        ("i2", "f4", "f4"),
        ("i4", "f4", "f8"),
        ("i8", "u8", "f8"),
        ("f2", "f2", "f2"),
        ("?", "?", "?"),
        ("f8", "c8", "c16"),
        ("f4", "f4", "f4"),
        ("f4", "c8", "c8"),
        ("g", "f4", "g"),
        ("G", "f4", "G"),
        ("O", "i8", "O"),
    ],
)
def test_the_type_of_the_result_is_numpys(x, kernel, result):
    for function in (fastconv.convolve1d, fastconv.correlate1d):
        made = function(np.ones(3, x), np.ones(2, kernel))
        assert made.dtype == np.dtype(result)
        assert made.tolist() == [1, 2, 2, 1] if result != "?" else [True] * 4


def test_lists_are_numpys_integers_and_floats():
    assert fastconv.convolve([1, 2], [3]).dtype == np.array([1]).dtype
    assert fastconv.convolve([1, 2], [3.0]).dtype == np.float64


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_integers_wrap(dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    for shape, taps in (((60,), (9,)), ((9, 40), (4, 5))):
        x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        kernel = rng.integers(info.min, info.max, taps, dtype, endpoint=True)
        check(fastconv.convolve, x, kernel, "full", expect=expected(x, kernel))


def test_integers_wrap_as_in_numpy():
    assert fastconv.convolve1d(np.array([100] * 3, np.int8), np.array([2] * 3, np.int8)).tolist() == [
        -56, -112, 88, -112, -56,
    ]  # fmt: skip
    assert fastconv.convolve1d([2**62], [4]).tolist() == [0]


@pytest.mark.parametrize(("x_dtype", "kernel_dtype"), [("u1", "i4"), ("i1", "u2"), ("u4", "i8"), ("i2", "u4")])
def test_integers_of_different_sizes_keep_their_sign(x_dtype, kernel_dtype):
    x = np.array([np.iinfo(x_dtype).min, np.iinfo(x_dtype).max, 3], x_dtype)
    kernel = np.array([np.iinfo(kernel_dtype).min, np.iinfo(kernel_dtype).max, 1], kernel_dtype)
    check(fastconv.convolve1d, x, kernel, expect=expected(x, kernel))
    check(fastconv.convolve1d, kernel, x, expect=expected(kernel, x))


@pytest.mark.parametrize(("x_dtype", "kernel_dtype"), [("i8", "f8"), ("u8", "f8"), ("i4", "f4"), ("u2", "f4")])
def test_integers_become_floats_as_in_numpy(x_dtype, kernel_dtype):
    info = np.iinfo(x_dtype)
    x = np.array([info.min, info.max, info.max // 3, 5], x_dtype)
    kernel = np.array([1.0], kernel_dtype)
    check(fastconv.convolve1d, x, kernel, expect=x.astype(np.result_type(x, kernel)))


def test_bools_are_the_or_of_ands():
    x, kernel = np.array([1, 0, 0, 1], bool), np.array([1, 1], bool)
    assert fastconv.convolve1d(x, kernel).tolist() == [True, True, False, True, True]
    # 65,536 of 65,536 are as true as one: the count does not wrap to nothing.
    assert fastconv.convolve1d(np.ones(65536, bool), np.ones(65536, bool), "valid").tolist() == [True]
    # Any byte but 0 is true.
    odd = np.array([2, 0, 128], np.uint8).view(bool)
    assert fastconv.convolve1d(odd, np.array([True])).tolist() == [True, False, True]
    assert fastconv.convolve1d(odd, np.array([1.5])).tolist() == [1.5, 0, 1.5]


def test_half_precision_is_computed_in_single_and_rounded_once():
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal(200).astype("f2"), rng.standard_normal(31).astype("f2")
    single = fastconv.convolve1d(x.astype("f4"), kernel.astype("f4"))
    check(fastconv.convolve1d, x, kernel, expect=single.astype("f2"))
    assert fastconv.convolve1d(np.array([60000], "f2"), np.array([2], "f2"))[0] == np.inf


def test_single_precision_stays_single():
    # 2**24 + 1 is no float32: a sum in double would give it back.
    x, kernel = np.array([2.0**24, -(2.0**24), 1], "f4"), np.ones(3, "f4")
    total = fastconv.convolve1d(x, kernel, "valid")
    assert total.dtype == np.float32
    assert total[0] == 0


def test_fractions_and_decimals_are_exact():
    x = [Fraction(1, 3), Fraction(2, 7), Fraction(-5, 11), Fraction(3)]
    kernel = [Fraction(1, 2), Fraction(-3, 5), Fraction(8, 9)]
    for mode in ("full", "same", "valid"):
        for boundary in ("zero", "fill", "nearest", "reflect", "mirror", "wrap"):
            fill = Fraction(1, 13) if boundary == "fill" else 0
            for ours, literal in (
                (fastconv.convolve1d, reference.convolve1d),
                (fastconv.correlate1d, reference.correlate1d),
            ):
                result = ours(np.array(x), kernel, mode, boundary=boundary, fill_value=fill)
                assert result.tolist() == literal(x, kernel, mode, boundary, fill)
    image = [x, x[::-1], x]
    assert fastconv.convolve2d(image, [kernel[:2]], "same").tolist() == reference.convolve2d(
        image, [kernel[:2]], "same"
    )
    assert fastconv.convolve([Decimal("0.1")], [Decimal("0.2")]).tolist() == [Decimal("0.02")]
    assert fastconv.convolve([10**30], [10**30, 1]).tolist() == [10**60, 10**30]


def test_long_doubles():
    x, kernel = np.array([1, 2, 3], np.longdouble) / 3, np.array([1, -1], np.longdouble) / 7
    check(fastconv.convolve1d, x, kernel, expect=np.convolve(x, kernel))
    image = np.outer(x, x)
    expect = expected(np.arange(9.0).reshape(3, 3), np.ones((2, 2)), "same", "reflect").astype(np.longdouble)
    ninths = np.arange(9, dtype=np.longdouble).reshape(3, 3)
    check(fastconv.convolve2d, ninths, np.ones((2, 2)), "same", boundary="reflect", expect=expect)
    assert fastconv.convolve2d(image, image[:1, :1]).dtype == np.longdouble


def test_a_real_kernel_leaves_the_parts_of_a_complex_signal_apart():
    x = np.array([complex(1, np.inf), 2.0])
    result = fastconv.convolve1d(x, np.array([2.0]))
    assert result.real.tolist() == [2, 4]
    assert result.imag.tolist() == [np.inf, 0]


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_rounding_is_within_the_bound_that_the_documentation_states(dtype):
    rng = np.random.default_rng(3)
    for shape, taps in (((500,), (101,)), ((60, 70), (11, 13))):
        x, kernel = rng.standard_normal(shape), rng.standard_normal(taps)
        if dtype in ("c8", "c16"):
            x, kernel = x + 1j * rng.standard_normal(shape), kernel + 1j * rng.standard_normal(taps)
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        eps = np.finfo(dtype).eps
        exact = expected(x, kernel, "same")
        # A complex product is two real ones for each part.
        count = kernel.size * (2 if kernel.dtype.kind == "c" else 1)
        bound = count * eps * expected(np.abs(x), np.abs(kernel), "same")
        check(fastconv.convolve, x, kernel, "same", expect=exact.astype(dtype), tolerance=bound)
        # And not only just: errors of single operations mostly cancel.
        error = np.abs(fastconv.convolve(x, kernel, "same") - exact)
        assert np.all(error <= bound / np.sqrt(count) + eps * np.abs(exact))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_against_exact_fractions(dtype):
    rng = np.random.default_rng(4)
    x, kernel = rng.standard_normal(40).astype(dtype), rng.standard_normal(7).astype(dtype)
    exact = reference.convolve1d([Fraction(float(v)) for v in x], [Fraction(float(v)) for v in kernel])
    size = reference.convolve1d([abs(Fraction(float(v))) for v in x], [abs(Fraction(float(v))) for v in kernel])
    eps = Fraction(float(np.finfo(dtype).eps))
    for value, right, scale in zip(fastconv.convolve1d(x, kernel), exact, size):
        assert abs(Fraction(float(value)) - right) <= len(kernel) * eps * scale / 2


def test_rounded_is_modulo_a_power_of_two():
    assert rounded(np.array([300, -1], object), "u1").tolist() == [44, 255]
    assert rounded(np.array([300, -200], object), "i1").tolist() == [44, 56]


@pytest.mark.parametrize("order", ["C", "F", "reversed lines", "every other"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8", "c8", "c16"])
def test_every_height_and_width_of_a_block_is_packed_alike(dtype, order):
    """Squares and vectors of several sizes, the last of which slide back, from either byte order."""
    rng = np.random.default_rng(1)
    lanes = processor().vector_bytes // np.dtype(dtype).itemsize
    sizes = sorted({1, 2, 7, 15, 16, 17, 31, 33, 34, 66, lanes - 1 or 1, lanes, lanes + 1, 2 * lanes + 3})
    kernel = np.array([[1, 2], [3, 4]], dtype)
    for height in sizes:
        for width in sizes:
            x = rng.integers(0, 50, (height, width)).astype(dtype)
            expect = fastconv.convolve2d(x, kernel, "full", method="direct")
            for code in ("=", "S"):
                other = x.astype(x.dtype.newbyteorder(code), order="F" if order == "F" else "C")
                if order == "reversed lines":
                    other = np.ascontiguousarray(other[:, ::-1])[:, ::-1]
                elif order == "every other":
                    other = np.repeat(other, 2, axis=1)[:, ::2]
                result = fastconv.convolve2d(other, kernel, "full", method="direct")
                np.testing.assert_array_equal(result, expect, f"{height} x {width}, {code}")
