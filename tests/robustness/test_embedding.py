"""Many callers in one process with the thread pools of Numba, BLAS and PyTorch."""

import pytest

from fastconv._runtime.cache_folder import store
from tests.sample_calls import succeed

# Run callers of three kinds in threads, and `beside()` in the main thread until they have ended.
CALLERS = """
import asyncio, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from fastconv._runtime.instrumentation import overrides
overrides.cpus = 4
from tests import sample_calls

results, errors = sample_calls.expected(), []
CALLS, enough = int(sys.argv[1]), threading.Event()

def executor():
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda k: sample_calls.check(results, 1, k), range(CALLS)))

async def coroutines():
    await asyncio.gather(*(asyncio.to_thread(sample_calls.check, results, 1, k) for k in range(CALLS)))

def callers():
    kinds = [lambda k=k: sample_calls.check(results, CALLS, k) for k in range(4)]
    for calls in (*kinds, executor, lambda: asyncio.run(coroutines())):
        def work(calls=calls):
            try:
                calls()
                while not enough.is_set():
                    calls()
            except BaseException as error:
                errors.append(repr(error))
        yield threading.Thread(target=work)

def run(beside):
    threads = list(callers())
    for thread in threads:
        thread.start()
    for _ in range(3):
        beside()
    enough.set()
    while any(thread.is_alive() for thread in threads):
        beside()
    print(len(errors), *errors[:3])
"""

PRANGE = (
    """
import os, sys
import numba
import numpy as np
sys.path.insert(0, sys.argv[2])
import prange
y = np.arange(1_000_000.0)
try:
    total = prange.total(y)
    assert numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]
except ValueError as error:
    print("missing", error)
    sys.exit()
"""
    + CALLERS
    + """
def beside():
    if prange.total(y) != total:
        errors.append("prange")

run(beside)
"""
)


@pytest.fixture(scope="module")
def prange(tmp_path_factory):
    """A folder with a module of a parallel loop of Numba, compiled once for all threading layers."""
    folder = tmp_path_factory.mktemp("prange")
    text = (
        "import numba\n\n\n@numba.njit(parallel=True, cache=True)\ndef total(y):\n    found = 0\n"
        "    for k in numba.prange(y.size):\n        found += int(y[k]) % 7\n    return found\n"
    )
    (folder / "prange.py").write_text(text)
    return folder


@pytest.mark.parametrize(("layer", "calls"), [("workqueue", 300), ("omp", 300), ("tbb", 300)])
def test_many_callers_beside_a_parallel_loop_of_numba(layer, calls, prange):
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_CACHE_DIR": str(prange / "cache"), "NUMBA_NUM_THREADS": "2"}
    environment["FASTCONV_NUM_THREADS"] = "4"  # otherwise NUMBA_NUM_THREADS would be the limit
    if store().folder is not None:
        environment["FASTCONV_CACHE_DIR"] = str(store().folder)
    words = succeed(PRANGE, calls, prange, **environment)
    if words[0] == "missing":
        assert layer != "workqueue", words
        pytest.skip(f"Numba has no {layer} on this system")
    assert words == ["0"]


BLAS = (
    CALLERS
    + """
import numpy as np
y = np.random.default_rng(1).standard_normal((400, 400))
product = y @ y

def beside():
    if not np.allclose(y @ y, product):
        errors.append("BLAS")

run(beside)
"""
)


def test_many_callers_beside_numpy_matrix_products():
    assert succeed(BLAS, 100) == ["0"]


TORCH = (
    CALLERS
    + """
import torch
torch.set_num_threads(2)
y, weights = torch.ones(1, 1, 300, 300), torch.ones(1, 1, 5, 5)

def beside():
    if torch.conv2d(y, weights)[0, 0, 9, 9] != 25:
        errors.append("torch")

run(beside)
"""
)


def test_many_callers_beside_torch():
    pytest.importorskip("torch")
    assert succeed(TORCH, 100) == ["0"]
