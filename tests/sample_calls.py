"""Calls of every kind, and programs that make them: for tests of threads, of processes and of an interpreter's end."""

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
_PICTURE = _RNG.integers(0, 256, (300, 400, 3), np.uint8)
_PLAN = fastconv.plan(_KERNEL, shape=_IMAGE.shape, mode="same")
_lengths = itertools.count(1)


def _plan():
    return _PLAN(_IMAGE)


def _cold_plan():
    """A shape that no call had before, made to be of one shape again."""
    length = 40 + next(_lengths) % 4000
    return fastconv.convolve1d(_SIGNAL[:length], _TAPS, "valid")[:10].copy()


CALLS = {
    "1-D": lambda: fastconv.convolve1d(_SIGNAL[:100], _TAPS[:5]),
    "1-D, large": lambda: fastconv.convolve1d(_SIGNAL, _TAPS),
    "2-D": lambda: fastconv.convolve2d(_IMAGE, _KERNEL, "same", method="direct"),
    "separable": lambda: fastconv.convolve2d(_IMAGE, _OUTER, "same", method="separable"),
    "fft": lambda: fastconv.convolve2d(_IMAGE, _LARGE, "same", method="fft"),
    "picture": lambda: image.filter(_PICTURE, [[1, 2, 1], [2, 4, 2], [1, 2, 1]], scale=16),
    "plan": _plan,
    "cold plan": _cold_plan,
}


def call(name):
    """What a call gives; for pools of processes, which find it by its name."""
    return CALLS[name]()


class Wrong(AssertionError):
    """A call gave another result than the first one of its kind."""


def expected():
    """What each call gives, in one thread after the other."""
    return {name: call() for name, call in CALLS.items()}


def check(results, count, first=0):
    """Make `count` calls in turn, beginning somewhere, and hold each against `results`."""
    names = list(CALLS)
    for k in range(first, first + count):
        name = names[k % len(names)]
        if not np.array_equal(CALLS[name](), results[name]):
            raise Wrong(name)


def run(code, *arguments, timeout=120, options=(), **environment):
    """Run a program with a folder of compiled kernels that is this one's, and return what became of it."""
    command = [sys.executable, *options, "-c", code, *map(str, arguments)]
    folder = Path(__file__).parent.parent
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=folder, env=dict(os.environ, **environment)
    )


def succeed(code, *arguments, **options):
    """As `run`; it must end well, without a word on stderr. Returns what it printed, as words."""
    done = run(code, *arguments, **options)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout.split()
