"""Adversarial convolutions of integers, and their exact results.

By hand, ``python -m tests.integer_cases 7 40000`` computes so many cases by way of the spectrum; 7 is the seed.
"""

import sys
import time
from typing import NamedTuple

import numpy as np

import fastconv
from fastconv._runtime.instrumentation import forced
from tests.oracle import BOUNDARIES

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
KINDS = (
    "random",
    "small",
    "maximal",
    "minimal",
    "alternating",
    "signs",
    "powers",
    "steps",
    "spikes",
    "edges",
    "tones",
    "half",
)


def of_kind(kind, rng, shape, dtype):
    """An array of integers of some adversarial kind."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    least, most = (int(end) for end in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    whole = rng.integers(least, most, shape, dtype=dtype, endpoint=True)
    index = np.add.reduce(np.indices(shape)) if len(shape) > 1 else np.arange(shape[0])
    if kind == "random":
        return whole
    if kind == "small":
        return rng.integers(max(least, -100), 100, shape).astype(dtype)
    if kind == "maximal":
        return np.full(shape, most, dtype)
    if kind == "minimal":
        return np.full(shape, least, dtype)
    if kind == "alternating":
        return np.where(index % 2, most, least).astype(dtype)
    if kind == "signs":
        return np.where(rng.random(shape) < 0.5, most, least).astype(dtype)
    if kind == "powers":
        return np.array(1, dtype) << rng.integers(0, 8 * dtype.itemsize, shape).astype(dtype)
    if kind == "steps":  # of loudness, from one stretch to the next
        return whole >> (index // 100 * 7 % (8 * dtype.itemsize)).astype(dtype)
    if kind == "spikes":
        return np.where(rng.random(shape) < 0.002, whole, whole & 7).astype(dtype)
    if kind == "edges":  # of digits: 2**k - 1, 2**k, 2**k + 1, and their negatives
        powers = np.array(1, dtype) << rng.integers(0, 8 * dtype.itemsize, shape).astype(dtype)
        near = powers + rng.integers(-1, 2, shape).astype(dtype)
        return np.where(rng.random(shape) < 0.5, near, -near).astype(dtype)
    if kind == "tones":  # all of the energy in one frequency
        wave = np.sin(index * (2 * np.pi / rng.integers(2, 40)))
        return np.clip(np.rint(wave * (most * 0.999)), max(least, -most * 0.999), most * 0.999).astype(dtype)
    assert kind == "half"  # about half of the bits
    return whole >> np.array(4 * dtype.itemsize, dtype)


class Case(NamedTuple):
    """One convolution."""

    x: np.ndarray
    kernel: np.ndarray
    mode: str
    boundary: str
    fill_value: int
    kinds: tuple[str, str]

    def compute(self, method):
        return fastconv.convolve(
            self.x, self.kernel, self.mode, boundary=self.boundary, fill_value=self.fill_value, method=method
        )

    def __str__(self):
        arrays = [f"{array.dtype}{array.shape}" for array in (self.x, self.kernel)]
        return f"{arrays[0]} by {arrays[1]}, {self.kinds}, {self.mode}, {self.boundary} {self.fill_value}"


def cases(rng, number):
    """Random cases."""
    for _ in range(number):
        rank = int(rng.integers(1, 3))
        if rank == 1:
            shape, taps = ((int(2 ** rng.uniform(0, most)),) for most in (15, 11))
        else:
            shape, taps = (tuple(int(2 ** rng.uniform(0, most)) for _ in range(2)) for most in (8, 5.7))
        dtypes = [np.dtype(str(name)) for name in rng.choice(INTEGERS, 2)]
        if np.result_type(*dtypes).kind == "f":  # signed with uint64
            dtypes = [dtypes[0]] * 2
        kinds = tuple(rng.choice(KINDS, 2))
        x, kernel = of_kind(kinds[0], rng, shape, dtypes[0]), of_kind(kinds[1], rng, taps, dtypes[1])
        boundary, mode = str(rng.choice(BOUNDARIES)), str(rng.choice(("full", "same")))
        limits = np.iinfo(np.result_type(x, kernel))
        fill = (limits.min, limits.max, 1)[rng.integers(3)] if boundary == "fill" else 0
        yield Case(x, kernel, mode, boundary, fill, kinds)


def exact(case):
    """The exact result, by direct sums in wrapping integers, which other tests hold to the definition."""
    return case.compute("direct")


def sweep(seed, number):
    """Compute cases; print how many there were, and stop at the first that is not exact.

    Seven of eight use digits where one transform is not enough, whatever takes less time.
    """
    rng, begun, outputs, done = np.random.default_rng(seed), time.perf_counter(), 0, 0
    while done < number:
        with forced(digits=None if done % 800 >= 700 else True):
            for case in cases(rng, min(100, number - done)):
                found, expect = case.compute("fft"), exact(case)
                outputs += expect.size
                done += 1
                if not np.array_equal(found, expect):
                    raise SystemExit(f"case {done}: {case}: {np.count_nonzero(found != expect)} results differ")
        if done % 1000 == 0 or done == number:
            print(f"{done} cases, {outputs:.2e} results, all exact; {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    sweep(*map(int, sys.argv[1:]))
