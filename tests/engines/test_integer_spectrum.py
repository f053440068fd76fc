"""Integers, and whole numbers in floats, are exact by way of the spectrum: in one transform, in digits, or without."""

import pickle
import threading

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._engines import cost_model, scratch_memory
from fastconv._engines.spectra import integer_overlap_save
from fastconv._runtime.instrumentation import forced, observed
from tests.integer_cases import INTEGERS, cases, exact, of_kind
from tests.oracle import BOUNDARIES, LAYOUTS, MODES, check, expected
from tests.sizes import enlarged


@pytest.fixture(params=["digits", "direct"])
def remedy(request):
    """What tiles of large samples are computed by."""
    with forced(digits=request.param == "digits"):
        yield request.param


@pytest.fixture
def digits():
    """Tiles of large samples are computed by digits."""
    with forced(digits=True):
        yield


@pytest.fixture
def passes():
    """The numbers of planes of results, of units and of those left of all passes over whole numbers."""
    found = []

    def note(event):
        if event.name == "digits":
            found.append([event.planes, event.units, 0])
        elif event.name == "left":
            found[-1][2] = event.units

    with observed(note):
        yield found


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("small_tiles", "digits")
def test_modes_boundaries_and_types(mode, boundary, dtype):
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
@pytest.mark.usefixtures("small_tiles", "digits")
def test_samples_and_kernels_of_different_types(x_dtype, kernel_dtype):
    rng = np.random.default_rng(2)
    for kinds in (("random", "random"), ("maximal", "minimal"), ("random", "small")):
        for shape, taps in [((60, 50), (6, 5)), ((600,), (8,))]:
            x, kernel = of_kind(kinds[0], rng, shape, x_dtype), of_kind(kinds[1], rng, taps, kernel_dtype)
            for first, second in ((x, kernel), (x.astype(x.dtype.newbyteorder()), kernel[::-1])):
                found = fastconv.convolve(first, second, method="fft")
                np.testing.assert_array_equal(found, expected(first, second))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i2", "u4", "i8"])
@pytest.mark.usefixtures("small_tiles", "digits")
def test_layouts(layout, dtype):
    rng = np.random.default_rng(4)
    for shape, taps in [((60, 70), (9, 8)), ((700,), (10,))]:
        x, kernel = (of_kind("random", rng, size, dtype) for size in (shape, taps))
        expect = fastconv.convolve(x, kernel, method="direct")
        check(fastconv.convolve, LAYOUTS[layout](x), LAYOUTS[layout](kernel), expect=expect, method="fft")
        out = np.zeros(tuple(2 * n for n in expect.shape), dtype)[tuple(slice(None, None, 2) for _ in expect.shape)]
        fastconv.convolve(x, kernel, out=out, method="fft")
        np.testing.assert_array_equal(out, expect)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (0, 2), (2, 1), 0, 1, 2])
@pytest.mark.usefixtures("small_tiles", "digits")
def test_axes(axes):
    rng = np.random.default_rng(5)
    x = of_kind("random", rng, (40, 37, 41), "i4")
    if isinstance(axes, tuple):
        kernel = of_kind("random", rng, (4, 7), "i4")
        results = [fastconv.convolve2d(x, kernel, axes=axes, method=method) for method in ("direct", "fft")]
    else:
        kernel = of_kind("random", rng, (7,), "i4")
        results = [fastconv.convolve1d(x, kernel, axis=axes, method=method) for method in ("direct", "fft")]
    np.testing.assert_array_equal(*results)


@pytest.mark.usefixtures("small_tiles", "digits")
def test_only_tiles_of_large_samples_are_computed_again(passes):
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
@pytest.mark.usefixtures("digits")
def test_digits_are_as_few_as_stated(dtype, most, passes):
    rng = np.random.default_rng(7)
    x, kernel = of_kind("random", rng, (300, 300), dtype), of_kind("random", rng, (41, 41), dtype)
    fastconv.convolve(x, kernel, method="fft")
    assert passes[-1][0] <= most


@pytest.mark.parametrize("shape", [(1500, 700), (300_000,), (40, 9000)])
@pytest.mark.parametrize("kind", ["small", "random"])
@pytest.mark.usefixtures("digits")
def test_any_number_of_workers(shape, kind):
    rng = np.random.default_rng(8)
    x, kernel = of_kind(kind, rng, shape, "i4"), of_kind(kind, rng, (31,) * len(shape), "i4")
    results = [fastconv.convolve(x, kernel, method="fft", workers=workers) for workers in (1, 2, 3, None)]
    expect = fastconv.convolve(x, kernel, method="direct")
    for result in results:
        np.testing.assert_array_equal(result, expect)


