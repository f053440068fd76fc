"""Banks of kernels: equal to one convolution for each kernel, as a layer and kernel by kernel."""

import math

import numpy as np
import pytest

import fastconv
from fastconv._planning.layers import bank_plans
from tests import guarded_arrays
from tests.oracle import BOUNDARIES, DTYPES, LAYOUTS, MODES, bound_of_fft, expected, whole_numbers

FUNCTIONS = [(fastconv.convolve_bank, True), (fastconv.correlate_bank, False)]


@pytest.fixture(params=["layer", "each", "auto"])
def way(request, monkeypatch):
    """How banks are computed: layers wherever they can, never, or by estimates."""
    if request.param != "auto":
        monkeypatch.setattr(bank_plans, "CALL", 0.0 if request.param == "layer" else math.inf)
        monkeypatch.setattr(bank_plans, "RELATIVE", 0.0)
    return request.param


@pytest.fixture
def layers(monkeypatch):
    """Layers that have been called."""
    called = []
    apply = bank_plans.apply

    def noting(weights, x, *rest):
        called.append((weights.array.shape, x.shape))
        return apply(weights, x, *rest)

    monkeypatch.setattr(bank_plans, "apply", noting)
    return called


def stacked(x, kernels, axes=(-2, -1), **options):
    """The definition: each kernel by itself."""
    axes = [axis % x.ndim for axis in axes]
    return np.stack([expected(x, kernel, axes=axes, **options) for kernel in kernels], min(axes))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_modes_and_boundaries(way, mode, boundary):
    rng = np.random.default_rng(1)
    fill = 2 if boundary == "fill" else 0
    for shape, taps in (((9, 11), (3, 4)), ((2, 8, 7), (5, 6)), ((6, 5), (1, 1)), ((4, 5), (7, 9))):
        for dtype in ("f4", "i8", "u1"):
            x, kernels = whole_numbers(rng, shape, dtype), whole_numbers(rng, (3, *taps), dtype)
            for function, flip in FUNCTIONS:
                found = function(x, kernels, mode, boundary=boundary, fill_value=fill)
                wanted = stacked(x, kernels, mode=mode, boundary=boundary, fill_value=fill, flip=flip)
                assert found.dtype == wanted.dtype
                assert found.flags.c_contiguous
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("kernel_dtype", DTYPES)
def test_every_pair_of_types(way, x_dtype, kernel_dtype):
    rng = np.random.default_rng(2)
    x, kernels = whole_numbers(rng, (7, 9), x_dtype), whole_numbers(rng, (5, 3, 2), kernel_dtype)
    for function, flip in FUNCTIONS:
        found, wanted = function(x, kernels), stacked(x, kernels, mode="same", flip=flip)
        assert found.dtype == np.result_type(x, kernels)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
