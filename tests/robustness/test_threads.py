"""Threads: equal bits for any number of workers and any size of block, and any number of callers."""

import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._engines import cost_model, scheduler
from fastconv._microkernels import progress_counters
from fastconv._microkernels.blocks import direct_tile
from fastconv._runtime import thread_pool
from fastconv._runtime.instrumentation import forced
from tests.lasting import lasting
from tests.sample_calls import succeed

RNG = np.random.default_rng(1)
# Sums of these are inexact, so another order of summation gives other bits.
IMAGE = RNG.standard_normal((700, 900)).astype(np.float32)
KERNEL = RNG.standard_normal((9, 7)).astype(np.float32)
SIGNAL, TAPS = RNG.standard_normal(300_000), RNG.standard_normal(61)
# Smallest width that the microkernels compute.
LEAST = direct_tile.minimum_width(IMAGE.itemsize)


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize("workers", [2, 3, 8, None])
def test_results_do_not_depend_on_the_number_of_workers(workers):
    one = fastconv.convolve2d(IMAGE, KERNEL, workers=1)
    for _ in range(5):
        np.testing.assert_array_equal(fastconv.convolve2d(IMAGE, KERNEL, workers=workers), one)
    one = fastconv.convolve1d(SIGNAL, TAPS, workers=1)
    np.testing.assert_array_equal(fastconv.convolve1d(SIGNAL, TAPS, workers=workers), one)


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize("block", [(1, 5), (1, LEAST), (3, LEAST + 1), (4, 64), (7, 1000), (32, 100), (700, 900)])
@pytest.mark.parametrize("boundary", ["zero", "wrap"])
def test_results_do_not_depend_on_the_size_of_blocks(block, boundary):
    image, kernel = IMAGE[:200, :300], KERNEL
    usual = fastconv.convolve2d(image, kernel, "same", boundary=boundary)
    with forced(block=block):
        np.testing.assert_array_equal(fastconv.convolve2d(image, kernel, "same", boundary=boundary), usual)


def test_many_callers_at_once():
    expect = fastconv.convolve2d(IMAGE, KERNEL, "same")
    small = fastconv.convolve1d(SIGNAL[:100], TAPS[:5])

    def call(k):
        if k % 3:
            return np.array_equal(fastconv.convolve1d(SIGNAL[:100], TAPS[:5]), small)
        return np.array_equal(fastconv.convolve2d(IMAGE, KERNEL, "same"), expect)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(300)))


def test_gil_is_released_during_the_work(monkeypatch):
    # In a single call of the compiled loop: between calls other Python threads can run in any case.
    monkeypatch.setattr(cost_model, "PRODUCTS_BETWEEN_SIGNALS", 1 << 62)
    large = np.ones((1500, 1500))
    out = np.zeros_like(large)
    done, half_finished = threading.Event(), []

    def of_size(taps):
        kernel = np.ones((taps, taps))
        return lambda: fastconv.convolve2d(large, kernel, "same", method="direct", workers=1, out=out)

    def watch():
        while not done.is_set():
            if out[0, 0] and not out[-1, -1]:
                half_finished.append(True)

    convolve, _ = lasting(of_size, 0.1, 5, 1499)
    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(20):
        out[...] = 0  # clears the first element before the last
        convolve()
        if half_finished:
            break
    done.set()
    thread.join()
    assert half_finished  # Python code ran between the first and the last output


