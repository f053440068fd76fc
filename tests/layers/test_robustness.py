"""Layers between guard pages, with any number of threads, interrupted, and with input that changes meanwhile."""

import os
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastconv import layers
from tests import guarded_arrays
from tests.layers.oracle import expected, whole_numbers

needs_guards = pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")


@needs_guards
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_no_memory_beside_the_arrays_is_touched(layout, dtype):
    rng, choose = np.random.default_rng(0), random.Random(0)
    source, target = guarded_arrays.Region(1 << 20), guarded_arrays.Region(1 << 21)
    for _ in range(60):
        groups = choose.choice((1, 1, 2, 3))
        channels, outputs = groups * choose.randint(1, 9), groups * choose.choice((1, 3, 8, 17, 33))
        kernel = choose.choice(((1, 1), (3, 3), (2, 5)))
        padding = choose.choice((0, 1, ((2, 0), (0, 3)), "same"))
        options = {
            "stride": choose.choice((1, 2)), "dilation": choose.choice((1, 2)), "padding": padding, "groups": groups,
            "padding_mode": choose.choice(("zero", "mirror", "wrap")),
        }  # fmt: skip
        x = whole_numbers(rng, (2, channels, choose.randint(5, 9), choose.choice((9, 14, 15, 16, 17, 31))), dtype)
        weights = whole_numbers(rng, (outputs, channels // groups, *kernel), dtype)
        expect = expected(x, weights, **options)
        if layout == "channels_last":
            x, expect = x.transpose(0, 2, 3, 1), expect.transpose(0, 2, 3, 1)
        upper = choose.random() < 0.5
        given, _ = source.filled(x, upper=upper)
        out = target.empty(expect.shape, "i4" if dtype == "u1" else dtype, upper=not upper)
        layers.conv2d(given, weights, layout=layout, out=out, **options)
        np.testing.assert_array_equal(out, expect)
        assert target.untouched(out)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_same_bits_for_any_number_of_threads(layout):
    rng = np.random.default_rng(1)
    for shape, weights_shape in (((3, 70, 31, 30), (40, 70, 3, 3)), ((1, 300, 7, 7), (600, 300, 3, 3))):
        x, weights = rng.normal(size=shape).astype("f4"), rng.normal(size=weights_shape).astype("f4")
        x = x if layout == "channels_first" else x.transpose(0, 2, 3, 1).copy()
        results = {layers.conv2d(x, weights, padding=1, layout=layout, workers=n).tobytes() for n in (1, 2, 3, 7, None)}
        assert len(results) == 1


def test_input_that_changes_meanwhile():
    x, weights = np.zeros((4, 32, 60, 60), np.float32), np.ones((32, 32, 3, 3), np.float32)
    stop = threading.Event()

    def scribble():
        while not stop.is_set():
            x[...] = np.nan
            weights[...] = np.inf
            weights[...] = 1

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(10):
            assert layers.conv2d(x, weights, padding=1).shape == (4, 32, 60, 60)
    finally:
        stop.set()
        thread.join()


INTERRUPTED = """
import sys, threading, time, os, signal
import numpy as np
from fastconv import layers
x, weights = np.ones((8, 64, 112, 112), np.float32), np.ones((256, 64, 3, 3), np.float32)
layers.conv2d(x[:1], weights, padding=1)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        layers.conv2d(x, weights, padding=1)
except KeyboardInterrupt:
    print("interrupted")
print(layers.conv2d(x[:1], weights, padding=1)[0, 0, 5, 5])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="no signals to processes")
def test_an_interrupted_layer():
    found = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=600)
    assert found.stdout.split() == ["interrupted", "576.0"], found.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_layers_in_a_forked_child():
    code = """
import os
import numpy as np
from fastconv import layers
x, weights = np.ones((4, 32, 40, 40), np.float32), np.ones((32, 32, 3, 3), np.float32)
before = layers.conv2d(x, weights)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(layers.conv2d(x, weights), before) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600)
    assert found.stdout.split() == ["0"], found.stderr


def test_layers_without_the_compiler():
    code = """
import numpy as np
from fastconv import layers
x, weights = np.arange(48.0).reshape(1, 3, 4, 4), np.ones((2, 3, 3, 3))
for options in ({}, {"padding": 1, "stride": 2}, {"padding": 2, "padding_mode": "mirror", "activation": "relu"}):
    print(layers.conv2d(x, weights, [1, 2], **options).sum())
"""
    environments = [dict(os.environ, NUMBA_DISABLE_JIT=value) for value in ("0", "1")]
    results = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=env)
        for env in environments
    ]
    assert results[0].stdout == results[1].stdout != "", results[1].stderr