def test_no_memory_beside_the_arrays_is_touched(way):
    rng = np.random.default_rng(12)
    source, target = guarded_arrays.Region(1 << 16), guarded_arrays.Region(1 << 18)
    for _ in range(30):
        rows, columns = (int(extent) for extent in rng.integers(1, 20, 2))
        taps = int(rng.integers(1, 2 * rows + 2)), int(rng.integers(1, 2 * columns + 2))
        mode, boundary = rng.choice(["same", "full"]), rng.choice(BOUNDARIES)
        dtype, upper = rng.choice(["f4", "f8", "i8"]), bool(rng.integers(2))
        x, kernels = whole_numbers(rng, (rows, columns), dtype), whole_numbers(rng, (3, *taps), dtype)
        given, _ = source.filled(x, upper=upper)
        wanted = stacked(x, kernels, mode=mode, boundary=boundary)
        out = target.empty(wanted.shape, dtype, upper=not upper)
        fastconv.convolve_bank(given, kernels, mode, boundary=boundary, out=out)
        np.testing.assert_array_equal(out, wanted)
        assert target.untouched(out)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(way, layout):
    rng = np.random.default_rng(3)
    for dtype in ("f4", "i8", "c16"):
        x, kernels = (LAYOUTS[layout](whole_numbers(rng, shape, dtype)) for shape in ((2, 9, 11), (4, 3, 3)))
        found = fastconv.convolve_bank(x, kernels, boundary="reflect")
        np.testing.assert_array_equal(found, stacked(x, kernels, mode="same", boundary="reflect"))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [((0, 1), (4, 6, 7, 3)), ((1, 0), (4, 6, 7, 3)), ((1, 2), (6, 4, 7, 3)), ((0, 2), (4, 6, 7, 3)), ((2, 0), None)],
)
def test_axes(way, axes, shape):
    rng = np.random.default_rng(4)
    x, kernels = rng.integers(0, 9, (6, 7, 3)).astype("f8"), rng.integers(0, 9, (4, 3, 2)).astype("f8")
    found = fastconv.convolve_bank(x, kernels, axes=axes, boundary="wrap")
    assert shape is None or found.shape == shape
    each = [fastconv.convolve2d(x, kernel, "same", axes=axes, boundary="wrap") for kernel in kernels]
    np.testing.assert_array_equal(found, np.stack(each, min(axes)))


def test_batches_with_any_strides(way):
    rng = np.random.default_rng(5)
    x = rng.integers(0, 9, (2, 3, 4, 7, 8)).astype("f4")
    kernels = rng.integers(0, 9, (2, 3, 3)).astype("f4")
    for view in (x, x.swapaxes(0, 2), x[:, :1], x[::-1, ::2]):
        np.testing.assert_array_equal(fastconv.convolve_bank(view, kernels), stacked(view, kernels, mode="same"))
    np.testing.assert_array_equal(
        fastconv.convolve_bank(x, kernels, axes=(1, 3)), stacked(x, kernels, mode="same", axes=(1, 3))
    )


def test_floats_are_within_the_bounds(way, layers):
    rng = np.random.default_rng(6)
    x, kernels = rng.standard_normal((70, 90)).astype("f4"), rng.standard_normal((18, 21, 20)).astype("f4")
    found = fastconv.convolve_bank(x, kernels)
    for result, kernel in zip(found, kernels):
        exact = fastconv.convolve2d(x.astype(float), kernel.astype(float), "same", method="direct")
        assert np.abs(result - exact).max() <= bound_of_fft(x, kernel)
    assert way == "auto" or len(layers) == (way == "layer")