@pytest.mark.parametrize("kind", ["small", "random"])
@pytest.mark.usefixtures("digits")
def test_threads_that_share_a_plane(kind, monkeypatch):
    monkeypatch.setattr(cost_model, "LARGE_PLANE", 1)
    rng = np.random.default_rng(9)
    for shape, taps in [((20_000,), (5000,)), ((300, 200), (70, 80)), ((300, 200), (1, 80)), ((300, 200), (80, 1))]:
        x, kernel = of_kind(kind, rng, shape, "i4"), of_kind(kind, rng, taps, "i4")
        results = [fastconv.convolve(x, kernel, method="fft", workers=workers) for workers in (1, 2, None)]
        expect = fastconv.convolve(x, kernel, method="direct")
        for result in results:
            np.testing.assert_array_equal(result, expect)


def scaled(array, bits):
    """Integers with largest values of so many bits."""
    return (array * 2.0 ** (bits - 23)).astype("i8")


@pytest.mark.parametrize("kind", ["maximal", "alternating", "signs", "tones", "random"])
def test_at_the_limit_sums_are_far_from_the_next_integer(kind, passes):
    rng = np.random.default_rng(14)
    for shape, taps in [((300, 310), (21, 22)), ((30_000,), (800,)), ((9000,), (9000,)), ((50, 400), (1, 90))]:
        x, kernel = of_kind(kind, rng, shape, "i4") >> 8, of_kind(kind, rng, taps, "i4") >> 8
        for bits in np.arange(22, 8, -0.25):  # until one transform is enough
            passes.clear()
            fastconv.convolve(scaled(x, bits), scaled(kernel, bits), method="fft")
            if len(passes) == 1 and passes[0][2] == 0:
                break
        assert 10 < bits < 22
        x, kernel = scaled(x, bits), scaled(kernel, bits)
        exactly = fastconv.convolve(x, kernel, method="direct")
        with forced(rounding=False):
            found = fastconv.convolve(x.astype("f8"), kernel.astype("f8"), method="fft")
        assert 0 < np.abs(found - exactly).max() < 0.05


def test_long_by_long():
    rng = np.random.default_rng(10)
    x, kernel = rng.integers(-1000, 1000, 40_000), rng.integers(-1000, 1000, 40_000)
    found = fastconv.convolve(x, kernel)
    assert fastconv.plan(kernel, shape=x.shape, dtype=x.dtype).method == "fft"
    some = rng.integers(0, found.size, 200)
    for o in some:
        first, last = max(0, o - kernel.size + 1), min(x.size, o + 1)
        assert found[o] == x[first:last] @ kernel[o - last + 1 : o - first + 1][::-1]


def test_memory_that_is_lent_is_left_alone_by_other_calls():
    x, kernel = np.arange(300) % 7, np.arange(50) % 5
    expect = fastconv.convolve(x, kernel, method="direct")
    for size in (100, 1000, 1 << 20):
        with scratch_memory.lent_scratch(size) as buffer:
            assert buffer.shape == (size,)
            buffer[:] = 77
            np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expect)
            assert (buffer == 77).all()


def test_a_kernel_too_large_for_any_sample(remedy):
    x, kernel = np.arange(-300, 300), np.full(100, 2**62 + 1)
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expected(x, kernel))


@pytest.mark.parametrize("taps", [np.zeros(30, int), np.full(30, -(2**63))])
@pytest.mark.parametrize("samples", [np.zeros(300, int), np.full(300, -(2**63)), np.full(300, 2**63 - 1)])
def test_extremes(samples, taps, remedy):
    np.testing.assert_array_equal(fastconv.convolve(samples, taps, method="fft"), expected(samples, taps))


@pytest.mark.usefixtures("small_tiles")
def test_large_samples_and_taps_in_the_other_byte_order(remedy):
    rng = np.random.default_rng(15)
    for dtype in ("i2", "u4", "i8"):
        x, kernel = (of_kind("random", rng, shape, dtype) for shape in ((150, 40), (7, 9)))
        x[:50] >>= 3 * x.itemsize
        expect = expected(x, kernel)
        for arrays in ((x, swapped(kernel)), (swapped(x), kernel), (swapped(x), swapped(kernel))):
            np.testing.assert_array_equal(fastconv.convolve(*arrays, method="fft"), expect)


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


