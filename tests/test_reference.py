"""`fastconv.reference` against results computed by hand, and the oracle against `fastconv.reference`."""

import doctest
from fractions import Fraction

import numpy as np
import pytest

from fastconv import reference
from tests.oracle import BOUNDARIES, MODES, exact_at, expected, expected_of_lines, pixels, rounded, sums

SIGNAL = [0, 0, 0, 3, 4, 5, 4, 3, 0, 0]
IMAGE = [[0, 3, 6, 3], [3, 6, 3, 6], [6, 3, 6, 3], [3, 6, 3, 0]]


def test_doctests():
    assert doctest.testmod(reference).failed == 0


@pytest.mark.parametrize(
    ("kernel", "convolved", "correlated"),
    [
        ([1, 0, 0], [0, 0, 3, 4, 5, 4, 3, 0, 0, 0], [0, 0, 0, 0, 3, 4, 5, 4, 3, 0]),
        ([0, 0, 1], [0, 0, 0, 0, 3, 4, 5, 4, 3, 0], [0, 0, 3, 4, 5, 4, 3, 0, 0, 0]),
    ],
)
def test_off_centre_kernel_shifts_a_signal(kernel, convolved, correlated):
    assert reference.convolve1d(SIGNAL, kernel, "same") == convolved
    assert reference.correlate1d(SIGNAL, kernel, "same") == correlated


def test_asymmetric_kernel_shifts_and_blurs():
    kernel = [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)]
    # By hand: correlated, sample o is 0.8 f[o-1] + 0.1 f[o] + 0.1 f[o+1].
    tenths = [10 * v for v in reference.correlate1d(SIGNAL, kernel, "same")]
    assert tenths == [0, 0, 3, 7, 33, 41, 47, 35, 24, 0]
    tenths = [10 * v for v in reference.convolve1d(SIGNAL, kernel, "same")]
    assert tenths == [0, 0, 24, 35, 47, 41, 33, 7, 3, 0]


def test_full_same_and_valid_of_a_4x4_image():
    kernel = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    valid = reference.convolve2d(IMAGE, kernel, "valid")
    same = reference.convolve2d(IMAGE, kernel, "same")
    full = reference.convolve2d(IMAGE, kernel, "full")
    assert valid == [[3 + 3 + 3 + 3 - 24, 6 + 6 + 6 + 6 - 12], [6 + 6 + 6 + 6 - 12, 3 + 3 + 3 + 3 - 24]]
    assert [len(valid), len(same), len(full)] == [2, 4, 6]
    # Each is the middle of the next, and full is valid of the image padded by two zeros on each side.
    assert valid == [row[1:3] for row in same[1:3]]
    assert same == [row[1:5] for row in full[1:5]]
    around = [[0] * 8] * 2 + [[0, 0, *row, 0, 0] for row in IMAGE] + [[0] * 8] * 2
    assert full == reference.convolve2d(around, kernel, "valid")


def test_convolution_flips_both_axes_of_the_kernel():
    impulse = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    kernel = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert reference.convolve2d(impulse, kernel, "same") == kernel
    assert reference.correlate2d(impulse, kernel, "same") == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]


def test_correlation_conjugates_the_kernel():
    assert reference.correlate1d([1, 2], [1j, 2j, 3j]) == [-3j, -8j, -5j, -2j]
    assert reference.correlate2d([[1 + 1j]], [[1j, 2]]) == [[2 + 2j, 1 - 1j]]


@pytest.mark.parametrize(
    ("boundary", "result"),
    [
        ("zero", [12, 123, 234, 340]),
        ("fill", [912, 123, 234, 349]),
        ("nearest", [112, 123, 234, 344]),
        ("reflect", [112, 123, 234, 344]),
        ("mirror", [212, 123, 234, 343]),
        ("wrap", [412, 123, 234, 341]),
    ],
)
def test_boundaries(boundary, result):
    # Each decimal digit belongs to one tap: hundreds to the sample before, units to the one after.
    fill = 9 if boundary == "fill" else 0
    assert reference.convolve1d([1, 2, 3, 4], [1, 10, 100], "same", boundary, fill) == result
    assert reference.convolve2d([[1, 2, 3, 4]], [[1, 10, 100]], "same", boundary, fill) == [result]
    column = reference.convolve2d([[1], [2], [3], [4]], [[1], [10], [100]], "same", boundary, fill)
    assert column == [[v] for v in result]


