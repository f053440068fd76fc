"""Arrays that another thread changes during a call: results are arbitrary, and nothing else is affected."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._model import separability
from fastconv._planning import method_choice
from fastconv._runtime.instrumentation import forced, observed
from fastconv.compat import cv2, ndimage
from tests import guarded_arrays
from tests.changing_input import CASES
from tests.guard_page_fuzzer import ENVIRONMENT, ROOT

RNG = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def _fresh():
    fastconv.clear_caches()


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
def test_engines_tolerate_concurrent_writes_to_input_and_kernel(tmp_path):
    names = list(CASES)
    shares = names[::2], names[1::2]
    processes = []
    for k, share in enumerate(shares):
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.changing_input", "0.3", *share]
        with open(tmp_path / f"{k}.out", "w") as out, open(tmp_path / f"{k}.err", "w") as err:
            processes.append(subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=ENVIRONMENT))
    try:
        statuses = [process.wait(900) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for k, (share, status) in enumerate(zip(shares, statuses)):
        told, errors = ((tmp_path / f"{k}.{kind}").read_text() for kind in ("out", "err"))
        assert (status, errors) == (0, ""), f"{told}\n{errors}"
        lines = told.splitlines()
        assert lines[::2] == list(share)
        for name, line in zip(lines[::2], lines[1::2]):
            found = json.loads(line)
            assert found["calls"] > found["refused"], name
            assert found["strokes"] > 10, name


def whole(*shape):
    return RNG.integers(-4, 5, shape).astype(np.float32)


def product(n, m):
    return np.multiply.outer(RNG.integers(1, 5, n), RNG.integers(1, 5, m)).astype(np.float32)


IMAGE = whole(200, 150)
PIXELS = RNG.integers(0, 200, (200, 150)).astype(np.uint8)
# A function of a kernel, two kernels of one shape, and the event, with its method, before the kernel is read.
LOOKS = {
    "factors": (
        lambda kernel: fastconv.convolve2d(IMAGE, kernel, "same", method="separable"),
        product(9, 8), product(9, 8), ("prepare", "separable"),
    ),
    "a spectrum": (
        lambda kernel: fastconv.convolve2d(IMAGE, kernel, "same", method="fft"),
        whole(9, 8), whole(9, 8), ("prepare", "fft"),
    ),
    "no zeros around": (
        lambda kernel: fastconv.convolve2d(IMAGE, kernel, "same", boundary="wrap"),
        np.pad(whole(9, 9), 3), np.pad(whole(11, 7), ((2, 2), (4, 4))), ("choose", None),
    ),
    "a picture": (
        lambda kernel: image.filter(PIXELS, kernel),
        product(7, 7) / 100, whole(7, 7) / 10, ("choose", None),
    ),
    "a picture with a scale": (
        lambda kernel: image.filter(PIXELS, kernel, scale=7),
        whole(3, 3), whole(3, 3), ("choose", None),
    ),
    "filter2D": (
        lambda kernel: cv2.filter2D(PIXELS, -1, kernel),
        product(7, 7) / 100, whole(7, 7) / 10, ("choose", None),
    ),
    "sepFilter2D": (
        lambda kernel: cv2.sepFilter2D(PIXELS, -1, kernel, kernel),
        whole(7) / 5, whole(7) / 5, ("choose", None),
    ),
    "ndimage": (
        lambda kernel: ndimage.convolve(IMAGE, kernel),
        np.pad(whole(9, 9), 3), product(15, 15), ("choose", None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_kernel_may_change_between_calls(name):
    function, first, second, _ = LOOKS[name]
    results = [function(kernel.copy()) for kernel in (first, second)]
    assert not np.array_equal(*results)
    kernel = first.copy()
    for content, expect in ((first, results[0]), (second, results[1]), (first, results[0])):
        kernel[...] = content
        for _ in range(2):
            np.testing.assert_array_equal(function(kernel), expect)


@pytest.mark.parametrize("name", LOOKS)
def test_kernel_may_change_during_preparation(name):
    function, first, second, moment = LOOKS[name]
    results = [function(kernel.copy()) for kernel in (first, second)]
    fastconv.clear_caches()
    kernel = first.copy()
    changed = []

    def change(event):
        if (event.name, vars(event).get("method")) == moment:
            kernel[...] = second
            changed.append(True)

    with observed(change):
        np.testing.assert_array_equal(function(kernel), results[0])  # of the first taps
    assert changed
    np.testing.assert_array_equal(function(first.copy()), results[0])
    np.testing.assert_array_equal(function(kernel), results[1])


# Not cached, since it is too large.
LARGE = np.pad(np.multiply.outer(RNG.integers(1, 5, 130), RNG.integers(1, 5, 135)), 2)
LEAST = np.iinfo(LARGE.dtype).min  # its magnitude exceeds the type
assert LARGE.nbytes > method_choice.LARGEST_KEPT


@pytest.mark.parametrize("value", [0, LEAST])
def test_large_kernel_may_change_after_its_zeros_were_found(value):
    x, kernel = RNG.integers(-4, 5, (150, 140)), LARGE.copy()
    expect = fastconv.convolve2d(x, kernel, "same")
    found = []

    def change(event):
        if event.name == "trim":
            found.append(event.spans)
            kernel[...] = value

    with observed(change):
        assert fastconv.convolve2d(x, kernel, "same").shape == expect.shape
    assert found == [((2, 132), (2, 137))]
    np.testing.assert_array_equal(fastconv.convolve2d(x, LARGE, "same"), expect)


def test_large_kernel_may_change_during_factorization():
    kernel = LARGE.copy()

    class Changing(np.ndarray):
        """Taps that change as soon as the largest was found."""

        def max(self, *arguments, **options):
            found = super().max(*arguments, **options)
            kernel[...] = 0
            kernel[0, 0] = LEAST
            return found

    for factor in separability.factors(kernel.view(Changing), kernel.dtype):
        assert factor.dtype == kernel.dtype
    assert kernel[0, 0] == LEAST


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_input_may_become_non_finite_after_the_check(value):
    kernel, x = np.pad(whole(9, 9), 3), IMAGE.copy()
    expect = fastconv.convolve2d(x, kernel, "same", boundary="wrap")
    changed = []

    def change(event):
        if event.name == "trimmed":
            x[50:60, 70] = value
            changed.append(True)

    with observed(change):
        assert not np.isfinite(fastconv.convolve2d(x, kernel, "same", boundary="wrap")).all()
    assert changed == [True]
    np.testing.assert_array_equal(fastconv.convolve2d(IMAGE, kernel, "same", boundary="wrap"), expect)


@pytest.mark.parametrize(("method", "kernel"), [("separable", product(9, 8)), ("fft", whole(9, 8))])
@pytest.mark.parametrize("after", [0, np.nan])
def test_input_may_become_finite_before_the_repair(method, kernel, after):
    x, repaired = IMAGE.copy(), []
    x[100, 20] = np.inf

    def change(event):
        if event.name == "repair":
            x[95:105] = after
            repaired.append(event.method)

    with observed(change), forced(rounding=False):
        result = fastconv.convolve2d(x, kernel, "same", method=method)
    assert repaired == [method]
    # Rows out of reach of the changes are as without them.
    clean = fastconv.convolve2d(IMAGE, kernel, "same", method="direct")
    np.testing.assert_allclose(result[:80], clean[:80], atol=1e-3)


# For each method, the event in the middle of its work; NumPy's engine takes long doubles.
ENGINES = {"direct": "direct", "separable": "separable", "fft": "fft", "auto": "numpy"}


@pytest.mark.parametrize("method", ENGINES)
def test_arrays_can_be_resized_after_a_call_only(method):
    """`refcheck=False` switches off NumPy's own check, and leaves views of memory that is freed."""
    dtype = np.longdouble if method == "auto" else np.float32
    x, kernel, out = whole(700, 600).astype(dtype) / 2, product(5, 5).astype(dtype), np.zeros((700, 600), dtype)
    expect = fastconv.convolve2d(x, kernel, "same", method=method)
    tried = []

    def resize(event):
        if event.name == ENGINES[method]:
            for array in (x, out):
                with pytest.raises(ValueError, match="cannot resize an array that"):
                    array.resize(10, refcheck=False)
                tried.append(method)

    with observed(resize):
        fastconv.convolve2d(x, kernel, "same", method=method, out=out)
    assert tried
    np.testing.assert_array_equal(out, expect)
    for array in (x, kernel, out):
        array.resize(10, refcheck=False)


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
@pytest.mark.parametrize("method", ENGINES)
def test_arrays_may_be_reshaped_during_a_call(method):
    dtype = np.longdouble if method == "auto" else np.float32
    x, kernel, out = whole(900, 800).astype(dtype), product(9, 8).astype(dtype), np.zeros((900, 800), dtype)
    expect = fastconv.convolve2d(x, kernel, "same", method=method)
    over, turns = threading.Event(), []

    def reshape():
        shapes = [array.shape for array in (x, kernel, out)]
        while not over.is_set():
            time.sleep(1e-3)
            for array in (x, kernel, out):
                array.shape = (-1,)
            time.sleep(1e-4)
            for array, shape in zip((x, kernel, out), shapes):
                array.shape = shape
            turns.append(True)

    thread = threading.Thread(target=reshape)
    thread.start()
    done = 0
    try:
        while done < 20 or len(turns) < 20:
            try:
                fastconv.convolve2d(x, kernel, "same", method=method, workers=1, out=out)
                done += 1
            except ValueError as error:  # it was called between two changes of shape
                if "must" not in str(error):
                    raise
    finally:
        over.set()
        thread.join()
    np.testing.assert_array_equal(out, expect)
