"""The number of threads that compute: limits of the process, `workers`, and many callers."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv._engines import cost_model, scheduler
from fastconv._runtime import cpu_limits, thread_pool
from fastconv._runtime.instrumentation import forced, observed
from tests import sample_calls
from tests.sample_calls import succeed

X, KERNEL = np.random.default_rng(1).standard_normal((400, 500)), np.ones((7, 7))


@pytest.fixture
def four_processors(monkeypatch):
    """Four processors, and an unused pool."""
    for name in (cpu_limits.VARIABLE, *cpu_limits.OTHERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(thread_pool, "pool", thread_pool.Pool())
    with forced(cpus=4):
        yield


@pytest.fixture
def at_once(four_processors):
    """The most workers, the most threads, and the most threads at one job, that compute at once."""
    lock, inside, most = threading.Lock(), [], [0, 0, 0]

    def count(event):
        if event.name not in ("work", "worked"):
            return
        thread = threading.current_thread(), id(event.job)
        with lock:
            if event.name == "worked":
                inside.remove(thread)
                return
            inside.append(thread)
            workers = sum(each.name.startswith("fastconv-") for each, _ in inside)
            most[:] = map(max, most, (workers, len(inside), sum(job == thread[1] for _, job in inside)))
        time.sleep(0.001)  # others come in

    with observed(count):
        yield most


def test_one_worker_starts_no_thread_in_any_function():
    code = """
import sys, threading
import numpy as np
import fastconv
from fastconv import image
from fastconv._runtime.instrumentation import overrides
from fastconv.compat import cv2, ndimage, numpy, signal
overrides.cpus = 8
started = []
start = threading.Thread.start
threading.Thread.start = lambda self: (started.append(self), start(self))
x, kernel = np.ones((900, 900)), np.ones((5, 5))
for method in ("auto", "direct", "separable", "fft"):
    fastconv.convolve2d(x, np.ones((15, 15)), method=method, workers=1)
    fastconv.plan(np.ones((15, 15)), shape=x.shape, method=method, workers=1)(x)
fastconv.convolve1d(np.ones(500_000), np.ones(33), workers=1)
fastconv.convolve1d(np.ones(500_000), np.ones(3333), method="fft", workers=1)
fastconv.convolve1d(np.ones((8, 500_000)), np.ones(3333), method="fft", workers=1)
fastconv.convolve2d(np.full((900, 900), np.inf), np.ones((15, 15)), workers=1)
image.filter(np.ones((900, 900, 3), "u1"), kernel, workers=1)
image.gaussian_blur(np.ones((900, 900, 4), "u1"), 3, workers=1)
image.sobel_magnitude(np.ones((900, 900), "u1"), workers=1)
image.unsharp_mask(np.ones((900, 900), "u1"), workers=1)
print(len(started))
overrides.cpus = 1  # functions with the arguments of other libraries take as many as there are
signal.fftconvolve(x, x)
signal.convolve2d(x, kernel)
ndimage.gaussian_filter(x, 3)
numpy.convolve(x.ravel(), np.ones(33))
cv2.GaussianBlur(x.astype("u1"), (5, 5), 1)
print(len(started))
overrides.cpus = 2
signal.convolve2d(x, kernel)
print(len(started))
"""
    assert succeed(code) == ["0", "0", "1"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_default_follows_changes_of_the_affinity():
    code = """
import os
import numpy as np
import fastconv
from fastconv._runtime.cpu_limits import cgroup_quota
from fastconv._runtime.instrumentation import observed
x, kernel = np.ones((900, 900)), np.ones((5, 5))
cpus, threads = sorted(os.sched_getaffinity(0)), []
for some in (cpus[:1], cpus, cpus[-1:], cpus):
    os.sched_setaffinity(0, some)
    with observed() as events:
        fastconv.convolve2d(x, kernel)
    threads.append(max([event.threads for event in events if event.name == "share"], default=1))
