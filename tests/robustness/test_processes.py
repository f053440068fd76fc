"""Forks and process pools: a child can convolve and compile whatever the threads of its parent do."""

import os

import pytest

from tests.sample_calls import succeed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# Python 3.12 and newer warn of a fork in a process with threads, workers included.
FORKING = ("-W", "ignore:This process:DeprecationWarning")

# `child(work)` runs `work` in a forked child and returns the outcome: "right", "hangs", or the exit status.
CHILDREN = """
import faulthandler, os, signal, sys, threading, time
import numpy as np
import fastconv
from fastconv._runtime.instrumentation import overrides
overrides.cpus = 4
x, kernel = np.random.default_rng(1).standard_normal((900, 900)), np.ones((5, 5))

def convolve(dtype="f8"):
    return fastconv.convolve2d(np.ones((400, 500), dtype), np.ones((5, 5), dtype), "valid")

def right(dtype="f8"):
    return bool((convolve(dtype) == 25).all())

def compiles(dtype):
    # In one dimension, which takes half the time to compile.
    return bool((fastconv.convolve1d(np.ones(100, dtype), np.ones(5, dtype), "valid") == 5).all())

def new_types():
    return right("f4") and right("i2")

def child(work, limit=20):
    process = os.fork()
    if process == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            faulthandler.dump_traceback(all_threads=False)
            os._exit(2)
    return ended(process, limit)

def ended(process, limit=20):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return "right" if status == 0 else f"status {status}"
        time.sleep(0.005)
    os.kill(process, signal.SIGUSR1)  # prints a traceback on stderr
    time.sleep(0.5)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "hangs"

faulthandler.register(signal.SIGUSR1)
"""


def outcomes(code, *arguments, **environment):
    """Run a program and return the outcomes of its children."""
    return succeed(CHILDREN + code, *arguments, options=FORKING, **environment)


def test_forked_children_and_grandchildren_start_their_own_workers():
    code = """
expect = fastconv.convolve2d(x, kernel)

def again():
    alone = threading.active_count()
    same = np.array_equal(fastconv.convolve2d(x, kernel), expect)
    return same and alone == 1 and threading.active_count() == 4

for _ in range(3):
    print(child(lambda: again() and child(again) == "right"))
"""
    assert outcomes(code) == ["right"] * 3


def test_child_forked_right_after_the_first_call_compiles():
    # The spin-wait of the workers is compiled before the job, so nothing is being compiled when the call returns.
    code = """
overrides.recompiled = lambda name: name == "wait_for_epoch"
fastconv.convolve2d(x, kernel)
overrides.recompiled = lambda name: True
print(child(lambda: compiles("i2")))
"""
    assert outcomes(code) == ["right"]


@pytest.mark.parametrize(
    "module", ["numba", "numba.core.typing", "fastconv._simd.compilation", "fastconv._engines.spectra.overlap_save"]
)
def test_fork_during_the_first_call_of_another_thread(module):
    # If Numba were half imported, the import lock of its module would never be released in the child.
    code = """
first = threading.Thread(target=convolve)
first.start()
while sys.argv[1] not in sys.modules:  # until its import has begun
    time.sleep(0.0002)
print(child(new_types))
first.join()
"""
    assert outcomes(code, module) == ["right"]


def test_fork_while_another_thread_compiles():
    code = """
from numba import types
from fastconv._simd import compilation
from fastconv._microkernels.blocks import direct_tile
convolve()
overrides.recompiled = lambda name: True
done = []

def compiling():
    while not done:
        compilation.compile_routine(direct_tile.convolve_rows, direct_tile.signature(types.uint32))

compiler = threading.Thread(target=compiling)
compiler.start()
for _ in range(3):
    while compilation.lock.acquire(blocking=False):
        compilation.lock.release()
        time.sleep(0.001)
    # The fork waits for the end of one kernel; the thread is about to compile the next one.
    print(child(lambda: compiles("i2")))
done.append(True)
compiler.join()
print(compiles("u4"))
"""
    assert outcomes(code) == ["right"] * 3 + ["True"]


def test_fork_while_another_thread_and_its_workers_compute():
    code = """
large = np.ones((25, 25))
expect = fastconv.convolve2d(x, kernel)
def work():
    while not done:
        assert fastconv.convolve2d(x, large, "valid", method="direct")[0, 0] != 0

done = []
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(8):
    time.sleep(0.01)
    print(child(lambda: np.array_equal(fastconv.convolve2d(x, kernel), expect) and right("f4")))
done.append(True)
for thread in threads:
    thread.join()
print(np.array_equal(fastconv.convolve2d(x, kernel), expect))
"""
    assert outcomes(code) == ["right"] * 8 + ["True"]


