"""Memory: peak beside input and output, leaks, references, memory-mapped files."""

import contextlib
import gc
import mmap
import os
import platform
import shutil
import sys
import threading
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._engines import scratch_memory
from fastconv._runtime import bounded_cache, memory_maps, thread_pool
from fastconv._runtime.instrumentation import observed
from fastconv.compat import ndimage, signal
from fastconv.compat import numpy as like_numpy
from tests.sample_calls import succeed

# Not `ru_maxrss`, which begins with that of the parent process.
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

CODE = """
import os, sys
import numpy as np
import fastconv
from fastconv._planning import engine_loader

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

def measure(shape, axes, taps, dtype, layout, method, extra):
    x = np.ones(shape, dtype, order="F" if layout == "fortran" else "C")
    if layout == "big-endian":
        x = x.astype(x.dtype.newbyteorder(">"))
    if layout == "strided":
        x = x[:, ::2]
    out, kernel = np.full(x.shape, 7, dtype), np.ones(taps, dtype)

    def convolve(x, out):
        if len(axes) == 1:
            fastconv.convolve1d(x, kernel, "same", axis=axes[0], boundary="wrap", method=method, out=out)
        else:
            fastconv.convolve2d(x, kernel, "same", axes=axes, boundary="wrap", method=method, out=out)

    few = tuple(slice(0, 30) for _ in shape)
    convolve(x[few], out[few])
    before = peak()
    convolve(x, out)
    if extra:
        held = np.ones(extra * 2**20, np.uint8)
    after = peak()
    assert np.allclose(out.ravel()[[0, -1]], [kernel.size % 2**31] * 2), out
    print(after - before, flush=True)

engine_loader.load()  # imports Numba, once for all
for case in eval(sys.argv[1]):
    child = os.fork()  # its peak begins with what it has now
    if not child:
        measure(*case)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, case
"""


def growths(*cases):
    """Megabytes by which the peak memory of a process grows in calls; input and output exist before."""
    return [float(word) for word in succeed(CODE, repr(cases), OPENBLAS_NUM_THREADS="1")]


LAYOUTS = "contiguous", "fortran", "big-endian", "strided"


@pytest.mark.parametrize(
    ("dtype", "method"),
    [("f4", "direct"), ("u1", "direct"), ("f4", "separable"), ("u1", "separable"), ("f4", "fft"), ("i4", "fft")],
)
def test_peak_memory_beside_input_and_output_is_small(dtype, method):
    found = growths(*(((5000, 5000), (0, 1), (5, 5), dtype, layout, method, 0) for layout in LAYOUTS))
    assert [name for name, growth in zip(LAYOUTS, found) if growth >= 16] == []  # MB; the image has 100, or 25


LINES = [((64, 2, 200_000), (0,), (5,)), ((20_000_000,), (0,), (31,))]
SHEETS = [
    ((12, 12, 100_000), (0, 1), (3, 3)),
    ((5_000_000, 4), (0, 1), (3, 3)),
    ((1500, 1500), (0, 1), (501, 11)),
]


@pytest.mark.parametrize(
    ("method", "cases"), [("direct", LINES + SHEETS), ("fft", LINES + SHEETS), ("separable", SHEETS)]
)
def test_peak_memory_for_extreme_shapes_is_small(method, cases):
    found = growths(*((*case, "f4", "contiguous", method, 0) for case in cases))
    assert [case for case, growth in zip(cases, found) if growth >= 16] == []


def test_the_measurement_detects_20_megabytes():
    case = (2000, 2000), (0, 1), (5, 5), "f4", "contiguous", "direct"
    plain, more = growths((*case, 0), (*case, 20))
    assert plain < 16 < more


def test_scratch_of_a_large_kernel_is_freed():
    fastconv.convolve1d(np.ones(50), np.ones(2_000_000), "same", boundary="wrap")
    fastconv.convolve1d(np.ones(50), np.ones(3))
    assert 0 < scratch_memory.thread.kept.scratch[0] <= scratch_memory.KEPT_SCRATCH


# ------------------------------------------------------------------------------------------- leaks and references

STATUS = """
import gc, sys, threading
import numpy as np
import fastconv

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
"""