def spinning():
    """A thread that waits for the next job, as a worker does after one."""
    thread = threading.Thread(target=scheduler.epoch_waiter(), args=(scheduler.read_epoch(),), daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("eight_processors")
def test_worker_spins_until_there_is_a_job(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "MAX_SPINS", 1 << 62)
        thread = spinning()
        thread.join(0.2)
    try:
        assert thread.is_alive()
        fastconv.convolve2d(IMAGE, KERNEL)
        thread.join(60)
        assert not thread.is_alive()
    finally:
        scheduler.epoch[0] += 1


def test_worker_spins_only_briefly():
    thread = spinning()
    thread.join(60)
    assert not thread.is_alive()  # although the epoch has not changed


def test_worker_without_pieces_waits_in_compiled_code(monkeypatch):
    # Outside of it, it would ask for the GIL when the caller does.
    run, jobs = scheduler.run, []
    monkeypatch.setattr(scheduler, "run", lambda *args, **options: jobs.append(args) or run(*args, **options))
    fastconv.convolve2d(IMAGE, KERNEL, method="direct", workers=1)
    step, pieces, scratch_bytes, *_ = jobs[0]
    scratch = np.empty(scratch_bytes, np.uint8)
    progress = np.zeros(progress_counters.COUNTERS, np.intp)
    progress[[progress_counters.NEXT, progress_counters.EPOCH]] = pieces, scheduler.epoch.ctypes.data
    thread = threading.Thread(target=step, args=(progress, -(1 << 62), scratch.ctypes.data), daemon=True)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    while thread.is_alive():
        scheduler.epoch[0] += 1  # as the next job does
        thread.join(0.01)


def test_workers_are_told_to_wait_for_the_next_job():
    spins, both = {}, threading.Barrier(2)

    def step(progress, max_spins, scratch):
        spins[threading.get_ident()] = max_spins
        both.wait(60)
        progress[progress_counters.FINISHED] = 2
        return progress_counters.DONE

    assert scheduler.run(step, 2, 0, 2)
    assert spins.pop(threading.get_ident()) == scheduler.MAX_SPINS
    assert [*spins.values()] == [-scheduler.MAX_SPINS]


def shared(process, stop=lambda: None, finished=lambda: False):
    """Work for the pool with a constant epoch."""
    return thread_pool.Work(process, stop, finished, epoch=lambda: 0, spin_wait=lambda epoch: None)


def test_error_in_the_caller_stops_the_workers_and_is_raised():
    pieces, taken, stopped = list(range(1000)), [], []
    caller = threading.get_ident()
    worker_in = threading.Event()

    def process(in_worker):
        assert in_worker == (threading.get_ident() != caller)
        if not in_worker:
            assert worker_in.wait(60)
            raise KeyboardInterrupt
        while pieces:
            taken.append(pieces.pop())
            worker_in.set()
            threading.Event().wait(0.001)

    def stop():
        stopped.append(len(taken))
        pieces.clear()

    with pytest.raises(KeyboardInterrupt):
        thread_pool.run(shared(process, stop), 2)
    assert stopped
    count = len(taken)
    threading.Event().wait(0.02)
    assert len(taken) == count < 1000  # no work after the caller has returned


def test_ctrl_c_during_submit_stops_the_work_and_waits(monkeypatch):
    events = []

    class Pool(thread_pool.Pool):
        def submit(self, job, workers):
            raise KeyboardInterrupt

    monkeypatch.setattr(thread_pool, "pool", Pool())
    work = shared(events.append, stop=lambda: events.append("stopped"))
    with pytest.raises(KeyboardInterrupt):
        thread_pool.run(work, 2)
    assert events == ["stopped"]


def test_ctrl_c_during_close_is_raised_after_the_workers_have_left():
    left, begun, waits = [], threading.Event(), [0]

    def process(in_worker):
        begun.set()
        threading.Event().wait(0.1)
        left.append(True)

    class Interrupted:
        """A lock whose second acquisition, which waits, is interrupted once."""

        def __init__(self):
            self._lock = threading.Lock()
            self.locked, self.release = self._lock.locked, self._lock.release

        def acquire(self, timeout=-1):
            waits[0] += 1
            if waits[0] == 2:
                raise KeyboardInterrupt
            return self._lock.acquire(timeout=timeout)

    stopped = []
    work = shared(process, stop=lambda: stopped.append(True))
    job = thread_pool.Job(work)
    job.idle = Interrupted()
    thread_pool.pool.submit(job, 1)
    assert begun.wait(60)
    with pytest.raises(KeyboardInterrupt):
        job.close(work)
    assert left == [True]
    assert stopped == [True]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_error_in_a_worker_is_raised_in_the_caller(error):
    failed = threading.Event()

    def process(in_worker):
        if not in_worker:
            assert failed.wait(60)
        else:
            failed.set()
            raise error("mine")

    with pytest.raises(error, match="mine"):
        thread_pool.run(shared(process), 2)


def test_caller_waits_for_pieces_that_workers_have_begun():
    begun, done = threading.Event(), []

    def process(in_worker):
        if in_worker:
            begun.set()
            threading.Event().wait(0.05)
            done.append(1)
        else:
            assert begun.wait(60)

    thread_pool.run(shared(process, finished=lambda: bool(done)), 2)
    assert done == [1]


def test_caller_does_not_wait_for_idle_workers():
    begun, let_go, left = threading.Event(), threading.Event(), threading.Event()

    def process(in_worker):
        if in_worker:
            begun.set()
            assert let_go.wait(60)
            left.set()
        else:
            assert begun.wait(60)

    thread_pool.run(shared(process, finished=lambda: True), 2)
    assert not left.is_set()
    let_go.set()
    assert left.wait(60)


def test_ctrl_c_at_the_entry_of_close_is_raised_after_the_workers_have_left(monkeypatch):
    """Python handles signals at the entry of a function, before its first `try`."""
    begun, go, left, stopped = threading.Event(), threading.Event(), [], []

    def process(in_worker):
        if in_worker:
            begun.set()
            assert go.wait(60)
            left.append(True)
        else:
            assert begun.wait(60)

    def stop():
        stopped.append(True)
        go.set()

    calls = []

    class Job(thread_pool.Job):
        def close(self, work):
            calls.append(True)
            if len(calls) == 1:
                raise KeyboardInterrupt
            super().close(work)

    monkeypatch.setattr(thread_pool, "pool", thread_pool.Pool())
    monkeypatch.setattr(thread_pool, "Job", Job)
    with pytest.raises(KeyboardInterrupt):
        thread_pool.run(shared(process, stop=stop, finished=lambda: bool(left)), 2)
    assert (left, stopped) == ([True], [True])


def test_caller_does_not_wait_for_workers_that_cannot_start(monkeypatch):
    class NoThreads:
        def __init__(self, **_):
            pass

        def start(self):
            raise RuntimeError("can't start new thread")

    pool = thread_pool.Pool()
    monkeypatch.setattr(thread_pool, "pool", pool)
    monkeypatch.setattr(thread_pool.threading, "Thread", NoThreads)
    calls = []
    thread_pool.run(shared(calls.append), 4)
    assert calls == [False]
    assert pool.queue.empty()  # what nobody will fetch is not put there


def test_finished_work_holds_no_reference_to_arrays():
    pool = thread_pool.Pool()
    array = np.ones(3)
    alive = weakref.ref(array)

    def process(in_worker, array=array):
        array[0] = 2

    work = shared(process)
    job = thread_pool.Job(work)
    job.close(work)
    pool.queue.put(job)
    del array, process, work
    assert alive() is None
    assert job.process() is None


# The worker is blocked after entering the job, before it takes a piece, until the call has returned.
LATE = """
import mmap, sys, threading, time
import numpy as np
import fastconv
from fastconv import image
from fastconv._runtime.instrumentation import listeners, overrides
overrides.cpus = 2
come, go, gone = threading.Event(), threading.Event(), threading.Event()

def hold_workers(event):
    if event.name != "work":
        return
    if threading.current_thread() is threading.main_thread():
        assert come.wait(10)
    else:
        come.set()
        assert go.wait(10)
        gone.set()

def mapped(array):
    memory = mmap.mmap(-1, array.nbytes)
    view = np.frombuffer(memory, array.dtype).reshape(array.shape)
    view[...] = array
    return memory, view

rng = np.random.default_rng(1)
if sys.argv[1] == "pictures":
    x, kernel, out = rng.integers(0, 99, (900, 1000)).astype("u1"), np.ones((9, 9), "f4"), np.zeros((900, 1000), "u1")
    call = lambda x, kernel, out, **options: image.filter(x, kernel, scale=81, out=out, **options)
else:
    x, kernel, out = rng.random((900, 1000), "f4"), np.ones((9, 9), "f4"), np.zeros((900, 1000), "f4")
    call = lambda x, kernel, out, **options: fastconv.convolve2d(
        x, kernel, "same", method=sys.argv[1], out=out, **options
    )
expect = call(x, kernel, None, workers=1)
listeners.append(hold_workers)
if sys.argv[2] == "shared memory":
    memories, arrays = zip(*map(mapped, (x, kernel, out)))
    call(*arrays)
    assert np.array_equal(arrays[2], expect)
    del arrays
    for memory in memories:
        memory.close()  # raises if there is a view
else:
    x, kernel, out = x.copy(), kernel.copy(), out.copy()
    call(x, kernel, out)
    assert np.array_equal(out, expect)
    x.resize(3)  # raises if there is another reference, even a weak one
    kernel.resize(3)
    out.resize(3)
assert come.is_set() and not gone.is_set()
go.set()
assert gone.wait(10)
time.sleep(0.1)  # until the worker has finished
"""


@pytest.mark.parametrize("memory", ["shared memory", "separate memory"])
@pytest.mark.parametrize("method", ["direct", "separable", "fft", "pictures"])
def test_late_worker_neither_holds_nor_reads_the_callers_arrays(method, memory):
    command = [sys.executable, "-X", "faulthandler", "-c", LATE, method, memory]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------------------------------------------- shared plans


@pytest.fixture
def quick_switches():
    """Let the interpreter switch threads as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(call, threads=4):
    """Run a call in several threads at once; return the results, or raise the exception of one of them."""
    barrier = threading.Barrier(threads)

    def begin(number):
        barrier.wait(30)
        return call(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


PLANS = {
    "direct": (KERNEL, {"method": "direct"}),
    "separable": (np.outer(KERNEL[0], KERNEL[1]), {"method": "separable"}),
    "fft": (np.tile(KERNEL, (3, 3)), {"method": "fft"}),
    "zeros around": (np.pad(KERNEL, 9), {}),
    "half": (KERNEL.astype("f2"), {"dtype": "f2"}),
    "objects": (np.array([[1, 2]], object), {"shape": (9, 9), "dtype": object}),
    "small": (KERNEL[:3, :3], {"shape": (20, 30), "dtype": "f4"}),
}


@pytest.mark.usefixtures("eight_processors", "quick_switches")
@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("with_out", [False, True])
def test_many_threads_share_a_plan(kind, with_out):
    kernel, options = PLANS[kind]
    options = {"shape": (300, 400), "dtype": "f4"} | options
    plan = fastconv.plan(kernel, mode="same", **options)
    rows, columns = options["shape"]
    inputs = [IMAGE[number : number + rows, :columns].astype(options["dtype"]) for number in range(4)]
    expect = [fastconv.plan(kernel, mode="same", workers=1, **options)(x) for x in inputs]

    def call(number):
        out = np.zeros_like(expect[number]) if with_out else None
        for _ in range(6):
            result = plan(inputs[number], out=out)
            assert out is None or result is out
            np.testing.assert_array_equal(result, expect[number])
        return True

    assert in_threads(call) == [True] * 4


@pytest.mark.usefixtures("eight_processors", "quick_switches")
def test_many_threads_share_a_picture_plan():
    kernel = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    pictures = np.random.default_rng(3).integers(0, 256, (4, 300, 400, 3), np.uint8)
    expect = [image.filter(picture, kernel, scale=16, workers=1) for picture in pictures]

    def call(number):
        for _ in range(10):
            np.testing.assert_array_equal(image.filter(pictures[number], kernel, scale=16), expect[number])
        return True

    assert in_threads(call) == [True] * 4


@pytest.mark.parametrize("cached", [True, False])
def test_first_calls_of_a_process_in_many_threads(cached):
    # All threads import, compile and start workers; each kernel is compiled once.
    code = """
import sys
sys.setswitchinterval(1e-6)
import threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import fastconv
from fastconv._runtime.instrumentation import listeners, overrides
overrides.cpus = 4
if sys.argv[1] == "False":  # all but the block loop is compiled
    overrides.recompiled = lambda name: name != "run"
compiled = []
listeners.append(lambda event: event.name == "compile" and compiled.append((event.routine, event.signature)))
barrier = threading.Barrier(8)

def call(number):
    barrier.wait(30)
    if number % 2:
        return fastconv.convolve1d(np.ones(300_000, "f4"), np.ones(31, "f4"), "valid")[9]
    return fastconv.convolve1d(np.ones(100 + number, "f4"), np.ones(5, "f4"), "valid")[9]

with ThreadPoolExecutor(8) as pool:
    print(*map(int, pool.map(call, range(8))))
print(len(compiled) > 3, len(compiled) - len(set(compiled)))
"""
    assert succeed(code, cached) == [*["5", "31"] * 4, "True", "0"]