@pytest.mark.parametrize(
    ("boundary", "letters"),
    [
        ("nearest", "aaaaaaabcddddddd"),
        ("reflect", "bcddcbaabcddcbaa"),
        ("mirror", "abcdcbabcdcbabcd"),
        ("wrap", "cdabcdabcdabcdab"),
    ],
)
def test_boundaries_extend_a_signal_several_times_its_length(boundary, letters):
    first = {"nearest": -6, "reflect": -7, "mirror": -6, "wrap": -6}[boundary]
    found = [reference.source_index(i, 4, boundary) for i in range(first, first + 16)]
    assert "".join("abcd"[i] for i in found) == letters


def test_boundaries_repeat_a_single_sample():
    for boundary in ("nearest", "reflect", "mirror", "wrap"):
        assert [reference.source_index(i, 1, boundary) for i in range(-3, 4)] == [0] * 7


def test_valid_ignores_the_boundary_and_accepts_a_longer_kernel():
    assert reference.convolve1d([1, 2, 3], [1, 1], "valid", "wrap") == [3, 5]
    assert reference.convolve1d([1, 1], [1, 2, 3], "valid", "wrap") == [3, 5]
    assert reference.convolve2d([[1, 1]], [[1, 2, 3]], "valid") == [[3, 5]]
    with pytest.raises(ValueError, match="must contain the other"):
        reference.convolve2d([[1, 1]], [[1], [1]], "valid")


def test_zero_boundary_omits_terms_and_fill_adds_them():
    inf = float("inf")
    assert reference.convolve1d([1.0, 2.0], [inf, 1.0]) == [inf, inf, 2.0]
    filled = reference.convolve1d([1.0, 2.0], [inf, 1.0], "full", "fill", 0.0)
    assert filled[:2] == [inf, inf]
    assert np.isnan(filled[2])


STEPS = [{"stride": 2}, {"dilation": 2}, {"start": "last"}, {"start": 0, "stride": 3, "dilation": 3}]


def test_strides_dilations_and_starts_by_hand():
    # Each decimal digit belongs to one tap.
    x, kernel = [1, 2, 3, 4, 5, 6], [1, 10, 100]
    assert reference.convolve1d(x, kernel) == [1, 12, 123, 234, 345, 456, 560, 600]
    assert reference.convolve1d(x, kernel, stride=3) == [1, 234, 560]
    assert reference.convolve1d(x, kernel, "same", stride=3) == [12, 345]
    assert reference.convolve1d(x, kernel, "valid", dilation=2) == [135, 246]
    assert reference.convolve1d(x, kernel, "same", dilation=2) == [13, 24, 135, 246, 350, 460]
    for start, first in (("first", 1), ("center", 12), ("last", 123), (4, 345)):
        assert reference.convolve1d(x, kernel, "same", start=start)[0] == first
    assert reference.correlate1d(x, kernel, "valid", dilation=2) == [531, 642]
    assert reference.convolve2d([x], [kernel], "valid", dilation=(7, 2)) == [[135, 246]]
    assert reference.convolve2d([[1], [2], [3]], [[1], [10]], stride=(2, 1), start=(1, 0)) == [[12], [30]]