MIXED = """
from fastconv import image
from fastconv.compat import ndimage, signal
from fastconv.compat import numpy as like_numpy

import warnings
warnings.simplefilter("ignore")  # about complex numbers converted to real, below

DTYPES = "?", "u1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", "g"
METHODS = "direct", "separable", "fft", "auto"
BOUNDARIES = "zero", "nearest", "reflect", "mirror", "wrap"


def refused(function, *args, **options):
    try:
        function(*args, **options)
    except (ValueError, TypeError):
        return
    raise AssertionError("accepted")


def calls(rng, count):
    plans = []
    for number in range(count):
        one = number % 100 if number % 4 else int(rng.integers(1, 3000))  # recurring shapes, and others
        dtype = DTYPES[number % 11]
        x, taps = np.ones(one % 90 + 7, dtype), np.ones(one % 6 + 1, dtype)
        picture, kernel = np.ones((9 + one % 17, 20 + one // 17), dtype), np.ones((one % 4 + 1, one % 3 + 1), dtype)
        kind = number % 12
        if kind < 3:
            fastconv.convolve1d(x, taps, boundary=BOUNDARIES[one % 5])
        elif kind == 3:
            fastconv.convolve2d(picture, kernel, "same", boundary=BOUNDARIES[one % 5])
        elif kind == 4:
            floats = picture.astype("f4")
            floats[0, 0] = np.nan if one % 5 == 0 else 1
            fastconv.correlate2d(floats, kernel.astype("f4"), "same", method=METHODS[one % 4], out=floats)
        elif kind == 5:
            weights = rng.standard_normal((5, 5)).astype("f4")
            plans.append(fastconv.plan(weights, picture.shape, mode="same", method=METHODS[one % 2 * 2 + 1 - one % 2]))\
                if one % 2 else plans.append(fastconv.plan(weights, picture.shape, mode="same"))
            plans[-1](np.ones(picture.shape, "f4"))
            del plans[:-5]
        elif kind == 6:
            image.filter(picture.astype("u1"), rng.integers(-9, 9, (3, 3)), scale=5)
            image.gaussian_blur(picture.astype("f4"), 0.5 + one % 3)
        elif kind == 7:
            ndimage.uniform_filter(picture.astype("f4"), 3)
            signal.convolve2d(picture.astype("f8"), kernel.astype("f8"), boundary="symm")
        elif kind == 8:
            like_numpy.convolve(x.astype("f8"), taps.astype("f8"))
        elif kind == 9:
            refused(fastconv.convolve1d, x, taps, mode=f"no {number}")
            refused(fastconv.convolve2d, picture, x)
            refused(fastconv.convolve1d, np.array([object()] * 9), taps)
            refused(image.filter, picture, [[np.nan]])
        elif kind == 10:
            fastconv.convolve1d(x.astype("f8"), taps.astype("f8"), "same", boundary="fill", fill_value=number)
        else:
            fastconv.convolve2d(rng.standard_normal((90, 300)), np.ones((9, 9)), method="fft")


def turn(count):
    threads = [threading.Thread(target=calls, args=(np.random.default_rng(k), count // 4)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    print(status("VmRSS"), flush=True)


for _ in range(8):
    turn(2500)
"""

THREADS = """
def work():
    fastconv.convolve2d(np.ones((300, 400), "f4"), np.ones((3, 3), "f4"))
    fastconv.convolve2d(np.ones((300, 400), "f4"), np.ones((31, 31), "f4"), method="fft")

for number in range(500):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if number % 100 == 99:
        print(status("VmRSS"), flush=True)
"""


def sizes(code, timeout=120):
    return [*map(float, succeed(STATUS + code, timeout=timeout))]


def test_20_000_mixed_calls_leak_no_memory():
    found = sizes(MIXED)
    assert len(found) == 8
    assert max(found[2:]) - found[1] < 20  # growth after the first quarter


def test_ended_threads_leak_no_memory():
    found = sizes(THREADS)
    assert len(found) == 5
    assert max(found) - found[0] < 5  # each thread had some megabytes of scratch


