"""`fastconv.compat.numpy` against NumPy."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fastconv._runtime.instrumentation import observed
from fastconv.compat import numpy as fnp
from fastconv.compat._unsupported import Unsupported
from tests.compat.signatures import parameters
from tests.oracle import DTYPES, OddText, check, whole_numbers

MODES = ("full", "same", "valid")
PAIRS = [(getattr(fnp, name), getattr(np, name)) for name in fnp.__all__]
both = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=fnp.__all__)


@both
def test_signatures_equal_numpy(ours, theirs):
    assert parameters(ours) == parameters(theirs)
    assert ours.__name__ == theirs.__name__


@both
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["i8", "c16"])
def test_lengths_and_alignment_equal_numpy(ours, theirs, mode, dtype):
    rng = np.random.default_rng(1)
    for n in range(1, 9):
        for m in range(1, 9):
            a, v = whole_numbers(rng, n, dtype), whole_numbers(rng, m, dtype)
            check(ours, a, v, mode, expect=theirs(a, v, mode))


@both
@pytest.mark.parametrize("x_dtype", [*DTYPES, "g", "G", ">i2", ">f8", ">c16"])
def test_types_equal_numpy(ours, theirs, x_dtype):
    rng = np.random.default_rng(2)
    for kernel_dtype in [*DTYPES, "g", "G", ">u4", ">c8"]:
        for n, m in ((7, 4), (4, 7), (40, 3)):
            a, v = whole_numbers(rng, n, x_dtype), whole_numbers(rng, m, kernel_dtype)
            for mode in MODES:
                check(ours, a, v, mode, expect=theirs(a, v, mode))


@both
def test_accepts_every_layout(ours, theirs):
    rng = np.random.default_rng(3)
    a, v = whole_numbers(rng, 60, "f8"), whole_numbers(rng, 24, "f8")
    a.flags.writeable = v.flags.writeable = False
    for mode in MODES:
        for x, kernel in ((a[::3], v[::-2]), (v[::-1], a), (a[5:6], v[:1]), (a.reshape(10, 6)[:, 2], v[7:])):
            check(ours, x, kernel, mode, expect=theirs(x, kernel, mode))


@both
@pytest.mark.parametrize("mode", MODES)
def test_rounding_errors_are_as_small_as_those_of_numpy(ours, theirs, mode):
    rng = np.random.default_rng(4)
    for n, m, dtype in ((300, 40, "f4"), (31, 500, "f8"), (5000, 900, "f8"), (100, 5, "c8")):
        a, v = rng.standard_normal((2, max(n, m))).astype(dtype)
        a, v = a[:n], v[:m]
        expect = theirs(a, v, mode)
        bound = 4 * min(n, m) * np.finfo(dtype).eps * np.convolve(abs(a), abs(v)).max()
        check(ours, a, v, mode, expect=expect, tolerance=bound)


def test_small_results_next_to_large_ones_keep_their_precision():
    tail = 0.5 ** np.arange(2000)
    result, expect = fnp.convolve(tail, tail), np.convolve(tail, tail)
    normal = expect > 1e-280
    np.testing.assert_allclose(result[normal], expect[normal], rtol=1e-12)
    tail[1::2] *= -1
    result, expect = fnp.convolve(tail, tail), np.convolve(tail, tail)
    np.testing.assert_allclose(result[normal], expect[normal], rtol=1e-12)
    whole = np.random.default_rng(5).integers(-9, 9, 5000).astype(float)
    assert (fnp.convolve(whole, whole) == np.convolve(whole, whole)).all()


@both
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8"])
def test_long_operands_of_one_sign_are_transformed_in_double(ours, theirs, mode, dtype):
    rng = np.random.default_rng(7)
    decay = np.exp(-np.arange(20_000) / 40)  # to 1e-217
    for n, m in ((20_000, 7000), (7000, 20_000), (40_000, 3000)):
        for signs in ((1, 1), (1, -1)):
            a, v = (sign * rng.random(size) for sign, size in zip(signs, (n, m)))
            if dtype == "f8":
                v *= decay[:m]
                a[1000:] *= 1e-30
            a, v = a.astype(dtype), v.astype(dtype)
            with observed() as events:
                found = ours(a, v, mode)
            assert "fft" in {event.name for event in events}
            expect = theirs(a.astype("f8"), v.astype("f8"), mode)
            assert found.dtype == np.result_type(a, v)
            rounding = np.finfo(found.dtype).eps
            assert (np.abs(found - expect) <= (2.3e-10 + rounding) * np.abs(expect)).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_long_operands_of_both_signs_and_of_whole_numbers_are_summed(dtype):
    rng = np.random.default_rng(8)
    positive, mixed = rng.random(9000).astype(dtype), rng.standard_normal(9000).astype(dtype)
    counts = rng.integers(0, 1000, 9000).astype(dtype)
    missing = positive.copy()
    missing[70] = np.nan
    for a, v in ((positive, mixed), (mixed, positive), (missing, positive), (positive, missing), (counts, counts)):
        with observed() as events:
            found = fnp.convolve(a, v, "same")
        assert "fft" not in {event.name for event in events}
        expect = np.convolve(a.astype("f8"), v.astype("f8"), "same")
        bound = 9000 * np.finfo(dtype).eps * np.convolve(abs(a).astype("f8"), abs(v).astype("f8"), "same")
        missed = np.isnan(expect)
        np.testing.assert_array_equal(np.isnan(found), missed)
        assert (np.abs(found - expect)[~missed] <= bound[~missed]).all()
    if dtype == "f8":
        assert (fnp.convolve(counts, counts) == np.convolve(counts.astype("i8"), counts.astype("i8"))).all()


def test_float16_is_rounded_once():
    a, v = np.random.default_rng(6).standard_normal((2, 50)).astype("f2")
    result = fnp.convolve(a, v)
    exact = np.convolve(a.astype("f8"), v.astype("f8"))
    assert result.dtype == np.float16
    assert (abs(result - exact) <= np.spacing(abs(exact).astype("f2"))).all()
    assert abs(result - exact).max() <= abs(np.convolve(a, v) - exact).max()


@both
def test_non_finite_values_do_not_spread(ours, theirs):
    for bad in (np.nan, np.inf, -np.inf):
        for a, v in (([1, bad, 1, 1, 1], [1, 1]), ([1, 2, 3, 4], [1, bad, 0]), ([bad, 0, bad, 1], [0, 1, 2, 3, 4])):
            for mode in MODES:
                with np.errstate(all="ignore"):
                    expect = theirs(a, v, mode)
                np.testing.assert_array_equal(ours(a, v, mode), expect)


@both
def test_integers_wrap_as_in_numpy(ours, theirs):
    for dtype in "i1 u1 i2 u2 i4 u4 i8 u8".split():
        limits = np.iinfo(dtype)
        a, v = np.array([limits.max, limits.min, 100, 3], dtype), np.array([limits.max, 7, 2], dtype)
        for mode in MODES:
            check(ours, a, v, mode, expect=theirs(a, v, mode))
    assert fnp.convolve([2**62], [4]).tolist() == [0]


@both
@pytest.mark.parametrize("number", [Fraction, Decimal, lambda n: 10**30 + n])
def test_objects_equal_numpy(ours, theirs, number):
    a, v = [number(n) for n in range(5)], [number(n) for n in (3, 1, 2)]
    for mode in MODES:
        for x, kernel in ((a, v), (v, a)):
            result, expect = ours(np.array(x, object), kernel, mode), theirs(np.array(x, object), kernel, mode)
            assert result.dtype == object
            assert result.tolist() == expect.tolist()


@both
def test_complex_objects_equal_numpy(ours, theirs):
    a, v = np.array([1j, 2, 3 + 1j], object), np.array([1, 1j, 2j, 4, 5], object)
    for mode in MODES:
        for x, kernel in ((a, v), (v, a), (a, v.astype(complex)), (v.astype(complex), a)):
            assert ours(x, kernel, mode).tolist() == theirs(x, kernel, mode).tolist()


@both
def test_objects_are_not_conjugated(ours, theirs):
    class Number:  # one that has no conjugate
        def __init__(self, value):
            self.value = value

        def __mul__(self, other):
            return Number(self.value * getattr(other, "value", other))

        def __add__(self, other):
            return Number(self.value + getattr(other, "value", other))

        __rmul__, __radd__ = __mul__, __add__

    a = np.array([Number(n) for n in (1j, 2, 3 + 1j)])
    v = np.array([Number(n) for n in (1, 1j, 2j, 4, 5)])
    for mode in MODES:
        for x, kernel in ((a, v), (v, a), (a, np.array([1, 2.0]))):
            result, expect = ours(x, kernel, mode), theirs(x, kernel, mode)
            assert [number.value for number in result] == [number.value for number in expect]


def test_accepts_sequences_and_scalars():
    assert fnp.convolve(3, 4).tolist() == np.convolve(3, 4).tolist() == [12]
    assert fnp.convolve([1, 2], 2.5).tolist() == [2.5, 5]
    assert fnp.convolve(range(3), (1, True)).tolist() == np.convolve(range(3), (1, True)).tolist()
    assert fnp.convolve(np.float32(2), np.ones(2, "f4")).dtype == np.float32

    class HasArray:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3.0)

    assert fnp.convolve(HasArray(), [1, 1]).tolist() == [0, 1, 3, 2]
    assert type(fnp.convolve(np.ma.masked_array([1, 2]), [1])) is np.ndarray


@both
def test_modes_equal_numpy(ours, theirs):
    a, v = np.arange(5.0), np.arange(3.0)
    for mode in (0, 1, 2, np.int8(1), np.str_("full"), "same"):
        assert ours(a, v, mode).tolist() == theirs(a, v, mode).tolist()
    for mode in ("bad", "Same", "f", "v", "", 3, -1, None, b"same", 1.0, True, False, np.True_, [1], ("full",)):
        with pytest.raises((ValueError, TypeError, DeprecationWarning)) as expect:
            theirs(a, v, mode)
        with pytest.raises((ValueError, TypeError), match="mode") as error:
            ours(a, v, mode)
        # Modes that an older NumPy accepts with a deprecation warning are refused.
        assert type(error.value) is type(expect.value) or expect.type is DeprecationWarning
    assert ours(a, v, mode=2).tolist() == ours(a, v=v, mode="full").tolist()
    assert ours(a, v, 1).tolist() == ours(a, v, "same").tolist()  # although True is refused


@both
def test_modes_may_be_subclasses_of_str(ours, theirs):
    assert ours([1, 2, 3], [1, 10], OddText("same")).tolist() == theirs([1, 2, 3], [1, 10], "same").tolist()


@both
@pytest.mark.parametrize(
    ("a", "v"),
    [([], [1]), ([1], []), ([], []), ([[1, 2]], [1]), ([1], [[1, 2]]), ([[]], [1]), (np.zeros((0, 2)), [1])]
    + [(["a"], [1]), ([1, 2], [b"x"]), ([[1, 2], [3]], [1]), ([1, 2], np.array(["a", None])), ([object()], [1])],
)
def test_errors_equal_numpy(ours, theirs, a, v):
    with pytest.raises((ValueError, TypeError)) as expect:
        theirs(a, v)
    with pytest.raises((ValueError, TypeError)) as error:
        ours(a, v)
    assert type(error.value) is type(expect.value)


def test_correlate_refuses_scalars():
    for a, v in ((3, 4), ([1], 4), (3, [4])):
        with pytest.raises(ValueError, match="dimension"):
            fnp.correlate(a, v)
        with pytest.raises(ValueError, match="small depth"):
            np.correlate(a, v)


def test_empty_arguments_raise_errors_that_name_them():
    for a, v, name in (([], [1, 2], "a"), ([1, 2], [], "v"), ([], [], "a")):
        for function, _ in PAIRS:
            with pytest.raises(ValueError, match=f"^{name} cannot be empty"):
                function(a, v)


@both
def test_arguments_that_only_numpy_supports(ours, theirs):
    class Foreign:
        def __array_function__(self, function, types, args, kwargs):
            return "theirs"

    assert theirs(Foreign(), [1]) == "theirs"
    spans = np.arange(3).astype("m8[s]")
    for a, v in ((Foreign(), [1]), ([1], Foreign()), (spans, spans), ([1.0], spans.astype("M8[s]"))):
        with pytest.raises(Unsupported, match="must"):
            ours(a, v)


@both
def test_random_calls_equal_numpy(ours, theirs):
    rng = np.random.default_rng(7)
    for _ in range(400):
        n, m = rng.integers(1, 60, 2)
        x_dtype, kernel_dtype = rng.choice(DTYPES, 2)
        a, v = whole_numbers(rng, 2 * n, x_dtype)[:: int(rng.choice([-2, 2]))], whole_numbers(rng, m, kernel_dtype)
        mode = str(rng.choice(MODES))
        check(ours, a, v, mode, expect=theirs(a, v, mode))


class Tagged(np.ndarray):
    """An array type with an additional attribute."""

    tag = None

    def __array_finalize__(self, other):
        self.tag = getattr(other, "tag", None)


class HigherPriority(Tagged):
    __array_priority__ = 5.0


def tagged(values, kind):
    array = np.array(values, float).view(kind)
    array.tag = kind.__name__
    return array


OPERANDS = {
    "plain": np.arange(4.0), "list": [1.0, 2.0], "long": np.arange(7.0), "tagged": tagged([1, 2, 3], Tagged),
    "long tagged": tagged(range(6), Tagged), "prior": tagged([1, 2], HigherPriority),
    "masked": np.ma.masked_array(np.arange(4.0), [0, 1, 0, 0]), "record": np.arange(3.0).view(np.recarray),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
@pytest.mark.parametrize("second", OPERANDS)
@pytest.mark.parametrize("first", OPERANDS)
def test_correlate_returns_the_array_type_that_numpy_returns(first, second, mode):
    a, v = OPERANDS[first], OPERANDS[second]
    ours, theirs = fnp.correlate(a, v, mode), np.correlate(a, v, mode)
    assert type(ours) is type(theirs)
    assert getattr(ours, "tag", None) == getattr(theirs, "tag", None)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    np.testing.assert_array_equal(np.ma.getmaskarray(ours), np.ma.getmaskarray(theirs))