def test_any_number_of_axes_by_hand():
    cube = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert reference.convolve(cube, [[[1, 10], [100, 1000]]], "valid") == [[[1234]], [[5678]]]
    assert reference.correlate(cube, [[[1, 10]], [[100, 1000]]], "valid") == [[[6521], [8743]]]
    assert reference.correlate([1j], [2j]) == [2]
    assert reference.convolve([[[[3]]]], [[[[5]]]]) == [[[[15]]]]
    assert reference.convolve(cube, [[[1]], [[10]]], ("full", "same", "same")) == [
        [[1, 2], [3, 4]],
        [[15, 26], [37, 48]],
        [[50, 60], [70, 80]],
    ]
    # A missing sample adds nothing, also outside along another axis.
    found = reference.convolve([[1]], [[1, 10], [100, 1000]], boundary=("zero", "fill"), fill_value=7)
    assert found == [[1 + 70, 10 + 7], [100 + 7000, 1000 + 700]]
    with pytest.raises(ValueError, match=r"x must not be empty; got extents \[1, 0\]"):
        reference.convolve([[]], [[1]])


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_one_and_two_axes_are_special_cases(mode, boundary):
    rng = np.random.default_rng(4)
    for steps in [{}, *STEPS[: 2 if mode == "valid" else 4]]:
        x, kernel = rng.integers(-9, 9, 7).tolist(), rng.integers(-9, 9, 3).tolist()
        for name in ("convolve", "correlate"):
            any_axes, one, two = (getattr(reference, f"{name}{axes}") for axes in ("", "1d", "2d"))
            found = one(x, kernel, mode, boundary, 5, **steps)
            assert any_axes(x, kernel, mode, boundary, 5, **steps) == found
            image, taps = rng.integers(-9, 9, (5, 6)).tolist(), rng.integers(-9, 9, (2, 3)).tolist()
            assert any_axes(image, taps, mode, boundary, 5, **steps) == two(image, taps, mode, boundary, 5, **steps)


@pytest.mark.parametrize("boundary", [*BOUNDARIES, ("wrap", "fill", "zero"), ("zero", "mirror", "fill")])
@pytest.mark.parametrize("mode", [*MODES, ("valid", "same", "full")])
@pytest.mark.parametrize("steps", [{}, *STEPS, {"stride": (2, 1, 2), "dilation": (1, 3, 1)}])
def test_the_oracle_equals_the_reference_along_three_axes(mode, boundary, steps):
    rng = np.random.default_rng(5)
    if "start" in steps and "valid" in mode:
        steps = {**steps, "start": (None, "center", 2)}
    for flip, function in ((True, reference.convolve), (False, reference.correlate)):
        x, kernel = rng.integers(-9, 9, (3, 4, 5)), rng.integers(-9, 9, (2, 2, 3))
        by_hand = function(x.tolist(), kernel.tolist(), mode, boundary, 7, **steps)
        assert sums(x, kernel, mode, boundary, 7, flip, **steps).tolist() == by_hand


def test_the_oracle_has_a_kernel_for_each_line():
    rng = np.random.default_rng(6)
    for x_shape, kernel_shape in (((3, 5, 2), (3, 2, 1)), ((1, 5, 2), (3, 2, 2)), ((3, 5, 1), (1, 2, 2))):
        x, kernel = rng.integers(-9, 9, x_shape), rng.integers(-9, 9, kernel_shape)
        found = expected_of_lines(x, kernel, "same", "wrap", axes=[1], stride=2)
        assert found.shape == (3 if 3 in (x_shape[0], kernel_shape[0]) else 1, 3, 2)
        for i, j in np.ndindex(found.shape[0], 2):
            line = x[min(i, x_shape[0] - 1), :, min(j, x_shape[2] - 1)]
            taps = kernel[min(i, kernel_shape[0] - 1), :, min(j, kernel_shape[2] - 1)]
            by_hand = reference.convolve1d(line.tolist(), taps.tolist(), "same", "wrap", stride=2)
            assert found[i, :, j].tolist() == by_hand


def test_invalid_arguments_raise():
    with pytest.raises(ValueError, match="must not be empty; got 0 samples and 1 taps"):
        reference.convolve1d([], [1])
    with pytest.raises(ValueError, match="mode must be 'full', 'same' or 'valid'; got 'Same'"):
        reference.convolve1d([1], [1], "Same")
    with pytest.raises(ValueError, match=r"boundary must be .*; got 'pad'"):
        reference.convolve1d([1], [1, 1], "full", "pad")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("flip", [True, False])