@pytest.mark.usefixtures("digits")
def test_where_no_digits_are_small_enough_products_are_summed(monkeypatch, passes):
    monkeypatch.setattr(integer_overlap_save, "MOST_DIGITS", 2)
    fastconv.clear_caches()
    rng = np.random.default_rng(11)
    x, kernel = of_kind("random", rng, (300,), "i8"), of_kind("random", rng, (30,), "i8")
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft"), expected(x, kernel))
    assert not [part for part in passes if part[0] > 1]


@pytest.mark.parametrize("dtype", ["i4", "u8"])
def test_kernels_in_the_other_byte_order(dtype, remedy):
    rng, limits = np.random.default_rng(13), np.iinfo(dtype)
    x, kernel = (rng.integers(limits.min, limits.max, n, dtype) for n in (300, 33))
    for order in "<>":
        found = fastconv.convolve1d(x, kernel.astype(f"{order}{dtype}"), method="fft")
        np.testing.assert_array_equal(found, expected(x, kernel))


def test_bools_have_no_spectrum():
    with pytest.raises(ValueError, match="method='fft' does not support results of dtype bo"):
        fastconv.convolve(np.ones(9, bool), np.ones(3, bool), method="fft")


@pytest.mark.usefixtures("digits")
def test_plans_are_pickled():
    rng = np.random.default_rng(12)
    x, kernel = of_kind("random", rng, (200, 210), "i8"), of_kind("random", rng, (30, 30), "i8")
    plan = fastconv.plan(kernel, shape=x.shape, dtype=x.dtype, method="fft")
    expect = fastconv.convolve(x, kernel, method="direct")
    np.testing.assert_array_equal(plan(x), expect)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x), expect)


@pytest.mark.usefixtures("digits")
def test_a_kernel_serves_many_threads():
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


# ------------------------------------------------------------------------------------------ whole numbers in floats


def whole(rng, shape, dtype, most):
    return rng.integers(-most, most, shape, endpoint=True).astype(dtype)


@pytest.fixture
def rounding():
    """float32 is transformed in float64 also where products are summed faster."""
    with forced(rounding=True):
        yield


def names(events):
    return [event.name for event in events if event.name in ("fft", "digits", "direct")]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("small_tiles", "rounding")
def test_whole_floats_are_exact(mode, boundary, dtype):
    rng = np.random.default_rng(20)
    fill = 1000 if boundary == "fill" else 0
    for shape, taps in [((70, 61), (7, 10)), ((5, 90), (11, 13)), ((700,), (9,)), ((7,), (30,)), ((1, 40), (1, 5))]:
        if mode == "valid" and len({a < b for a, b in zip(shape, taps)}) > 1:
            continue
        x, kernel = whole(rng, shape, dtype, 900), whole(rng, taps, dtype, 90)
        expect = expected(x, kernel, mode, boundary, fill)
        with observed() as events:
            check(fastconv.convolve, x, kernel, mode, expect=expect, boundary=boundary, fill_value=fill, method="fft")
        assert names(events) == ["digits"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("x_dtype", ["?", "u1", "i2", "u2", "i4", ">i2", ">f4", "f2"])
@pytest.mark.parametrize("axes", [(0, 1), (2, 0), 0, 1, 2])
@pytest.mark.usefixtures("small_tiles", "rounding")
def test_whole_samples_of_any_type_and_axes(dtype, x_dtype, axes):
    rng = np.random.default_rng(21)
    x = rng.integers(0, 2 if x_dtype == "?" else 120, (40, 37, 41)).astype(x_dtype)[:, ::-1]
    convolve, kernel, options = fastconv.convolve1d, whole(rng, (7,), dtype, 50), {"axis": axes}
    if isinstance(axes, tuple):
        convolve, kernel, options = fastconv.convolve2d, whole(rng, (5, 6), dtype, 50), {"axes": axes}
    found = convolve(x, kernel, method="fft", **options)
    np.testing.assert_array_equal(found, convolve(x, kernel, method="direct", **options))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", ["ones", "signed", "unsigned"])
def test_pictures_in_floats_by_whole_kernels(dtype, kind):
    rng = np.random.default_rng(22)
    x = rng.integers(0, 256, (300, 310)).astype(dtype)
    for size in (21, 41, 63):
        kernel = {
            "ones": np.ones((size, size)) - np.eye(size),
            "signed": rng.integers(-128, 128, (size, size)),
            "unsigned": rng.integers(0, 256, (size, size)),
        }[kind].astype(dtype)
        sums = fastconv.convolve(x.astype("i8"), kernel.astype("i8"), "same", method="direct")
        np.testing.assert_array_equal(fastconv.convolve(x, kernel, "same"), sums.astype(dtype))


def test_pixels_by_whole_kernels():
    rng = np.random.default_rng(23)
    x, kernel = rng.integers(0, 256, (301, 310), dtype=np.uint8), rng.integers(-99, 100, (41, 43))
    sums = fastconv.convolve(x.astype("i8"), kernel, "same", boundary="nearest", method="direct")
    with observed() as events:
        found = image.filter(x, kernel, scale=5001, offset=100, boundary="nearest")
        floats = image.filter(x, kernel, scale=1, boundary="nearest", dtype=np.float32)
    assert names(events) == ["digits", "digits"]
    np.testing.assert_array_equal(found, np.clip(np.rint(sums / 5001 + 100), 0, 255))
    np.testing.assert_array_equal(floats, sums)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e30, 2.0**51, -(2.0**60)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.usefixtures("small_tiles", "rounding")
def test_a_sample_that_is_not_whole_or_too_large(value, dtype):
    rng = np.random.default_rng(24)
    x, kernel = whole(rng, (150, 160), dtype, 100), whole(rng, (9, 8), dtype, 9)
    x[101, 77] = value
    with observed() as events:
        found = fastconv.convolve(x, kernel, method="fft")
    assert "fft" in names(events)
    direct = fastconv.convolve(x, kernel, method="direct")
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(direct))
    finite = np.isfinite(direct)
    largest = np.abs(x[np.isfinite(x)]).max()
    assert np.abs(found[finite] - direct[finite]).max() <= 16 * np.finfo(dtype).eps * largest * np.linalg.norm(kernel)


