"""Compare calls in compiled code with calls from Python by the method 'direct', bit for bit, on guarded memory.

Arrays, and all memory that the compiled code allocates, lie between inaccessible pages: an access beyond them ends the
process. Run it as ``python -m tests.njit.fuzzer SEED CASES X:KERNEL ...``, with pairs of types. Functions for each pair
of types and each rank take a fifth of a second to compile: of few cases, each pair takes either convolutions or
correlations of a rank.
"""

import ctypes
import random
import sys

import numba
import numpy as np
from numba import types

import fastconv
from fastconv.njit import _loading
from tests import guarded_arrays
from tests.oracle import BOUNDARIES, MODES

fastconv.njit.register()


@numba.njit
def convolve1d(x, kernel, mode, axes, boundary, fill_value, out):
    return fastconv.convolve1d(x, kernel, mode, axis=axes[0], boundary=boundary, fill_value=fill_value, out=out)


@numba.njit
def correlate1d(x, kernel, mode, axes, boundary, fill_value, out):
    return fastconv.correlate1d(x, kernel, mode, axis=axes[0], boundary=boundary, fill_value=fill_value, out=out)


@numba.njit
def convolve2d(x, kernel, mode, axes, boundary, fill_value, out):
    return fastconv.convolve2d(x, kernel, mode, axes=axes, boundary=boundary, fill_value=fill_value, out=out)


@numba.njit
def correlate2d(x, kernel, mode, axes, boundary, fill_value, out):
    return fastconv.correlate2d(x, kernel, mode, axes=axes, boundary=boundary, fill_value=fill_value, out=out)


# Cases from which on each pair of types takes all functions.
MANY = 1000
COMPILED = {f.__name__: f for f in (convolve1d, correlate1d, convolve2d, correlate2d)}
_WORD = ctypes.c_ssize_t
_blocks = {}


