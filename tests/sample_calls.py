"""Sample calls of every engine, and subprocesses: for tests of threads, processes and interpreter exit."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastconv
from fastconv import image

_RNG = np.random.default_rng(5)
_SIGNAL, _TAPS = _RNG.standard_normal(200_000), _RNG.standard_normal(31)
_IMAGE, _KERNEL = _RNG.standard_normal((330, 480)), _RNG.standard_normal((7, 7))
_OUTER, _LARGE = np.outer(_TAPS[:15], _TAPS[15:30]), _RNG.standard_normal((25, 27))
_HOLES = np.where(_RNG.random(_IMAGE.shape) < 0.1, np.nan, _IMAGE)
_PICTURE = _RNG.integers(0, 256, (300, 400, 3), np.uint8)
_PLAN = fastconv.plan(_KERNEL, shape=_IMAGE.shape, mode="same")
_lengths = itertools.count(1)


def _plan():
    return _PLAN(_IMAGE)


def _cold_plan():
    """Convolve a shape that needs a new plan; return an excerpt of constant shape."""
    length = 40 + next(_lengths) % 4000
    return fastconv.convolve1d(_SIGNAL[:length], _TAPS, "valid")[:10].copy()


CALLS = {
    "1-D": lambda: fastconv.convolve1d(_SIGNAL[:100], _TAPS[:5]),
    "1-D, large": lambda: fastconv.convolve1d(_SIGNAL, _TAPS),
    "2-D": lambda: fastconv.convolve2d(_IMAGE, _KERNEL, "same", method="direct"),
    "separable": lambda: fastconv.convolve2d(_IMAGE, _OUTER, "same", method="separable"),
    "fft": lambda: fastconv.convolve2d(_IMAGE, _LARGE, "same", method="fft"),
    "picture": lambda: image.filter(_PICTURE, [[1, 2, 1], [2, 4, 2], [1, 2, 1]], scale=16),
    "missing": lambda: fastconv.convolve2d(_HOLES, _KERNEL, "same", nan="ignore", missing_value=0, method="direct"),
    "plan": _plan,
    "cold plan": _cold_plan,
}


def call(name):
    """Return the result of the call `name`, for process pools: the calls themselves cannot be pickled."""
    return CALLS[name]()


class Wrong(AssertionError):
    """A call returned another result than the first call of its kind."""


def expected():
    """Return the result of each call."""
    return {name: call() for name, call in CALLS.items()}


def check(results, count, first=0):
    """Make `count` calls in turn, beginning with number `first`, and compare each with `results`."""
    names = list(CALLS)
    for k in range(first, first + count):
        name = names[k % len(names)]
        if not np.array_equal(CALLS[name](), results[name]):
            raise Wrong(name)


def run(code, *arguments, timeout=120, options=(), **environment):
    """Run a program with the kernel cache of this process, and return the completed process."""
    command = [sys.executable, *options, "-c", code, *map(str, arguments)]
    folder = Path(__file__).parent.parent
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=folder, env=dict(os.environ, **environment)
    )


def succeed(code, *arguments, **options):
    """Run a program that must succeed with nothing on stderr; return the words that it prints."""
    done = run(code, *arguments, **options)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout.split()
