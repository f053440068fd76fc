"""The cache of results: one bound in bytes, eviction of the least recently used, `clear_caches`."""

import ast
import gc
import threading
import time
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._engines import scratch_memory
from fastconv._runtime import bounded_cache
from fastconv._runtime.instrumentation import observed
from fastconv.compat import cv2, ndimage, signal
from fastconv.compat import numpy as like_numpy

MEGABYTE = 1 << 20


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture
def bound(monkeypatch):
    """Set a small bound."""
    monkeypatch.setattr(bounded_cache, "BOUND", 2 * MEGABYTE)
    monkeypatch.setattr(bounded_cache, "LARGEST", MEGABYTE)
    return 2 * MEGABYTE


def noise(*shape, dtype="f8"):
    return np.random.default_rng().standard_normal(shape).astype(dtype)


PICTURE, IMAGE, SIGNAL, VOLUME = np.ones((150, 160), "u1"), noise(150, 160), noise(20_000), noise(9, 30, 40)
SIDE = 120  # a kernel of 115 kB
# Calls with another kernel or other types and shapes each time; `number` differs between calls.
PATHS = {
    "direct": lambda number: fastconv.convolve2d(IMAGE[: 9 + number % 140], noise(3, 3), method="direct"),
    "a long table": lambda number: fastconv.convolve1d(np.ones((2, 400_000 + number)), noise(3)),
    "separable": lambda _: fastconv.convolve2d(IMAGE, np.outer(noise(SIDE), noise(SIDE)), "same", method="separable"),
    "fft": lambda _: fastconv.correlate2d(IMAGE, noise(SIDE, SIDE), "same", method="fft"),
    "four-step": lambda _: fastconv.correlate(SIGNAL, noise(9000), method="fft"),
    "many lengths": lambda number: fastconv.convolve(noise(30_000 * (1 + number % 9)), noise(20_000), method="fft"),
    "auto": lambda _: fastconv.convolve(IMAGE, noise(SIDE, SIDE), "same"),
    "zeros around": lambda _: fastconv.convolve2d(IMAGE, np.pad(noise(9, 9), SIDE // 2 - 6), "same"),
    "plan": lambda _: fastconv.plan(noise(SIDE, SIDE), IMAGE.shape, mode="same")(IMAGE),
    "filter": lambda _: image.filter(PICTURE, noise(SIDE, SIDE)),
    "filter, narrow": lambda _: image.filter(PICTURE, np.random.default_rng().integers(-1, 2, (11, 11))),
    "gaussian_blur": lambda number: image.gaussian_blur(PICTURE, 9 + number / 1000),
    "unsharp_mask": lambda number: image.unsharp_mask(PICTURE, 9 + number / 1000),
    "filter2D": lambda _: cv2.filter2D(PICTURE, -1, noise(SIDE, SIDE)),
    "filter2D, large": lambda _: cv2.filter2D(PICTURE, -1, noise(200, 200)),
    "sepFilter2D": lambda _: cv2.sepFilter2D(PICTURE, -1, noise(SIDE), noise(SIDE)),
    "boxFilter": lambda number: cv2.boxFilter(PICTURE, -1, (100 + number % 50, 100 + number // 50)),
    "GaussianBlur": lambda number: cv2.GaussianBlur(PICTURE, (151, 151), 20 + number / 1000),
    "Sobel": lambda number: cv2.Sobel(PICTURE, cv2.CV_32F, 1, 0, ksize=31, scale=1 + number / 1000),
    "Laplacian": lambda number: cv2.Laplacian(PICTURE, cv2.CV_32F, ksize=31, scale=1 + number / 1000),
    "getGaussianKernel": lambda number: cv2.getGaussianKernel(100_001 + number, 0),
    "ndimage.correlate": lambda _: ndimage.correlate(IMAGE, noise(SIDE, SIDE)),
    "ndimage.convolve, integers": lambda _: ndimage.convolve(PICTURE[:20, :20], noise(25, 25)),
    "gaussian_filter": lambda number: ndimage.gaussian_filter(IMAGE, 12 + number / 1000),
    "gaussian_filter1d": lambda number: ndimage.gaussian_filter1d(IMAGE, 1 + number / 1000, radius=20_000),
    "uniform_filter": lambda number: ndimage.uniform_filter1d(IMAGE, 20_001 + number),
    "signal": lambda _: signal.convolve2d(IMAGE, noise(SIDE, SIDE), boundary="symm"),
    "signal in three dimensions": lambda _: signal.convolve(VOLUME, noise(3, 12, 12)),
    "numpy": lambda number: like_numpy.convolve(np.ones(400_000 + number), noise(5)),
}


def kept_after(path, calls):
    """Return the bytes that some calls leave allocated, and those left after `clear_caches`."""
    for number in range(2):  # compiles and imports
        path(number)
    fastconv.clear_caches()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2, 2 + calls):
            path(number)
            assert bounded_cache.total() <= bounded_cache.BOUND
            assert bounded_cache.total() == sum(entry.size for entry in bounded_cache.all_entries)
        time.sleep(0.01)  # workers that wait for another job hold the last one
        scratch_memory.free_scratch()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
        for _ in range(20):  # a worker that came late to a job may still take scratch memory
            fastconv.clear_caches()
            gc.collect()
            if (left := tracemalloc.get_traced_memory()[0] - before) < 100_000:
                break
            time.sleep(0.1)
        return kept, left
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("frozen_heap")
@pytest.mark.parametrize("name", PATHS)
def test_cached_kernels_stay_within_the_bound_and_are_freed(name, bound):
    kept, left = kept_after(PATHS[name], 40)
    assert kept < bound + 100_000
    assert left < 100_000


@pytest.mark.usefixtures("frozen_heap")
def test_counted_bytes_cover_the_memory_in_use():
    # Small plans consist mostly of Python objects.
    for path in (
        PATHS["fft"],
        PATHS["GaussianBlur"],
        lambda number: fastconv.convolve1d(np.ones(9 + number), [1.0, 2]),
    ):
        path(0)
        fastconv.clear_caches()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(1, 101):
                path(number)
            scratch_memory.free_scratch()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 1.05 * bounded_cache.total() + 100_000
        finally:
            tracemalloc.stop()


def test_documented_bounds_are_correct():
    megabytes = bounded_cache.BOUND >> 20
    assert f"at most {megabytes} MB" in fastconv.clear_caches.__doc__
    assert f"at most {megabytes} MB" in Path(__file__).parents[2].joinpath("docs/embedding.md").read_text()
    assert f"at most {scratch_memory.KEPT_SCRATCH >> 20} MB of scratch" in fastconv.clear_caches.__doc__


class Value:
    """A value of a given size."""

    def __init__(self, nbytes):
        self.nbytes = nbytes


def cached_function():
    """Return a cached function, and the list of arguments for which it was computed."""
    calls = []

    @bounded_cache.kept
    def make(name, nbytes=100_000):
        calls.append(name)
        return Value(nbytes)

    return make, calls


def test_least_recently_used_value_is_evicted_first(bound):
    make, calls = cached_function()
    most = bound // (100_000 + bounded_cache.ENTRY)
    make("favourite")
    for number in range(10 * most):
        make(number)
        make("favourite")
    assert calls.count("favourite") == 1
    del calls[:]
    for number in range(10 * most - 1, -1, -1):
        make(number)
        if calls:
            break
    assert 10 * most - number > most // 2  # the values made later are still cached


def test_too_large_a_value_is_not_cached_and_evicts_nothing(bound):
    make, calls = cached_function()
    make("small")
    for _ in range(2):
        make("large", bounded_cache.LARGEST + 1)
        make("small")
    assert calls == ["small", "large", "large"]


def test_bytes_among_the_arguments_are_counted(bound):
    make, _ = cached_function()
    make(bytes(500_000))
    assert bounded_cache.total() == 600_000 + bounded_cache.ENTRY
    make(bytes(MEGABYTE))
    assert bounded_cache.total() == 600_000 + bounded_cache.ENTRY


def test_errors_are_not_cached_and_have_no_context():
    @bounded_cache.kept
    def fail(number):
        raise ValueError(number)

    for _ in range(2):
        with pytest.raises(ValueError, match="3") as caught:
            fail(3)
        assert caught.value.__context__ is None
    assert bounded_cache.total() == 0


def test_threads_that_make_the_same_value_share_one():
    together = threading.Barrier(4)

    @bounded_cache.kept
    def make(name):
        together.wait(10)
        return Value(10)

    found = []
    threads = [threading.Thread(target=make, args=("same",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [make("same") for _ in range(3)]
    assert found[0] is found[1] is found[2]
    assert bounded_cache.total() == 10 + bounded_cache.ENTRY


def test_cache_can_be_cleared_while_a_value_is_made():
    @bounded_cache.kept
    def make(name):
        fastconv.clear_caches()  # as a signal handler could
        return Value(10)

    assert make("one") is make("one")
    assert bounded_cache.total() == 10 + bounded_cache.ENTRY


def test_destructor_of_an_evicted_value_can_use_the_cache(bound):
    make, calls = cached_function()

    class Last(Value):
        def __del__(self):
            worker = threading.Thread(target=make, args=("last",))  # would wait if the lock were held
            worker.start()
            worker.join(10)

    keep = bounded_cache.kept(lambda number: Last(10))
    keep(1)
    fastconv.clear_caches()
    gc.collect()
    assert calls == ["last"]
    keep(2)
    for number in range(100):
        make(number)
    assert calls.count("last") == 2


def test_calls_succeed_while_caches_are_cleared():
    cases = {
        "direct": lambda: fastconv.convolve1d(SIGNAL, [1.0, 2, 3]),
        "separable": lambda: fastconv.convolve2d(IMAGE, np.outer([1.0, 2, 3], [4.0, 5, 6]), method="separable"),
        "fft": lambda: fastconv.convolve(SIGNAL, SIGNAL[:5000], method="fft"),
        "threads": lambda: fastconv.convolve2d(np.ones((600, 700), "f4"), np.ones((9, 9), "f4")),
        "picture": lambda: image.gaussian_blur(PICTURE, 3),
        "cv2": lambda: cv2.GaussianBlur(PICTURE, (9, 9), 0),
        "ndimage": lambda: ndimage.gaussian_filter(IMAGE, 2),
        "numpy": lambda: like_numpy.convolve(SIGNAL, SIGNAL[:9]),
    }
    plan = fastconv.plan(SIGNAL[:5000], SIGNAL.shape, method="fft")
    cases["plan"] = lambda: plan(SIGNAL)
    wanted = {name: call() for name, call in cases.items()}
    wrong, rounds, stop = [], dict.fromkeys(cases, 0), threading.Event()

    def work(name):
        try:
            while not stop.is_set():
                if not np.array_equal(cases[name](), wanted[name]):
                    wrong.append(name)
                rounds[name] += 1
        except BaseException as error:
            wrong.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=(name,)) for name in cases]
    for thread in threads:
        thread.start()
    cleared, end = 0, time.monotonic() + 60
    while (min(rounds.values()) < 20 or cleared < 20) and not wrong and time.monotonic() < end:
        fastconv.clear_caches()
        cleared += 1
        time.sleep(0.0005)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert min(rounds.values()) >= 20
    assert cleared >= 20


def test_scratch_of_all_threads_is_freed():
    fastconv.convolve2d(IMAGE, noise(5, 5))
    done, go = threading.Event(), threading.Event()
    others = []

    def work():
        fastconv.convolve2d(IMAGE, noise(5, 5))
        others.append(weakref.ref(scratch_memory.thread.kept.scratch[2]))
        done.set()
        go.wait(10)
        fastconv.convolve2d(IMAGE, noise(5, 5))
        others.append(scratch_memory.thread.kept.scratch[0])

    thread = threading.Thread(target=work)
    thread.start()
    assert done.wait(10)
    own = weakref.ref(scratch_memory.thread.kept.scratch[2])
    assert own() is not None
    assert others[0]() is not None
    fastconv.clear_caches()
    assert own() is None
    assert others[0]() is None
    go.set()
    thread.join()
    assert others[1] > 0
    gc.collect()
    assert len(scratch_memory.all_kept) <= threading.active_count()  # none of ended threads


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_scratch_in_use_is_freed_after_the_call(method):
    x, kernel = np.ones((300, 400), "f4"), np.outer(np.arange(1, 8), np.arange(1, 8)).astype("f4")
    wanted = fastconv.convolve2d(x, kernel, method=method, workers=1)
    fastconv.clear_caches()
    out, freed = np.zeros_like(wanted), []

    def clear_caches(event):
        if event.name == "scratch":
            fastconv.clear_caches()
            weakref.finalize(event.buffer, lambda: freed.append(np.array_equal(out, wanted)))

    with observed(clear_caches):
        fastconv.convolve2d(x, kernel, method=method, workers=1, out=out)
    gc.collect()
    assert freed == [True]


def test_other_caches_are_of_constants():
    # `functools.cache` is for constants of the process and for functions with few possible arguments: these.
    constant = {"_limits", "_passes", "cgroup_quota", "check_variable_once", "processor", "source_digest", "store"}
    constant |= {"make", "make_all_rows", "make_channelwise", "make_double", "make_finish", "make_grouped"}  # tiles
    constant |= {"make_products", "make_dealt"}  # of few numbers of tiles, and taps
    constant |= {"make_pixels", "make_interleaved", "make_separated"}  # of few channels
    constant |= {"every"}  # of 2 to 4 columns
    constant |= {"small_engine"}  # of one call
    constant |= {"_of_both"}  # of OpenCV's class of errors
    constant |= {"abi", "call_of"}  # of forms of calls in compiled code
    found = set()
    for path in Path(fastconv.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Attribute) and node.attr in ("lru_cache", "cached_property")), path
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(decorator, ast.Attribute) and decorator.attr == "cache":
                    found.add(node.name)
        uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "cache"]
        decorators = [one for node in ast.walk(tree) for one in getattr(node, "decorator_list", ())]
        assert all(use in decorators for use in uses), path
    assert found == constant


@pytest.mark.parametrize("what", ["another value", "nothing"])
def test_signal_handler_can_use_the_cache_during_an_eviction(what, bound):
    """Simulate a signal handled after the call that removes the evicted entry from its table."""
    make, _ = cached_function()

    class Interrupted:
        def __init__(self, table):
            self.table = table

        def pop(self, *arguments):
            found = self.table.pop(*arguments)
            make("of the handler") if what == "another value" else fastconv.clear_caches()
            return found

    number = 0
    while bounded_cache.total() < bound - 200_000:
        make(number)
        number += 1
    entry = bounded_cache.all_entries[0]
    entry.used, entry.table = False, Interrupted(entry.table)
    for other in range(number, number + 5):
        make(other)
    entries = [entry for table in bounded_cache.all_tables for entry in table.values()]
    assert sorted(map(id, entries)) == sorted(map(id, bounded_cache.all_entries))
    assert bounded_cache.total() == sum(entry.size for entry in entries) <= bound