most = min(len(cpus), cgroup_quota() or len(cpus))
print(threads == [1, most, 1, most], threads)
"""
    assert succeed(code)[0] == "True"


CGROUPS = [
    # The root group, which is the one of a container itself.
    ({"cpu.max": "150000 100000"}, "0::/", 2),
    ({"cpu.max": "20000 100000"}, "0::/", 1),
    ({"cpu.max": "max 100000"}, "0::/", None),
    ({"cpu.max": "150000 100000"}, None, 2),
    # A service, and a container that sees the groups of the machine; the smallest quota applies, at any level.
    ({"system.slice/x.service/cpu.max": "300000 100000"}, "0::/system.slice/x.service", 3),
    ({"system.slice/cpu.max": "200000 100000"}, "0::/system.slice/x.service", 2),
    ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "900000 100000"}, "0::/a/b", 2),
    ({"a/cpu.max": "900000 100000", "a/b/cpu.max": "200000 100000"}, "0::/a/b", 2),
    ({"a/cpu.max": "max 100000", "a/b/cpu.max": "150000 50000"}, "0::/a/b", 3),
    ({"cpu.max": "100000 100000", "a/b/cpu.max": "200000 100000"}, "0::/a/b", 1),
    ({"a:b/cpu.max": "200000 100000"}, "0::/a:b", 2),
    # Groups that the process is not in.
    ({"a/cpu.max": "100000 100000", "a/b/c/cpu.max": "100000 100000"}, "0::/b/c", None),
    ({"a/c/cpu.max": "100000 100000"}, "0::/a/b", None),
    # A group beside the visible root, and one that is not visible.
    ({"cpu.max": "400000 100000", "a/cpu.max": "100000 100000"}, "0::/../a", 4),
    ({"cpu.max": "400000 100000"}, "0::/kubepods/pod1", 4),
    # Version 1, alone and with version 2.
    ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", 4),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", None),
    ({"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, "0::/b\n4:cpu,cpuacct:/a\n", 3),
    ({"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, "4:cpuacct:/a\n5:cpuset:/a", None),
    # Invalid or missing values.
    ({"cpu.max": "0 100000"}, "0::/", None),
    ({"cpu.max": "100000 0"}, "0::/", None),
    ({"cpu.max": "100000"}, "", None),
    ({"cpu.max": "max 100000", "a/cpu.max": "?"}, "::\n\n0\n0::\n0::/a", None),
    ({}, "0::/a/b\n4:cpu:/a", None),
]


@pytest.mark.parametrize(("files", "membership", "workers"), CGROUPS)
def test_quota_is_the_smallest_of_the_groups_of_the_process(tmp_path, monkeypatch, files, membership, workers):
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    monkeypatch.setattr(cpu_limits, "CGROUP_ROOT", root)
    monkeypatch.setattr(cpu_limits, "CGROUP_MEMBERSHIP", tmp_path / "membership")
    assert cpu_limits.cgroup_quota.__wrapped__() == workers


@pytest.fixture
def quota_of_six(tmp_path, monkeypatch):
    """Eight processors, and a quota of the control groups of six."""
    (tmp_path / "cpu.max").write_text("600000 100000\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cpu_limits, "CGROUP_ROOT", tmp_path)
    cpu_limits.cgroup_quota.cache_clear()
    yield
    cpu_limits.cgroup_quota.cache_clear()


@pytest.mark.usefixtures("quota_of_six")
def test_limits_by_the_environment_and_control_groups(monkeypatch):
    for name in (cpu_limits.VARIABLE, *cpu_limits.OTHERS):
        monkeypatch.delenv(name, raising=False)
    assert cpu_limits.available_workers() == 6
    monkeypatch.setenv(cpu_limits.VARIABLE, "3")
    assert cpu_limits.available_workers() == 3
    monkeypatch.setenv(cpu_limits.VARIABLE, "20")
    assert cpu_limits.available_workers() == 6


@pytest.mark.parametrize(
    ("variables", "workers", "decisive"),
    [
        ({"NUMBA": "3"}, 3, "NUMBA_NUM_THREADS"),
        ({"OMP": "2"}, 2, "OMP_NUM_THREADS"),
        ({"OMP": "4,2"}, 4, "OMP_NUM_THREADS"),
        ({"OMP": " 2 , 4"}, 2, "OMP_NUM_THREADS"),
        ({"NUMBA": "3", "OMP": "2"}, 2, "OMP_NUM_THREADS"),
        ({"NUMBA": "2", "OMP": "3"}, 2, "NUMBA_NUM_THREADS"),
        ({"NUMBA": "2", "OMP": "2"}, 2, "NUMBA_NUM_THREADS, OMP_NUM_THREADS"),
        ({"NUMBA": "100"}, 8, "CPU affinity"),
        ({"FASTCONV": "5", "NUMBA": "3", "OMP": "2"}, 5, "FASTCONV_NUM_THREADS"),
        ({"FASTCONV": "", "OMP": "2"}, 2, "OMP_NUM_THREADS"),
        *(({"OMP": text}, 8, "CPU affinity") for text in ("", "0", "-1", "two", "2.5", ",2", "9" * 5000)),
        ({"NUMBA": "abc", "OMP": "2"}, 2, "OMP_NUM_THREADS"),
    ],
)
@pytest.mark.usefixtures("eight_processors")
def test_variables_of_other_libraries_limit_the_default(monkeypatch, variables, workers, decisive):
    for name in (cpu_limits.VARIABLE, *cpu_limits.OTHERS):
        monkeypatch.setenv(name, variables.get(name.partition("_")[0], ""))
    assert cpu_limits.available_workers() == workers
    assert scheduler.threads_for(100, None) == workers
    # An explicit number is limited by our own variable only.
    assert scheduler.threads_for(100, 7) == min(7, int(variables.get("FASTCONV") or 8))
    threads = fastconv.show_config("dicts")["threads"]
    assert (threads["workers"], threads["decided by"]) == (workers, decisive)


# None of these succeeds, so each is a first call.
FIRST_CALLS = [
    "fastconv.convolve([1.0, 2.0], [1.0])",
    "fastconv.correlate([[1.0, 2.0]], [[1.0]])",
    "fastconv.convolve(2.0, 3.0)",
    "fastconv.convolve1d([1, 2], [1], workers=1)",
    "fastconv.correlate1d([1, 2], [1], workers=2)",
    "fastconv.convolve2d(large, kernel)",
    "fastconv.correlate2d(large, kernel, method='fft')",
    "fastconv.convolve1d(np.array([1, 2], object), [1])",
    "fastconv.plan(kernel, (30, 40), workers=1)",
    "fastconv.warmup('float32')",
    "image.filter(small, kernel)",
    "image.filter(Image.new('RGB', (4000, 4000)), kernel)",
    "image.gaussian_blur(small, 1000.0)",
    "image.sobel_magnitude(Image.new('RGB', (4000, 4000)))",
    "image.sobel_direction(small)",
    "image.unsharp_mask(small)",
    "image.difference_of_gaussians(small, 1000.0)",
    "compat.numpy.convolve([1, 2], [1])",
    "compat.numpy.correlate([1, 2], [1])",
    "compat.signal.convolve(large[None], np.ones((3, 3, 3)))",
    "compat.signal.fftconvolve([1, 2], [1])",
    "compat.signal.convolve2d(large, kernel)",
    "compat.ndimage.convolve(large, kernel)",
    "compat.ndimage.gaussian_filter(large, 1)",
    "compat.ndimage.uniform_filter1d(large, 3)",
    "compat.ndimage.laplace(large, axes=())",
    "compat.cv2.filter2D(small, -1, kernel)",
    "compat.cv2.blur(small, (3, 3))",
    "compat.cv2.GaussianBlur(small, (3, 3), 1)",
]
FIRST_CALLS_CODE = """
import sys, tracemalloc
import numpy as np
import fastconv
from PIL import Image
from fastconv import compat, image
from fastconv.compat import cv2, ndimage, numpy, signal
kernel, small, large = np.ones((3, 3)), np.ones((20, 20), np.uint8), np.ones((1000, 1000))
for text in sys.argv[1:]:
    call = compile(text, "call", "eval")
    tracemalloc.start()
    try:
        eval(call)
    except ValueError as error:
        wanted = "FASTCONV_NUM_THREADS must be a positive integer; got 'abc'"
        if str(error) != wanted or tracemalloc.get_traced_memory()[1] > 1_000_000:
            print(text, tracemalloc.get_traced_memory()[1], error)
    else:
        print(text, "passed")
    tracemalloc.stop()
