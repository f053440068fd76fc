"""The choice of a method by ``method="auto"``, and plans."""

import copy
import dataclasses
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

import fastconv
from fastconv import kernels
from fastconv._engines.spectra import fft_tables, overlap_save_tiling
from fastconv._planning import method_choice, plans
from fastconv._planning.pictures import picture_plans
from fastconv._runtime.instrumentation import forced, observed
from fastconv.compat import patch
from tests import oracle
from tests.sample_calls import succeed


def noise(shape, dtype="f4", seed=1):
    values = np.random.default_rng(seed).standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * np.random.default_rng(seed + 1).standard_normal(shape)
    return values.astype(dtype)


def close(result, wanted, taps):
    """Check equality within some rounding errors of the largest values."""
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
        (np.outer(np.arange(1, 16), np.arange(1, 10)).astype("i4"), (1000, 1000), "separable"),
        (np.arange(225).reshape(15, 15) % 7, (1000, 1000), "fft"),
        (np.arange(9).reshape(3, 3), (1000, 1000), "direct"),
        (np.arange(225, dtype="i2").reshape(15, 15) % 7, (1000, 1000), "direct"),
        (np.arange(1369, dtype="u1").reshape(37, 37) % 7, (1000, 1000), "fft"),
        (noise((63, 63)) > 0, (1000, 1000), "direct"),
        (noise(5), (1000,), "direct"),
        (noise(3001), (1_000_000,), "fft"),
        (noise((63, 63)), (8, 8), "direct"),
        (noise((3, 3), "g"), (100, 100), "direct"),
    ],
)
def test_auto_chooses_the_expected_method(kernel, shape, method):
    plan = fastconv.plan(kernel, shape, mode="same")
    assert plan.method == method
    assert method in repr(plan)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_requested_method_is_used(method):
    plan = fastconv.plan(kernels.gaussian(1), (100, 100), mode="same", method=method)
    assert plan.method == method
    assert "as asked for" in repr(plan)


def test_repr_has_the_estimates():
    text = repr(fastconv.plan(kernels.gaussian(3), (2048, 2048), mode="same"))
    assert "separable" in text
    assert "direct" in text
    assert "ms" in text


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "f2"])
@pytest.mark.parametrize("size", [63, 16])
@pytest.mark.parametrize("boundary", oracle.BOUNDARIES)
def test_auto_equals_direct_within_rounding(dtype, size, boundary):
    x = noise((300, 310), dtype)
    fill = 2 if boundary == "fill" else 0
    options = {"boundary": boundary, "fill_value": fill}
    for kernel in (noise((size, size - 5), dtype), np.outer(noise(size), noise(size - 1)).astype(dtype)):
        wanted = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
        close(fastconv.convolve2d(x, kernel, "same", **options), wanted, kernel.size)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i4", "u8"])
def test_auto_is_exact_for_integers(dtype):
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
def test_non_finite_values_do_not_spread(bad, kernel, boundary):
    x = noise((500, 500))
    x[100, 490] = bad
    x[400, 3] = bad
    wanted = fastconv.convolve2d(x, kernel, "same", boundary=boundary, method="direct")
    result = fastconv.convolve2d(x, kernel, "same", boundary=boundary)
    finite = np.isfinite(wanted)
    assert np.array_equal(np.isfinite(result), finite)
    assert np.array_equal(result[~finite], wanted[~finite], equal_nan=True)
    close(result[finite], wanted[finite], kernel.size)


