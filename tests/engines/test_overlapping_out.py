"""A result that goes into memory of the input or of the kernel is the one that goes into memory of its own."""

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv.compat import ndimage
from tests.oracle import whole_numbers

METHODS = ("direct", "separable", "fft", "auto")
HALO = 256  # bytes before and behind the arrays in their memory


def at(memory, start, shape, dtype, strides=None):
    """The array that begins `start` bytes after the halo of some memory."""
    return np.ndarray(shape, dtype, memory.data, HALO + start, strides)


def memory_for(rng, size):
    return rng.integers(0, 9, size + 2 * HALO, np.uint8)


def floats(rng, memory, dtype):
    """Fill memory with numbers of a type, wherever an array of them may begin."""
    memory[:] = np.resize(
        whole_numbers(rng, memory.size // np.dtype(dtype).itemsize, dtype).view(np.uint8), memory.size
    )


def convolve(x, kernel, **options):
    function = fastconv.convolve1d if np.ndim(kernel) == 1 else fastconv.convolve2d
    return function(x, kernel, "same", **options)


def assert_as_apart(memory, x, out, call):
    """`call(x, out)` leaves in `out` what it gives for a copy of `x`, and all else in memory as it was."""
    before = memory.copy()
    with np.errstate(all="ignore"):
        wanted = call(x.copy(), None)
        assert call(x, out) is out
        np.testing.assert_array_equal(out, wanted)
    out[...] = np.frombuffer(bytes(out.dtype.itemsize), out.dtype)[0]
    after, zeroed = memory.copy(), before.copy()
    np.ndarray(out.shape, out.dtype, zeroed.data, address(out) - address(memory), out.strides)[...] = 0
    np.testing.assert_array_equal(after, zeroed)
    memory[:] = before


def address(array):
    return array.__array_interface__["data"][0]


# ------------------------------------------------------------------------------------------------------ every offset


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c8", "f2"])
def test_out_shifted_by_whole_and_partial_elements(dtype, method):
    rng = np.random.default_rng(1)
    item = np.dtype(dtype).itemsize
    if dtype == "u1" and method == "fft":
        method = "auto"
    for shape, taps in (((60,), (5,)), ((6, 21), (3, 4))):
        if method == "separable" and len(shape) == 1:
            continue
        kernel = np.ones(taps, np.dtype(dtype).type(0).real.dtype)
        memory = memory_for(rng, 130 * item)
        if dtype != "u1":
            floats(rng, memory, dtype)
        x = at(memory, 0, shape, dtype)
        for shift in [k * item for k in range(-8, 9)] + [-item - 1, -1, 1, item + 3]:
            out = at(memory, shift, shape, dtype)
            assert np.shares_memory(x, out)
            finite = x.copy()
            assert_as_apart(memory, x, out, lambda a, b, k=kernel: convolve(a, k, method=method, out=b))
            np.testing.assert_array_equal(x, finite)


@pytest.mark.parametrize("method", METHODS)
def test_views_of_the_input_as_out(method):
    rng = np.random.default_rng(2)
    kernel = np.outer([1.0, 2, 3], [3.0, -1, 2])
    memory = memory_for(rng, 8 * 400)
    floats(rng, memory, "f8")
    x = at(memory, 0, (20, 20), "f8")
    views = [x, x.T, x[::-1], x[:, ::-1], x[::-1, ::-1], x.T[::-1]]
    for out in views:
        for source in views:
            assert_as_apart(
                memory, source, out, lambda a, b: convolve(a, kernel, boundary="wrap", method=method, out=b)
            )
    inner, wide = x[3:15, 4:16], x[:12, :12]
    for source, out in ((inner, wide), (wide, inner), (x[::2, ::2], x[:10, :10]), (x[5:15, 5:15], x[::2, 1::2])):
        assert_as_apart(memory, source, out, lambda a, b: convolve(a, kernel, method=method, out=b))


def test_out_inside_the_input_and_the_input_inside_out():
    rng = np.random.default_rng(3)
    kernel = np.array([1.0, -2.0, 1.0])
    memory = memory_for(rng, 8 * 64)
    floats(rng, memory, "f8")
    line = at(memory, 0, (64,), "f8")
    for mode, source, out in (
        ("valid", line, at(memory, 240, (62,), "f8")),
        ("valid", line, line[:62]),
        ("full", line[8:50], line[5:49]),
    ):
        assert_as_apart(memory, source, out, lambda a, b, m=mode: fastconv.convolve1d(a, kernel, m, out=b))


@pytest.mark.parametrize("method", METHODS)
def test_interleaved_arrays_share_no_element(method):
    rng = np.random.default_rng(4)
    kernel = np.outer([1.0, 2], [2.0, 1, 1])
    memory = memory_for(rng, 8 * 1200)
    floats(rng, memory, "f8")
    buffer = at(memory, 0, (30, 40), "f8")
    for x, out in ((buffer[::2], buffer[1::2]), (buffer[:, ::2], buffer[:, 1::2]), (buffer[:, 1::2], buffer[:, ::2])):
        assert np.may_share_memory(x, out)
        assert not np.shares_memory(x, out)
        assert_as_apart(memory, x, out, lambda a, b: convolve(a, kernel, method=method, out=b))


@pytest.mark.parametrize("dtype", ["c8", "f4"])
def test_out_among_the_parts_of_complex_numbers(dtype):
    rng = np.random.default_rng(5)
    memory = memory_for(rng, 8 * 60)
    floats(rng, memory, "f4")
    z = at(memory, 0, (60,), "c8")
    kernel = np.array([1, 2, 3], "f4")
    for source in (z.real, z.imag):
        for out in (z.real, z.imag):
            assert_as_apart(memory, source, out, lambda a, b: convolve(a, kernel, out=b))
    # The same bytes as numbers of another type.
    other = at(memory, 0, (30,), "f8") if dtype == "f4" else at(memory, 0, (30,), "c16")
    with np.errstate(all="ignore"):
        x = at(memory, 0, (30,), "f4")
        wanted = convolve(x.copy(), np.ones(3, other.dtype))
        convolve(x, np.ones(3, other.dtype), out=other)
    np.testing.assert_array_equal(other, wanted)


def test_bytes_in_another_order_in_the_same_place():
    x = np.arange(40.0)
    swapped = x.view(x.dtype.newbyteorder())
    swapped[...] = np.arange(40.0)
    wanted = fastconv.convolve1d(np.arange(40.0), [1.0, 2.0], "same")
    fastconv.convolve1d(swapped, [1.0, 2.0], "same", out=x)
    np.testing.assert_array_equal(x, wanted)


# -------------------------------------------------------------------------------------------------------- the kernel


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("correlate", [False, True])
def test_out_in_the_memory_of_the_kernel(method, correlate):
    rng = np.random.default_rng(6)
    function = fastconv.correlate2d if correlate else fastconv.convolve2d
    for shape in ((12, 13), (5, 6), (3, 2)):
        for shift in (-8, -3, 0, 1, 4, 8):
            memory = memory_for(rng, 8 * 170)
            floats(rng, memory, "f8")
            kernel = at(memory, 0, (3, 4), "f8")
            kernel[...] = np.outer([1, 2, 1], [1, -1, 3, 2])
            out = at(memory, shift * 8, shape, "f8")
            x = whole_numbers(rng, shape, "f8")
            wanted = function(x, kernel.copy(), "same", method=method)
            assert function(x, kernel, "same", method=method, out=out) is out
            np.testing.assert_array_equal(out, wanted)


def test_input_kernel_and_out_in_one_place():
    for method in ("direct", "fft", "auto"):
        a = np.arange(1.0, 10)
        wanted = fastconv.convolve1d(a.copy(), a.copy(), "same", method=method)
        assert fastconv.convolve1d(a, a, "same", method=method, out=a) is a
        np.testing.assert_array_equal(a, wanted)


def test_plans_have_a_kernel_of_their_own():
    kernel = np.array([1.0, 2.0, 3.0])
    plan = fastconv.plan(kernel, 3, mode="same")
    x = np.array([1.0, 5.0, 2.0])
    wanted = fastconv.convolve1d(x, kernel, "same")
    plan(x, kernel)
    np.testing.assert_array_equal(kernel, wanted)
    np.testing.assert_array_equal(plan(x), wanted)


# ------------------------------------------------------------------------------------------------- out beside itself


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_out_that_overlaps_itself_is_as_if_assigned(method):
    x, kernel = np.arange(30.0).reshape(5, 6), np.outer([1.0, 2], [1.0, 3])
    for shape, strides in (
        ((5, 6), (16, 8)),
        ((5, 6), (8, 8)),
        ((5, 6), (8, 40)),
        ((5, 6), (44, 8)),
        ((5, 6), (4, 12)),
    ):
        memories = np.zeros((2, 400), np.uint8)
        outs = [np.ndarray(shape, "f8", memory.data, 0, strides) for memory in memories]
        outs[0][...] = fastconv.convolve2d(x, kernel, "same", method=method)
        assert fastconv.convolve2d(x, kernel, "same", method=method, out=outs[1]) is outs[1]
        np.testing.assert_array_equal(memories[0], memories[1])


# -------------------------------------------------------------------------------------------- plans, pictures, others


@pytest.mark.parametrize("method", METHODS)
def test_plans(method):
    rng = np.random.default_rng(7)
    kernel = np.outer([1.0, 2, 1], [1.0, 0, -1])
    memory = memory_for(rng, 8 * 300)
    floats(rng, memory, "f8")
    plan = fastconv.plan(kernel, (12, 20), mode="same", boundary="reflect", method=method)
    x = at(memory, 0, (12, 20), "f8")
    for shift in range(-64, 65, 4):
        assert_as_apart(memory, x, at(memory, shift, (12, 20), "f8"), plan)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("kernel", [np.ones((3, 3)), np.array([[0.5, 1, 0], [1, -3, 1], [0, 1, 0.25]])])
def test_pictures(dtype, kernel):
    rng = np.random.default_rng(8)
    item = np.dtype(dtype).itemsize
    memory = memory_for(rng, 10 * 12 * 3 * item)
    if dtype != "u1":
        floats(rng, memory, dtype)
    x = at(memory, 0, (10, 12, 3), dtype)
    for shift in range(-8, 9):
        out = at(memory, shift * item, (10, 12, 3), dtype)
        assert_as_apart(memory, x, out, lambda a, b: image.filter(a, kernel, out=b))
    for out in (x[::-1], x[:, ::-1], x[..., ::-1]):
        assert_as_apart(memory, x, out, lambda a, b: image.filter(a, kernel, scale=9, out=b))


def test_pictures_as_floats_over_their_own_bytes():
    memory = np.zeros(2000, np.uint8)
    x = np.ndarray((10, 12), "u1", memory.data, 100)
    x[...] = np.arange(120).reshape(10, 12)
    out = np.ndarray((10, 12), "f4", memory.data, 0)
    wanted = image.filter(x.copy(), np.ones((3, 3)), dtype="f4")
    image.filter(x, np.ones((3, 3)), dtype="f4", out=out)
    np.testing.assert_array_equal(out, wanted)


NDIMAGE = {
    "convolve": lambda x, out: ndimage.convolve(x, np.outer([1.0, 2, 1], [1.0, 0, 2]), out),
    "correlate": lambda x, out: ndimage.correlate(x, np.array([[1.0, 2, 1], [0, 5, 1]]), out),
    "correlate1d": lambda x, out: ndimage.correlate1d(x, [1.0, 2, 1], 0, out),
    "convolve1d": lambda x, out: ndimage.convolve1d(x, [1.0, 2, 1], 1, out),
    "uniform_filter": lambda x, out: ndimage.uniform_filter(x, 3, out),
    "gaussian_filter": lambda x, out: ndimage.gaussian_filter(x, 1.5, output=out),
    "sobel": lambda x, out: ndimage.sobel(x, 0, out),
    "laplace": lambda x, out: ndimage.laplace(x, out),
    "gaussian_laplace": lambda x, out: ndimage.gaussian_laplace(x, 1.0, out),
}


@pytest.mark.parametrize("name", NDIMAGE)
def test_functions_of_scipy_ndimage(name):
    rng = np.random.default_rng(9)
    call = NDIMAGE[name]
    memory = memory_for(rng, 8 * 300)
    floats(rng, memory, "f8")
    x = at(memory, 0, (12, 20), "f8")
    wanted = call(x.copy(), None)
    before = memory.copy()
    for shift in (*range(-64, 65, 16), -5, 3):
        out = at(memory, shift, (12, 20), "f8")
        with np.errstate(all="ignore"):
            call(x, out)
        np.testing.assert_array_equal(out, wanted)
        memory[:] = before
    for out in (x[::-1], x[:, ::-1], x[::-1, ::-1]):
        call(x, out)
        np.testing.assert_array_equal(out, wanted)
        memory[:] = before


def test_functions_of_opencv():
    pytest.importorskip("cv2")
    from fastconv.compat import cv2

    rng = np.random.default_rng(10)
    x = rng.integers(0, 255, (20, 30), np.uint8)
    calls = {
        "filter2D": lambda src, dst: cv2.filter2D(src, -1, np.ones((3, 3), np.float32) / 9, dst=dst),
        "GaussianBlur": lambda src, dst: cv2.GaussianBlur(src, (5, 5), 1.2, dst=dst),
        "blur": lambda src, dst: cv2.blur(src, (3, 3), dst=dst),
        "sepFilter2D": lambda src, dst: cv2.sepFilter2D(src, -1, np.ones(3) / 3, np.ones(3) / 3, dst=dst),
    }
    for call in calls.values():
        wanted = call(x, None)
        own = x.copy()
        result = call(own, own)
        np.testing.assert_array_equal(result, wanted)
        np.testing.assert_array_equal(own, wanted)


# ---------------------------------------------------------------------------------------------- more than one block

# A block may be read as a whole before it is written: only of several does one read what another has written.
TALL = (150, 1300)
LATER = {
    "convolve2d": (lambda x, out: convolve(x, np.outer([1.0, 2, 1], [1.0, 0, 2]), out=out), "f8"),
    "by spectra": (lambda x, out: convolve(x, np.outer([1.0, 2, 1], [1.0, 0, 2]), method="fft", out=out), "f8"),
    "in two passes": (
        lambda x, out: convolve(x, np.outer([1.0, 2, 1], [1.0, 0, 2]), method="separable", out=out),
        "f8",
    ),
    "a plan": (fastconv.plan(np.outer([1.0, 2, 1], [1.0, 0, 2]), TALL, mode="same", method="direct"), "f8"),
    "a picture": (lambda x, out: image.filter(x, np.outer([1, 2, 1], [1, 0, 2]), out=out), "u1"),
    "a picture of floats": (lambda x, out: image.filter(x, np.array([[1, 2, 1], [0, 1, 7]]), out=out), "f4"),
}


@pytest.mark.parametrize("name", LATER)
def test_arrays_of_several_blocks(name):
    rng = np.random.default_rng(11)
    call, dtype = LATER[name]
    item = np.dtype(dtype).itemsize
    memory = np.zeros(TALL[0] * TALL[1] * item + 2 * HALO, np.uint8)
    x = at(memory, 0, TALL, dtype)
    x[...] = rng.integers(0, 5, TALL)
    for out in (x, at(memory, -8 * item, TALL, dtype), at(memory, 5 * item, TALL, dtype), x[::-1], x[:, ::-1]):
        assert_as_apart(memory, x, out, call)


@pytest.mark.parametrize("name", NDIMAGE)
def test_functions_of_scipy_ndimage_in_place(name):
    x = np.random.default_rng(12).standard_normal(TALL)
    wanted = NDIMAGE[name](x.copy(), None)
    for own in (x.copy(), x.copy()):
        NDIMAGE[name](own, own)
        np.testing.assert_array_equal(own, wanted)
    own = x.copy()
    NDIMAGE[name](own, own[::-1])
    np.testing.assert_array_equal(own[::-1], wanted)


@pytest.mark.parametrize("dtype", ["g", "f8"])
def test_a_kernel_that_is_needed_until_the_end(dtype):
    memory = np.zeros(40, dtype)
    kernel, out = memory[4:9], memory[2:32]
    kernel[...] = [1, 2, 3, 4, 5]
    x = np.arange(30).astype(dtype)
    wanted = fastconv.convolve1d(x, kernel.copy(), "same")
    fastconv.convolve1d(x, kernel, "same", out=out)
    np.testing.assert_array_equal(out, wanted)
    wanted = fastconv.convolve1d(x.copy(), wanted[:5], "same")
    fastconv.convolve1d(x, out[:5].copy(), "same", out=x)
    np.testing.assert_array_equal(x, wanted)