CLEARED = """
from fastconv.compat import cv2

picture, rng = np.ones((480, 640), "u1"), np.random.default_rng(1)

def calls(count):
    for _ in range(count):
        cv2.filter2D(picture, -1, rng.standard_normal((31, 31)))

calls(3)
fastconv.clear_caches()
print(status("VmRSS"))
calls(200)
print(status("VmRSS"))
fastconv.clear_caches()
print(status("VmRSS"))
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc returns the memory of small arrays on request"
)
def test_clear_caches_returns_memory_to_the_system():
    before, filled, after = sizes(CLEARED)
    assert filled - before > 20
    assert filled - before < (bounded_cache.BOUND >> 20) + 13
    assert after - before < 6


def test_the_measurement_detects_a_leak():
    found = sizes("kept = []\nfor _ in range(3):\n    kept.append(np.ones(3_000_000))\n    print(status('VmRSS'))")
    assert found[2] - found[0] > 40


def refused(function, *args, **options):
    try:
        function(*args, **options)
    except (ValueError, TypeError):
        return
    raise AssertionError("accepted")


RNG = np.random.default_rng(1)
LINE, SHORT = np.ones(50), np.ones(5)
SMALL, TAPS = np.ones((40, 50), "f4"), RNG.standard_normal((5, 5)).astype("f4")
LARGE, OUTER = np.ones((600, 700), "f4"), np.outer(np.arange(1, 10.0), np.arange(1, 10.0)).astype("f4")
WITH_NAN, FRAME, PICTURE = LARGE.copy(), np.pad(TAPS, 12), np.ones((60, 70, 3), "u1")
WITH_NAN[3, 3] = np.nan
PLAN = fastconv.plan(TAPS, SMALL.shape, "f4")
KINDS = {
    "a line": lambda: fastconv.convolve1d(LINE, SHORT),
    "an image": lambda: fastconv.correlate2d(SMALL, TAPS, "same", boundary="wrap"),
    "threads": lambda: fastconv.convolve2d(LARGE, TAPS, "same"),
    "two passes": lambda: fastconv.convolve2d(LARGE, OUTER, "same", method="separable"),
    "two passes, mended": lambda: fastconv.convolve2d(WITH_NAN, OUTER, "same", method="separable"),
    "spectra": lambda: fastconv.convolve2d(LARGE, RNG.standard_normal((21, 21)).astype("f4"), method="fft"),
    "spectra, repaired": lambda: fastconv.convolve2d(WITH_NAN, TAPS, method="fft"),
    "zeros around": lambda: fastconv.convolve2d(LARGE, FRAME, "same"),
    "half": lambda: fastconv.convolve2d(SMALL.astype("f2"), TAPS.astype("f2")),
    "objects": lambda: fastconv.convolve1d([Fraction(1, 2)] * 5, [Fraction(1, 3)] * 2),
    "long double": lambda: fastconv.convolve1d(LINE.astype("g"), SHORT),
    "swapped": lambda: fastconv.convolve2d(TAPS, SMALL),
    "in place": lambda: fastconv.convolve2d(SMALL.copy(), TAPS, "same", out=SMALL.copy()),
    "a plan": lambda: PLAN(SMALL),
    "a new plan": lambda: fastconv.plan(RNG.standard_normal((5, 5)), (40, 50), "f4")(SMALL),
    "a picture": lambda: image.filter(PICTURE, RNG.standard_normal((3, 3))),
    "functions of pictures": lambda: (image.sobel_magnitude(PICTURE), image.unsharp_mask(PICTURE, 1.0)),
    "compat": lambda: (
        ndimage.gaussian_filter(SMALL, 2),
        signal.convolve2d(SMALL, TAPS),
        like_numpy.convolve(LINE, SHORT),
    ),
    "a wrong mode": lambda: refused(fastconv.convolve1d, LINE, SHORT, "no"),
    "a mode without a hash": lambda: refused(fastconv.convolve1d, LINE, SHORT, []),
    "a kernel that is not separable": lambda: refused(
        fastconv.convolve2d, SMALL, RNG.standard_normal((3, 3)), method="separable"
    ),
    "a wrong out": lambda: refused(fastconv.convolve2d, SMALL, TAPS, out=LINE),
    "objects that cannot be multiplied": lambda: refused(fastconv.convolve1d, np.array([object()]), [1]),
    "an invalid kernel for a picture": lambda: refused(image.filter, PICTURE, [[np.inf]]),
}


@pytest.mark.usefixtures("frozen_heap")
@pytest.mark.parametrize("kind", KINDS)
def test_calls_create_no_reference_cycles(kind):
    KINDS[kind]()
    KINDS[kind]()
    gc.collect()
    gc.disable()
    try:
        KINDS[kind]()
        KINDS[kind]()
        found = gc.collect()
    finally:
        gc.enable()
    assert found == 0


@pytest.mark.parametrize("method", ["direct", "separable", "fft", "auto"])
@pytest.mark.parametrize("spoil", [False, True])
def test_calls_hold_no_reference_to_arrays_afterwards(method, spoil):
    for dtype, workers in (("f4", 1), ("f4", None), ("f2", None)):
        x, kernel = np.ones((700, 800), dtype), np.outer(np.arange(1, 6), np.arange(1, 8)).astype(dtype)
        if spoil:
            x[5, 5] = np.inf
        out = np.empty_like(x)
        counts = [sys.getrefcount(array) for array in (x, kernel, out)]
        gc.disable()
        try:
            fastconv.convolve2d(x, kernel, "same", method=method, workers=workers, out=out)
            for _ in range(500):  # calls do not wait for idle workers, which hold the arrays until they wake up
                if workers == 1 or [sys.getrefcount(array) for array in (x, kernel, out)] == counts:
                    break
                threading.Event().wait(0.01)
            assert [sys.getrefcount(array) for array in (x, kernel, out)] == counts
            alive = [weakref.ref(array) for array in (x, kernel, out)]
            del x, kernel, out
            assert [array() for array in alive] == [None] * 3
        finally:
            gc.enable()


@pytest.mark.parametrize("both", [False, True])
def test_error_in_a_worker_holds_no_reference_to_arrays(both):
    array, failed = np.ones(3), threading.Event()
    alive = weakref.ref(array)

    def process(in_worker, array=array):
        if in_worker:
            failed.set()
            raise MemoryError("no scratch")
        failed.wait(5)
        if both:
            raise KeyboardInterrupt

    work = thread_pool.Work(process, lambda: None, lambda: False, epoch=lambda: 0, spin_wait=lambda epoch: None)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(KeyboardInterrupt, MemoryError):
            thread_pool.run(work, 2)
        del array, process, work
        for _ in range(200):  # the worker may still be leaving
            if alive() is None:
                break
            threading.Event().wait(0.01)
        assert alive() is None
    finally:
        gc.enable()


# -------------------------------------------------------------------------------------------- memory-mapped files

GIGABYTES = float(os.environ.get("FASTCONV_TEST_MAP_GB", "0.5"))

MAPS = """
folder, gigabytes = sys.argv[1], float(sys.argv[2])
height, width = int(gigabytes * 2**13), 2**15
with open(f"{folder}/x", "wb") as file:
    file.truncate(height * width * 4)