def test_out(way):
    rng = np.random.default_rng(7)
    x, kernels = rng.standard_normal((3, 20, 30)), rng.standard_normal((4, 3, 3))
    wanted = fastconv.convolve_bank(x, kernels)
    out = np.empty_like(wanted)
    assert fastconv.convolve_bank(x, kernels, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    last = np.empty((3, 20, 30, 4)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(fastconv.convolve_bank(x, kernels, out=last), wanted)
    memory = np.zeros((4, 3, 20, 30))
    memory[0] = x
    same = fastconv.convolve_bank(memory[0], kernels, out=memory.swapaxes(0, 1))
    np.testing.assert_array_equal(same, wanted)
    spread = np.zeros((3, 4, 40, 60))[..., ::2, ::2]
    np.testing.assert_array_equal(fastconv.convolve_bank(x, kernels, out=spread), wanted)


def test_not_finite_as_the_direct_engine(way):
    rng = np.random.default_rng(8)
    x, kernels = rng.standard_normal((30, 40)), rng.standard_normal((3, 5, 5))
    x[3, 7], x[20, 0], kernels[1, 2, 3], kernels[2, 0, 0] = np.inf, np.nan, -np.inf, 0
    for boundary in BOUNDARIES:
        found = fastconv.convolve_bank(x, kernels, boundary=boundary)
        for result, kernel in zip(found, kernels):
            each = fastconv.convolve2d(x, kernel, "same", boundary=boundary, method="direct")
            np.testing.assert_array_equal(np.isnan(result), np.isnan(each))
            np.testing.assert_array_equal(np.isposinf(result), np.isposinf(each))
            np.testing.assert_allclose(result, each, rtol=1e-12, atol=1e-12)


def test_dtype():
    x, kernels = np.full((4, 5), 200, np.uint8), np.ones((2, 3, 3), np.uint8)
    assert fastconv.convolve_bank(x, kernels)[0, 1, 1] == 1800 % 256
    for dtype in ("i4", "u4", "i8", "f4", "f8", "c8", ">i4"):
        found = fastconv.convolve_bank(x, kernels, dtype=dtype)
        assert found.dtype == np.dtype(dtype).newbyteorder("=")
        assert found.max() == 1800
    rounded = fastconv.convolve_bank(np.full((1, 1), 1 + 2**-30), np.ones((1, 1, 1)), dtype="f4")
    assert rounded.dtype == np.float32
    assert rounded[0, 0, 0] == 1
    for given, dtype in ((x.astype(float), "i4"), (x.astype("i2"), "u1"), (x + 1j, "f8"), (x, "O"), (x, "M8")):
        with pytest.raises(TypeError, match="dtype"):
            fastconv.convolve_bank(given, kernels, dtype=dtype)


def test_the_layer_is_chosen_where_it_is_faster(layers):
    rng = np.random.default_rng(9)
    x = rng.standard_normal((256, 256)).astype(np.float32)

    def chosen(*shape, x=x, dtype="f4"):
        layers.clear()
        fastconv.convolve_bank(x, rng.integers(-9, 9, shape).astype(dtype))
        return len(layers) == 1

    assert chosen(32, 9, 9)
    assert chosen(32, 9, 9, x=(x * 9).astype(np.uint8))
    assert chosen(16, 7, 7, x=x.astype(float), dtype="f8")
    assert chosen(32, 3, 3)
    assert not chosen(1, 9, 9)
    assert not chosen(32, 9, 9, dtype="c8")
    assert not chosen(32, 61, 61)  # spectra
    assert not chosen(32, 9, 9, x=(x * 9).astype(np.int8), dtype="i1")  # 64 lanes of 8 bits
    layers.clear()
    outer = np.multiply.outer(rng.standard_normal((32, 15)), np.ones(15))  # in two passes
    fastconv.convolve_bank(x.astype(float), outer)
    assert not layers


def test_one_kernel_larger_than_the_image(way):
    x, kernels = np.arange(6.0).reshape(2, 3), np.arange(40.0).reshape(2, 4, 5)
    for mode in MODES:
        np.testing.assert_array_equal(fastconv.convolve_bank(x, kernels, mode), stacked(x, kernels, mode=mode))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 3)), np.ones((3, 3))), r"kernels must have shape \(K, M, N\)"),
        ((np.ones(3), np.ones((1, 3, 3))), "image must have at least 2 dimensions"),
        ((np.ones((3, 3)), np.ones((0, 3, 3))), "kernels must not be empty"),
        ((np.ones((0, 3)), np.ones((1, 3, 3))), "image must not be empty"),
        ((np.ones((3, 3)), np.ones((1, 3, 3)), "valid?"), "mode must be"),
        ((np.ones((3, 4)), np.ones((1, 4, 3)), "valid"), "in mode 'valid'"),
        ((np.ones((3, 3)), np.broadcast_to(1.0, (2**40, 2**8, 2**8))), "kernels must be of a size"),
        ((np.ones((3, 3)), np.broadcast_to(1.0, (2**59, 1, 1))), "kernels must be of a size|fits into memory"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        fastconv.convolve_bank(*arguments)
    with pytest.raises(ValueError, match="fill_value"):
        fastconv.convolve_bank(np.ones((3, 3)), np.ones((1, 3, 3)), fill_value=1)