@pytest.mark.parametrize("kernel", [np.full((9, 9), 0.5), np.full((9, 9), 1e300), np.full((9, 9), 2.0**52)])
def test_kernels_that_are_not_whole_or_too_large_are_left_to_floats(kernel):
    x = np.ones((100, 110))
    with observed() as events:
        fastconv.convolve(x, kernel, method="fft")
    assert names(events) == ["fft"]


@pytest.mark.parametrize("ones", [1, 4])
def test_few_small_samples_and_large_taps(ones):
    rng = np.random.default_rng(21)
    kernel, x = rng.integers(-(2**40), 2**40, 300).astype(float), np.zeros(300)
    x[:: 300 // ones] = 1
    expect = expected(x, kernel)
    for arrays in ((x, kernel), (kernel, x)):
        np.testing.assert_array_equal(fastconv.convolve(*arrays, method="fft"), expect)


def test_whole_numbers_in_single_precision_are_summed_where_that_is_faster():
    rng = np.random.default_rng(28)
    x, kernel = whole(rng, (200, 210), "f4", 90), whole(rng, (3, 4), "f4", 90)
    with observed() as events:
        found = fastconv.convolve(x, kernel, method="fft")
    assert names(events) == ["direct"]
    np.testing.assert_array_equal(found, fastconv.convolve(x, kernel, method="direct"))


def test_other_numbers_are_computed_as_before():
    rng = np.random.default_rng(25)
    x, kernel = rng.standard_normal((200, 210)).astype("f4"), np.ones((21, 20), "f4")
    kernel[3, 4] = 7
    found = fastconv.convolve(x, kernel, method="fft")
    with forced(rounding=False):
        np.testing.assert_array_equal(found, fastconv.convolve(x, kernel, method="fft"))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_whole_floats_with_any_number_of_threads(dtype, monkeypatch):
    rng = np.random.default_rng(26)
    for large in (1 << 23, 1):
        monkeypatch.setattr(cost_model, "LARGE_PLANE", large)
        fastconv.clear_caches()
        for shape, taps in [((20_000,), (5000,)), ((600, 500), (70, 80)), ((300, 200), (1, 80)), ((300, 200), (80, 1))]:
            x, kernel = whole(rng, shape, dtype, 50), whole(rng, taps, dtype, 20)
            expect = fastconv.convolve(x.astype("i8"), kernel.astype("i8"), method="direct").astype(dtype)
            for workers in (1, 2, None):
                np.testing.assert_array_equal(fastconv.convolve(x, kernel, method="fft", workers=workers), expect)
    fastconv.clear_caches()


def test_plans_of_whole_floats():
    rng = np.random.default_rng(27)
    x, kernel = whole(rng, (200, 210), "f4", 90), whole(rng, (30, 30), "f4", 90)
    plan = fastconv.plan(kernel, shape=x.shape, dtype=x.dtype, method="fft")
    expect = fastconv.convolve(x.astype("i8"), kernel.astype("i8"), method="direct").astype("f4")
    np.testing.assert_array_equal(plan(x), expect)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x), expect)
