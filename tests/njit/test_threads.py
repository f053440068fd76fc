"""Calls in compiled code in threads, in parallel loops, and beside imports, compilations, forks and signals."""

import os

import pytest

from tests.sample_calls import succeed

PROLOGUE = """
import os, signal, sys, threading, time
import numba
import numpy as np
import fastconv
fastconv.njit.register()
images = np.random.default_rng(1).standard_normal((6, 500, 700)).astype("f4")
kernel = np.random.default_rng(2).standard_normal((5, 7)).astype("f4")
"""


def outcomes(code, **environment):
    return succeed(PROLOGUE + code, timeout=300, **environment)


def test_threads_and_parallel_loops_with_workers():
    # The master of a parallel loop holds the GIL while it waits for workers, which must not wait for the GIL.
    code = """
expected = fastconv.convolve2d(images, kernel, "same", method="direct")

@numba.njit(nogil=True)
def shared(image, kernel):
    return fastconv.convolve2d(image, kernel, "same", workers=3)

@numba.njit(parallel=True)
def every(images, kernel):
    out = np.empty_like(images)
    for k in numba.prange(len(images)):
        fastconv.convolve2d(images[k], kernel, "same", workers=3, out=out[k])
    return out

shared(images[0], kernel)
right = []
def work(k):
    for _ in range(3):
        right.append(np.array_equal(shared(images[k], kernel), expected[k]))
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for thread in threads:
    thread.start()
for _ in range(3):
    print(np.array_equal(every(images, kernel), expected))
for thread in threads:
    thread.join()
print(len(right), all(right))
"""
    assert outcomes(code) == ["True", "True", "True", "12", "True"]


def test_a_compilation_of_a_user_and_a_first_call_do_not_wait_for_each_other():
    # One thread holds Numba's lock, and then needs a routine; the other compiles routines for a first call.
    code = """
from numba.core.compiler_lock import global_compiler_lock
begun = threading.Event()

def first_call():
    begun.set()
    fastconv.convolve1d(np.ones(9, "i2"), np.ones(3, "i2"))

def compiling():
    with global_compiler_lock:
        thread.start()
        begun.wait()
        time.sleep(0.5)
        return numba.njit(lambda x, taps: fastconv.convolve1d(x, taps))(np.ones(9), np.ones(3))

thread = threading.Thread(target=first_call)
print(compiling()[4])
thread.join()
"""
    assert outcomes(code) == ["3.0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_a_compilation_of_a_user_needs_the_engines():
    code = """
import warnings
from numba.core.compiler_lock import global_compiler_lock
from fastconv._runtime import fork_safety
warnings.simplefilter("ignore", DeprecationWarning)  # that the process has threads
fork_safety.TIMEOUT = threading.TIMEOUT_MAX  # for ever, if each waited for the other
holds = threading.Event()

def compiling():
    with global_compiler_lock:
        holds.set()
        time.sleep(0.3)
        fastconv.convolve1d(np.ones(9), np.ones(3))  # imports the engines

thread = threading.Thread(target=compiling)
thread.start()
holds.wait()
child = os.fork()
call = numba.njit(lambda x, taps: fastconv.convolve1d(x, taps))
right = call(np.ones(9), np.ones(3))[4] == 3
if child == 0:
    os._exit(0 if right else 1)
thread.join()
print(right, os.waitpid(child, 0)[1])
"""
    assert outcomes(code) == ["True", "0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals of POSIX")
def test_a_signal_in_the_middle_of_a_shared_call_is_raised_after_it():
    code = """
class Interrupted(Exception):
    pass

def interrupt(number, frame):
    raise Interrupted

compute = numba.njit(lambda image, kernel: fastconv.convolve2d(image, kernel, "same", workers=2))
compute(images[0], kernel)
large = np.tile(images[0], (3, 4))
signal.signal(signal.SIGALRM, interrupt)
for _ in range(3):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        while True:  # for ever, if the signal were lost
            compute(large, kernel)
    except Interrupted:
        print("raised")
"""
    assert outcomes(code) == ["raised"] * 3


def test_the_entry_point_imports_fastconv_only_for_those_that_use_it():
    code = """
import sys
import _fastconv_numba
import numba, numpy
_fastconv_numba.init()
numba.njit(lambda x: x + 1)(1)
print("fastconv" in sys.modules)
import fastconv
call = numba.njit(lambda x, taps: fastconv.convolve1d(x, taps))
print(call(numpy.ones(9), numpy.ones(3))[4])
"""
    assert succeed(code, timeout=300) == ["False", "3.0"]
    later = """
import fastconv, numba, numpy
import _fastconv_numba
_fastconv_numba.init()
print(numba.njit(lambda x, taps: fastconv.convolve1d(x, taps))(numpy.ones(9), numpy.ones(3))[4])
"""
    assert succeed(later, timeout=300) == ["3.0"]
