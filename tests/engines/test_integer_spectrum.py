"""Integers by way of the spectrum are exact: in one transform, in digits, and where neither can be."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastconv
from fastconv._engines import cost_model, integer_overlap_save
from fastconv._engines.integer_overlap_save import IntegerOverlapSaveEngine
from fastconv._planning import plans
from tests.integer_cases import INTEGERS, cases, exact, of_kind
from tests.oracle import BOUNDARIES, LAYOUTS, MODES, check, expected
from tests.sizes import enlarged


@pytest.fixture(params=["digits", "direct"])
def remedy(request, monkeypatch):
    """What tiles of large samples are computed by."""
    monkeypatch.setattr(IntegerOverlapSaveEngine, "_pays", lambda self, transforms: request.param == "digits")
    return request.param


@pytest.fixture
def passes(monkeypatch):
    """The numbers of planes and tiles of all passes."""
    found = []
    cover = IntegerOverlapSaveEngine._cover

    def count(self, spectra, units, *arguments):
        left, largest = cover(self, spectra, units, *arguments)
        found.append((int(spectra.record["weights"]), units.size, left.size))
        return left, largest

    monkeypatch.setattr(IntegerOverlapSaveEngine, "_cover", count)
    return found


def digits_always(monkeypatch):
    monkeypatch.setattr(IntegerOverlapSaveEngine, "_pays", lambda self, transforms: True)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("small_tiles")
def test_modes_boundaries_and_types(mode, boundary, dtype, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(1)
    fill = int(np.iinfo(dtype).max) if boundary == "fill" else 0
    for shape, taps in [((70, 61), (7, 10)), ((5, 90), (11, 13)), ((700,), (9,)), ((7,), (30,)), ((1, 40), (1, 5))]:
        if mode == "valid" and len({a < b for a, b in zip(shape, taps)}) > 1:
            continue
        for kind in ("small", "random"):
            x, kernel = of_kind(kind, rng, shape, dtype), of_kind(kind, rng, taps, dtype)
            expect = expected(x, kernel, mode, boundary, fill)
            options = {"boundary": boundary, "fill_value": fill, "method": "fft"}
            check(fastconv.convolve, x, kernel, mode, expect=expect, **options)


@pytest.mark.parametrize("seed", range(8))
def test_adversarial_cases(seed, remedy):
    for case in cases(np.random.default_rng(seed), 40):
        found = case.compute("fft")
        np.testing.assert_array_equal(found, exact(case), err_msg=str(case))


TYPES = [(a, b) for a in (*INTEGERS, "?") for b in (*INTEGERS, "?") if np.result_type(a, b).kind in "iu"]


@pytest.mark.parametrize(("x_dtype", "kernel_dtype"), TYPES)
@pytest.mark.usefixtures("small_tiles")
def test_samples_and_kernels_of_different_types(x_dtype, kernel_dtype, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(2)
    for kinds in (("random", "random"), ("maximal", "minimal"), ("random", "small")):
        for shape, taps in [((60, 50), (6, 5)), ((600,), (8,))]:
            x, kernel = of_kind(kinds[0], rng, shape, x_dtype), of_kind(kinds[1], rng, taps, kernel_dtype)
            for first, second in ((x, kernel), (x.astype(x.dtype.newbyteorder()), kernel[::-1])):
                found = fastconv.convolve(first, second, method="fft")
                np.testing.assert_array_equal(found, expected(first, second))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i2", "u4", "i8"])
@pytest.mark.usefixtures("small_tiles")
def test_layouts(layout, dtype, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(4)
    for shape, taps in [((60, 70), (9, 8)), ((700,), (10,))]:
        x, kernel = (of_kind("random", rng, size, dtype) for size in (shape, taps))
        expect = fastconv.convolve(x, kernel, method="direct")
        check(fastconv.convolve, LAYOUTS[layout](x), LAYOUTS[layout](kernel), expect=expect, method="fft")
        out = np.zeros(tuple(2 * n for n in expect.shape), dtype)[tuple(slice(None, None, 2) for _ in expect.shape)]
        fastconv.convolve(x, kernel, out=out, method="fft")
        np.testing.assert_array_equal(out, expect)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (0, 2), (2, 1), 0, 1, 2])
@pytest.mark.usefixtures("small_tiles")
def test_axes(axes, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(5)
    x = of_kind("random", rng, (40, 37, 41), "i4")
    if isinstance(axes, tuple):
        kernel = of_kind("random", rng, (4, 7), "i4")
        results = [fastconv.convolve2d(x, kernel, axes=axes, method=method) for method in ("direct", "fft")]
    else:
        kernel = of_kind("random", rng, (7,), "i4")
        results = [fastconv.convolve1d(x, kernel, axis=axes, method=method) for method in ("direct", "fft")]
    np.testing.assert_array_equal(*results)


@pytest.mark.usefixtures("small_tiles")
def test_only_tiles_of_large_samples_are_computed_again(passes, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(6)
    x, kernel = rng.integers(-100, 100, enlarged((200, 200), "f8")), rng.integers(-(2**20), 2**20, (7, 9))
    fastconv.convolve(x, kernel, method="fft")
    assert [part[0] for part in passes] == [1]
    assert passes[0][1] > 4
    x[5, 5] = 2**60
    expect = fastconv.convolve(x, kernel, method="direct")
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expect)
    (_, total, none), (weights, every, left), (number, again, failed) = passes
    assert (none, every, weights, again, failed) == (0, total, 1, left, 0)
    assert 0 < left <= 2
    assert number > 1


@pytest.mark.parametrize(("dtype", "most"), [("i2", 2), ("i4", 3), ("i8", 6)])
def test_digits_are_as_few_as_stated(dtype, most, passes, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(7)
    x, kernel = of_kind("random", rng, (300, 300), dtype), of_kind("random", rng, (41, 41), dtype)
    fastconv.convolve(x, kernel, method="fft")
    assert passes[-1][0] <= most


@pytest.mark.parametrize("shape", [(1500, 700), (300_000,), (40, 9000)])
@pytest.mark.parametrize("kind", ["small", "random"])
def test_any_number_of_workers(shape, kind, monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(8)
    x, kernel = of_kind(kind, rng, shape, "i4"), of_kind(kind, rng, (31,) * len(shape), "i4")
    results = [fastconv.convolve(x, kernel, method="fft", workers=workers) for workers in (1, 2, 3, None)]
    expect = fastconv.convolve(x, kernel, method="direct")
    for result in results:
        np.testing.assert_array_equal(result, expect)


@pytest.mark.parametrize("kind", ["small", "random"])
def test_threads_that_share_a_plane(kind, monkeypatch):
    digits_always(monkeypatch)
    monkeypatch.setattr(cost_model, "LARGE_PLANE", 1)
    fastconv.clear_caches()
    rng = np.random.default_rng(9)
    for shape, taps in [((20_000,), (5000,)), ((300, 200), (70, 80)), ((300, 200), (1, 80)), ((300, 200), (80, 1))]:
        x, kernel = of_kind(kind, rng, shape, "i4"), of_kind(kind, rng, taps, "i4")
        results = [fastconv.convolve(x, kernel, method="fft", workers=workers) for workers in (1, 2, None)]
        expect = fastconv.convolve(x, kernel, method="direct")
        for result in results:
            np.testing.assert_array_equal(result, expect)
    fastconv.clear_caches()


@pytest.mark.parametrize("kind", ["maximal", "alternating", "signs", "tones", "random"])
def test_at_the_limit_sums_are_far_from_the_next_integer(kind):
    rng = np.random.default_rng(14)
    for shape, taps in [((300, 310), (21, 22)), ((30_000,), (800,)), ((9000,), (9000,)), ((50, 400), (1, 90))]:
        x, kernel = of_kind(kind, rng, shape, "i4") >> 8, of_kind(kind, rng, taps, "i4") >> 8
        engine = plans.find(
            "x", x.dtype, shape, kernel.dtype, taps, "full", tuple(range(x.ndim)), "zero", 0, "fft", True
        )._choice
        tile = engine._engine("fft")
        norms = np.linalg.norm(kernel.astype("f8")) * np.abs(x.astype("f8")).max() * np.sqrt(2 * tile._points)
        scale = np.sqrt(tile._most / norms)
        x, kernel = ((array * min(1, scale)).astype("i8") for array in (x, kernel))
        exactly = fastconv.convolve(x, kernel, method="direct")
        # The same tiles, not rounded.
        error = np.abs(fastconv.convolve(x.astype("f8"), kernel.astype("f8"), method="fft") - exactly).max()
        assert 0 < error < 0.05


def test_long_by_long():
    rng = np.random.default_rng(10)
    x, kernel = rng.integers(-1000, 1000, 40_000), rng.integers(-1000, 1000, 40_000)
    found = fastconv.convolve(x, kernel)
    assert fastconv.plan(kernel, shape=x.shape, dtype=x.dtype).method == "fft"
    some = rng.integers(0, found.size, 200)
    for o in some:
        first, last = max(0, o - kernel.size + 1), min(x.size, o + 1)
        assert found[o] == x[first:last] @ kernel[o - last + 1 : o - first + 1][::-1]


def test_a_kernel_too_large_for_any_sample(remedy):
    x, kernel = np.arange(-300, 300), np.full(100, 2**62 + 1)
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expected(x, kernel))


@pytest.mark.parametrize("taps", [np.zeros(30, int), np.full(30, -(2**63))])
@pytest.mark.parametrize("samples", [np.zeros(300, int), np.full(300, -(2**63)), np.full(300, 2**63 - 1)])
def test_extremes(samples, taps, remedy):
    np.testing.assert_array_equal(fastconv.convolve(samples, taps, method="fft"), expected(samples, taps))


def test_where_no_digits_are_small_enough_products_are_summed(monkeypatch, passes):
    digits_always(monkeypatch)
    monkeypatch.setattr(integer_overlap_save, "_MOST_DIGITS", 2)
    fastconv.clear_caches()
    rng = np.random.default_rng(11)
    x, kernel = of_kind("random", rng, (300,), "i8"), of_kind("random", rng, (30,), "i8")
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expected(x, kernel))
    assert not [part for part in passes if part[0] > 1]
    fastconv.clear_caches()


def test_bools_have_no_spectrum():
    with pytest.raises(ValueError, match="method='fft' does not support results of dtype bo"):
        fastconv.convolve(np.ones(9, bool), np.ones(3, bool), method="fft")


def test_engines_and_kernels_refuse_copies_but_plans_are_pickled(monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(12)
    x, kernel = of_kind("random", rng, (200, 210), "i8"), of_kind("random", rng, (30, 30), "i8")
    plan = fastconv.plan(kernel, shape=x.shape, dtype=x.dtype, method="fft")
    expect = fastconv.convolve(x, kernel, method="direct")
    np.testing.assert_array_equal(plan(x), expect)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x), expect)
    prepared = plan._prepared
    for part in (prepared.engine, prepared.kernel, prepared.engine.digits(kernel, 64)):
        with pytest.raises(TypeError, match="holds addresses"):
            copy.copy(part)
        assert part.nbytes > 0


def test_a_kernel_serves_many_threads(monkeypatch):
    digits_always(monkeypatch)
    rng = np.random.default_rng(13)
    kernel = of_kind("random", rng, (23, 21), "i4")
    plan = fastconv.plan(kernel, shape=(150, 160), dtype="i4", method="fft")
    frames = [of_kind(kind, rng, (150, 160), "i4") for kind in ("small", "random", "steps", "maximal")]
    expect = [fastconv.convolve(frame, kernel, method="direct") for frame in frames]
    found = [None] * len(frames)

    def work(k):
        for _ in range(5):
            found[k] = plan(frames[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, exactly in zip(found, expect):
        np.testing.assert_array_equal(result, exactly)