print("numba" in sys.modules)
"""


def test_invalid_number_of_threads_raises_in_every_first_call():
    assert succeed(FIRST_CALLS_CODE, *FIRST_CALLS, FASTCONV_NUM_THREADS="abc") == ["False"]


def test_invalid_number_of_threads_is_an_error_of_the_commands(tmp_path):
    for command in (
        ["-m", "fastconv", "in.png", "out.png", "--kernel", "box", "--workers", "1"],
        ["-m", "fastconv", "demo", "--output", str(tmp_path / "demo.png")],
        ["-m", "fastconv", "warmup", "float32"],
        ["-m", "fastconv.compat", "script.py"],
    ):
        env = dict(os.environ, FASTCONV_NUM_THREADS="1 2", FASTCONV_CACHE_DIR=str(tmp_path / "kernels"))
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("error: FASTCONV_NUM_THREADS must be a positive integer; got '1 2'\n")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", [2, 3, 10**9, None])
def test_at_most_the_requested_threads_compute(at_once, workers):
    limit = min(workers or 4, 4)
    for started in (limit - 1, 3):
        at_once[:] = 0, 0, 0
        for count in range(1000):
            if count >= 5 and at_once[2] > 1:
                break
            fastconv.convolve2d(X, KERNEL, method="direct", workers=workers)
        assert 2 <= at_once[2] <= limit
        assert thread_pool.pool.workers == started
        fastconv.convolve2d(X, KERNEL, method="direct")  # there are more workers now than are asked for


def test_many_callers_share_at_most_three_workers(at_once):
    results = sample_calls.expected()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: sample_calls.check(results, 5, k), range(40)))
    assert 1 <= at_once[0] <= 3
    assert thread_pool.pool.workers == 3


def test_calls_from_a_full_thread_pool_and_from_callbacks(at_once):
    expect = fastconv.convolve2d(X, KERNEL)
    found = []
    with ThreadPoolExecutor(4) as pool:
        for _ in range(16):
            future = pool.submit(fastconv.convolve2d, X, KERNEL)
            future.add_done_callback(lambda future: found.append((future.result(), fastconv.convolve2d(X, KERNEL))))
    assert len(found) == 16
    assert all(np.array_equal(one, expect) and np.array_equal(other, expect) for one, other in found)
    assert at_once[0] <= 3


@pytest.mark.parametrize("others", range(6))
def test_callers_take_the_place_of_workers(at_once, monkeypatch, others):
    # An application's thread pool as large as the machine must not get as many workers in addition.
    monkeypatch.setattr(thread_pool, "callers", set(range(others)))
    limit = max(1, 4 - others)
    for count in range(1000):
        if count >= 5 and at_once[2] >= min(2, limit):
            break
        fastconv.convolve2d(X, KERNEL, method="direct")
    assert min(2, limit) <= at_once[2] <= limit
    assert thread_pool.callers == set(range(others))


def test_callers_are_counted_during_their_calls():
    seen = []
    with observed(lambda event: event.name == "work" and seen.append({*thread_pool.callers})):
        fastconv.convolve2d(X, KERNEL, method="direct", workers=1)
    assert seen
    assert all(found == {threading.get_ident()} for found in seen)
    assert thread_pool.callers == set()


def test_unused_queue_entries_do_not_accumulate():
    pool = thread_pool.Pool()
    pool.workers = 2
    for _ in range(100):
        pool.submit(None, 2)
    assert pool.queue.qsize() <= 4 * 2 + 2


@pytest.mark.usefixtures("four_processors")
def test_call_within_the_multiplication_of_an_element():
    expect = fastconv.convolve2d(X, KERNEL)

    class Number:
        def __mul__(self, other):
            return int(np.array_equal(fastconv.convolve2d(X, KERNEL), expect))

        __rmul__ = __mul__

    numbers = np.array([Number() for _ in range(10)])
    with ThreadPoolExecutor(6) as pool:
        sums = list(pool.map(lambda _: fastconv.convolve(numbers, np.array([2, 3], object)), range(6)))
    assert [list(one) for one in sums] == [[1] + [2] * 9 + [1]] * 6


def test_call_within_the_work_of_another_call(at_once):
    # All workers are busy, and each begins another job, for which no worker is left.
    expect = fastconv.convolve2d(X, KERNEL)
    pieces, right = list(range(12)), []

    def process(in_worker):
        while True:
            try:
                pieces.pop()
            except IndexError:
                return
            right.append(np.array_equal(fastconv.convolve2d(X, KERNEL), expect))

    work = thread_pool.Work(
        process, pieces.clear, lambda: len(right) == 12, epoch=lambda: 0, spin_wait=lambda epoch: None
    )
    thread_pool.run(work, 4)
    assert right == [True] * 12
    assert at_once[1] <= 4


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_number_of_system_threads_is_limited():
    code = """