def test_fork_while_another_thread_holds_each_of_the_locks():
    code = """
import contextlib, _imp
import fastconv.compat
from fastconv._runtime import fork_safety, thread_pool
convolve()

@contextlib.contextmanager
def importing():
    _imp.acquire_lock()
    yield
    _imp.release_lock()

locks = [*fork_safety.locks(), thread_pool.pool.lock, importing()]
assert len({id(lock) for lock in locks}) == 7, locks
for lock in locks:
    def hold():
        with lock:
            held.set()
            let_go.wait(0.2)
    held, let_go = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    print(child(lambda: new_types() and bool(fastconv.compat.patch("numpy").undo() is None)))
    holder.join()
print(right("f4"))
"""
    assert outcomes(code) == ["right"] * 7 + ["True"]


def test_fork_acquires_all_existing_locks_by_rank():
    code = """
import numba.core.compiler_lock
from fastconv._runtime import fork_safety, bounded_cache
from fastconv.compat import _patch

def order(*expected):
    found = [*fork_safety.locks()]
    return len(found) == len(expected) and all(one is other for one, other in zip(found, expected))

numbas, llvms = numba.core.compiler_lock.global_compiler_lock._lock, sys.modules["llvmlite.binding.ffi"].lib._lock._lock
outer = _patch.lock, fork_safety.import_lock
print("fastconv._simd.compilation" in sys.modules, order(*outer, numbas, llvms, bounded_cache.lock))
from fastconv._simd import compilation
print(compilation.lock is numbas, order(*outer, numbas, llvms, bounded_cache.lock))
"""
    assert outcomes(code) == ["False", "True", "True", "True"]


def test_fork_does_not_deadlock_with_a_thread_that_waits_for_it():
    code = """
from fastconv._runtime import fork_safety
from fastconv._simd import compilation
convolve()
fork_safety.TIMEOUT = 0.3
mine, held = threading.Lock(), threading.Event()

def compiling():
    with compilation.lock:
        held.set()
        with mine:
            pass

thread = threading.Thread(target=compiling)
with mine:
    thread.start()
    held.wait()
    print(child(new_types))
    print(thread.is_alive() and not compilation.lock.acquire(blocking=False))  # it holds the lock still
thread.join()
print(child(new_types), right("f4"))  # the parent's locks are unchanged
"""
    assert outcomes(code) == ["right", "True", "right", "True"]


def test_fork_acquires_the_locks_of_logging_after_that_of_compilation():
    # Hooks registered after those of `logging` run before them; Numba logs while it compiles.
    code = """
import logging
from fastconv._runtime import fork_safety
from fastconv._simd import compilation
convolve()
fork_safety.TIMEOUT = threading.TIMEOUT_MAX  # for ever, if each waited for the other
held = threading.Event()

def compiling():
    with compilation.lock:
        held.set()
        time.sleep(0.2)
        logging.getLogger("another").isEnabledFor(logging.DEBUG)

thread = threading.Thread(target=compiling)
thread.start()
held.wait()
print(child(new_types))
thread.join()
"""
    assert outcomes(code) == ["right"]


def test_nested_forks_release_all_locks():
    code = """
import resource
from fastconv._runtime import fork_safety
convolve()
fork_safety.before_fork()
fork_safety.before_fork()  # a signal handler may fork while a fork is under way
fork_safety.after_in_parent()
fork_safety.after_in_parent()
print(fork_safety.forks.under_way)
thread = threading.Thread(target=convolve, args=("f4",))
thread.start()
thread.join(20)
print(thread.is_alive())
"""
    assert outcomes(code) == ["[]", "False"]


def test_fork_in_a_method_of_an_element():
    code = """
class Number:
    def __init__(self, value):
        self.value = value

    def __mul__(self, other):
        if len(found) < 3:
            found.append(child(new_types))
        return Number(self.value * other.value)

    __rmul__ = __mul__

    def __add__(self, other):
        return Number(self.value + getattr(other, "value", other))

    __radd__ = __add__

found = []
sums = fastconv.convolve(np.array([Number(2), Number(3)]), np.array([Number(5)]))
print(*found, *(number.value for number in sums))
"""
    assert outcomes(code) == ["right", "right", "10", "15"]


SIGNALS = """
parent, children = os.getpid(), []

def handler(*_):
    children.append(os.fork())
    if children[-1] == 0:
        children.clear()
        if "exits" in sys.argv:
            os._exit(0 if right() else 1)

def report(*words):
    if os.getpid() != parent:
        os._exit(0 if all(words) else 1)
    print(*words, *(ended(process) for process in children))

signal.signal(signal.SIGALRM, handler)
"""