def _allocate(size):
    """Memory that ends, but for its alignment, at an inaccessible page."""
    region = guarded_arrays.Region(size)
    block = region.place((-(-size // 8),), np.int64)
    block[...] = -1
    _blocks[block.ctypes.data] = region, block
    return block.ctypes.data


def _free(address):
    del _blocks[address]
    return 0


ALLOCATE, FREE = (ctypes.CFUNCTYPE(_WORD, _WORD)(function) for function in (_allocate, _free))


def guard(x, kernel):
    """Let compiled code of these types allocate guarded memory."""
    _loading.require(_loading.abi(), str(np.dtype(x)), str(np.dtype(kernel)))
    record, _ = _loading.provided[str(np.dtype(x)), str(np.dtype(kernel))]
    for field, function in (("allocate", ALLOCATE), ("free", FREE)):
        record[field] = ctypes.cast(function, ctypes.c_void_p).value


class Cases:
    """Random calls, the same for the same seed."""

    def __init__(self, seed, count, pairs):
        self.random, self.rng, self.pairs = random.Random(seed), np.random.default_rng(seed), pairs
        self.are_many = count >= MANY

    def numbers(self, dtype, shape, whole):
        """Random numbers; small whole ones have exact sums, whatever their order."""
        dtype, rng = np.dtype(dtype), self.rng
        if dtype.kind == "b":
            return rng.random(shape) < 0.4
        if dtype.kind in "iu" and whole:
            return rng.integers(0, 10, shape, dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        parts = (rng.integers(-9, 10, shape) if whole else rng.standard_normal(shape) for _ in range(2))
        return (next(parts) + (1j * next(parts) if dtype.kind == "c" else 0)).astype(dtype)

    def placed(self, values, kinds=("contiguous", "permuted", "any", "odd")):
        """A copy between inaccessible pages; some are not writable."""
        kind, upper = self.random.choice(kinds), self.random.random() < 0.5
        strides = guarded_arrays.strides_of(self.random, values.shape, values.itemsize, kind)
        low, high = (sum(f(0, (n - 1) * s) for n, s in zip(values.shape, strides)) for f in (min, max))
        array, _ = guarded_arrays.Region(high - low + values.itemsize).filled(values, strides, upper)
        array.flags.writeable = self.random.random() < 0.5
        return array

    def shapes(self):
        """Shapes of input and kernel, and the axes."""
        count = self.random.randint(1, 2)
        rank, most = self.random.randint(count, 3), self.random.choice((1, 3, 8, 17, 40, 70))
        shape = [self.random.randint(1, most) for _ in range(rank)]
        if count == 1 and self.random.random() < 0.1:
            shape[-1] = self.random.randint(5_000, 20_000)
        longest = self.random.choice((1, 2, 3, 5, 9, 20, 50))
        taps = [self.random.randint(1, longest) for _ in range(count)]
        if count == 2 and self.random.random() < 0.3:
            taps[self.random.randrange(2)] = 1
        axes = self.random.sample(range(rank), count)
        return shape, taps, tuple(axis - rank if self.random.random() < 0.5 else axis for axis in axes)

    def case(self):
        """Arguments of a call, the name of its function, and whether its kernel is finite."""
        pair = self.random.randrange(len(self.pairs))
        x_dtype, kernel_dtype = map(np.dtype, self.pairs[pair])
        shape, taps, axes = self.shapes()
        finite = kernel_dtype.kind not in "fc" or self.random.random() < 0.85
        x, kernel = (self.numbers(*of, not finite) for of in ((x_dtype, shape), (kernel_dtype, taps)))
        if self.random.random() < 0.2:  # symmetric lines are summed from both ends
            kernel = np.concatenate((kernel, np.flip(kernel)))
        if not finite:
            kernel.flat[self.random.randrange(kernel.size)] = self.random.choice((np.inf, -np.inf, np.nan))
        mode, boundary = self.random.choice(MODES), self.random.choice(BOUNDARIES)
        fill_value = (1.5 if np.result_type(x, kernel).kind in "fc" else 1.0) if boundary == "fill" else 0.0
        which = self.random.randrange(2) if self.are_many else (len(shape) + len(axes) + pair) % 2
        name = ("convolve", "correlate")[which] + f"{len(axes)}d"
        return name, (self.placed(x), self.placed(kernel), mode, axes, boundary, fill_value), finite


def result(function, arguments, out=None):
    """The result of a call, or the beginning of its error."""
    try:
        return function(*arguments, out)
    except ValueError as error:
        return str(error)[:30]


def compiled(name, arguments, out=None):
    """The function, compiled for these types: with any layout, so that there are few."""
    x, kernel, mode, axes, boundary, fill_value = map(numba.typeof, arguments)
    x, kernel = (types.Array(array.dtype, array.ndim, "A", readonly=True) for array in (x, kernel))
    results = types.none if out is None else types.Array(numba.typeof(out).dtype, out.ndim, "A")
    function = COMPILED[name]
    function.disable_compile(False)
    function.compile((x, kernel, mode, axes, boundary, fill_value, results))
    function.disable_compile()
    return function


def from_python(name, x, kernel, mode, axes, boundary, fill_value):
    along = {"axis": axes[0]} if len(axes) == 1 else {"axes": axes}
    options = {"boundary": boundary, "fill_value": fill_value, "method": "direct", **along}
    return result(lambda *arguments: getattr(fastconv, name)(*arguments[:-1], **options), (x, kernel, mode))


def is_same(found, expected, exact):
    if isinstance(expected, str) or isinstance(found, str):
        return found == expected if isinstance(found, type(expected)) else False
    same = found.shape == expected.shape and found.dtype == expected.dtype
    return same and (
        found.tobytes() == expected.tobytes() if exact else np.array_equal(found, expected, equal_nan=True)
    )


def main(seed, count, *pairs):
    cases, wrong, computed = Cases(int(seed), int(count), [pair.split(":") for pair in pairs]), 0, 0
    for pair in cases.pairs:
        guard(*pair)
    for number in range(int(count)):
        name, arguments, finite = cases.case()
        expected = from_python(name, *arguments)
        found = result(compiled(name, arguments), arguments)
        # A product with an infinity or a NaN has no payload that is the same everywhere.
        right = is_same(found, expected, finite)
        if not isinstance(expected, str):
            computed += 1
            out = cases.placed(np.zeros(expected.shape, expected.dtype))
            out.flags.writeable = True
            returned = result(compiled(name, arguments, out), arguments, out)
            right = right and returned.ctypes.data == out.ctypes.data and is_same(out, expected, finite)
        if not right:
            wrong += 1
            x, kernel, *options = arguments
            print(number, name, x.dtype, x.shape, x.strides, kernel.dtype, kernel.shape, kernel.strides, *options)
    print(f"{computed} computed, {wrong} wrong, {len(_blocks)} blocks not freed")


if __name__ == "__main__":
    main(*sys.argv[1:])