import os, threading
from concurrent.futures import ThreadPoolExecutor
from fastconv._runtime.instrumentation import overrides
overrides.cpus = 3
from tests import sample_calls

results = sample_calls.expected()
before, most = len(os.listdir("/proc/self/task")), []
def call(k):
    sample_calls.check(results, 4, k)
    most.append(len(os.listdir("/proc/self/task")))
with ThreadPoolExecutor(5) as pool:
    list(pool.map(call, range(30)))
print(before, max(most) - before, sum(thread.name.startswith("fastconv-") for thread in threading.enumerate()))
"""
    # Five threads of the executor; the workers exist before.
    before, more, workers = map(int, succeed(code, OPENBLAS_NUM_THREADS="1"))
    assert before >= 3
    assert more <= 5
    assert workers == 2


@pytest.mark.usefixtures("four_processors")
def test_computes_without_workers_if_threads_cannot_start(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    expect = fastconv.convolve2d(X, KERNEL, workers=1)
    monkeypatch.setattr(threading.Thread, "start", start)
    np.testing.assert_array_equal(fastconv.convolve2d(X, KERNEL), expect)
    monkeypatch.undo()


def test_computes_without_workers_under_a_limit_on_processes():
    pytest.importorskip("resource")
    code = """
import os, resource, threading
import numpy as np
import fastconv
from fastconv._runtime.instrumentation import overrides
overrides.cpus = 4
x, kernel = np.ones((900, 900)), np.ones((5, 5))
fastconv.convolve2d(x, kernel, workers=1)
if os.getuid() == 0:  # the limit does not apply to root
    os.setuid(12345)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
print(fastconv.convolve2d(x, kernel, "valid")[7, 7], threading.active_count())
"""
    assert succeed(code) == ["25.0", "1"]


def test_small_calls_use_one_thread(at_once):
    assert cost_model.PRODUCTS_FOR_THREADS > 100 * 100 * (9 + 8)
    fastconv.convolve2d(X[:100, :100], KERNEL[:3, :3])
    assert at_once == [0, 0, 0]
    assert thread_pool.pool.workers == 0