@pytest.mark.parametrize("child", ["exits", "goes on"])
def test_signal_handler_forks_during_a_convolution(child):
    # The child lacks the workers and their results: the call raises an error, and later calls work.
    code = (
        SIGNALS
        + """
large, wide = np.ones((25, 25)), np.tile(x, 4)
found = expect = fastconv.convolve2d(x, large, "same", method="direct")
signal.setitimer(signal.ITIMER_REAL, 0.03)
try:
    while not children and os.getpid() == parent:
        found = fastconv.convolve2d(wide, large, "same", method="direct")
    same = np.array_equal(found[:, 50:800], expect[:, 50:800])
except RuntimeError as error:
    same = os.getpid() != parent and "forked" in str(error)
report(same, np.array_equal(fastconv.convolve2d(x, large, "same", method="direct"), expect))
"""
    )
    assert outcomes(code, child) == ["True", "True", "right"]


def test_signal_handler_forks_during_a_compilation():
    code = (
        SIGNALS
        + """
from numba import types
from fastconv._simd import compilation
from fastconv._microkernels.blocks import direct_tile
convolve()
overrides.recompiled = lambda name: True
signal.setitimer(signal.ITIMER_REAL, 0.1)
while not children:
    compilation.compile_routine(direct_tile.convolve_rows, direct_tile.signature(types.uint32))
report(compiles("i2"))
"""
    )
    assert outcomes(code, "exits") == ["True", "right"]


def test_convolves_between_fork_and_exec_and_in_a_daemon():
    code = """
import subprocess
convolve()
def convolve_first():
    if not new_types():
        raise ValueError
command = [sys.executable, "-c", "print('executed')"]
print(subprocess.run(command, preexec_fn=convolve_first, capture_output=True, text=True, timeout=30).stdout.strip())
print(ended(os.posix_spawn(sys.executable, command[:2] + ["pass"], os.environ)))

reading, writing = os.pipe()
def daemon():
    os.setsid()
    if os.fork() == 0:
        while os.getppid() == int(os.environ["SESSION"]):
            time.sleep(0.01)
        os.write(writing, b"daemon" if right() and new_types() else b"wrong")
        os._exit(0)
    return True

def launch():
    os.environ["SESSION"] = str(os.getpid())
    return daemon()
print(child(launch))
os.close(writing)
print(os.read(reading, 10).decode())
"""
    assert outcomes(code) == ["executed", "right", "right", "daemon"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pools_after_use_in_the_parent(method):
    code = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from tests import sample_calls

results = sample_calls.expected()
context = multiprocessing.get_context(sys.argv[1])
names = list(results) * 2
with context.Pool(2) as pool:
    for name, found in zip(names, pool.map_async(sample_calls.call, names, 4).get(60)):
        if not np.array_equal(found, results[name]):
            print("Pool", name)
with ProcessPoolExecutor(2, context) as pool:
    for name, found in zip(names, pool.map(sample_calls.call, names, timeout=60, chunksize=4)):
        if not np.array_equal(found, results[name]):
            print("ProcessPoolExecutor", name)
print("done")
"""
    assert outcomes(code, method) == ["done"]


def test_fork_without_workers_causes_no_warning():
    code = """
fastconv.convolve2d(x, kernel, workers=1)
print(child(right))
"""
    assert succeed(CHILDREN + code, options=("-W", "error")) == ["right"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_ctrl_c_while_a_fork_waits_is_raised_after_the_fork():
    code = """
import os, signal, threading, time
import numpy as np
import fastconv
from fastconv._simd import compilation

fastconv.convolve1d(np.ones(9, "f4"), np.ones(3, "f4"))
signal.signal(signal.SIGINT, signal.default_int_handler)
holds, let_go = threading.Event(), threading.Event()

def hold():
    with compilation.lock:
        holds.set()
        let_go.wait(30)

other = threading.Thread(target=hold)
other.start()
holds.wait()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
threading.Timer(0.4, let_go.set).start()
parent, child, raised = os.getpid(), None, False
try:
    child = os.fork()
    if child == 0:
        os._exit(0)
    time.sleep(5)
except KeyboardInterrupt:
    raised = True
if os.getpid() != parent:
    os._exit(1)
other.join()
child = os.fork()
if child == 0:
    signal.alarm(30)
    right = fastconv.convolve1d(np.ones(9), np.ones(3))[4] == 3
    os._exit(0 if right else 1)
print(raised, os.waitpid(child, 0)[1])
"""
    assert succeed(code, options=FORKING) == ["True", "0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_resets_locks_if_only_its_hook_is_called():
    # As in a C program that calls only the hooks of the child.
    code = """
import threading
import numpy as np
import fastconv
from fastconv._runtime import fork_safety
from fastconv._simd import compilation

fastconv.convolve1d(np.ones(9, "f4"), np.ones(3, "f4"))
threads = [threading.Thread(target=lock.acquire) for lock in fork_safety.locks()]
for thread in threads:
    thread.start()
    thread.join()
fork_safety.after_in_parent()
fork_safety.after_in_child()
print(fastconv.convolve1d(np.ones(9), np.ones(3))[4])
"""
    assert succeed(code) == ["3.0"]
