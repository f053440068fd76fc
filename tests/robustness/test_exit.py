"""Interpreter exit during a call, and calls during finalization: no hang, no crash, no output on stderr."""

import os

import pytest

from tests.sample_calls import run, succeed

START = """
import atexit, gc, os, sys, threading, time
import numpy as np
import fastconv
from fastconv._runtime.instrumentation import overrides
overrides.cpus = 4
gc.disable()
x, kernel, large = np.ones((700, 800)), np.ones((5, 5)), np.ones((25, 25))
case = sys.argv[1]

def convolve_some(times=2):
    for _ in range(times):
        assert fastconv.convolve2d(x, large, "valid", method="direct")[5, 5] == 625
    os.write(1, b"done ")

class Last:
    '''Convolves in its destructor.'''

    def __init__(self, taps=5, dtype="f8"):
        self.arrays = np.ones((700, 800), dtype), np.ones((taps, taps), dtype)
        self.convolve, self.write = fastconv.convolve2d, os.write

    def __del__(self):
        self.write(1, b"last%d " % int(self.convolve(*self.arrays, "valid")[5, 5].real))
"""


@pytest.mark.parametrize(
    ("case", "printed"),
    [
        ("daemons", 0),
        ("daemons in their first call", 0),
        ("an executor", 2),
        ("a thread that exits", 1),
    ],
)
def test_main_thread_ends_while_others_convolve(case, printed):
    code = """
def exits():
    convolve_some()
    sys.exit(3)

def daemon():
    while True:
        convolve_some()

write, os.write = os.write, lambda *_: None
if case != "daemons in their first call":
    fastconv.convolve2d(x, kernel)
if case.startswith("daemons"):
    for _ in range(3):
        threading.Thread(target=daemon, daemon=True).start()
    time.sleep(0.15)  # until they convolve
else:
    os.write = write
if case == "a thread that exits":
    threading.Thread(target=exits).start()
if case == "an executor":
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(2)
    futures = [pool.submit(convolve_some) for _ in range(2)]
"""
    assert succeed(START + code, case, timeout=60) == ["done"] * printed


def test_main_thread_ends_while_a_daemon_compiles():
    code = """
fastconv.convolve2d(x, kernel)
from numba import types
from fastconv._simd import compilation
from fastconv._microkernels.blocks import direct_tile
overrides.recompiled = bool  # True for each name; no function of this module, which it would outlive

def compiling():
    while True:
        compilation.compile_routine(direct_tile.convolve_rows, direct_tile.signature(types.uint32))

threading.Thread(target=compiling, daemon=True).start()
while compilation.lock.acquire(blocking=False):
    compilation.lock.release()
    time.sleep(0.001)
last = Last(5, "i2")  # would wait for the lock of a thread that never continues
last.itself = last
del last
"""
    assert succeed(START + code, "", timeout=60) == ["last25"]


@pytest.mark.parametrize("warm", [True, False])
def test_exit_callbacks_can_convolve(warm):
    code = """
import numba  # imports SciPy, which cannot be imported during finalization in Python 3.13
if case == "True":
    fastconv.convolve2d(x, kernel)
atexit.register(convolve_some)
threading._register_atexit(convolve_some)  # as executors do: before threads are joined
"""
    assert succeed(START + code, warm, timeout=60) == ["done", "done"]


# Numba is not imported, a kernel is not compiled, no workers have been started, or everything is ready.
@pytest.mark.parametrize(
    ("before", "place"),
    [
        ("nothing", "in a cycle"),
        ("another type", "in a cycle"),
        ("one worker", "in a cycle"),
        ("the same", "in a cycle"),
        ("another type", "in the module"),
        ("another type", "in a module of its own"),
    ],
)
def test_destructor_during_finalization_can_convolve(before, place):
    code = """
if case == "another type":
    fastconv.convolve2d(x.astype("c8"), kernel.astype("c8"))
if case == "one worker":
    fastconv.convolve2d(x, kernel, "valid", workers=1)
if case == "the same":
    fastconv.convolve2d(x, kernel, "valid")
last = Last()
if sys.argv[2] == "in a cycle":
    last.itself = last
    del last
elif sys.argv[2] == "in a module of its own":
    import types
    sys.modules["late"] = types.ModuleType("late")
    sys.modules["late"].last = last
    del last
"""
    assert succeed(START + code, before, place, timeout=60) == ["last25"]


def test_destructor_during_finalization_can_use_every_method():
    code = """
from fastconv import image
image.filter(np.ones((9, 9), "u1"), np.ones((3, 3)))  # NumPy imports modules at first use, too

class Everything:
    def __init__(self):
        self.itself = self

    def __del__(self):
        outer = np.outer(np.arange(1.0, 8), np.arange(1.0, 8))
        for method in ("auto", "direct", "separable", "fft"):
            found = fastconv.convolve2d(x.tolist(), outer, "valid", method=method)
            os.write(1, b"%d " % int(found[5, 5]))
        picture = np.full((50, 60, 4), 100, "u1")
        found = image.filter(picture, np.ones((3, 3)), scale=9, alpha="keep")
        os.write(1, b"%d " % int(found[5, 5, 0]))
        os.write(1, b"%d " % int(fastconv.plan(np.ones(5), shape=300)(np.ones(300))[9]))

Everything()
"""
    assert succeed(START + code, "", timeout=60) == ["784"] * 4 + ["100", "5"]


def test_os_exit_while_a_daemon_convolves():
    code = """
def daemon():
    while True:
        convolve_some()
        begun.set()

begun, write, os.write = threading.Event(), os.write, lambda *_: None
threading.Thread(target=daemon, daemon=True).start()
assert begun.wait(30)
os._exit(7)
"""
    done = run(START + code, "", timeout=60)
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_exits_like_any_interpreter():
    code = """
fastconv.convolve2d(x, kernel)
threading.Thread(target=convolve_some, args=(1,)).start()
process = os.fork()
if process == 0:
    threading.Thread(target=convolve_some, args=(1,)).start()
    last = Last(7)
    last.itself = last
    del last
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""
    options = ("-W", "ignore:This process:DeprecationWarning")
    words = succeed(START + code, "", timeout=60, options=options)
    assert sorted(words) == ["5", "done", "done", "last49"]
