"""Progress of a call, told to a function of the caller's, which may stop the work."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import image, kernels

X = np.random.default_rng(1).standard_normal((600, 700)).astype("f4")
SMALL, LARGE = np.ones((5, 5), "f4"), np.random.default_rng(2).standard_normal((61, 61)).astype("f4")


class Stop(Exception):
    pass


CALLS = {
    "convolve1d": lambda **options: fastconv.convolve1d(X, SMALL[0], **options),
    "correlate1d": lambda **options: fastconv.correlate1d(X, SMALL[0], lags=(0, 9), **options),
    "convolve2d": lambda **options: fastconv.convolve2d(X, SMALL, **options),
    "correlate2d": lambda **options: fastconv.correlate2d(X, SMALL, stride=2, **options),
    "convolve2d, fft": lambda **options: fastconv.convolve2d(X, LARGE, method="fft", **options),
    "convolve2d, integers": lambda **options: fastconv.convolve2d(X.astype("i4"), LARGE.astype("i4"), **options),
    "convolve2d, longdouble": lambda **options: fastconv.convolve2d(X.astype("g"), SMALL, **options),
    "convolve3d": lambda **options: fastconv.convolve3d(X.reshape(6, 100, 700), np.ones((3, 3, 3), "f4"), **options),
    "correlate3d": lambda **options: fastconv.correlate3d(X.reshape(6, 100, 700), np.ones((3, 3, 3), "f4"), **options),
    "convolve": lambda **options: fastconv.convolve(X, SMALL, **options),
    "correlate": lambda **options: fastconv.correlate(X, SMALL, **options),
    "missing samples": lambda **options: fastconv.convolve2d(X, LARGE, nan="ignore", normalize=False, **options),
    "a plan": fastconv.plan(SMALL, X.shape, "f4"),
    "a plan of missing samples": fastconv.plan(SMALL, X.shape, "f4", nan="ignore"),
    "filter": lambda **options: image.filter(X, SMALL, **options),
    "a picture": lambda **options: image.filter(Image.new("RGBA", (300, 300)), kernels.box(), **options),
    "box_blur": lambda **options: image.box_blur(X, 15, **options),
    "local_std": lambda **options: image.local_std(X, 15, **options),
    "sobel_magnitude": lambda **options: image.sobel_magnitude(X, **options),
    "difference_of_gaussians": lambda **options: image.difference_of_gaussians(X, 2, **options),
    "laplacian_of_gaussian": lambda **options: image.laplacian_of_gaussian(X, 2, **options),
    "unsharp_mask": lambda **options: image.unsharp_mask(X, 2, **options),
    "linear light": lambda **options: image.gaussian_blur(np.abs(X), 2, linear=True, **options),
}
CALLS["a plan"] = lambda call=CALLS["a plan"], **options: call(X, **options)
CALLS["a plan of missing samples"] = lambda call=CALLS["a plan of missing samples"], **options: call(X, **options)


@pytest.mark.parametrize("name", CALLS)
def test_progress_never_decreases_and_ends_with_the_total(name):
    told, threads = [], set()

    def progress(done, total):
        threads.add(threading.get_ident())
        told.append((done, total))

    result = CALLS[name](progress=progress)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(CALLS[name]()))
    dones, totals = zip(*told)
    assert dones[0] == 0
    assert dones[-1] == totals[-1]
    assert all(type(done) is int for done in dones)
    assert list(dones) == sorted(dones)
    assert len(set(totals)) == 1
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("name", CALLS)
def test_what_it_raises_comes_out(name):
    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        CALLS[name](progress=stop)
    CALLS[name]()


def test_a_long_call_is_told_of_on_the_way_and_stopped_soon():
    def run(size):
        x, told = np.ones((size, size), "f4"), []

        def stop(done, total):
            told.append((done, time.perf_counter()))
            if done > total / 10:
                raise Stop

        try:
            fastconv.convolve2d(x, LARGE, "same", method="direct", progress=stop)
        except Stop:
            return told, time.perf_counter()
        return None

    size = 1000
    found = run(size)
    while found is None or len(found[0]) < 3:
        size *= 2
        found = run(size)
    told, end = found
    assert 100 < told[-1][0] < 900
    assert end - told[-1][1] < 2  # a wide margin: at most 0.2 s on a machine that is not busy


def test_a_thread_of_its_own_reports_in_that_thread():
    told = []

    def work():
        fastconv.convolve2d(X, SMALL, progress=lambda done, total: told.append(threading.get_ident()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert set(told) == {thread.ident}


def test_the_function_may_convolve_and_calls_may_nest():
    inner, outer = [], []

    def progress(done, total):
        outer.append(done)
        fastconv.convolve2d(X, LARGE, "valid")
        fastconv.convolve2d(X[:50], SMALL, progress=lambda done, total: inner.append(done))

    fastconv.convolve2d(X, SMALL, progress=progress)
    assert outer == sorted(outer)
    assert outer[-1] == 1000
    assert inner[:2] == [0, 1000]


@pytest.mark.parametrize("value", [1, "bar", (1, 2)])
def test_anything_that_cannot_be_called_is_refused(value):
    for call in (CALLS["convolve2d"], CALLS["a plan"], CALLS["filter"]):
        with pytest.raises(TypeError, match="progress must be None or a function of two integers; got"):
            call(progress=value)