def test_the_oracle_equals_the_reference(mode, boundary, flip):
    rng = np.random.default_rng(1)
    for n in range(1, 6):
        for m in range(1, 7):
            x, kernel = rng.integers(-9, 9, n), rng.integers(-9, 9, m)
            function = reference.convolve1d if flip else reference.correlate1d
            by_hand = function(x.tolist(), kernel.tolist(), mode, boundary, 7)
            assert expected(x, kernel, mode, boundary, 7, flip).tolist() == by_hand
    image, kernel = rng.integers(-9, 9, (4, 3)), rng.integers(-9, 9, (2, 3))
    function = reference.convolve2d if flip else reference.correlate2d
    by_hand = function(image.tolist(), kernel.tolist(), mode, boundary, 7)
    assert expected(image, kernel, mode, boundary, 7, flip).tolist() == by_hand


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_oracle_sums_along_any_axes(boundary):
    rng = np.random.default_rng(2)
    x, kernel = rng.integers(-9, 9, (4, 5, 6)), rng.integers(-9, 9, (3, 2))
    for axes in ((0, 2), (2, 0), (1, 0)):
        found = sums(x, kernel, "full", boundary, 7, axes=axes)
        (batch,) = {0, 1, 2} - {*axes}
        for k in range(x.shape[batch]):
            plane = np.moveaxis(x, axes, (0, 1)).take(k, 2)
            by_hand = reference.convolve2d(plane.tolist(), kernel.tolist(), "full", boundary, 7)
            assert np.moveaxis(found, axes, (0, 1)).take(k, 2).tolist() == by_hand


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kinds", [(float, float), (float, complex), (complex, float), (complex, complex)])
def test_the_oracle_equals_the_reference_for_infinities(kinds, boundary):
    def parts(numbers, part):
        return [getattr(complex(number), part) for number in numbers]

    inf = float("inf")
    x, kernel = [1.0, inf, 3.0, -2.0, 5.0], [inf, 1.0, -4.0]
    x, kernel = (list(map(kind, values)) for kind, values in zip(kinds, (x, kernel)))
    found = sums(np.array(x), np.array(kernel), "same", boundary, 2)
    by_parts = {
        (one, other): reference.convolve1d(parts(x, one), parts(kernel, other), "same", boundary, 2 * (one == "real"))
        for one in ("real", "imag")[: 1 + (kinds[0] is complex)]
        for other in ("real", "imag")[: 1 + (kinds[1] is complex)]
    }
    with np.errstate(invalid="ignore"):
        real = np.subtract(by_parts["real", "real"], by_parts.get(("imag", "imag"), 0))
        imag = np.add(by_parts.get(("real", "imag"), 0), by_parts.get(("imag", "real"), 0))
    np.testing.assert_array_equal(found.real, real)
    np.testing.assert_array_equal(found.imag, np.broadcast_to(imag, real.shape))


def test_sums_beyond_64_bits_are_exact_and_wrap():
    x, kernel = np.full(5, 2**63 - 1), np.full(3, 2**62)
    by_hand = reference.convolve1d(x.tolist(), kernel.tolist())
    assert sums(x, kernel).tolist() == by_hand
    assert expected(x, kernel).tolist() == [(value + 2**63) % 2**64 - 2**63 for value in by_hand]
    assert rounded(np.array([300, -1], object), "u1").tolist() == [44, 255]


@pytest.mark.parametrize("boundary", BOUNDARIES[2:])
def test_exact_outputs_are_those_of_the_reference_in_fractions(boundary):
    rng = np.random.default_rng(3)
    x, kernel = rng.standard_normal((4, 5)), rng.standard_normal((2, 3))
    rows = [[[Fraction(value) for value in row] for row in array.tolist()] for array in (x, kernel)]
    by_hand = reference.convolve2d(*rows, "same", boundary)
    sizes = reference.convolve2d(
        *([[abs(value) for value in row] for row in array] for array in rows), "same", boundary
    )
    for place in np.ndindex(x.shape):
        assert exact_at(place, x, kernel, "same", boundary) == (by_hand[place[0]][place[1]], sizes[place[0]][place[1]])


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (2, 0.5), (-4, 100), (3, 0), (0.25, -50)])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4"])
def test_pixels_are_rounded_half_to_even_and_saturated(dtype, scale, offset):
    limits = np.iinfo(dtype)
    for unit in (1, 4, 256):
        found = np.arange(-3000, 3000) / unit
        exact = [Fraction(value) / Fraction(scale) + Fraction(offset) for value in found.tolist()]
        by_hand = [min(max(round(value), limits.min), limits.max) for value in exact]
        assert pixels(found, dtype, scale, offset).tolist() == by_hand
        np.testing.assert_array_equal(pixels(found, "f8", scale, offset), [float(value) for value in exact])