def test_small_values_next_to_large_ones_keep_their_precision():
    x = np.array([0.0] * 2000 + [10.0 ** (9 * i) for i in range(10)])
    kernel = np.array([0.25, 0.5, 0.25])
    result = fastconv.convolve(x, kernel)
    wanted = np.convolve(x, kernel)
    assert np.allclose(result, wanted, rtol=1e-15, atol=0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_do_not_depend_on_workers(workers):
    x = noise((700, 800))
    for kernel in (noise((35, 35)), kernels.gaussian(2), noise((7, 7))):
        assert np.array_equal(fastconv.convolve2d(x, kernel, workers=workers), fastconv.convolve2d(x, kernel))


# ---------------------------------------------------------------------------------------- zeros around the kernel


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i4"])
@pytest.mark.parametrize("boundary", oracle.BOUNDARIES)
@pytest.mark.parametrize("correlate", [False, True])
def test_zeros_around_a_kernel_are_trimmed(dtype, boundary, correlate):
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
def test_trimmed_large_kernels_fill_all_outputs(mode, corner, correlate):
    x, kernel = noise((300, 310), "f8"), np.zeros((200, 200))
    kernel[corner[0] : corner[0] + 100, corner[1] : corner[1] + 100] = noise((100, 100), "f8")
    plan = fastconv.plan(kernel, x.shape, mode=mode, correlate=correlate)
    assert plan.method == "fft"
    function = fastconv.correlate2d if correlate else fastconv.convolve2d
    wanted = function(x, kernel, mode, method="direct")
    out = np.full(plan.out_shape, 1e300)
    close(plan(x, out), wanted, 100 * 100)


def test_trimmed_long_kernels_fill_all_outputs():
    x, kernel = noise((3, 5000), "f8"), np.zeros(4000)
    kernel[3000:] = noise(1000, "f8")
    for mode in oracle.MODES:
        plan = fastconv.plan(kernel, x.shape, mode=mode)
        assert plan.method == "fft"
        wanted = fastconv.convolve1d(x, kernel, mode, method="direct")
        close(plan(x, np.full(plan.out_shape, 1e300)), wanted, 1000)


def test_infinite_fill_value_times_zero_taps_is_nan():
    x, kernel = noise((200, 200), "f8"), np.pad(noise((5, 5), "f8"), 18)
    options = {"boundary": "fill", "fill_value": np.inf}
    wanted = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
    assert np.array_equal(np.isnan(fastconv.convolve2d(x, kernel, "same", **options)), np.isnan(wanted))


def test_zeros_around_a_1d_kernel():
    kernel = np.zeros(2001)
    kernel[1500:1503] = 1, 2, 3
    x = oracle.whole_numbers(np.random.default_rng(6), 50_000, "f8")
    assert np.array_equal(fastconv.convolve(x, kernel), np.convolve(x, kernel))


def test_kernel_of_zeros():
    x = noise((400, 400))
    assert not fastconv.convolve2d(x, np.zeros((30, 30), "f4"), "same").any()


def test_zero_taps_times_infinity_are_nan():
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
def test_plan_equals_the_function(kernel_shape, mode, correlate, x_dtype, kernel_dtype):
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


def test_plan_along_given_axes():
    rng = np.random.default_rng(8)
    x = oracle.whole_numbers(rng, (40, 30, 20), "f4")
    kernel = oracle.whole_numbers(rng, (3, 4), "f4")
    wanted = fastconv.convolve2d(x, kernel, axes=(2, 0))
    assert np.array_equal(fastconv.plan(kernel, x.shape, axes=(2, 0))(x), wanted)
    line = kernel[0]
    assert np.array_equal(fastconv.plan(line, x.shape, axes=1)(x), fastconv.convolve1d(x, line, axis=1))
    assert np.array_equal(fastconv.plan(line, x.shape, axes=(1,))(x), fastconv.convolve1d(x, line, axis=1))


@pytest.mark.parametrize("axes", [(0, 1), [0, 1], np.array([0, 1]), (-3, -2)])
def test_plan_accepts_axes_as_any_sequence(axes):
    x = noise((9, 8, 2))
    wanted = fastconv.convolve2d(x, np.ones((2, 3), "f4"), axes=(0, 1))
    assert np.array_equal(fastconv.plan(np.ones((2, 3), "f4"), x.shape, axes=axes)(x), wanted)


def test_default_dtype_is_native():
    assert fastconv.plan(np.ones(3, ">f4"), 9).x_dtype == np.dtype("f4").newbyteorder("=")


def test_objects_that_cannot_be_multiplied_raise():
    with pytest.raises(TypeError, match="x and kernel must hold objects that can be multiplied"):
        fastconv.plan(np.array([None, 1], object), 9)(np.ones(9, object))
    with pytest.raises(TypeError, match="x and kernel must hold objects that can be multiplied"):
        fastconv.plan(np.array([None, 1], object), 9, correlate=True)


def test_plan_with_a_kernel_longer_than_the_signal():
    plan = fastconv.plan(noise(1000, "f8"), 30, mode="full")
    x = noise(30, "f8", seed=9)
    assert np.array_equal(plan(x), fastconv.convolve(x, noise(1000, "f8")))
    assert "direct" in repr(plan)


def test_plan_copies_the_kernel():
    kernel = noise((31, 31))
    for method in ("direct", "fft"):
        plan = fastconv.plan(kernel, (200, 200), method=method)
        x = noise((200, 200))
        before = plan(x)
        kernel += 1
        assert np.array_equal(plan(x), before)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_plan_writes_to_out(method):
    plan = fastconv.plan(kernels.gaussian(1.5), (300, 300), mode="same", method=method)
    x = noise((300, 300))
    wanted = plan(x)
    out = np.empty_like(x)
    assert plan(x, out=out) is out
    assert np.array_equal(out, wanted)
    assert plan(x, x) is x  # `out` is the input
    assert np.array_equal(x, wanted)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_threads_can_share_a_plan(method):
    plan = fastconv.plan(kernels.gaussian(2), (300, 400), mode="same", method=method)
    frames = [noise((300, 400), seed=seed) for seed in range(8)]
    wanted = [plan(frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for result, expected in zip(pool.map(plan, frames), wanted):
                assert np.array_equal(result, expected)


# ------------------------------------------------------------------------------------------------ copies and pickles


def fractions(shape):
    return np.array([Fraction(k % 7 - 3, k % 5 + 1) for k in range(int(np.prod(shape)))], object).reshape(shape)


FRAMED = np.pad(noise((21, 21)), 25)  # has a spectrum without the zeros around it, and one with them
SQUARE = kernels.gaussian(3)
# Kernel, shape and options of plans.
PLANS = {
    "direct": (noise((3, 3)), (60, 70), {}),
    "separable": (SQUARE, (300, 310), {"mode": "same"}),
    "fft": (noise((41, 41)), (300, 310), {}),
    "a four-step tile": (noise(9000, "f8"), 100_000, {"mode": "same"}),
    "direct, requested": (SQUARE, (300, 310), {"method": "direct"}),
    "separable, requested": (SQUARE, (30, 31), {"method": "separable"}),
    "fft, requested": (noise(5), 1000, {"method": "fft"}),
    "zeros around": (np.pad(noise((5, 5)), 12), (300, 310), {"mode": "same"}),
    "zeros around a spectrum": (FRAMED, (300, 310), {"mode": "same", "boundary": "wrap"}),
    "zeros around a product": (np.pad(SQUARE, 14), (300, 310), {"boundary": "mirror", "mode": "same"}),
    "all zeros": (np.zeros((31, 31), "f4"), (300, 310), {}),
    "kernel longer than the signal": (noise(1000, "f8"), 30, {}),
    "kernel larger than the image": (noise((300, 310)), (41, 43), {}),
    "correlate": (noise((9, 8), "c8"), (80, 90), {"correlate": True, "mode": "valid"}),
    "axes": (noise((3, 4)), (40, 30, 20), {"axes": (2, 0)}),
    "one axis": (noise(7), (40, 30, 20), {"axes": 1, "boundary": "nearest"}),
    "workers": (noise((9, 9)), (700, 800), {"workers": 1}),
    "another type": (noise((3, 3)), (60, 70), {"dtype": "u1"}),
    "bytes in another order": (noise((9, 9)).astype(">f4"), (60, 70), {"dtype": ">f8", "mode": "same"}),
    "a Fortran kernel": (np.asfortranarray(np.outer(noise(21), noise(19))), (300, 310), {}),
    "integers": (np.arange(63).reshape(7, 9), (60, 70), {"boundary": "reflect"}),
    "bools": (np.ones((3, 3), bool), (60, 70), {}),
    "half": (noise((5, 5), "f2"), (60, 70), {"mode": "same"}),
    "long double": (noise((3, 3), "g"), (60, 70), {}),
    "not finite": (np.array([1.0, np.nan, np.inf]), 100, {}),
    "fill": (noise((9, 9)), (60, 70), {"boundary": "fill", "fill_value": 2.5}),
    "fill with NaN": (noise((9, 9)), (60, 70), {"boundary": "fill", "fill_value": float("nan")}),
    "fill with an infinity": (noise((9, 9)), (300, 310), {"boundary": "fill", "fill_value": float("inf")}),
    "fill, complex": (noise(9, "c16"), 70, {"dtype": "f8", "boundary": "fill", "fill_value": 1 - 2j}),
    "fill with a complex NaN": (noise(9, "c16"), 70, {"boundary": "fill", "fill_value": complex("nan")}),
    "fill with an array": (noise(9, "f8"), 70, {"boundary": "fill", "fill_value": np.array(2.0)}),
    "objects": (fractions(4), 12, {}),
    "objects of another type": (fractions((2, 2)), (5, 6), {"dtype": "i8"}),
    "objects filled with an integer": (fractions(4), 12, {"boundary": "fill", "fill_value": 2}),
    "objects filled with a float": (fractions(4), 12, {"boundary": "fill", "fill_value": 2.0}),
    **{f"boundary {name}": (noise((9, 9)), (60, 70), {"boundary": name, "mode": "same"}) for name in oracle.BOUNDARIES},
}


def inputs(plan):
    """Arrays for a plan: noise, and noise with a NaN."""
    if plan.x_dtype.kind == "O":
        return [fractions(plan.shape)]
    with np.errstate(all="ignore"):
        x = (50 * noise(plan.shape, "c16" if plan.x_dtype.kind == "c" else "f8")).astype(plan.x_dtype)
    if plan.x_dtype.kind not in "fc":
        return [x]
    spoilt = x.copy()
    spoilt[(2,) * x.ndim] = np.nan
    return [x, spoilt]


def results(plan):
    """Results of a plan for its inputs, as bytes, or as objects with their types."""
    with np.errstate(all="ignore"):
        found = [plan(x) for x in inputs(plan)]
    if plan.dtype.kind == "O":
        return [[(type(value), value) for value in result.ravel()] for result in found]
    if plan.dtype.char in "gG":  # longdouble has unused bytes
        return [[(str(value), np.signbit(value)) for value in result.ravel()] for result in found]
    return [result.tobytes() for result in found]


def plan_of(name):
    kernel, shape, options = PLANS[name]
    return fastconv.plan(kernel, shape, **options)


@pytest.mark.parametrize("name", PLANS)
def test_unpickled_plan_gives_the_same_results(name):
    plan = plan_of(name)
    wanted = results(plan)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        fastconv.clear_caches()
        other = pickle.loads(pickle.dumps(plan, protocol))
        assert repr(other) == repr(plan)
        for attribute in ("shape", "x_dtype", "out_shape", "dtype", "method"):
            assert getattr(other, attribute) == getattr(plan, attribute)
        assert results(other) == wanted
    again = pickle.loads(pickle.dumps(other))
    assert repr(again) == repr(plan)
    assert results(again) == wanted


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("cheapest", ["direct", "separable", "fft"])
def test_unpickled_plan_keeps_its_method_if_estimates_differ(name, cheapest):
    plan = plan_of(name)
    wanted = results(plan)
    content = pickle.dumps(plan)
    with forced(method=cheapest):  # as if another processor were fast at one method
        other = pickle.loads(content)
        assert other.method == plan.method
        assert ("without the zeros" in repr(other)) == ("without the zeros" in repr(plan))
        assert results(other) == wanted


def test_new_plan_follows_changed_estimates():
    for name in ("fft", "separable", "zeros around a spectrum"):
        assert plan_of(name).method != "direct"
        with forced(method="direct"):
            assert plan_of(name).method == "direct"


def test_unpickling_twice_returns_one_plan():
    content = pickle.dumps(plan_of("fft"))
    assert pickle.loads(content) is pickle.loads(content)
    fill = pickle.dumps(plan_of("fill with NaN"))
    assert pickle.loads(fill) is pickle.loads(fill)
    first, second = (
        pickle.loads(pickle.dumps(plan_of(f"objects filled with {kind}"))) for kind in ("an integer", "a float")
    )
    assert first is not second
    assert results(first) != results(second)


@dataclasses.dataclass
class PlanHolder:
    """An object with a plan as attribute."""

    plan: object
    gain: list


@pytest.mark.parametrize(
    "name",
    ["direct", "separable", "fft", "a four-step tile", "zeros around", "kernel longer than the signal", "objects"],
)
def test_copies_are_the_plan_itself(name):
    plan = plan_of(name)
    wanted = results(plan)
    holder = PlanHolder(plan, [1.0])
    for copied in (copy.copy(plan), copy.deepcopy(plan), copy.deepcopy(holder).plan, copy.deepcopy([plan])[0]):
        assert copied is plan
    sent = pickle.loads(pickle.dumps(holder))
    copied = copy.deepcopy(holder)
    assert copied.gain is not holder.gain
    del plan, holder
    for extent in range(9, 309):  # new plans reuse the memory of its tables if that has been freed
        fastconv.plan(np.ones((3, 3), "f4"), (extent, 30))
    assert results(copied.plan) == results(sent.plan) == wanted


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_plan_accepts_arrays_of_either_byte_order(order, method):
    x = noise((60, 70))
    plan = fastconv.plan(SQUARE, x.shape, f"{order}f4", method=method)
    assert plan.x_dtype == np.dtype(f"{order}f4")
    wanted = fastconv.convolve2d(x, SQUARE, method=method)
    for other in "<>":
        np.testing.assert_array_equal(plan(x.astype(f"{other}f4")), wanted)
    same = fastconv.plan(SQUARE, x.shape, f"{order}f4", "same", method=method)
    picture = x.copy()
    assert same(picture, picture) is picture
    np.testing.assert_array_equal(picture, fastconv.convolve2d(x, SQUARE, "same", method=method))


def test_plan_is_immutable_and_equals_only_itself():
    plan, other = plan_of("direct"), plan_of("direct")
    assert plan == copy.deepcopy(plan)
    assert plan != other
    assert {plan: 1, other: 2}[copy.copy(plan)] == 1
    for name in ("shape", "method", "anything"):
        with pytest.raises(AttributeError, match=f"a plan cannot be changed, so {name} cannot be set"):
            setattr(plan, name, 3)
    with pytest.raises(AttributeError, match="so shape cannot be deleted"):
        del plan.shape
    assert plan.shape == (60, 70)


def prepared_of(name):
    """The prepared kernel of a plan of `PLANS`."""
    return prepared_with(*PLANS[name])


def prepared_with(kernel, shape, options):
    """The prepared kernel of a plan."""
    fastconv.clear_caches()
    with observed() as events:
        fastconv.plan(kernel, shape, **options)
    problem = next(event.problem for event in events if event.name == "choose")
    return method_choice.choice(problem, "auto").prepare(kernel)


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
def test_objects_with_addresses_cannot_be_copied_or_pickled(act):
    held = [prepared_of(name) for name in ("direct", "separable", "fft", "a four-step tile", "zeros around")]
    engines = [prepared.engine or prepared.inner.engine for prepared in held]
    request = picture_plans.Request(
        np.dtype("u1"), (300, 310), np.dtype("u1"), "same", (0, 1), "reflect", 0, 81.0, 0.0, True, False
    )
    picture = picture_plans.find(request, np.ones((9, 9))).prepared
    assert picture.method == "separable"
    engines += [picture.engine, picture.kernel, held[2].kernel, held[3].kernel]
    for dtype in ("i8", "f4"):
        whole = prepared_with(np.arange(41 * 41).reshape(41, 41).astype(dtype) % 97, (300, 310), {"dtype": dtype})
        engines += [whole.engine, whole.kernel, whole.kernel.whole]
    engines += [fft_tables.transform(480, overlap_save_tiling.compute_type(held[2].choice.problem))]
    for engine in engines:
        with pytest.raises(TypeError, match=f"{type(engine).__name__} holds addresses and cannot be copied or pickled"):
            act(engine)
    if act is not copy.copy:  # a shallow copy does not copy their contents
        found = plans.find("x", np.dtype("f4"), (9,), np.dtype("f4"), (3,), "full", (0,), "zero", 0, "auto", True)
        for holder in (*held, picture, found):
            with pytest.raises(TypeError, match="holds addresses"):
                act(holder)


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
def test_patch_cannot_be_copied_or_pickled(act):
    with patch("numpy") as patched, pytest.raises(TypeError, match="Patch belongs to its process"):
        act(patched)


POOL = """
import sys
import numpy as np
import fastconv
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from fastconv import image, kernels
from fastconv.compat import cv2, ndimage, signal
from fastconv.compat import numpy as like_numpy

rng = np.random.default_rng(1)
frames = [rng.standard_normal((200, 210)).astype("f4") for _ in range(4)]
kernel = rng.standard_normal((41, 41)).astype("f4")
plans = [
    fastconv.plan(kernel, (200, 210), mode="same"),
    fastconv.plan(kernels.gaussian(3).astype(">f4"), (200, 210), ">f4", "same", boundary="fill", fill_value=2),
    fastconv.plan(np.pad(kernel, 25), (200, 210), mode="same", boundary="wrap", workers=1),
    fastconv.plan([1, 2, 3], (200, 210), "f4", axes=0, correlate=True),
]
frames_of = [frames, [frame.astype(">f4") for frame in frames], frames, frames]
swapped, taps = [frame.astype(">f8") for frame in frames], kernel.astype(">f8")
calls = [
    partial(fastconv.convolve2d, kernel=taps, mode="same"),
    partial(image.filter, kernel=taps[:5, :5], dtype="float32"),
    partial(cv2.filter2D, ddepth=-1, kernel=taps[:5, :5]),
    partial(ndimage.convolve, weights=taps[:5, :5]),
    partial(signal.convolve2d, in2=taps[:5, :5]),
]

with ProcessPoolExecutor(2, mp_context=get_context(sys.argv[1])) as pool:
    for plan, own in zip(plans, frames_of):
        for result, frame in zip(pool.map(plan, own), own):
            print(np.array_equal(result, plan(frame)))
    for call in calls:
        own = frames if call.func in (image.filter, cv2.filter2D) else swapped
        for result, frame in zip(pool.map(call, own), own):
            print(np.array_equal(result, call(frame)))
    try:
        pool.submit(cv2.filter2D, frames[0], -1, np.ones((0, 3))).result()
    except cv2.error as error:
        print(error.code == -215)
"""


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_process_pools_accept_plans(start):
    if start != "spawn" and not hasattr(sys, "getdlopenflags"):
        pytest.skip("no fork here")
    found = succeed(POOL, start, options=("-W", "ignore:This process:DeprecationWarning"))
    assert found == ["True"] * (4 * 9 + 1)


# --------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (ValueError, r"kernel must have at least one dimension; got a scalar", (1.0, 9), {}),
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
        (ValueError, "x and kernel must have equal extents, or 1", (np.ones((2, 2)), (9, 9)), {"axes": 1}),
        (TypeError, "axes must be 2 integers", (np.ones((2, 2)), (9, 9)), {"axes": (0, [1])}),
        (ValueError, r"axes must be an integer; got \(\)", (np.ones(2), 9), {"axes": ()}),
        (ValueError, r"axes must be an integer; got \(0, 1\)", (np.ones(2), (9, 9)), {"axes": (0, 1)}),
        (
            ValueError,
            "method='fft' does not support results of dtype bool",
            (np.ones(2, bool), 9, bool),
            {"method": "fft"},
        ),
        (ValueError, "method='fft' does not support results of dtype ", (np.ones(2, "g"), 9), {"method": "fft"}),
        (ValueError, "method='separable' is for kernels of two or more axes", (np.ones(2), 9), {"method": "separable"}),
        (ValueError, "for kernels of real numbers", (np.ones((2, 2), "c8"), (9, 9)), {"method": "separable"}),
        (ValueError, "kernel must be an outer product", (np.eye(3), (9, 9)), {"method": "separable"}),
        (TypeError, "x must hold numbers", (np.ones(2), 9, "U3"), {}),
    ],
)
def test_invalid_arguments_of_plan_raise(error, message, arguments, options):
    with pytest.raises(error, match=message):
        fastconv.plan(*arguments, **options)


def test_invalid_arguments_of_a_call_raise():
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
def test_functions_accept_each_method(method):
    x, kernel = noise((50, 60)), kernels.gaussian(1)
    wanted = fastconv.convolve2d(x, kernel)
    close(fastconv.convolve2d(x, kernel, method=method), wanted, kernel.size)
    close(fastconv.convolve(x, kernel, method=method), wanted, kernel.size)
    with pytest.raises(ValueError, match="method="):
        fastconv.convolve1d(np.ones(9, bool), np.ones(3, bool), method=method)


@pytest.mark.parametrize("boundary", oracle.BOUNDARIES)
@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 1)])
def test_axes_that_look_outside_nowhere_need_no_boundary(boundary, shape):
    x, fill = np.arange(110.0).reshape(11, 10), 1 if boundary == "fill" else 0
    modes = tuple("valid" if taps > 1 else "same" for taps in shape)
    found = fastconv.convolve2d(x, np.ones(shape), modes, boundary=boundary, fill_value=fill, method="fft")
    np.testing.assert_allclose(found, fastconv.convolve2d(x, np.ones(shape), "valid", method="direct"), rtol=1e-12)