x = np.memmap(f"{folder}/x", np.float32, "r+", shape=(height, width))
x[-1, -9:] = 1
x[0, 0] = 1  # no zeros around
out = np.memmap(f"{folder}/out", np.float32, "w+", shape=(height, width))
small = np.ones((1000, 1000), "f4")
line = np.arange(1, 8, dtype="f4")
kernels = [np.ones((5, 4), "f4"), np.outer(line, line), np.pad(np.ones((4, 5), "f4"), 14)]
for kernel in kernels:
    fastconv.convolve2d(small, kernel, "same")
before = status("VmRSS")
for kernel in kernels:
    fastconv.convolve2d(x, kernel, "same", out=out)
    corner = np.zeros((60, 60), "f4")
    corner[-1, -9:] = 1
    assert (out[-20:, -20:] == fastconv.convolve2d(corner, kernel, "same")[-20:, -20:]).all()
fastconv.convolve1d(x.reshape(-1), kernels[0][0], "same", out=out.reshape(-1))
x[0, 0] = 0
out[1] = 1
fastconv.convolve2d(x, kernels[0], "same", out=out)
assert out[-1, -2:].all() and not out[1].any()
fastconv.convolve1d(x.reshape(-1), kernels[0][0], "same", out=out.reshape(-1))
assert out[-1, -5:].tolist() == [4, 4, 4, 4, 3] or out[-1, -5:].tolist() == [4, 4, 4, 3, 2]
print(before, status("VmHWM"), status("RssAnon"), status("RssFile"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are released on Linux only")
def test_gigabytes_from_file_to_file_take_less_than_210_megabytes(tmp_path):
    if shutil.disk_usage(tmp_path).free < 2.2 * GIGABYTES * 2**30:
        pytest.skip("not enough disk space for the files")
    try:
        before, peak, *_ = map(float, succeed(STATUS + MAPS, tmp_path, GIGABYTES, timeout=300))
    finally:
        for path in tmp_path.iterdir():
            path.unlink()
    assert peak < 210
    assert peak - before < 86  # an interpreter with NumPy and Numba takes 114


@pytest.fixture
def small_maps(monkeypatch):
    """Maps of a megabyte are large, and pages are released at each check; yields the number of maps at each."""
    released = []
    monkeypatch.setattr(memory_maps, "LARGE", 1 << 20)
    monkeypatch.setattr(memory_maps, "BUDGET", -(1 << 62))
    with observed(lambda event: event.name == "release" and released.append(event.maps)):
        yield released


def map_of(path, array, mode="r+"):
    array.tofile(path)
    return np.memmap(path, array.dtype, mode, shape=array.shape)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are released on Linux only")
@pytest.mark.parametrize("method", ["direct", "separable", "fft", "auto"])
@pytest.mark.parametrize("spoil", [False, True])
def test_released_pages_keep_written_data(tmp_path, small_maps, method, spoil):
    rng = np.random.default_rng(2)
    array = rng.standard_normal((900, 800)).astype("f4")
    if spoil:
        array[100, 100] = array[880, 3] = np.nan
    kernel = np.pad(np.outer(np.arange(1, 8), np.arange(1, 6)), 11 if method == "auto" else 0).astype("f4")
    x, out = map_of(tmp_path / "x", array), map_of(tmp_path / "out", np.zeros_like(array))
    x[7, 5] = array[7, 5] = 3  # not yet written to disk
    wanted = fastconv.convolve2d(array, kernel, "same", method=method)
    assert not small_maps
    for source in (x, np.asarray(x), x[:, :]):
        out[...] = 0
        small_maps.clear()
        fastconv.convolve2d(source, kernel, "same", method=method, out=out)
        assert len(small_maps) > 2
        assert set(small_maps) <= {1, 2}  # of both arrays, or of the input only if it is being checked
        np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(x, array)
    out.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out", "f4").reshape(wanted.shape), wanted)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are released on Linux only")
def test_private_maps_keep_written_data(tmp_path, small_maps):
    zeros = np.zeros((900, 800), "f4")
    x = map_of(tmp_path / "x", zeros, "c")
    x[...] = 1
    anonymous = np.frombuffer(mmap.mmap(-1, zeros.nbytes), "f4").reshape(zeros.shape)
    anonymous[...] = 1
    private = np.frombuffer(mmap.mmap(-1, zeros.nbytes, mmap.MAP_PRIVATE), "f4").reshape(zeros.shape)
    private[...] = 1
    for array in (x, x[::-1], np.asarray(x), x.view(np.ndarray), anonymous, private):
        assert memory_maps.mapped(array) is None
        result = fastconv.convolve2d(array, np.ones((3, 3), "f4"), "valid", out=None)
        assert (result == 9).all()
        assert (array == 1).all()
    out = map_of(tmp_path / "out", zeros, "c")
    fastconv.convolve2d(np.ones((902, 802), "f4"), np.ones((3, 3), "f4"), "valid", out=out)
    assert (out == 9).all()
    assert not small_maps


def test_finds_the_maps_of_arrays(tmp_path):
    array = np.zeros(1 << 18, "f4")
    few = map_of(tmp_path / "few", array)
    assert memory_maps.mapped(array, few) is None  # small maps are not released
    with open(tmp_path / "many", "wb") as file:
        file.truncate(memory_maps.LARGE)
    if sys.platform == "linux":
        for mode in ("r", "r+"):
            many = np.memmap(tmp_path / "many", np.uint8, mode)
            for view in (many, np.asarray(many), many[::-1], many.reshape(2, -1).T, many.view("f4")):
                assert len(memory_maps.mapped(view, array).maps) == 1
            assert memory_maps.mapped(many[1:]) is None
            assert len(memory_maps.mapped(many, many[::-1]).maps) == 1
    assert memory_maps.mapped(np.memmap(tmp_path / "many", np.uint8, "c")) is None