NAN = float("nan")
HALF = Fraction(1, 2)


def test_normalized_sums_by_hand():
    # Out of 1/4, 1/2, 1/4: the taps that are known, and the share of them that is asked for.
    taps = [Fraction(1, 4), HALF, Fraction(1, 4)]
    x = [1, 2, NAN, 1, 2]
    results, shares = reference.normalized_convolve1d(x, taps, "same", nan="ignore")
    assert shares == [Fraction(3, 4)] * 2 + [HALF] + [Fraction(3, 4)] * 2
    assert results == [Fraction(4, 3), Fraction(5, 3), Fraction(3, 2), Fraction(4, 3), Fraction(5, 3)]
    results, _ = reference.normalized_convolve1d(x, taps, "same", nan="ignore", min_weight=HALF)
    assert results == [Fraction(4, 3), Fraction(5, 3), None, Fraction(4, 3), Fraction(5, 3)]
    # A border of zeros that are known, and a border that repeats a sample, NaN too.
    results, _ = reference.normalized_convolve1d(x, taps, "same", "fill", nan="ignore")
    assert results == [1, Fraction(5, 3), Fraction(3, 2), Fraction(4, 3), Fraction(5, 4)]
    results, _ = reference.normalized_convolve1d([NAN, 2, 3], taps, "same", "nearest", nan="ignore")
    assert results == [2, Fraction(7, 3), Fraction(11, 4)]
    # A kernel of both signs: the numerator over the known share of 2.
    results, shares = reference.normalized_convolve1d([1, 4, NAN], [HALF, 0, -HALF], normalize=False, nan="ignore")
    assert (results, shares) == ([1, 4, -1, -4, None], [HALF, HALF, HALF, HALF, 0])
    with pytest.raises(ZeroDivisionError):
        reference.normalized_convolve1d([1, 4, 3], [1, -1], "valid")


def test_weights_scale_alike_and_hide_what_they_are_0_for():
    x, weights = [3, NAN, float("inf"), 5], [1, 0, 0, HALF]
    results, shares = reference.normalized_convolve1d(x, [1, 1], weights=weights)
    assert results == [6, 6, None, 10, 10]
    assert shares == [HALF, HALF, 0, Fraction(1, 4), Fraction(1, 4)]
    halves = [weight * HALF for weight in weights]
    assert reference.normalized_convolve1d(x, [1, 1], weights=halves)[0] == results


def test_an_image_with_weights_is_that_of_its_rows_for_a_kernel_of_one_row():
    image, weights = [[1, 2, 4], [5, 7, 3]], [[1, HALF, 0], [0, 1, 1]]
    found, shares = reference.normalized_convolve2d(image, [[1, 3]], "same", weights=weights)
    for line, line_weights, line_found, line_shares in zip(image, weights, found, shares):
        expect = reference.normalized_convolve1d(line, [1, 3], "same", weights=line_weights)
        assert (line_found, line_shares) == expect
    transposed = [[*column] for column in zip(*image)], [[*column] for column in zip(*weights)]
    turned, _ = reference.normalized_convolve2d(transposed[0], [[1], [3]], "same", weights=transposed[1])
    assert [[*column] for column in zip(*turned)] == found


def test_strings_are_refused():
    for x, kernel, name in (("ab", [1], "x"), ([["ab"]], [[1]], "x"), ([1, 2], "a", "kernel")):
        with pytest.raises(TypeError, match=f"{name} must hold numbers; got a string"):
            reference.convolve(x, kernel)
